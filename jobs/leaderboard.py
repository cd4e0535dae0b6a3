"""A ranking from votes: a table of who won, or the verdicts of runs of a judge.

python -m jobs.leaderboard data.path=votes.csv out=DIR
python -m jobs.leaderboard 'runs=[DIR,DIR]' out=DIR leaderboard.model=davidson
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.config import require_local, require_unset
from lib.data.rows.base import Verify
from lib.data.rows.checking import checked_rows
from lib.data.rows.votes import VotesConfig, open_votes
from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.command import Command
from lib.pipeline.leaderboard.ballots import ballots_of
from lib.pipeline.leaderboard.leaderboard_config import BothBad, LeaderboardConfig
from lib.pipeline.leaderboard.rank_systems import ranked, write_rankings
from lib.pipeline.leaderboard.run_votes import run_folders, run_votes
from lib.urls import without_secrets


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/leaderboard.yaml`.

    data: the votes; or runs: run folders of jobs.judge, jobs.arena or jobs.tournament, as a list or a glob. out: the
    folder of what is made of them.
    """

    data: VotesConfig
    runs: Any = None
    leaderboard: LeaderboardConfig
    out: str = "runs/leaderboard"

    def __post_init__(self) -> None:
        require_local("out", self.out)
        if (self.data.path == "") is (self.runs is None):
            raise ConfigError("give data.path=FILE, or runs=[DIR,DIR]")
        if self.data.verify is not Verify.quick:
            raise ConfigError("data.verify=full: has no effect, since the votes are read once; leave it out")
        if self.runs is not None:
            require_unset("data", self.data, "with runs")
            if self.leaderboard.both_bad is not BothBad.tie:
                raise ConfigError("leaderboard.both_bad=drop: has no effect with runs; leave it out")


def main(config: Config) -> None:
    """Run the job."""
    how = config.leaderboard
    if config.runs is None:
        rows = open_votes(config.data, category=how.category, styled=bool(how.styles))
        blocks, source = checked_rows(rows), without_secrets(config.data.path)
    else:
        folders = run_folders(config.runs)
        blocks = run_votes(folders, category=how.category, styled=bool(how.styles))
        source = ", ".join(map(str, folders))
    ballots = ballots_of(blocks, drop_both_bad=how.both_bad is BothBad.drop)
    out = Path(config.out)
    write_rankings(ranked(ballots, how), out, f"leaderboard: {out.name}", {"votes": source})


JOB = Command("leaderboard", Config, main)

if __name__ == "__main__":
    launch(JOB)
