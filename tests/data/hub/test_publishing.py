"""A finished run is published: whole, with a card, in one commit, once; or it is left whole, and a line tries again."""

import hashlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import Job
from tests.hub_server import TOKEN, Hub

NAMES = {"result.parquet", "failures.parquet", "submission.csv", "metrics.json", "report.html", "README.md"}
HUB = ["publish=hub", "publish.repo=me/verdicts"]


@pytest.fixture
def line(battles: Callable[..., Path], tmp_path: Path) -> list[str]:
    path = battles(6)
    return ["data=arena", f"data.path={path}", "engine=dummy", "executor=inline", f"run.dir={tmp_path / 'run'}"]


def commits(hub: Hub, name: str = "me/verdicts") -> int:
    return len(hub.repositories[name].commits) - 1  # without the one that made it


def test_a_run_is_published_once_with_its_card(line: list[str], the_hub: Hub, quick_job: Job, tmp_path: Path) -> None:
    run = tmp_path / "run"
    there = [*HUB, "publish.license=other"]
    said = quick_job("judge", *line, *there)
    assert f"published:  me/verdicts (6 files, {the_hub.url}/datasets/me/verdicts/commit/" in said.stdout
    files = the_hub.files("me/verdicts")
    assert the_hub.repositories["me/verdicts"].private
    assert set(files) == {*NAMES, "COMPLETE.json", ".gitattributes"}
    for each in json.loads(files["COMPLETE.json"])["files"]:
        content = files[each["name"]]
        assert (len(content), hashlib.sha256(content).hexdigest()) == (each["size"], each["sha256"])
        assert each["name"] == "README.md" or content == (run / each["name"]).read_bytes()
    _, front, body = files["README.md"].decode().split("---\n", 2)
    table = {"config_name": "default", "data_files": [{"split": "train", "path": "result.parquet"}]}
    assert yaml.safe_load(front) == {"license": "other", "tags": ["overnight"], "configs": [table]}
    metrics = json.loads((run / "metrics.json").read_text())
    assert f"| log_loss | {metrics['log_loss']:.6g} |" in body
    for known in ("`battles.csv (6)`", json.loads((run / "manifest.json").read_text())["fingerprint"], "jobs.judge"):
        assert known in body
    assert "`python -m jobs.judge data=arena " in body
    prompt = yaml.safe_load((run / "config.yaml").read_text())["prompt"]["template"]
    assert f"```text\n{prompt}\n```" in body
    for again in (
        ["judge", *line, *HUB, "publish.license=other"],
        ["merge", f"run.dir={run}", *HUB, "publish.license=other"],
    ):
        assert "published:  me/verdicts (6 files, as before: no new commit)" in quick_job(*again).stdout
    assert commits(the_hub) == 1
    written = [path.read_text(errors="replace") for path in run.rglob("*") if path.is_file()]
    assert not [text for text in [said.stdout, said.stderr, body, *written] if TOKEN in text]


def test_what_lay_there_of_another_run_is_replaced(
    line: list[str], the_hub: Hub, quick_job: Job, tmp_path: Path
) -> None:
    quick_job("judge", *line, *HUB)
    other = ["data=tutorial", "engine=dummy", "executor=inline", f"run.dir={tmp_path / 'other'}"]
    assert "holds an earlier result, which is replaced" in quick_job("generate", *other, *HUB).stderr
    assert set(the_hub.files("me/verdicts")) == {*NAMES, "COMPLETE.json", ".gitattributes"} - {"submission.csv"}
    assert commits(the_hub) == 2


def test_a_failed_run_is_not_published(
    battles: Callable[..., Path], the_hub: Hub, quick_job: Job, tmp_path: Path
) -> None:
    path, run = battles(6, {2: "poison"}), tmp_path / "run"
    line = ["data=arena", f"data.path={path}", "engine=dummy", "executor=inline", f"run.dir={run}"]
    poison = "engine.fail_on=poison"
    assert "1 of 6 rows failed" in quick_job("judge", *line, poison, *HUB, code=1).stderr
    refused = quick_job("merge", f"run.dir={run}", "merge.on_failed=uniform", *HUB, code=1).stderr
    assert "a run that failed is not published" in refused
    assert not the_hub.repositories
    quick_job("judge", *line, poison, *HUB, "run.max_error_rate=0.5", "merge.on_failed=uniform")
    front = yaml.safe_load(the_hub.files("me/verdicts")["README.md"].decode().split("---\n")[1])
    assert [each["config_name"] for each in front["configs"]] == ["default", "failures"]


def test_what_the_hub_refuses_at_the_end_is_published_by_the_line_that_is_told(
    line: list[str], the_hub: Hub, quick_job: Job, tmp_path: Path
) -> None:
    the_hub.refuses = "/commit/"
    said = quick_job("judge", *line, *HUB, "publish.private=false", code=1)
    assert f"The run itself is complete in {tmp_path / 'run'}" in said.stderr
    assert "not tonight" in said.stderr
    assert (tmp_path / "run" / "submission.csv").exists()
    told = shlex.split(said.stderr.rpartition("python -m jobs.merge ")[2].splitlines()[0])
    the_hub.refuses = None
    quick_job("merge", *told)
    assert commits(the_hub) == 1
    assert not the_hub.repositories["me/verdicts"].private


@pytest.mark.parametrize(
    ("repo", "token", "why"),
    [
        ("me/verdicts", "", "the hub must know you: log in with `hf auth login`, or set HF_TOKEN"),
        ("me/verdicts", "hf_wrong", "the hub can't be asked (Invalid"),
        ("them/verdicts", TOKEN, "your token is of me, us, not of them"),
        ("me/letters", TOKEN, "holds something else (letter.txt), which is not replaced"),
        ("verdicts", TOKEN, "must be OWNER/NAME"),
    ],
)
def test_a_place_that_cannot_be_published_to_is_refused_before_the_run(
    repo: str, token: str, why: str, line: list[str], the_hub: Hub, quick_job: Job, tmp_path: Path
) -> None:
    the_hub.add("me/letters", {"letter.txt": b"Dear"})
    given = ["publish=hub", f"publish.repo={repo}"]
    said = quick_job("judge", *line, *given, code=2, HF_TOKEN=token, HF_TOKEN_PATH="/none", HUGGING_FACE_HUB_TOKEN="")
    assert f"publish.repo={repo}: {why}" in said.stderr
    assert "hf_wrong" not in said.stderr
    assert not (tmp_path / "run").exists()
    assert list(the_hub.repositories) == ["me/letters"]


def test_a_token_that_may_read_only_is_refused_before_the_run(
    line: list[str], the_hub: Hub, quick_job: Job, tmp_path: Path
) -> None:
    the_hub.role = "read"
    said = quick_job("judge", *line, *HUB, code=2)
    assert "publish.repo=me/verdicts: your token may read only; give one that may write" in said.stderr
    assert not (tmp_path / "run").exists()
