"""How `jobs.judge` and `jobs.tournament` judge: by labels, by what a judge writes, or by a classifier."""

from collections.abc import Callable, Sequence

from lib.config import require_unset
from lib.errors import ConfigError
from lib.tasks.battle_requests import REFERENCE, texts_of
from lib.tasks.class_verdict import ClassVerdict
from lib.tasks.pairwise import Mode, Pairwise, PairwiseConfig
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.sampling import SamplingConfig, require_draws, sampling
from lib.tasks.written.written_verdict import WrittenVerdict
from lib.types import Sampling


def written() -> SamplingConfig:
    """How a judge writes unless told otherwise: greedily, with room for its reasons."""
    return SamplingConfig(max_new_tokens=512)


def require_reference(prompt: PromptConfig, *, given: bool) -> None:
    """Raise ConfigError where a prompt shows a reference that battles don't have, or the other way round.

    given: whether they have one.
    """
    shown = REFERENCE in texts_of(prompt)
    if shown and not given:
        raise ConfigError(
            "prompt.template: shows a reference; name its column with data.columns.reference=NAME (battles of a "
            "tournament have none), or use a prompt without one"
        )
    if given and not shown:
        raise ConfigError(
            "data.columns.reference: has no effect, since prompt.template has no slot for it; leave it out"
        )


def judging_task(
    judge: PairwiseConfig,
    generate: SamplingConfig,
    prompt: PromptConfig,
    fits: Callable[[Sampling], None],
    class_names: Callable[[], Sequence[str]],
) -> Pairwise | WrittenVerdict | ClassVerdict:
    """The task that `judge.mode` asks for.

    fits: raises ConfigError for sampling that the engine can't do. class_names: of the engine, if it is a classifier.
    Raises ConfigError for sampling that the engine can't do or that has no effect, and for classes of another meaning.
    """
    if judge.mode is Mode.text:
        require_draws(generate)
        fits(sampling(generate))
        return WrittenVerdict(judge, generate, prompt.for_text)
    require_unset("generate", generate, "without judge.mode=text, since labels are not written", usual=written())
    if judge.mode is Mode.classes:
        return ClassVerdict(judge, prompt, tuple(class_names()))
    return Pairwise(judge, prompt.for_labels)
