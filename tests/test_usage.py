"""What --help says, and where: the list of jobs, a job's keys with their meanings, the configs that fit it."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from jobs import GROUPS
from jobs.__main__ import JOBS, listing
from lib.usage.about_keys import about_fields
from lib.usage.completing import complete
from lib.usage.options import choices, fitting
from tests.conftest import Job
from tests.running import ROOT

PROMPTED = ("judge", "tournament", "generate", "rag", "grade", "rerank")


def test_the_list_has_every_job_in_a_line_that_fits_a_screen() -> None:
    lines = listing().splitlines()
    assert {path.stem for path in (ROOT / "jobs").glob("[!_]*.py")} == set(JOBS)
    assert len([line for line in lines if line[2:14].strip() in JOBS and len(line) > 20]) == len(JOBS)
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 140


@pytest.mark.parametrize("name", JOBS)
def test_every_key_of_a_job_says_what_it_means(name: str, quick_job: Job) -> None:
    page = quick_job(name, "--help").stdout
    keys = re.findall(r"^  ([\w.]+\.\w+)=.*\n(      )?", page.partition("\nKeys")[2], re.MULTILINE)
    assert keys
    assert [key for key, told in keys if not told] == []
    assert "Hydra" not in page
    assert f"python -m jobs.{name}" in page


def test_help_shows_what_fits_and_what_is_chosen(quick_job: Job) -> None:
    page = quick_job("judge", "engine=dummy", "--help").stdout
    assert "data=sample\n      arena, arena_conversations, autoj, llmbar, rakuda, sample\n" in page
    assert "engine=dummy\n" in page
    assert "engine.fail_on=null" in page
    assert "judge.mode=labels\n      labels | text | classes; labels: how likely" in page
    page = quick_job("rag", "--help").stdout
    assert "      lecture/all, lecture/baseline" in page
    assert (
        "lecture" not in quick_job("generate", "--help").stdout.partition("experiment=null\n")[2].partition("\nKeys")[0]
    )
    assert "did you mean" in quick_job("judge", "engine=dumy", "--help", code=2).stderr


@pytest.mark.parametrize("name", JOBS)
def test_what_a_job_is_given_by_default_is_among_what_fits(name: str) -> None:
    groups = choices(name, import_module(f"jobs.{name}").JOB.config)
    assert [group.key for group in groups if group.default not in (*group.options, "null")] == []


def test_prompts_that_fit_are_those_that_ask_what_the_job_asks() -> None:
    fit = {name: set(fitting(name, import_module(f"jobs.{name}").JOB.config)["prompt"]) for name in PROMPTED}
    assert {"pairwise_ja", "mt_bench_pairwise_multi_turn", "classifier_en"} <= fit["judge"] == fit["tournament"]
    assert {"instruct", "answer_ja", "translate_few_shot"} <= fit["generate"] == fit["rag"]
    assert {"mt_bench_single", "rubric_ja"} <= fit["grade"]
    assert fit["rerank"] == {"relevance_en", "relevance_ja", "relevance_qwen3", "relevance_bge_gemma"}
    each = [fit[name] for name in ("judge", "generate", "grade", "rerank")]
    assert set().union(*each) == {path.stem for path in (ROOT / "conf" / "prompt").glob("*.yaml")}
    assert sum(map(len, each)) == len(set().union(*each))


def test_meanings_are_read_from_docstrings() -> None:
    class Base:
        pass

    from dataclasses import dataclass

    @dataclass
    class Both(Base):
        """Of both. first, second: what they share; null: nothing. third: the last.

        `fourth` keeps all; fifth is told of nowhere.
        """

        first: int = 0
        second: int = 0
        third: int = 0
        fourth: int = 0

    shared = "what they share; null: nothing"
    assert about_fields(Both) == {"first": shared, "second": shared, "third": "the last", "fourth": "keeps all"}


def test_what_is_completed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert complete("overnight store store.com", JOBS) == ["store.compact="]
    (kept,) = (tmp_path / "overnight" / "completion").iterdir()
    kept.write_text('{"store.command": ["x"]}')
    assert complete("overnight store store.com", JOBS) == ["store.command="]
    assert complete("overnight store store.command=", JOBS) == ["x "]
    assert set(complete("overnight ", JOBS)) == {f"{name} " for names in GROUPS.values() for name in (*names, "--help")}
