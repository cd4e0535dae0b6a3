"""Runs against a vLLM server: the same numbers as in this process, whoever is killed meanwhile, and nothing twice."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lib.errors import ExitCode
from lib.types import Sampling
from tests.conftest import ROOT, Job
from tests.models.test_model_runs import probabilities
from tests.vllm.serving import MODEL, SMOLLM2, CountingProxy, VllmServer, counted

ROWS = 20
TOLERANCE = 1e-4  # of probabilities, as between engines in this process


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = VllmServer(port, tmp_path_factory.mktemp("server") / "log.txt")
    yield running
    running.kill()


@pytest.fixture
def proxy(server: VllmServer) -> Iterator[CountingProxy]:
    with counted(server.port) as running:
        yield running


@pytest.fixture(scope="module")
def judged(shared: Path) -> list[str]:
    data = f"data.path={shared}/arena_kaggle/train_first100.csv"
    return ["data=arena", data, f"data.sample={ROWS}", "engine.max_model_len=192", "executor=inline"]


@pytest.fixture(scope="module")
def in_process(judged: list[str], job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("endpoint") / "in_process"
    job("judge", *judged, "engine=smollm2_135m", f"run.dir={run}")
    return run


def line(url: str, run: Path, *more: str) -> list[str]:
    return [
        "engine=endpoint", f"engine.url={url}", f"engine.model={MODEL}", "engine.server=vllm",
        f"engine.tokenizer={SMOLLM2.model}", f"engine.gguf_file={SMOLLM2.gguf_file}", "engine.max_in_flight=4",
        f"run.dir={run}", *more,
    ]  # fmt: skip


def require_same(run: Path, in_process: Path) -> None:
    assert probabilities(run).shape == (ROWS, 3)
    assert np.abs(probabilities(run) - probabilities(in_process)).max() < TOLERANCE
    columns = ["row", "verdict", "tokens", "cut_prompt", "cut_response_a", "cut_response_b"]
    mine, others = (pq.read_table(folder / "result.parquet", columns=columns) for folder in (run, in_process))
    assert mine.equals(others)


def test_a_server_judges_as_the_model_does_in_this_process(
    proxy: CountingProxy, judged: list[str], in_process: Path, quick_job: Job, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    quick_job("judge", *judged, *line(proxy.url, run))
    require_same(run, in_process)
    engine = json.loads((run / "metrics.json").read_text())["engine"]
    assert engine["prompt_tokens"] == engine["tokens"]  # the server counts as we do
    assert engine["bounded"] == 0
    assert set(proxy.asked.values()) == {1}
    identity = json.loads((run / "manifest.json").read_text())["identity"]
    assert json.loads(identity["engine.served"])["max_model_len"] == 1024
    assert proxy.url not in json.dumps(identity)


def test_labels_of_the_likeliest_tokens_only(
    proxy: CountingProxy, judged: list[str], in_process: Path, quick_job: Job, tmp_path: Path
) -> None:
    """As of a server that tells of the likeliest only: A and B are among them, a tie may be bounded."""
    run = tmp_path / "run"
    quick_job("judge", *judged, *line(proxy.url, run, "engine.server=sglang"))
    mine, exact = (pq.read_table(folder / "result.parquet").to_pylist() for folder in (run, in_process))
    bounded = json.loads((run / "metrics.json").read_text())["engine"]["bounded"]
    for row, same in zip(mine, exact, strict=True):
        for order in ("ab_logprobs", "ba_logprobs"):
            found, true = np.exp(row[order]), np.exp(same[order])
            assert (np.abs(found - true) < 0.02).all()  # less than the two least likely that are told of
            bounded -= int((found > true + TOLERANCE).sum())
    assert bounded >= 0  # only what isn't told of is more than it is


def test_a_killed_server_and_a_killed_driver(
    server: VllmServer, proxy: CountingProxy, judged: list[str], in_process: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = [*judged, *line(proxy.url, run, "run.shard_rows=5", "engine.patience=1")]

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.judge", *words],
            cwd=ROOT,
            env={**os.environ},
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(answers: int, driver: subprocess.Popen[str]) -> None:
        while len(proxy.answered) < answers:
            assert driver.poll() is None, driver.communicate()[1]
            time.sleep(0.02)

    driver = begin()
    wait_for(7, driver)
    driver.kill()
    driver.communicate()
    known = len(proxy.answered)
    assert known < 2 * ROWS
    driver = begin()
    wait_for(known + 9, driver)
    server.kill()
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == ExitCode.UNFINISHED, said
    assert "engine.patience=1" in said
    assert len(proxy.answered) < 2 * ROWS
    server.start()
    driver = begin()
    _, said = driver.communicate(timeout=300)
    assert driver.returncode == 0, said
    require_same(run, in_process)
    # What the killed driver had in flight was answered to nobody, and what had just come was not written down yet; no
    # other answer was asked for again.
    assert proxy.after_answer <= 2 * 4
    assert len(proxy.asked) == 2 * ROWS


def test_a_server_writes_as_the_model_does_in_this_process(
    proxy: CountingProxy, quick_job: Job, tmp_path: Path
) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text("instruction\nWhat is the capital of France?\nName three colours.\nCount from one to five.\n")
    rows = ["data=table", f"data.path={path}", "prompt=instruct", "executor=inline", "generate.max_new_tokens=24"]
    rows.append("engine.max_model_len=1024")
    quick_job("generate", *rows, *line(proxy.url, tmp_path / "run"))
    quick_job("generate", *rows, "engine=smollm2_135m", f"run.dir={tmp_path / 'in_process'}")
    columns = ["text", "finish_reason", "new_tokens", "tokens"]
    mine, others = (
        pq.read_table(tmp_path / name / "result.parquet", columns=columns) for name in ("run", "in_process")
    )
    assert mine.to_pylist() == others.to_pylist()


@pytest.mark.parametrize(
    ("key", "value", "good"),
    [
        ("choice", ("red", "dark blue"), lambda text: text in ("red", "dark blue")),
        ("regex", "[0-9]{3}", lambda text: len(text) == 3 and text.isdigit()),
        ("json_schema", '{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}', json.loads),
    ],
)
def test_texts_keep_to_what_is_asked(server: VllmServer, key: str, value: object, good: object) -> None:
    from lib.engines.endpoint.dialects import Server
    from lib.engines.endpoint.endpoint_config import EndpointConfig

    config = EndpointConfig(url=f"http://127.0.0.1:{server.port}/v1", model=MODEL, server=Server.vllm)
    sampling = Sampling(max_tokens=24, temperature=1.0, n=2, **{key: value})  # type: ignore[arg-type]
    config.check_sampling(sampling)
    tokenizer = config.load_tokenizer()
    engine = config.load(tokenizer, "generate")
    prompt = tokenizer.chat_prompt([{"role": "user", "content": "Say something."}])
    first, again = (engine.generate([prompt], sampling, [7]).texts[0] for _ in range(2))  # type: ignore[attr-defined]
    assert [text.text for text in first] == [text.text for text in again]  # seeds
    assert len(first) == 2
    assert all(good(text.text) for text in first)  # type: ignore[operator]


def test_an_answer_is_begun(proxy: CountingProxy, judged: list[str], quick_job: Job, tmp_path: Path) -> None:
    more = ["data.limit=4", "prompt.label_prefix='The better response is'", "judge.min_label_mass=0"]
    given = [word for word in judged if not word.startswith("data.sample")]
    quick_job("judge", *given, *more, *line(proxy.url, tmp_path / "run"))
    quick_job("judge", *given, *more, "engine=smollm2_135m", f"run.dir={tmp_path / 'in_process'}")
    assert np.abs(probabilities(tmp_path / "run") - probabilities(tmp_path / "in_process")).max() < TOLERANCE
