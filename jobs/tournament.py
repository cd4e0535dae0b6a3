"""A tournament: the answers of several systems to the same questions, judged pair by pair, and a ranking.

python -m jobs.tournament ++tournament.answers.one=RUN ++tournament.answers.other=RUN engine=qwen3_8b
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from lib.launch import launch
from lib.pipeline.job import EngineJobConfig
from lib.pipeline.run import Recipe
from lib.pipeline.stages import below, run_stage
from lib.pipeline.tournament import TournamentConfig, draw, print_tournament, rate
from lib.tasks.judging import judging_task, written
from lib.tasks.pairwise import PairwiseConfig
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.sampling import SamplingConfig


@dataclass(frozen=True, kw_only=True)
class Config(EngineJobConfig):
    """`conf/tournament.yaml`."""

    tournament: TournamentConfig
    prompt: PromptConfig
    judge: PairwiseConfig
    generate: SamplingConfig = field(default_factory=written)


def run(config: Config, root: Path, stages: list[tuple[str, ...]]) -> Path:
    """Draw, judge and rate below a folder. stages: rows of the report's table of what was done before."""
    task = judging_task(config.judge, config.generate, config.prompt, config.engine)
    drawn = draw(config.tournament, root)
    asked = Recipe(data=drawn.battles, engine=config.engine, task=task)
    stage = replace(config, run=below(config.run, root, config.run.name))
    judged = run_stage("tournament", "tournament", stage, asked)
    folder = Path(judged.folder)
    print_tournament(rate(drawn, folder, [*stages, judged.line]), folder)
    return folder


def main(config: Config) -> None:
    """Run the job."""
    root = Path(config.run.dir or Path(config.run.root) / f"tournament-{config.run.name}").resolve()
    run(config, root, [])


if __name__ == "__main__":
    launch(main, Config, "tournament")
