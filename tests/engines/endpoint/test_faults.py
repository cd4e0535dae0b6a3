"""Runs against a server that misbehaves: nothing lost, nothing doubled, nothing asked again that was answered."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lib.errors import ExitCode
from tests.conftest import Job
from tests.engines.endpoint.misbehaving import LASTING, MODEL, PASSING, Server, serving

EACH = 3  # rows with each fault
KEY = "sk-0123456789abcdef"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def table(folder: Path, faults: tuple[str, ...], each: int = EACH) -> Path:
    """Rows whose texts name a fault and themselves."""
    rows = [f"fault={fault} row={fault}{number} please" for fault in faults for number in range(each)]
    path = folder / "prompts.csv"
    path.write_text("id,instruction\n" + "".join(f"{n},{row}\n" for n, row in enumerate(rows)))
    return path


def line(path: Path, url: str, run: Path, *more: str) -> list[str]:
    return [
        "data=table", f"data.path={path}", "prompt.template='{instruction}'", "prompt.answer_prefix=''",
        "engine=endpoint", f"engine.url={url}", f"engine.model={MODEL}", "engine.timeout=60", "engine.tries=3",
        "generate.max_new_tokens=16", "executor=inline", f"run.dir={run}", *more,
    ]  # fmt: skip


def test_every_fault(server: Server, tmp_path: Path, quick_job: Job) -> None:
    passing = tuple(fault for fault in PASSING if fault != "slow")  # which has a test of its own
    path, run = table(tmp_path, ("none", *passing, *LASTING)), tmp_path / "run"
    quick_job("generate", *line(path, server.url, run, "run.max_error_rate=0.5"))
    rows = pq.read_table(run / "result.parquet").to_pylist()
    assert [row["id"] for row in rows] == [str(n) for n in range(EACH * (1 + len(passing) + len(LASTING)))]
    found = {}
    for place, fault in enumerate(("none", *passing, *LASTING)):
        own = [f"{fault}{number}" for number in range(EACH)]
        of_fault = rows[place * EACH : (place + 1) * EACH]
        found[fault] = (
            max(server.log.asked[row] for row in own),
            sum(row["error"] is not None for row in of_fault),
            sum(max(server.log.answered[row] - 1, 0) for row in own),
            sum(server.log.after_answer[row] for row in own),
        )
    print(f"{'fault':16}{'tries':>6}{'failed':>8}{'doubled':>9}{'asked twice':>13}")
    for fault, (tries, failed, doubled, twice) in found.items():
        print(f"{fault:16}{tries:>6}{failed:>8}{doubled:>9}{twice:>13}")
    assert found == {
        "none": (1, 0, 0, 0),
        **dict.fromkeys(passing, (2, 0, 0, 0)),
        **dict.fromkeys(("refusal", "filter", "bad_request", "too_large"), (1, EACH, 0, 0)),
        "broken": (3, EACH, 0, 0),
    }
    errors = {row["id"]: row["error"] for row in rows if row["error"]}
    said = " ".join(errors.values())
    assert "the model refuses: I can't help with that." in said
    assert "content filter" in said
    assert "HTTP 400: this is bad_request" in said
    assert "HTTP 413: this is too_large" in said
    assert "given up after 3 tries (engine.tries): HTTP 500: this is broken" in said
    assert not list((run / "journals").iterdir())
    engine = json.loads((run / "metrics.json").read_text())["engine"]
    assert engine["prompt_tokens"] == 20 * EACH * (1 + len(passing) + 2)  # what was filtered is billed, too


def test_bytes_that_come_too_slowly(server: Server, tmp_path: Path, quick_job: Job) -> None:
    path, run = table(tmp_path, ("slow",)), tmp_path / "run"
    quick_job("generate", *line(path, server.url, run, "engine.timeout=2", "engine.tries=9"))
    rows = pq.read_table(run / "result.parquet")
    assert rows["error"].null_count == rows.num_rows == EACH
    assert min(server.log.asked.values()) >= 2


def test_a_server_that_is_gone_ends_the_run_and_what_was_answered_is_kept(
    server: Server, tmp_path: Path, quick_job: Job
) -> None:
    path, run = table(tmp_path, ("none",), 40), tmp_path / "run"
    server.seconds = 0.05
    more = ["run.shard_rows=20", "engine.max_in_flight=2", "engine.patience=0.5"]

    def die_after(count: int) -> None:
        respond = server.respond

        def until(handler: object, body: dict[str, object]) -> None:
            if len(server.log.times) >= count:
                server.all_fail = (503, {}, "gone")
            respond(handler, body)  # type: ignore[arg-type]

        server.respond = until  # type: ignore[assignment,method-assign]

    die_after(13)
    done = quick_job("generate", *line(path, server.url, run, *more), code=ExitCode.UNFINISHED)
    assert "engine.patience=0.5" in done.stderr
    assert json.loads((run / "progress.json").read_text())["state"] == "stopped"
    answered = dict(server.log.answered)
    assert 10 <= len(answered) <= 13
    with serving() as again:
        quick_job("generate", *line(path, again.url, run, *more))
    assert set(again.log.asked).isdisjoint(answered)
    assert len(again.log.asked) + len(answered) == 40
    result = pq.read_table(run / "result.parquet")
    assert result["error"].null_count == result.num_rows == 40


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (401, "no", "The server refuses the key in SOME_KEY"),
        (404, '{"error": {"message": "no such model"}}', "no such model. Look at engine.url and engine.model"),
        (429, '{"error": {"code": "insufficient_quota"}}', "nothing left to spend"),
        (302, "", "redirect"),
    ],
)
def test_what_no_try_can_mend_ends_the_run_at_once(
    server: Server, tmp_path: Path, quick_job: Job, status: int, text: str, said: str
) -> None:
    server.all_fail = (status, {"Location": "http://127.0.0.1:9/"}, text)
    path, run = table(tmp_path, ("none",), 30), tmp_path / "run"
    given = line(path, server.url, run, "engine.max_in_flight=1", "engine.key_variable=SOME_KEY")
    done = quick_job("generate", *given, code=ExitCode.UNFINISHED, SOME_KEY=KEY)
    assert said in done.stderr
    assert len(server.log.times) == 1


def test_the_key_is_sent_and_nowhere_else(server: Server, tmp_path: Path, quick_job: Job) -> None:
    path, run = table(tmp_path, ("none", "bad_request"), 2), tmp_path / "run"
    given = line(path, server.url, run, "engine.key_variable=SOME_KEY", "run.max_error_rate=1")
    refused = quick_job("generate", *given, code=ExitCode.USAGE)
    assert "engine.key_variable=SOME_KEY: the environment has no such variable" in refused.stderr
    server.all_fail = (400, {}, f"your header was: Bearer {KEY}")  # a server that says too much
    done = quick_job("generate", *given, SOME_KEY=KEY)
    assert {headers["Authorization"] for headers in server.log.headers} == {f"Bearer {KEY}"}
    written = b"".join(file.read_bytes() for file in run.rglob("*") if file.is_file())
    assert b"your header was: Bearer" in written + done.stderr.encode() or pq.read_table(run / "failures.parquet")
    assert KEY.encode() not in written + done.stderr.encode() + done.stdout.encode()
    assert all(KEY not in str(row) for row in pq.read_table(run / "result.parquet").to_pylist())


def test_the_budget_ends_the_run_and_more_of_it_goes_on(server: Server, tmp_path: Path, quick_job: Job) -> None:
    path, run = table(tmp_path, ("none",), 30), tmp_path / "run"
    prices = ["engine.price_prompt=10000", "engine.price_completion=10000", "run.shard_rows=10"]  # an answer costs 0.3
    given = line(path, server.url, run, *prices)
    done = quick_job("generate", *given, "engine.max_cost=3", code=ExitCode.UNFINISHED)
    assert "raise engine.max_cost" in done.stderr
    assert (
        len(server.log.asked) == 9
    )  # a request may cost 0.31 for its bytes and 0.16 for its output: 9 * 0.3 + 0.47 > 3
    quick_job("generate", *given, "engine.max_cost=3", code=ExitCode.UNFINISHED)
    assert len(server.log.asked) == 9
    quick_job("generate", *given, "engine.max_cost=40")
    assert set(server.log.asked.values()) == {1}
    assert len(server.log.asked) == 30
    engine = json.loads((run / "metrics.json").read_text())["engine"]
    assert engine["cost"] == pytest.approx(9)
    assert json.loads((run / "progress.json").read_text())["cost"] > 0


def test_requests_in_flight_are_limited(server: Server, tmp_path: Path, quick_job: Job) -> None:
    server.seconds = 0.02
    path, run = table(tmp_path, ("none",), 40), tmp_path / "run"
    quick_job("generate", *line(path, server.url, run, "run.shard_rows=8", "engine.max_in_flight=5"))
    assert server.log.most_at_once == 5
