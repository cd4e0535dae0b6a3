"""A tournament: the answers of several systems to the same questions, judged pair by pair, and a ranking.

python -m jobs.tournament ++tournament.answers.one=RUN ++tournament.answers.other=RUN engine=qwen3_8b
"""

from dataclasses import dataclass, field
from pathlib import Path

from lib.launch import launch
from lib.pipeline.job import Job, PromptJobConfig
from lib.pipeline.outcomes.rating_outcome import RATINGS
from lib.pipeline.run import Recipe
from lib.pipeline.tournament_draw import TournamentConfig, draw_battles
from lib.tasks.judging import judging_task, require_reference, written
from lib.tasks.pairwise import PairwiseConfig
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.prompts.use import PromptUse, asked_for
from lib.tasks.sampling import SamplingConfig


@dataclass(frozen=True, kw_only=True)
class Config(PromptJobConfig):
    """`conf/tournament.yaml`."""

    prompt: PromptConfig = field(metadata=asked_for(PromptUse.choice))
    tournament: TournamentConfig
    judge: PairwiseConfig
    generate: SamplingConfig = field(default_factory=written)


def recipe(config: Config) -> Recipe:
    """What is asked, of whom, about which battles; these are drawn, and written beside the run or into its folder."""
    require_reference(config.prompt, given=False)
    engine = config.engine
    task = judging_task(config.judge, config.generate, config.prompt, engine.check_sampling, engine.class_names)
    battles = draw_battles(config.tournament, Path(config.run.dir or config.run.root).resolve())
    return Recipe(data=battles, engine=engine, task=task)


JOB = Job("tournament", Config, recipe, RATINGS)

if __name__ == "__main__":
    launch(JOB)
