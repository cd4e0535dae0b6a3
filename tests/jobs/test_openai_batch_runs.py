"""OpenAI batch files through the jobs' command lines: every line is answered once, in one of the two files."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, Job

LINES = 1000
BAD = {7: {"temperature": -1}, 300: {"n": 0}, 301: {"tools": [{}]}, 640: {"messages": []}, 999: {"stream": True}}


def write(path: Path, url: str, bodies: list[dict[str, Any]]) -> Path:
    lines = [{"custom_id": f"r-{n}", "method": "POST", "url": url, "body": body} for n, body in enumerate(bodies)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def read(run: Path) -> tuple[list[Any], list[Any]]:
    """Outputs and errors, without the time of the run."""
    outputs, errors = (
        [json.loads(line) for line in (run / f"openai_{name}.jsonl").read_text("utf-8").splitlines()]
        for name in ("output", "errors")
    )
    for line in outputs:
        line["response"]["body"].pop("created", None)
    return outputs, errors


def chats(count: int) -> list[dict[str, Any]]:
    return [
        {
            "model": "any",
            "messages": [{"role": "user", "content": f"Question {n}?"}],
            "max_tokens": 20,
            **BAD.get(n, {}),
        }
        for n in range(count)
    ]


def test_a_thousand_lines_with_five_bad_ones_and_a_kill_in_the_middle(tmp_path: Path, quick_job: Job) -> None:
    path = write(tmp_path / "batch.jsonl", "/v1/chat/completions", chats(LINES))
    line = ["data=openai_batch", f"data.path={path}", "merge.format=openai_batch", "engine=dummy", "executor=inline"]
    quick_job("generate", *line, f"run.dir={tmp_path}/undisturbed")
    outputs, errors = read(tmp_path / "undisturbed")
    assert [line["custom_id"] for line in errors] == [f"r-{n}" for n in BAD]
    assert [line["custom_id"] for line in outputs] == [f"r-{n}" for n in range(LINES) if n not in BAD]
    assert {line["response"]["status_code"] for line in errors} == {400}
    assert "temperature" in errors[0]["response"]["body"]["error"]["message"]
    assert len({line["id"] for line in [*outputs, *errors]}) == LINES
    assert len({line["response"]["body"]["choices"][0]["message"]["content"] for line in outputs}) > 100

    run = tmp_path / "killed"
    command = [sys.executable, "-m", "jobs.generate", *line, f"run.dir={run}"]
    slow = subprocess.Popen([*command, "engine.seconds_per_request=0.02"], cwd=ROOT, stderr=subprocess.DEVNULL)
    while slow.poll() is None and len(list(run.glob("shards/*/*.parquet"))) < 3:
        time.sleep(0.02)
    slow.kill()
    assert slow.wait() == -9
    assert not (run / "openai_output.jsonl").exists()
    quick_job("generate", *line, f"run.dir={run}")
    assert read(run) == (outputs, errors)

    for name in ("output", "errors"):
        (run / f"openai_{name}.jsonl").unlink()
    quick_job("merge", f"run.dir={run}", "merge.format=openai_batch")
    assert read(run) == (outputs, errors)


def test_what_is_wrong_with_a_batch_is_said_before_a_model_loads(tmp_path: Path, quick_job: Job) -> None:
    path = write(tmp_path / "batch.jsonl", "/v1/chat/completions", chats(2))
    batch = ["data=openai_batch", f"data.path={path}", "engine=dummy", f"run.dir={tmp_path}/run"]
    assert "answered by jobs.generate, not by jobs.embed" in quick_job("embed", *batch, code=2).stderr
    done = quick_job("generate", *batch, "generate.temperature=0.5", code=2)
    assert "generate.temperature=0.5: has no effect with data=openai_batch" in done.stderr
    done = quick_job("generate", "data=table", f"data.path={path}", "merge.format=openai_batch", "engine=dummy", code=2)
    assert "it needs data=openai_batch" in done.stderr
    assert "use data=table or data=openai_batch" in quick_job("generate", "data=sample", "engine=dummy", code=2).stderr
    path.write_text(path.read_text() * 2)
    done = quick_job("generate", *batch, code=2)
    assert "custom_ids are there more than once (2 of them)" in done.stderr
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_run_of_a_batch_may_be_planned_and_previewed(tmp_path: Path, quick_job: Job) -> None:
    path = write(tmp_path / "batch.jsonl", "/v1/chat/completions", chats(30))
    batch = [
        "data=openai_batch",
        f"data.path={path}",
        "merge.format=openai_batch",
        "engine=dummy",
        f"run.dir={tmp_path}/run",
    ]
    assert "30" in quick_job("plan", "plan.job=generate", *batch).stdout
    assert "<user>Question 0?<end><assistant>" in quick_job("generate", *batch, "prompt.preview=1").stdout


def test_a_limit_on_failures_counts_for_batches_too(tmp_path: Path, quick_job: Job) -> None:
    path = write(tmp_path / "batch.jsonl", "/v1/chat/completions", chats(8))
    batch = ["data=openai_batch", f"data.path={path}", "engine=dummy", f"run.dir={tmp_path}/run"]
    assert "1 of 8 rows are bad" in quick_job("generate", *batch, "run.max_error_rate=0.1", code=2).stderr


def test_scores_by_the_dummy(tmp_path: Path, quick_job: Job) -> None:
    bodies = [{"text_1": "q", "text_2": ["a", "b"]}, {"queries": "q", "documents": "b"}, {"text_1": "q"}]
    path = write(tmp_path / "batch.jsonl", "/v1/score", bodies)
    batch = ["data=openai_batch", f"data.path={path}", "merge.format=openai_batch", "engine=dummy", "executor=inline"]
    assert "set rerank.by=cross_encoder" in quick_job("rerank", *batch, code=2).stderr
    quick_job("rerank", *batch, "rerank.by=cross_encoder", f"run.dir={tmp_path}/run")
    outputs, errors = read(tmp_path / "run")
    assert [line["custom_id"] for line in errors] == ["r-2"]
    first, second = (line["response"]["body"] for line in outputs)
    assert [one["index"] for one in first["data"]] == [0, 1]
    assert first["data"][1]["score"] == second["data"][0]["score"]
    assert first["usage"] == {"prompt_tokens": 10, "total_tokens": 10}


def test_responses_and_rankings_by_the_dummy(tmp_path: Path, quick_job: Job) -> None:
    path = write(tmp_path / "r.jsonl", "/v1/responses", [{"input": "hi", "instructions": "s"}, {"input": []}])
    batch = ["data=openai_batch", "merge.format=openai_batch", "engine=dummy", "executor=inline"]
    quick_job("generate", *batch, f"data.path={path}", f"run.dir={tmp_path}/responses")
    (output,), (error,) = read(tmp_path / "responses")
    assert output["response"]["body"]["output"][0]["content"][0]["text"]
    assert "input: must be a text" in error["response"]["body"]["error"]["message"]

    path = write(tmp_path / "k.jsonl", "/v1/rerank", [{"query": "q", "documents": ["a", "b", "c"], "top_n": 2}])
    quick_job("rerank", *batch, f"data.path={path}", "rerank.by=cross_encoder", f"run.dir={tmp_path}/ranked")
    (output,), errors = read(tmp_path / "ranked")
    first, second = output["response"]["body"]["results"]
    assert not errors
    assert first["relevance_score"] > second["relevance_score"]
    assert first["document"]["text"] == "abc"[first["index"]]


def test_lines_that_cannot_be_read_are_errors_by_their_place(tmp_path: Path, quick_job: Job) -> None:
    path = write(tmp_path / "batch.jsonl", "/v1/chat/completions", chats(40))
    lines = path.read_text().splitlines()
    lines[3], lines[20] = "{oops", "[1]"
    path.write_text("\n".join(lines))
    batch = ["data=openai_batch", f"data.path={path}", "merge.format=openai_batch", "engine=dummy", "executor=inline"]
    run = tmp_path / "run"
    quick_job("generate", *batch, f"run.dir={run}", "run.shard_rows=8")
    outputs, errors = read(run)
    assert [line["custom_id"] for line in outputs] == [f"r-{n}" for n in range(40) if n not in (3, 7, 20)]
    assert [line["custom_id"] for line in errors] == [None, "r-7", None]
    said = [line["response"]["body"]["error"]["message"] for line in errors]
    assert (said[0].split(" (")[0], said[2][:26]) == ("line 4: malformed JSON", "line 21: not a JSON object")
    assert {line["response"]["status_code"] for line in errors} == {400}
    assert len({line["id"] for line in [*outputs, *errors]}) == 40
    for shard in (0, 2):
        (run / "shards" / "0000" / f"shard-{shard:08d}.parquet").unlink()
    quick_job("generate", *batch, f"run.dir={run}", "run.shard_rows=8")
    assert read(run) == (outputs, errors)
