"""What a start reads of its input: all of it to plan a run, both ends of it to resume one."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.data.reading import sources
from lib.data.rows.base import Verify
from lib.data.rows.battles import BattlesConfig
from lib.engines.dummy import DummyConfig
from lib.errors import InputError, RunFolderError
from lib.pipeline.run import Recipe, Run
from lib.pipeline.run_config import RunConfig
from lib.tasks.pairwise import Pairwise
from tests.data.reading.test_sources import flip
from tests.pipeline.conftest import CONFIG, PROMPT, Plan

Battles = Callable[..., Path]


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are hashed whole, one entry for each time."""
    whole = sources.content_hash
    names: list[str] = []

    def note(source: sources.Source) -> str:
        names.append(Path(source.url).name)
        return whole(source)

    monkeypatch.setattr(sources, "content_hash", note)
    return names


@pytest.fixture
def path(battles: Battles) -> Path:
    file = battles(3000)
    assert file.stat().st_size > 200_000  # it has a middle
    return file


def test_a_plan_hashes_its_input_once_and_a_resumed_run_not_at_all(
    path: Path, battles: Battles, plan: Plan, hashed: list[str]
) -> None:
    both = f"{path.parent}/*.csv"
    battles(5, name="more.csv").write_text(battles(5, name="more.csv").read_text().replace("\n100", "\n900"))
    planned = plan(both)
    assert hashed == ["battles.csv", "more.csv"]
    assert plan(both).manifest == planned.manifest
    assert len(hashed) == 2
    assert plan(both, verify=Verify.full).manifest == planned.manifest
    assert len(hashed) == 4


def test_a_default_folder_is_found_again_and_another_plan_trusts_nothing(
    path: Path, tmp_path: Path, hashed: list[str]
) -> None:
    def opened(seed: int) -> Run:
        run = RunConfig(root=str(tmp_path / "runs"), name="../mine/a[1]")
        engine = DummyConfig(max_model_len=512, seed=seed)
        recipe = Recipe(data=BattlesConfig(path=str(path)), engine=engine, task=Pairwise(CONFIG, PROMPT))
        return Run.open("judge", run, recipe)

    first = opened(0)
    assert opened(0).folder == first.folder
    assert first.folder.parent == (tmp_path / "runs").resolve()
    assert len(hashed) == 1
    other = opened(1)
    assert other.folder != first.folder
    assert len(hashed) == 2
    assert [opened(0).folder, opened(1).folder] == [first.folder, other.folder]
    assert len(hashed) == 2
    flip(path, path.stat().st_size // 2)
    assert opened(2).manifest.inputs[0].sha256 != first.manifest.inputs[0].sha256  # a plan, so all of it was read
    assert len(hashed) == 3
    path.write_text(path.read_text() + path.read_text().splitlines()[-1].replace("3999", "4000") + "\n")
    assert opened(0).folder not in (first.folder, other.folder)  # of another content: another plan


def test_a_touched_file_is_hashed_and_accepted(path: Path, plan: Plan, hashed: list[str]) -> None:
    planned = plan(path)
    os.utime(path)
    resumed = plan(path)
    assert len(hashed) == 2
    assert resumed.manifest.inputs[0].mtime_ns == sources.stat(sources.source_of(str(path))).mtime_ns
    assert resumed.manifest.inputs[0].mtime_ns != planned.manifest.inputs[0].mtime_ns


@pytest.mark.parametrize("where", [0.0, 0.999])
def test_a_change_at_an_end_is_refused(where: float, path: Path, plan: Plan) -> None:
    plan(path)
    flip(path, int(path.stat().st_size * where))
    with pytest.raises(RunFolderError, match=r"input\.0: was"):
        plan(path)


def test_a_change_in_the_middle_that_hides_its_time_is_noticed_by_verify_full(path: Path, plan: Plan) -> None:
    planned = plan(path)
    flip(path, path.stat().st_size // 2)
    assert plan(path).manifest == planned.manifest
    with pytest.raises(RunFolderError, match=r"input\.0: was"):
        plan(path, verify=Verify.full)
    os.utime(path)
    with pytest.raises(RunFolderError, match=r"input\.0: was"):
        plan(path)


def test_a_manifest_of_before_is_read_and_its_input_hashed(path: Path, plan: Plan, hashed: list[str]) -> None:
    planned = plan(path)
    file = planned.folder / "manifest.json"
    content = json.loads(file.read_text())
    del content["inputs"][0]["ends_sha256"], content["check"]
    file.write_text(json.dumps(content))
    assert plan(path).folder == planned.folder
    assert len(hashed) == 2


def test_an_input_that_changes_while_it_is_taken_in_is_refused(
    path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sources.content_hash

    def changed_after(source: sources.Source) -> str:
        digest = whole(source)
        path.write_text(path.read_text() + "\n")
        return digest

    monkeypatch.setattr(sources, "content_hash", changed_after)
    with pytest.raises(InputError, match="was changed"):
        plan(path)
