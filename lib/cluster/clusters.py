"""Where a job is submitted to: Slurm with Ray inside, a Slurm job array, or a Ray cluster that runs already."""

import re
from dataclasses import dataclass, field, fields
from typing import ClassVar

from lib.config import require_unset
from lib.errors import ConfigError
from lib.urls import without_secrets

_OWN = {
    **dict.fromkeys(("--array", "-a"), "cluster=slurm_array cluster.count"),
    **dict.fromkeys(("--dependency", "-d"), "cluster.depends"),
    **dict.fromkeys(("--wait", "-W"), "submit.wait"),
}  # options of sbatch that would make another submission of ours
_DEPENDENCY = r"((after|afterany|afterok|afternotok|aftercorr):)?\d+(_\d+)?(:\d+(_\d+)?)*"


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """One cluster: `conf/cluster/<name>.yaml` holds one of its subclasses.

    python: the interpreter there; null: the one that submits (a virtual environment on a shared file system).
    executor: the one that jobs use there, unless they start a server of their own.
    """

    executor: ClassVar[str] = "ray"
    python: str | None = None

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            for text in value if isinstance(value, list) else [value]:
                require_printable(str(text), f"cluster.{name}")
                if text == "" and name != "launcher":  # whose words say more
                    raise ConfigError(f"cluster.{name}: is empty; give one, or leave it out")

    @property
    def notice(self) -> float:
        """Seconds between a signal to stop and the end."""
        return float("inf")


@dataclass(frozen=True, kw_only=True)
class SlurmConfig(ClusterConfig):
    """One Slurm job with a Ray cluster inside.

    nodes, cpus_per_task, time, mem, gres, partition, account, qos, constraint: as sbatch's options of
    these names; null: what SBATCH_… variables of these names say, else the site's default. options: more of sbatch's
    options, such as ["--exclusive"].
    setup: lines of bash that are run before each Python command, on every node; one that fails ends the job. launcher:
    words before each Python command, such as ["apptainer", "exec", "image.sif"], taken literally. srun: options for
    srun, such as ["--container-image=…"]: each Python command is then a step with them.
    depends: ids of Slurm jobs that must end well first: ID or ID:ID, or as sbatch writes it, afterany:ID. mail: who is
    told by Slurm of events of the run's last job. mail_type: which events, as sbatch names them.
    signal_seconds: how long before the time limit the run is asked to stop. max_requeues: how often a run that needs
    more time is queued again.
    """

    nodes: int = 1
    cpus_per_task: int = 4
    time: str = "4:00:00"
    mem: str | None = None
    gres: str | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    options: list[str] = field(default_factory=list)
    setup: list[str] = field(default_factory=list)
    launcher: list[str] = field(default_factory=list)
    srun: list[str] = field(default_factory=list)
    depends: str | None = None
    mail: str | None = None
    mail_type: list[str] = field(default_factory=lambda: ["END", "FAIL"])
    signal_seconds: int = 120
    max_requeues: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, value in (("nodes", self.nodes), ("cpus_per_task", self.cpus_per_task)):
            if value < 1:
                raise ConfigError(f"cluster.{key}={value}: must be at least 1")
        if not 0 < self.signal_seconds < time_limit(self.time):
            raise ConfigError(
                f"cluster.signal_seconds={self.signal_seconds}: must be more than 0 and less than cluster.time="
                f"{self.time}, which is {time_limit(self.time)} seconds"
            )
        if self.max_requeues < 0:
            raise ConfigError(f"cluster.max_requeues={self.max_requeues}: must not be negative")
        for key, command in (("options", "sbatch"), ("srun", "srun")):
            for option in getattr(self, key):
                if not re.match(r"-\w+$|--[\w-]+(=|$)", option):
                    raise ConfigError(
                        f"cluster.{key}: {option!r} is not one option of {command}; write it as --name or --name=value"
                    )
        for option in self.options:
            if (own := _OWN.get(option.partition("=")[0])) is not None:
                raise ConfigError(f"cluster.options: {option} is for {own} to say")
        if self.launcher and not re.match("[^-]", self.launcher[0]):
            raise ConfigError(
                f"cluster.launcher: begins with {self.launcher[0]!r}, which is no program; options of srun go into "
                "cluster.srun"
            )
        if self.depends is not None and not re.fullmatch(_DEPENDENCY, self.depends):
            raise ConfigError(
                f"cluster.depends={self.depends}: must be the id of a Slurm job, or ID:ID, or afterany:ID and its like"
            )
        if self.mail is None:
            require_unset(
                "cluster", self, "without cluster.mail", [f.name for f in fields(self) if f.name != "mail_type"]
            )
        if self.mail is not None and not self.mail_type:
            raise ConfigError("cluster.mail_type=[]: nobody would be told of anything; leave cluster.mail out, too")

    @property
    def notice(self) -> float:
        """Seconds between a signal to stop and the end."""
        return self.signal_seconds


@dataclass(frozen=True, kw_only=True)
class SlurmArrayConfig(SlurmConfig):
    """A Slurm job array without Ray, and a job that merges.

    count: elements, each of which works on every count-th shard; at_once: of them at the same time, null: all.
    """

    executor: ClassVar[str] = "inline"
    count: int = 4
    at_once: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nodes != 1:
            raise ConfigError(f"cluster.nodes={self.nodes}: an element of an array has one node; use cluster=slurm")
        if self.count < 1:
            raise ConfigError(f"cluster.count={self.count}: must be at least 1")
        if self.at_once is not None and self.at_once < 1:
            raise ConfigError(f"cluster.at_once={self.at_once}: must be at least 1, or null for all at once")


@dataclass(frozen=True, kw_only=True)
class RayJobsConfig(ClusterConfig):
    """A Ray cluster that runs already. address: of its dashboard, which takes jobs."""

    address: str = "http://127.0.0.1:8265"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.match(r"https?://", self.address):
            raise ConfigError(
                f"cluster.address={without_secrets(self.address)}: must be that of Ray's dashboard, http://HOST:8265"
            )


def require_printable(text: str, key: str) -> None:
    """Raise ConfigError, naming the key, for text with control characters: they would end a line of a script."""
    if re.search(r"[\x00-\x1f\x7f\x85\u2028\u2029]", text):
        raise ConfigError(f"{key}={text!r}: holds a line break or another control character; leave it out")


def time_limit(time: str) -> int:
    """Seconds of one of sbatch's times: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S. Raises ConfigError for others."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", time)
    if not match:
        raise ConfigError(
            f"cluster.time={time}: must be minutes, H:M:S, D-H or the like, in quotes where it has colons"
        )
    days, numbers = match[1], [int(number) for number in match.groups()[1:] if number is not None]
    if days is None and len(numbers) < 3:
        numbers = [0, *numbers]  # without hours
    hours, minutes, seconds = [*numbers, 0, 0][:3]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
