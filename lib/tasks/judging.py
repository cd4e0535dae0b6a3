"""How `jobs.judge` and `jobs.tournament` judge: by the probabilities of labels, or by what a judge writes."""

from collections.abc import Callable
from dataclasses import fields

from lib.errors import ConfigError
from lib.tasks.pairwise import Mode, Pairwise, PairwiseConfig
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.sampling import SamplingConfig, sampling
from lib.tasks.written_verdict import WrittenVerdict
from lib.types import Sampling


def written() -> SamplingConfig:
    """How a judge writes unless told otherwise: greedily, with room for its reasons."""
    return SamplingConfig(max_new_tokens=512)


def judging_task(
    judge: PairwiseConfig, generate: SamplingConfig, prompt: PromptConfig, fits: Callable[[Sampling], None]
) -> Pairwise | WrittenVerdict:
    """The task that `judge.mode` asks for. fits: raises ConfigError for sampling that the engine can't do.

    Raises ConfigError for sampling that the engine can't do, or where nothing is written and so nothing sampled.
    """
    if judge.mode is Mode.text:
        fits(sampling(generate))
        return WrittenVerdict(judge, generate, prompt)
    usual = written()
    if changed := [f.name for f in fields(generate) if getattr(generate, f.name) != getattr(usual, f.name)]:
        key = changed[0]
        raise ConfigError(
            f"generate.{key}={getattr(generate, key)}: with judge.mode=labels the judge writes nothing, so it has no "
            "effect; leave it out, or let the judge write: judge.mode=text"
        )
    return Pairwise(judge, prompt)
