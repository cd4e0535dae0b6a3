"""Judge battles: which of two responses is better, asked of a language model.

python -m jobs.judge data=arena data.path=FILE engine=smollm2_135m
"""

from dataclasses import dataclass, field

from lib.data.rows.battles import BattlesConfig
from lib.data.submission import SubmissionConfig
from lib.launch import launch
from lib.pipeline.job import Job, PromptJobConfig
from lib.pipeline.outcomes.battle_outcome import BATTLES
from lib.pipeline.run import Recipe
from lib.tasks.judging import judging_task, require_reference, written
from lib.tasks.pairwise import PairwiseConfig
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.prompts.use import PromptUse, asked_for
from lib.tasks.sampling import SamplingConfig


@dataclass(frozen=True, kw_only=True)
class Config(PromptJobConfig):
    """`conf/judge.yaml`."""

    prompt: PromptConfig = field(metadata=asked_for(PromptUse.choice))
    data: BattlesConfig
    judge: PairwiseConfig
    generate: SamplingConfig = field(default_factory=written)
    merge: SubmissionConfig


def recipe(config: Config) -> Recipe:
    """What is asked, of whom, about which rows."""
    require_reference(config.prompt, given=config.data.columns.reference is not None)
    engine = config.engine
    task = judging_task(config.judge, config.generate, config.prompt, engine.check_sampling, engine.class_names)
    return Recipe(data=config.data, engine=engine, task=task)


JOB = Job("judge", Config, recipe, BATTLES)

if __name__ == "__main__":
    launch(JOB)
