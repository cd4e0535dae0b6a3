"""Runs of `jobs.generate` whose rows show images, by a tiny vision-language model."""

import json
import socket
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lib.engines.vllm.vllm_config import VllmConfig
from tests.conftest import Job
from tests.engines.vlm import save_vlm
from tests.jobs.test_openai_batch_runs import read, write
from tests.pictures import data_url, picture
from tests.vllm.serving import MODEL, VllmServer

CHAT = "/v1/chat/completions"
SEEDS = {"a.png": 1, "b.png": 2, "same as a.png": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, and pictures."""
    folder = tmp_path_factory.mktemp("seen")
    save_vlm(folder / "vlm")
    for name, seed in SEEDS.items():
        (folder / name).write_bytes(picture(seed))
    (folder / "cut.jpg").write_bytes(picture(3, (64, 64), "JPEG")[:-900])
    return folder


def line(folder: Path, run: Path) -> list[str]:
    engine = ["engine=smollm2_135m_vllm", f"engine.model={folder}/vlm", "engine.gguf_file=null", "engine.dtype=float32"]
    return [*engine, "engine.max_model_len=200", "executor=inline", f"run.dir={run}"]


def body(*parts: str | dict[str, str]) -> dict[str, Any]:
    """A greedy chat of texts and images."""
    told = [{"type": "text", "text": p} if isinstance(p, str) else {"type": "image_url", "image_url": p} for p in parts]
    return {"messages": [{"role": "user", "content": told}], "temperature": 0, "max_tokens": 8}


@pytest.fixture(scope="module")
def answered(folder: Path, quick_job: Job) -> list[str]:
    """What a table's rows, one for each of SEEDS, are answered."""
    rows = "".join(f"{number},{name},What is it?\n" for number, name in enumerate(SEEDS))
    (folder / "photos.csv").write_text(f"id,photo,question\n{rows}")
    table = ["data=table", f"data.path={folder}/photos.csv", "prompt=instruct", "prompt.template='{question}'"]
    run = folder / "table"
    quick_job("generate", *table, "prompt.images=[photo]", "generate.max_new_tokens=8", *line(folder, run))
    result = pq.read_table(run / "result.parquet")
    assert result["error"].null_count == len(SEEDS)
    assert result["tokens"].to_pylist() == [63] * len(SEEDS)  # as vLLM counts them
    return result["text"].to_pylist()


def test_rows_are_answered_by_what_they_show(answered: list[str]) -> None:
    assert answered[0] == answered[2] != answered[1]


def test_bodies_are_answered_as_rows_and_what_cannot_be_seen_is_their_error(
    folder: Path, answered: list[str], quick_job: Job
) -> None:
    bodies = [body({"url": name}, "What is it?") for name in SEEDS]
    bodies += [body({"url": data_url(picture(2))}, "What is it?")]
    bad = {
        "missing.png": "cannot be read (No such file or directory)",
        "../up.png": "lies outside of",
        "https://example.org/a.png": "nothing is fetched from elsewhere",
        "data:image/png;base64,a": "is no base64",
        "cut.jpg": "Failed to load image",
    }
    bodies += [body({"url": url}, "What is it?") for url in bad]
    bodies += [body(*[{"url": "a.png"}] * 6, "Which?")]
    path = write(folder / "batch.jsonl", CHAT, bodies)
    files = ["data=openai_batch", f"data.path={path}", f"data.image_root={folder}", "merge.format=openai_batch"]
    quick_job("generate", *files, *line(folder, folder / "batch"))
    outputs, errors = read(folder / "batch")
    texts = [one["response"]["body"]["choices"][0]["message"]["content"] for one in outputs]
    assert texts == [*answered, answered[1]]
    assert [one["response"]["body"]["usage"]["prompt_tokens"] for one in outputs] == [63] * 4
    said = [one["response"]["body"]["error"]["message"] for one in errors]
    assert len(said) == len(bad) + 1
    for message, expected in zip(said, bad.values(), strict=False):
        assert expected in message
    assert "too long" in said[-1]
    assert {one["response"]["status_code"] for one in errors} == {400}


def test_a_server_answers_as_the_model_in_this_process(
    folder: Path, answered: list[str], quick_job: Job, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = VllmServer(port, tmp_path / "log.txt", VllmConfig(model=str(folder / "vlm"), max_model_len=200))
    table = ["data=table", f"data.path={folder}/photos.csv", "prompt=instruct", "prompt.template='{question}'"]
    engine = [
        "engine=endpoint",
        "engine.server=vllm",
        f"engine.url=http://127.0.0.1:{port}/v1",
        f"engine.model={MODEL}",
    ]
    asked = [*table, "prompt.images=[photo]", "generate.max_new_tokens=8", *engine, "executor=inline"]
    try:
        quick_job("generate", *asked, f"run.dir={tmp_path}/run")
    finally:
        server.kill()
    assert pq.read_table(tmp_path / "run" / "result.parquet")["text"].to_pylist() == answered


def test_a_changed_picture_is_another_run(folder: Path, answered: list[str], quick_job: Job, tmp_path: Path) -> None:
    changed = folder / "b.png"
    table = ["data=table", f"data.path={folder}/photos.csv", "prompt=instruct", "prompt.template='{question}'"]
    asked = [*table, "prompt.images=[photo]", "generate.max_new_tokens=8", *line(folder, folder / "table")]
    assert "finished before" in quick_job("generate", *asked).stdout
    changed.write_bytes(picture(9))
    done = quick_job("generate", *asked, code=2)
    assert "input.images: was" in done.stderr
    store = [f"store.dir={tmp_path}/store"]
    quick_job("generate", *asked[:-1], *store, f"run.dir={tmp_path}/one")
    changed.write_bytes(picture(SEEDS["b.png"]))
    done = quick_job("generate", *asked[:-1], *store, f"run.dir={tmp_path}/two")
    assert "2 of 3 rows are remembered" in done.stderr
    assert pq.read_table(tmp_path / "two" / "result.parquet")["text"].to_pylist() == answered
    assert json.loads((tmp_path / "two" / "manifest.json").read_text())["identity"]["input.images"]
