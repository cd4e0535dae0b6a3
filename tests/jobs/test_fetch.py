"""Models from a hub: fetched ahead, planned before they are, and used without network. The hub is one of our own."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lib.engines.checkpoints import hub
from tests.engines.adapters import lora, save_adapter
from tests.engines.conftest import CHATML, word_tokenizer
from tests.hub_server import TOKEN, Hub, files_below
from tests.hub_server import hub as hub_server
from tests.running import Job

DESCRIPTION = {
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
}
ENGINE = ["engine=qwen3_8b", "engine.max_model_len=2048", "engine.num_gpus=0", "engine.dtype=float32"]
TINY = [*ENGINE, "engine.model=some/tiny"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders as repositories of the hub."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models")
    shape: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
                             "num_attention_heads": 4, "max_position_embeddings": 2048}  # fmt: skip
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=64, **shape))
    model.save_pretrained(folder / "tiny")
    save_adapter(model, lora(), folder / "lora", "some/tiny")
    tokenizer = word_tokenizer()
    tokenizer.chat_template = CHATML
    for name in ("tiny", "words"):
        tokenizer.save_pretrained(folder / name)
    for name in ("onnx/model.onnx", "consolidated.safetensors", "pytorch_model.bin", "original/config.json"):
        (folder / "tiny" / name).parent.mkdir(exist_ok=True)
        (folder / "tiny" / name).write_bytes(b"another format")
    shutil.copytree(folder / "tiny", folder / "pickled", ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.copytree(folder / "tiny", folder / "sentences")
    (folder / "sentences" / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    (folder / "sentences" / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    parts = [("", "Transformer"), ("1_Pooling", "Pooling")]
    listed = [{"name": kind, "path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in parts]
    (folder / "sentences" / "modules.json").write_text(json.dumps(listed))
    (folder / "gguf").mkdir()
    (folder / "gguf" / "model-Q4.gguf").write_bytes(b"GGUF")
    return folder


@pytest.fixture
def served(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub, and an empty cache for it in this process."""
    from huggingface_hub import constants

    hub.download.cache_clear()
    with hub_server() as found:
        for folder in models.iterdir():
            found.add(f"some/{folder.name}", files_below(folder))
        for name in ("gated", "huge"):
            found.add(f"some/{name}", files_below(models / "tiny"))
        found.repositories["some/gated"].gated = True
        found.repositories["some/huge"].sizes["model.safetensors"] = 10**17
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", found.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield found


@pytest.fixture
def generating(tmp_path: Path) -> list[str]:
    """A line of jobs.generate."""
    (tmp_path / "prompts.csv").write_text("id,instruction\n1,w1 w2\n2,w3\n")
    return ["data=table", f"data.path={tmp_path / 'prompts.csv'}", "prompt=instruct", "generate.max_new_tokens=3",
            "executor=inline", f"run.dir={tmp_path / 'run'}"]  # fmt: skip


def test_planned_from_small_files_fetched_and_used_without_network(
    served: Hub, generating: list[str], quick_job: Job, job: Job, tmp_path: Path
) -> None:
    plan = quick_job("plan", "plan.job=generate", *TINY, *generating).stdout
    assert "hub     some/tiny is not all here: planned from its config and tokenizer; to be fetched: " in plan
    assert "memory  " in plan
    assert set(served.downloads()) == DESCRIPTION
    served.asked.clear()
    said = quick_job("fetch", *TINY).stdout
    assert served.downloads() == ["model.safetensors"]
    assert "fetched:    some/tiny, 1 file of " in said
    assert f"cache:      {tmp_path / 'home' / 'hub'} (below HF_HOME" in said
    served.asked.clear()
    again = quick_job("fetch", *TINY).stdout
    assert "was here:   some/tiny, 6 files of " in again
    assert served.downloads() == []
    assert "hub     " not in quick_job("plan", "plan.job=generate", *TINY, *generating).stdout
    offline = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    assert "2 rows, 0 failed" in job("generate", *TINY, *generating, **offline).stdout


def test_a_library_of_modules_is_planned_from_small_files_too(served: Hub, quick_job: Job, tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("id,text\n1,w1 w2\n2,w3\n")
    line = ["engine=sentence_transformers", "engine.model=some/sentences", "executor=inline"]
    line += [f"data.path={tmp_path}/texts.csv", "embed.text='{text}'", f"run.dir={tmp_path}/run"]
    plan = quick_job("plan", "plan.job=embed", *line).stdout
    assert "hub     some/sentences is not all here: planned from its config and tokenizer; to be fetched: " in plan
    assert "model.safetensors" not in served.downloads()
    quick_job("embed", *line)
    assert served.downloads().count("model.safetensors") == 1
    assert len(pq.read_table(tmp_path / "run" / "result.parquet")["vector"][0]) == 32


def test_what_a_fetch_has_got_before_the_hub_went_away_is_not_fetched_twice(served: Hub, quick_job: Job) -> None:
    served.broken = "model.safetensors"
    said = quick_job("fetch", *TINY, code=75).stderr
    assert "run it again: what is here is not fetched twice" in said
    first = len(list(hub.place().glob("models--some--tiny/snapshots/*/*")))
    assert 0 < first < 6
    served.broken = None
    served.asked.clear()
    quick_job("fetch", *TINY)
    assert len(served.downloads()) == 6 - first


def test_tokenizer_and_adapter_come_from_repositories_of_their_own(served: Hub, quick_job: Job) -> None:
    said = quick_job("fetch", *TINY, "engine.tokenizer=some/words", "engine.adapter=some/lora").stdout
    for name in ("tiny", "words", "lora"):
        assert f"fetched:    some/{name}, " in said
    assert "adapter_model.safetensors" in served.downloads()
    assert not {"model.onnx", "consolidated.safetensors", "pytorch_model.bin"} & set(served.downloads())


def test_the_engines_of_a_job_in_stages_are_fetched(served: Hub, quick_job: Job, tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text("One. Two.")
    line = ["fetch.job=rag", "data.path=questions.csv", f"documents.path={tmp_path / 'talk.txt'}"]
    line += ["engine@embedder=sentence_transformers", "embedder.model=some/sentences"]
    line += ["engine@generator=qwen3_8b", "generator.model=some/tiny", "engine@reranker=qwen3_8b"]
    said = quick_job("fetch", *line, "reranker.model=some/none").stdout  # which nobody asks
    assert "fetched:    some/sentences, " in said
    assert "fetched:    some/tiny, " in said
    assert "1_Pooling" in str(list(hub.place().rglob("1_Pooling/config.json")))
    said = quick_job("fetch", *line, "rag.rerank=true", "reranker.model=some/gated", code=2).stderr
    assert "some/gated: is gated" in said


def test_several_engines_are_fetched_by_one_line(served: Hub, quick_job: Job) -> None:
    said = quick_job("fetch", "--multirun", *ENGINE, "engine.model=some/tiny,some/sentences").stdout
    assert "fetched:    some/tiny, " in said
    assert "fetched:    some/sentences, " in said


def test_a_gated_model_wants_a_token(served: Hub, quick_job: Job) -> None:
    said = quick_job("fetch", *ENGINE, "engine.model=some/gated", code=2).stderr
    assert f"engine.model=some/gated: is gated; accept its licence at {served.url}/some/gated, and set HF_TOKEN" in said
    assert not served.downloads()
    assert "fetched:" in quick_job("fetch", *ENGINE, "engine.model=some/gated", HF_TOKEN=TOKEN).stdout


def test_a_cache_that_is_to_be_carried_elsewhere_has_no_links(
    served: Hub, quick_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    quick_job("fetch", *TINY)
    files = [path for path in hub.place().rglob("*") if not path.is_dir()]
    assert len([path for path in files if path.name == "model.safetensors"]) == 1
    assert not [path for path in files if path.is_symlink()]
    assert "was here:" in quick_job("fetch", *TINY).stdout


def test_a_commit_pins(served: Hub, quick_job: Job) -> None:
    commit, _ = served.repositories["some/tiny"].commits[-1]
    assert f"engine.revision={commit} pins it" in quick_job("fetch", *TINY, f"engine.revision={commit}").stdout


@pytest.mark.parametrize(
    ("overrides", "code", "says"),
    [
        (["engine.model=some/tiny", "engine.revision=v9"], 2, "engine.model=some/tiny at engine.revision=v9: the hub "
         "has no such branch, tag or commit"),
        (["engine.model=some/none"], 2, "engine.model=some/none: neither a folder here nor a model"),
        (["engine.model=some/pickled"], 2, "engine.model=some/pickled: the hub has no weights of it as *.safetensors"),
        (["engine.model=some/gguf"], 2, "; it has model-Q4.gguf, which engine.gguf_file names"),
        (["engine.model=some/gguf", "engine.gguf_file=model-Q8.gguf"], 2, "engine.gguf_file=model-Q8.gguf: the hub's "
         "some/gguf has no such file; it has model-Q4.gguf"),
        (["engine.model=some/huge"], 1, "some/huge: 100,000,000.0 GB to be fetched, but "),
        (["engine.model=./nowhere"], 2, "engine.model=./nowhere: no such folder"),
    ],
)  # fmt: skip
def test_what_can_not_be_fetched_is_refused_before_anything_is(
    overrides: list[str], code: int, says: str, served: Hub, quick_job: Job
) -> None:
    assert says in quick_job("fetch", *ENGINE, *overrides, code=code).stderr
    assert not served.downloads()


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            ["engine.model=some/none"],
            "engine.model=some/none: neither a folder here nor a model that the hub shows you",
        ),
        (["engine.model=some/gated"], "engine.model=some/gated: is gated"),
        (["engine.model='some tiny'"], "engine.model=some tiny: neither a folder here nor a name of the hub's"),
        (["engine.model=https://hub/some/tiny"], "engine.model=https://hub/some/tiny: is a URL; give the hub's name"),
        (["engine.model=some/gguf"], "; did you mean engine.gguf_file=model-Q4.gguf?"),
        (["engine.model=some/gguf", "engine.gguf_file=Q8.gguf"], "has no such file; it has model-Q4.gguf"),
    ],
)
def test_a_plan_sends_nobody_to_fetch_what_can_not_be_fetched(
    overrides: list[str], says: str, served: Hub, generating: list[str], quick_job: Job
) -> None:
    said = quick_job("plan", "plan.job=generate", *ENGINE, *overrides, *generating, code=2).stderr
    assert says in said
    assert "jobs.fetch" not in said


def test_a_machine_without_network_is_told_so(
    served: Hub, generating: list[str], quick_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE: says that nothing is to be downloaded" in quick_job("fetch", *TINY, code=2).stderr
    said = quick_job("plan", "plan.job=generate", *TINY, *generating, code=2).stderr
    assert "Where there is network, with the same HF_HOME, this line gets it:\n  python -m jobs.fetch " in said
    assert f"fetch.job=generate {' '.join(TINY)} data=table" in said
    assert not served.asked
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    quick_job("plan", "plan.job=generate", *TINY, *generating)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.download.cache_clear()
    said = quick_job("generate", *TINY, *generating, code=2).stderr
    assert "engine.model=some/tiny: neither a folder here nor to be had from the hub or its cache" in said


def test_engines_without_a_hub_fetch_nothing(quick_job: Job) -> None:
    assert "nothing to fetch" in quick_job("fetch", "engine=dummy").stdout
