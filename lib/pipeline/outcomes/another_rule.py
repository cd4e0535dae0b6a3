"""Another rule for a merged run of battles, from the answers that stand in its result."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lib.config import identity
from lib.data.manifest import Manifest, flatten
from lib.errors import ConfigError
from lib.pipeline.outcomes.another_submission import Conclusion
from lib.report.predictions import Predictions
from lib.scoring.probabilities import FloatArray
from lib.tasks.base import AnyTask
from lib.tasks.pairwise import PairwiseConfig
from lib.tasks.reward import ArenaConfig

BattleRule = PairwiseConfig | ArenaConfig

RULES: Mapping[str, type[BattleRule]] = {"judge": PairwiseConfig, "arena": ArenaConfig}
"""Jobs whose rule may change, each with the config of its section, which is called as the job is."""


def settings_of_rule(task: AnyTask) -> dict[str, Any]:
    """The settings that only a task's rule uses, by their keys in the identity of a plan."""
    question = flatten({"task": task.question()})
    return {key: value for key, value in flatten({"task": task.identity()}).items() if key not in question}


def another_rule(manifest: Manifest, given: Mapping[str, object]) -> BattleRule:
    """The rule of a run of one of RULES, with what is given in place of its own settings.

    Raises ConfigError for a setting that there isn't, one that is of no rule, and a value that can't be.
    """
    job = manifest.job
    kind = RULES[job]
    of_rule = {f.name: "rule" in f.metadata for f in fields(kind)}
    for key, value in given.items():
        if key not in of_rule:
            known = ", ".join(name for name, it_is in of_rule.items() if it_is)
            raise ConfigError(f"{job}.{key}={value}: no such key; a rule has {known}")
        if not of_rule[key]:
            raise ConfigError(
                f"{job}.{key}={value}: is no setting of the rule, but of what the engine is asked; run jobs.{job} with "
                "it, in another run.dir"
            )
    prefix = f"task.{job}."
    own = {key: manifest.identity[prefix + key] for key in of_rule if prefix + key in manifest.identity}
    if given.get("rule", own.get("rule")) != own.get("rule"):  # its parameters were of the rule that was
        own = {key: value for key, value in own.items() if not of_rule[key]}
    try:
        rule = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), own, dict(given)))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{job}.{error.full_key}: {str(error).splitlines()[0]}") from error
    assert isinstance(rule, (PairwiseConfig, ArenaConfig))
    return rule


def keys_of_rule(job: str) -> set[str]:
    """The keys of a job's rule in the identity of its runs."""
    return {f"task.{job}.{f.name}" for f in fields(RULES[job]) if "rule" in f.metadata}


def conclude_by(rule: BattleRule) -> Conclusion:
    """How a rule makes probabilities of a run's answers."""

    def conclude(blocks: Iterable[Predictions]) -> Iterator[FloatArray]:
        for block in blocks:
            if isinstance(rule, ArenaConfig):
                assert block.score_a is not None
                assert block.score_b is not None
                yield rule.probabilities(block.score_a, block.score_b)
            else:
                assert block.ab is not None
                assert block.ba is not None
                yield rule.probabilities(block.ab, block.ba)

    return conclude


def in_words(rule: BattleRule, job: str) -> str:
    """The settings of a rule, as on a command line."""
    return ", ".join(f"{job}.{key}={value}" for key, value in identity(rule).items())
