"""The config of a run's folder, and of commands about a run that is there already."""

from dataclasses import dataclass

from lib.config import require_local
from lib.errors import ConfigError
from lib.urls import without_secrets


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The run folder and what is done about failures. None of it changes results.

    name: part of the default folder's name; dir: the folder, null for <root>/<job>-<name>-<fingerprint>.
    shard_rows: rows of a shard, null for about 200 shards of 8 to 1,024 rows. max_error_rate: share of rows that
    may fail before the run counts as failed. retry_failed: do the shards with failed rows again.
    grace_seconds: how long shards in flight may go on after a signal to stop. out: where the finished result is copied
    to, a folder or a URL.
    """

    name: str = "run"
    root: str = "runs"
    dir: str | None = None
    shard_rows: int | None = None
    max_error_rate: float = 0.0
    retry_failed: bool = False
    grace_seconds: float = 30.0
    out: str | None = None

    @property
    def name_in_folder(self) -> str:
        """The name as a part of a folder's name: configs in folders of their own have slashes in theirs."""
        return self.name.replace("/", "-")

    def __post_init__(self) -> None:
        for key in ("name", "root", "dir"):
            if getattr(self, key) == "":
                raise ConfigError(
                    f"run.{key}: is empty; give a {'name' if key == 'name' else 'folder'}, or leave it out"
                )
        if self.shard_rows is not None and self.shard_rows < 1:
            raise ConfigError(f"run.shard_rows={self.shard_rows}: must be at least 1")
        if not 0 <= self.max_error_rate <= 1:
            raise ConfigError(f"run.max_error_rate={self.max_error_rate}: must be in [0, 1]")
        if self.grace_seconds < 0:
            raise ConfigError(f"run.grace_seconds={self.grace_seconds}: must not be negative")
        if self.dir is not None and "://" in self.dir:
            raise ConfigError(
                f"run.dir={without_secrets(self.dir)}: a run folder needs a file system that renames files, which "
                "object stores don't; give a folder (data.path may be a URL), and run.out=URL, where the result is "
                "copied to at the end"
            )


@dataclass(frozen=True, kw_only=True)
class RunDir:
    """dir: the folder of a run that is there already."""

    dir: str | None = None

    def __post_init__(self) -> None:
        require_local("run.dir", self.dir)
