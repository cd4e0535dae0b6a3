"""How `jobs.judge` and `jobs.tournament` judge: by the probabilities of labels, or by what a judge writes."""

from dataclasses import fields

from lib import engines
from lib.engines.base import EngineConfig
from lib.errors import ConfigError
from lib.tasks.pairwise import Mode, Pairwise, PairwiseConfig
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.sampling import SamplingConfig, sampling
from lib.tasks.written_verdict import WrittenVerdict


def written() -> SamplingConfig:
    """How a judge writes unless told otherwise: greedily, with room for its reasons."""
    return SamplingConfig(max_new_tokens=512)


def judging_task(
    judge: PairwiseConfig, generate: SamplingConfig, prompt: PromptConfig, engine: EngineConfig
) -> Pairwise | WrittenVerdict:
    """The task that `judge.mode` asks for.

    Raises ConfigError for sampling that the engine can't do, or where nothing is written and so nothing sampled.
    """
    if judge.mode is Mode.text:
        engines.check_sampling(engine, sampling(generate))
        return WrittenVerdict(judge, generate, prompt)
    usual = written()
    if changed := [f.name for f in fields(generate) if getattr(generate, f.name) != getattr(usual, f.name)]:
        key = changed[0]
        raise ConfigError(
            f"generate.{key}={getattr(generate, key)}: with judge.mode=labels the judge writes nothing, so it has no "
            "effect; leave it out, or let the judge write: judge.mode=text"
        )
    return Pairwise(judge, prompt)
