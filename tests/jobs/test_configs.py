"""Every config file composes and is of the type it says; every key in a job's YAML is known."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import conf
from jobs import GROUPS
from lib.errors import ConfigError
from lib.launch import typed

CONF = Path(conf.__file__).parent
JOBS: dict[str, Any] = {name: import_module(f"jobs.{name}") for names in GROUPS.values() for name in names}
_ROWS = {  # jobs about rows, and what must be given to them
    "arena": [], "chunk": ["data.path=x"], "embed": ["data.path=x"], "generate": [], "grade": ["data.path=x"],
    "judge": [],
    "rag": ["data.path=x"], "rerank": ["data.path=x"], "retrieve": ["data.path=x"],
    "tournament": [],
}  # fmt: skip
_TEXTS = ("openai_batch", "table", "tutorial")
_DATA = {  # which data a job reads
    "chunk": ("documents",),
    "embed": _TEXTS,
    "generate": _TEXTS,
    "grade": ("table", "tutorial"),
    "judge": ("arena", "arena_conversations", "autoj", "llmbar", "rakuda", "sample"),
    "leaderboard": ("votes",),
    "rerank": _TEXTS,
    "retrieve": ("table", "tutorial"),
}
_OPTIONS = {
    "chunk": ("data",),
    "embed": ("data",),
    "generate": ("data",),
    "grade": ("data",),
    "judge": ("data", "engine", "prompt", "executor", "publish", "track"),
    "leaderboard": ("data",),
    "rerank": ("data",),
    "retrieve": ("data", "retriever"),
    "status": ("notify",),
    "submit": ("cluster",),
}
_EXPERIMENTS = sorted(str(path.relative_to(CONF / "experiment"))[:-5] for path in CONF.glob("experiment/**/*.yaml"))


def make(job: str, *overrides: str) -> Any:
    """The typed config of a job; its run gets a name, since only a Hydra run knows what was chosen."""
    conf.register(job, JOBS[job].Config)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        given = [*_ROWS[job], "run.name=test"] if job in _ROWS else []
        composed = compose(job, overrides=[*given, *overrides])
    return typed(composed)


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("job", _ROWS)
def test_jobs_compose_with_their_defaults(job: str) -> None:
    assert isinstance(make(job), JOBS[job].Config)


def test_other_commands_compose() -> None:
    assert make("plan").plan.job == "judge"
    assert make("submit").job == "judge"
    assert make("fetch").fetch.job == "judge"
    assert make("evaluate", "run.dir=x").run.dir == "x"
    assert make("view", "run.dir=x").view.port == 0
    assert make("calibrate", "run.dir=x", "out=y").out == "y"
    assert len(make("memory", "out=x").memory.formats) == 6
    assert make("quantize", "out=x", "quantize.to=int8").quantize.to.value == "int8"
    board = make(
        "leaderboard", "data.path=x", "leaderboard.anchor=gpt-4:1000", "leaderboard.model=rao_kupper"
    ).leaderboard
    assert (board.anchor_name, board.points.origin, board.model.value) == ("gpt-4", 1000, "rao_kupper")
    assert make("merge", "merge.submissions=[a,b]", "merge.weights=[0.5,0.5]", "merge.out=c").merge.out == "c"


@pytest.mark.parametrize("job", JOBS)
def test_every_job_file_has_a_config(job: str) -> None:
    assert (CONF / f"{job}.yaml").exists()
    files = {path.stem for path in (CONF.parent / "jobs").glob("[!_]*.py")}
    assert files == set(JOBS)


@pytest.mark.parametrize(
    ("job", "group", "option"),
    [
        (job, group, option)
        for job, groups in _OPTIONS.items()
        for group in groups
        for option in (_DATA[job] if group == "data" else options(group))
    ],
)
def test_every_option_composes_into_its_own_type(job: str, group: str, option: str) -> None:
    given = {
        "data": ["data.path=x"],
        "endpoint": ["engine.url=http://x/v1", "engine.model=x"],
        "publish=hub": ["publish.repo=me/x"],
        "notify": ["notify.to=https://x", "run.dir=x", "summary=true"],
        "engine=sentence_transformers": ["engine.model=x"],
    }
    own = given.get(option, given.get(f"{group}={option}", given.get(group, [])))
    config = getattr(make(job, f"{group}={option}", *own), group)
    assert type(config) in [schema for name, schema in conf.SCHEMAS.items() if name.split("/")[0] == group]


def test_every_kind_of_data_is_of_some_job() -> None:
    assert {option for names in _DATA.values() for option in names} == set(options("data"))


@pytest.mark.parametrize("experiment", _EXPERIMENTS)
def test_every_experiment_composes(experiment: str) -> None:
    job = {"lecture": "rag", "tutorial": "generate", "web_rag": "rag"}[experiment.partition("/")[0]]
    assert isinstance(make(job, f"experiment={experiment}"), JOBS[job].Config)
    assert (CONF / "experiment" / f"{experiment}.yaml").read_text().startswith("# @package _global_\n# ")


def test_failures_are_output_of_a_batch_unless_told_otherwise() -> None:
    assert make("embed", "data=table", "data.path=x").run.max_error_rate == 0
    batch = ["data=openai_batch", "data.path=x", "merge.format=openai_batch"]
    assert make("embed", *batch).run.max_error_rate == 1
    assert make("embed", *batch, "run.max_error_rate=0.5").run.max_error_rate == 0.5
    with pytest.raises(ConfigError, match="it needs data=openai_batch"):
        make("embed", "data=table", "data.path=x", "merge.format=openai_batch")


def test_examples_of_a_prompt_can_be_chosen_on_the_command_line() -> None:
    two = make("judge", "prompt=translate_few_shot").prompt
    assert (two.shots, len(two.examples)) == (2, 2)
    assert make("judge", "prompt=translate_few_shot", "prompt.shots=1").prompt.shots == 1
    mine = make("judge", "prompt=instruct", "prompt.examples=[{instruction: a, answer: 'yes'}]").prompt
    assert mine.examples == [{"instruction": "a", "answer": "yes"}]


@pytest.mark.parametrize(
    "option", [(g, o) for groups in _OPTIONS.values() for g in groups for o in options(g)], ids=str
)
def test_option_files_say_what_they_are_for(option: tuple[str, str]) -> None:
    assert (CONF / option[0] / f"{option[1]}.yaml").read_text().startswith("# ")


def test_resolved_config_round_trips() -> None:
    config = make("judge", "engine=dummy", "data.limit=3")
    again = OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(OmegaConf.structured(config))))
    assert again["data"]["limit"] == 3
    assert again["engine"]["seed"] == config.engine.seed
