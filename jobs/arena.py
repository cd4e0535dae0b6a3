"""Score battles with a reward model: both conversations, then a rule that makes probabilities of the two scores.

python -m jobs.arena data=arena data.path=FILE engine=skywork_reward_v2_qwen3_8b
"""

from dataclasses import dataclass

from lib.launch import launch
from lib.pipeline.battles import BattleJobConfig, run_battles
from lib.tasks.base import Task
from lib.tasks.reward import ArenaConfig, Reward


@dataclass(frozen=True, kw_only=True)
class Config(BattleJobConfig):
    """`conf/arena.yaml`."""

    arena: ArenaConfig


def task(config: Config) -> Task:
    """What is asked about each row."""
    return Reward(config.arena)


def main(config: Config) -> None:
    """Run the job."""
    run_battles("arena", config, task(config))


if __name__ == "__main__":
    launch(main, Config, "arena")
