"""Where on the hub a finished run is published."""

import re
from dataclasses import dataclass

from lib.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """repo: OWNER/NAME of a data set on the Hugging Face hub; null: nothing is published.

    private: whether only its owner sees it, where it is made anew; one that is there stays as it is. license: of what
    the model wrote, as the hub spells it (apache-2.0, other, …); null: the card says nothing of it.
    """

    repo: str | None = None
    private: bool = True
    license: str | None = None

    def __post_init__(self) -> None:
        if self.repo is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repo, re.ASCII):
            raise ConfigError(
                f"publish.repo={self.repo}: must be OWNER/NAME of a data set on the hub, as in me/verdicts"
            )
        for key, value in (("private", None if self.private else "false"), ("license", self.license)):
            if self.repo is None and value is not None:
                raise ConfigError(f"publish.{key}={value}: has no effect without publish=hub publish.repo=OWNER/NAME")
        if self.license == "":
            raise ConfigError("publish.license: is empty; give one, as in apache-2.0, or leave it out")
