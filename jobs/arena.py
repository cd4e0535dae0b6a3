"""Score battles with a reward model: both conversations, then a rule that makes probabilities of the two scores.

python -m jobs.arena data=arena data.path=FILE engine=skywork_reward_v2_qwen3_8b
"""

from dataclasses import dataclass

from lib.data.rows.battles import BattlesConfig
from lib.data.submission import SubmissionConfig
from lib.launch import launch
from lib.pipeline.job import EngineJobConfig, Job
from lib.pipeline.outcomes.battle_outcome import BATTLES
from lib.pipeline.run import Recipe
from lib.tasks.reward import ArenaConfig, Reward


@dataclass(frozen=True, kw_only=True)
class Config(EngineJobConfig):
    """`conf/arena.yaml`."""

    data: BattlesConfig
    arena: ArenaConfig
    merge: SubmissionConfig


def recipe(config: Config) -> Recipe:
    """What is asked, of whom, about which rows."""
    return Recipe(data=config.data, engine=config.engine, task=Reward(config.arena))


JOB = Job("arena", Config, recipe, BATTLES)

if __name__ == "__main__":
    launch(JOB)
