import pytest

from lib.cluster.clusters import RayJobsConfig, SlurmArrayConfig, SlurmConfig, time_limit
from lib.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 1800), ("1:30", 90), ("4:00:00", 14400), ("1-0", 86400), ("1-2:30", 95400), ("2-0:0:5", 172805)],
)
def test_time_limits_are_read_as_sbatch_reads_them(text: str, seconds: int) -> None:
    assert time_limit(text) == seconds


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SlurmConfig(time="4 hours"), "cluster.time=4 hours"),
        (lambda: SlurmConfig(time="2", signal_seconds=120), "cluster.signal_seconds=120"),
        (lambda: SlurmConfig(nodes=0), "cluster.nodes=0"),
        (lambda: SlurmConfig(max_requeues=-1), "cluster.max_requeues=-1"),
        (lambda: SlurmArrayConfig(nodes=2), "use cluster=slurm"),
        (lambda: SlurmArrayConfig(count=0), "cluster.count=0"),
        (lambda: SlurmArrayConfig(at_once=0), "cluster.at_once=0"),
        (lambda: SlurmConfig(partition="night\n#SBATCH --x"), r"cluster.partition='night\\n"),
        (lambda: SlurmConfig(options=["--comment=a\rb"]), "cluster.options=.*control character"),
        (lambda: SlurmConfig(options=["-p debug"]), "'-p debug' is not one option"),
        (
            lambda: SlurmConfig(srun=["container-image=x"]),
            "'container-image=x' is not one option of srun",
        ),
        (lambda: SlurmConfig(launcher=["--container-image=x"]), "options of srun go into cluster.srun"),
        (lambda: SlurmConfig(launcher=[""]), "cluster.launcher: begins with ''"),
        (lambda: SlurmConfig(setup=["a\nb"]), "cluster.setup=.*control character"),
        (lambda: SlurmConfig(depends="yesterday"), "cluster.depends=yesterday: must be the id of a Slurm job"),
        (lambda: SlurmConfig(depends="7,8"), "cluster.depends=7,8"),
        (lambda: SlurmConfig(mail="a@b", mail_type=[]), "cluster.mail_type="),
        (lambda: SlurmConfig(mail_type=["FAIL"]), "cluster.mail_type=.*: has no effect without cluster.mail"),
        (lambda: SlurmConfig(mail=""), "cluster.mail: is empty"),
        (lambda: SlurmConfig(setup=[""]), "cluster.setup: is empty"),
        (lambda: SlurmConfig(options=["--array=0-3"]), "--array=0-3 is for cluster=slurm_array cluster.count to say"),
        (lambda: SlurmConfig(options=["-d"]), "-d is for cluster.depends to say"),
        (lambda: SlurmArrayConfig(python="py\x00"), "cluster.python=.*control character"),
        (lambda: RayJobsConfig(address="http://head\n:1"), "cluster.address=.*control character"),
        (lambda: RayJobsConfig(address="head:8265"), "cluster.address=head:8265"),
    ],
)
def test_mistakes_name_their_key(make: type, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()
