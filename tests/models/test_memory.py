"""jobs.memory: the computed column against published figures, and real measurements of small models."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib.engines.checkpoints.checkpoint import Dtype
from lib.engines.measuring.footprint import Order
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.errors import ConfigError, InputError, Stopped
from lib.pipeline.models.number_formats import MemoryConfig, NumberFormat, _measured, tabulate
from lib.pipeline.models.sample_text import pieces
from lib.pipeline.stop import Stop
from tests.conftest import ROOT, Job
from tests.engines.adapters import lora, save_adapter
from tests.engines.conftest import WORDS, word_tokenizer
from tests.engines.sizing.test_model_size import AWQ, LLAMA_2_7B

SOURCE = {"fp32": 25713, "fp16": 12860, "int8": 6696, "nf4": 3872, "nf4_double": 3596}  # MiB


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 8 MiB in float32 with random weights: large enough for blocks of 64 parameters to be whole."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny")
    config = LlamaConfig(
        vocab_size=3 + WORDS,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    (folder / "text.txt").write_text(" ".join(f"w{(n * n) % WORDS}" for n in range(150)))
    return folder


def work(tiny: Path, **changes: Any) -> MemoryConfig:
    return MemoryConfig(**({"text": str(tiny / "text.txt"), "prompts": 2, "new_tokens": 4} | changes))


def engine(tiny: Path, **changes: Any) -> TransformersConfig:
    return TransformersConfig(model=str(tiny), max_model_len=64, **changes)


def test_llama_2_7b_as_the_source_measured_it(job: Job, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_2_7B))
    out = tmp_path / "out"
    line = ["engine=llama2_7b_chat", f"engine.model={tmp_path}", "memory.measure=false", f"out={out}"]
    done = job("memory", *line, HF_HUB_OFFLINE="1")
    found = json.loads((out / "memory.json").read_text())
    computed = {row["format"]: row["computed_mib"] for row in found["rows"]}
    assert {name: computed[name] for name in SOURCE} == pytest.approx(SOURCE, rel=0.03)
    assert computed["bf16"] == computed["fp16"]
    assert found["device"] is None
    assert "25,705" in done.stdout
    assert "25,705" in (out / "report.html").read_text()


def test_all_formats_of_a_small_model_are_measured(tiny: Path) -> None:
    table = tabulate(work(tiny), engine(tiny))
    assert [row.format for row in table.rows] == [chosen.value for chosen in NumberFormat]
    assert (table.device, table.text_tokens) == ("cpu", 150)
    fp32 = table.rows[0]
    for row in table.rows:
        assert row.error is None
        assert row.weights_mib is not None
        assert row.perplexity is not None
        assert row.weights_mib == pytest.approx(row.computed_mib, rel=0.05)
        assert row.perplexity == pytest.approx(fp32.perplexity, rel=0.1)
        assert (row.tokens_per_s or 0) > 0
        assert (row.peak_generating_mib or 0) >= (row.loaded_mib or 0)
        assert (row.baseline_mib or 0) > 100
    weights = [row.weights_mib or 0 for row in table.rows]
    assert weights == sorted(weights, reverse=True)


def test_peaks_are_those_of_the_model_alone(tiny: Path) -> None:
    """What this process holds must not show in its child, as it would in the peak of getrusage."""
    ballast = b"x" * (1 << 30)
    (row,) = tabulate(work(tiny, formats=[NumberFormat.fp32]), engine(tiny)).rows
    assert len(ballast) == 1 << 30
    assert 0 < (row.peak_generating_mib or 0) < 700


def test_a_format_without_enough_memory_is_a_row_and_the_others_go_on(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib.pipeline.models import number_formats as memory

    order = memory._order
    huge = lambda config, variant, text, least: replace(  # noqa: E731
        order(config, variant, text, least), least=1 << 60 if variant.dtype is Dtype.float32 else least
    )
    monkeypatch.setattr(memory, "_order", huge)
    failed, done = tabulate(work(tiny, formats=[NumberFormat.fp32, NumberFormat.bf16]), engine(tiny)).rows
    assert failed.error is not None
    assert failed.error.startswith("not enough memory: the weights take 1,099,511,627,776 MiB")
    assert failed.weights_mib is None
    assert done.perplexity is not None


def an_order(folder: Path, **changes: Any) -> Order:
    values: dict[str, Any] = {
        "folder": str(folder),
        "dtype": "float32",
        "quantization": "none",
        "device": "cpu",
        "trust_remote_code": False,
        "least": 0,
        "prompts": [[3, 4, 5]],
        "new_tokens": 2,
        "text": [3, 4, 5, 6],
        "window": 8,
    }
    return Order(**(values | changes))


def test_processes_that_end_otherwise_say_why(tiny: Path, tmp_path: Path) -> None:
    missing = _measured(an_order(tmp_path))
    assert isinstance(missing, str)
    assert "cannot be loaded" in missing
    crashed = _measured(an_order(tiny, prompts=[[3], [4, 5]]))  # not equally long
    assert isinstance(crashed, str)
    assert crashed.startswith("ValueError")


def _children(parent: int) -> list[int]:
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    found = [(int(stat.split()[0]), int(stat.rpartition(")")[2].split()[1])) for stat in stats]
    return [child for child, of in found if of == parent]


def test_ctrl_c_ends_the_measurement_at_once(tiny: Path, tmp_path: Path) -> None:
    line = [f"engine.model={tiny}", "engine.gguf_file=null", "engine.max_model_len=64", f"memory.text={tiny}/text.txt"]
    line += ["memory.new_tokens=20", f"out={tmp_path / 'out'}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.memory", *line],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    assert any("measuring" in text for text in process.stderr)
    while not (children := _children(process.pid)):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    said = process.stderr.read()
    assert process.wait(60) == 130
    assert "Traceback" not in said
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert not (tmp_path / "out").exists()


def test_a_signal_that_ended_the_process_first_is_no_row(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib.pipeline.models import number_formats as memory

    def ended(process: subprocess.Popen[str], said: str, stop: Stop) -> tuple[str, str]:
        os.kill(process.pid, signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        process.wait()
        return "", ""

    monkeypatch.setattr(memory, "_outputs", ended)
    with pytest.raises(Stopped):
        _measured(an_order(tiny))


def test_prompts_are_pieces_of_the_text() -> None:
    assert pieces(range(100), 3) == [[*range(32)], [*range(34, 66)], [*range(68, 100)]]
    assert pieces(range(5), 2) == [[*range(5)]] * 2
    assert pieces(range(100), 1) == [[*range(32)]]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"formats": []}, r"memory.formats=\[\]"),
        ({"formats": [NumberFormat.nf4, NumberFormat.nf4]}, r"memory.formats=\[nf4,nf4\]"),
        ({"prompts": 0}, "memory.prompts=0"),
        ({"new_tokens": 0}, "memory.new_tokens=0"),
    ],
)
def test_impossible_work_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        MemoryConfig(**changes)


def test_what_can_be_refused_before_loading(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.pipeline.models.number_formats._measured", lambda order: pytest.fail("a model was loaded"))
    with pytest.raises(ConfigError, match=r"memory.new_tokens=40: .* 72 tokens, engine.max_model_len=64"):
        tabulate(work(tiny, new_tokens=40), engine(tiny))
    with pytest.raises(InputError, match=r"memory.text=.*cannot be read"):
        tabulate(work(tiny, text=str(tmp_path / "none.txt")), engine(tiny))
    (tmp_path / "short.txt").write_text("")
    with pytest.raises(InputError, match=r"memory.text=.*has 0 tokens"):
        tabulate(work(tiny, text=str(tmp_path / "short.txt")), engine(tiny))
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA_2_7B, "quantization_config": AWQ}))
    with pytest.raises(ConfigError, match=r"quantised already \(awq\)"):
        tabulate(work(tiny, measure=False), engine(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_2_7B))
    with pytest.raises(ConfigError, match="no weights as"):
        tabulate(work(tiny), engine(tmp_path))


def test_other_engines_are_refused(quick_job: Job) -> None:
    assert "transformers engine" in quick_job("memory", "engine=dummy", code=2).stderr


def test_an_adapter_is_measured_with_its_model(tiny: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny)
    adapter = save_adapter(model, lora(target_modules="all-linear"), tmp_path / "adapter", str(tiny))
    (row,) = tabulate(work(tiny, formats=[NumberFormat.fp32]), engine(tiny)).rows
    (adapted,) = tabulate(work(tiny, formats=[NumberFormat.fp32]), replace(engine(tiny), adapter=str(adapter))).rows
    assert adapted.weights_mib == row.weights_mib, "merged"
    assert adapted.perplexity != row.perplexity
