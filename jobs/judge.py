"""Judge battles: which of two responses is better, asked of a language model.

python -m jobs.judge data=arena data.path=FILE engine=smollm2_135m
"""

from dataclasses import dataclass, field

from lib.launch import launch
from lib.pipeline.battles import BattleJobConfig, run_battles
from lib.pipeline.job import show_requests
from lib.pipeline.run import Recipe
from lib.tasks.judging import judging_task, written
from lib.tasks.pairwise import PairwiseConfig
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.sampling import SamplingConfig


@dataclass(frozen=True, kw_only=True)
class Config(BattleJobConfig):
    """`conf/judge.yaml`."""

    prompt: PromptConfig
    judge: PairwiseConfig
    generate: SamplingConfig = field(default_factory=written)


def asked(config: Config) -> Recipe:
    """What is asked, of whom, about which rows."""
    task = judging_task(config.judge, config.generate, config.prompt, config.engine)
    return Recipe(data=config.data, engine=config.engine, task=task)


def main(config: Config) -> None:
    """Run the job."""
    if config.prompt.preview:
        show_requests("judge", config, asked(config), config.prompt.preview)
        return
    run_battles("judge", config, asked(config))


if __name__ == "__main__":
    launch(main, Config, "judge")
