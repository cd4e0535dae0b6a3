"""Judge battles: which of two responses is better, asked of a language model.

python -m jobs.judge data=arena data.path=FILE engine=smollm2_135m
"""

from dataclasses import dataclass

from lib.launch import launch
from lib.pipeline.battles import BattleJobConfig, run_battles
from lib.pipeline.job import show_requests
from lib.pipeline.run import Asked
from lib.tasks.pairwise import Pairwise, PairwiseConfig
from lib.tasks.prompts import PromptConfig


@dataclass(frozen=True, kw_only=True)
class Config(BattleJobConfig):
    """`conf/judge.yaml`."""

    prompt: PromptConfig
    judge: PairwiseConfig


def asked(config: Config) -> Asked:
    """What is asked, of whom, about which rows."""
    return Asked(data=config.data, engine=config.engine, task=Pairwise(config.judge, config.prompt))


def main(config: Config) -> None:
    """Run the job."""
    if config.prompt.preview:
        show_requests("judge", config, asked(config), config.prompt.preview)
        return
    run_battles("judge", config, asked(config))


if __name__ == "__main__":
    launch(main, Config, "judge")
