"""A judge's verdicts summed up as a benchmark does it: by `prompt.aggregate`, or as jobs.evaluate is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.data.run_folder import read_config
from lib.errors import ConfigError, InputError
from lib.pipeline.outcomes.base import EvaluateConfig, require_result
from lib.report.aggregates.aggregate_section import aggregate_lines, aggregate_section
from lib.report.aggregates.difficulties import read_difficulties
from lib.report.aggregates.read_judgements import read_judgements
from lib.report.page import Section
from lib.scoring.aggregates.alpaca_eval import alpaca_eval
from lib.scoring.aggregates.arena_hard import arena_hard
from lib.scoring.aggregates.both_orders import both_orders
from lib.scoring.aggregates.judgements import Aggregate, Judgements
from lib.scoring.aggregates.llmbar import llmbar
from lib.tasks.prompts.meanings import outcomes_of
from lib.types import VERDICTS

_AGAINST = (Aggregate.arena_hard, Aggregate.alpaca_eval)  # a baseline


@dataclass(frozen=True)
class Aggregated:
    """content: for `metrics.json`. lines: for a terminal."""

    content: Mapping[str, Any]

    @property
    def lines(self) -> str:
        """For a terminal."""
        return aggregate_lines(self.content)

    @property
    def section(self) -> Section:
        """For the page."""
        return aggregate_section(self.content)


def aggregate_run(folder: Path, config: EvaluateConfig) -> Aggregated | None:
    """The aggregate of a merged run; None where neither the prompt nor the config asks for one.

    Raises ConfigError for settings without effect, InputError where the verdicts can't be summed up so.
    """
    given = read_config(folder)
    prompt, judge = given.get("prompt") or {}, given.get("judge") or {}
    own = prompt.get("aggregate")
    rule = config.aggregate or (Aggregate[own] if own else None)
    if config.baseline is not None and rule not in _AGAINST:
        raise ConfigError(f"baseline={config.baseline}: has no effect but with {_named(_AGAINST)}; leave it out")
    if config.difficulty is not None and rule is not Aggregate.alpaca_eval:
        raise ConfigError(f"difficulty={config.difficulty}: has no effect but with aggregate=alpaca_eval; leave it out")
    if rule is None:
        return None
    if not judge:
        raise InputError(f"{folder}: aggregate={rule.value} is of runs of jobs.judge, whose verdicts are labels")
    labels = prompt["labels"] or [*VERDICTS]  # a classifier has these, and none in its prompt
    judged = read_judgements(
        require_result(folder),
        labels,
        outcomes_of(labels, prompt.get("means") or []),
        prompt.get("weights") or [],
        orders=1 if judge.get("swap") == "none" else 2,
    )
    return Aggregated({"rule": rule.value, **_sum_up(rule, judged, config)})


def _sum_up(rule: Aggregate, judged: Judgements, config: EvaluateConfig) -> dict[str, Any]:
    if rule is Aggregate.both_orders:
        return both_orders(judged)
    if rule is Aggregate.arena_hard:
        return arena_hard(judged, config.baseline)
    if rule is Aggregate.llmbar:
        return llmbar(judged)
    difficulty = None if config.difficulty is None else read_difficulties(config.difficulty)
    try:
        return alpaca_eval(judged, config.baseline, difficulty)
    except KeyError as error:
        raise InputError(f"{config.difficulty}: has no difficulty for id {error.args[0]}, a row of this run") from error


def _named(rules: tuple[Aggregate, ...]) -> str:
    return " or ".join(f"aggregate={rule.value}" for rule in rules)
