"""Score battles with a reward model: both conversations, then a rule that makes probabilities of the two scores.

python -m jobs.arena data=arena data.path=FILE engine=skywork_reward_v2_qwen3_8b
"""

from dataclasses import dataclass

from lib.launch import launch
from lib.pipeline.battles import BattleJobConfig, run_battles
from lib.pipeline.run import Recipe
from lib.tasks.reward import ArenaConfig, Reward


@dataclass(frozen=True, kw_only=True)
class Config(BattleJobConfig):
    """`conf/arena.yaml`."""

    arena: ArenaConfig


def asked(config: Config) -> Recipe:
    """What is asked, of whom, about which rows."""
    return Recipe(data=config.data, engine=config.engine, task=Reward(config.arena))


def main(config: Config) -> None:
    """Run the job."""
    run_battles("arena", config, asked(config))


if __name__ == "__main__":
    launch(main, Config, "arena")
