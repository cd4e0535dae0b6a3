"""What jobs.submit refuses and shows; what it submits is tested on a real Slurm in tests/slurm."""

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lib.cluster.clusters import SlurmConfig
from lib.cluster.dispatch import Desk
from lib.cluster.script import render
from lib.cluster.snapshot import ROOT, Snapshot
from lib.cluster.submitting import _ranges
from lib.errors import ConfigError
from tests.conftest import Job

Battles = Callable[..., Path]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.path=none.csv"], "none.csv"),
        (["engine.fail_onn=x"], "fail_onn"),
        (["cluster=slurm", "executor=inline"], "executor=inline: here it must be executor=ray or executor=server"),
        (["cluster=slurm_array", "executor.workers=2"], "workers"),
        (["cluster=slurm_array", "array.element=0/2"], "array.element=0/2: the cluster shares out the shards"),
        (["cluster=slurm", "--missing"], "submit.missing=true is for cluster=slurm_array"),
        (["cluster=slurm", "cluster.setup=['if true; then']"], "cluster.setup: bash can't read"),
        (["cluster=slurm", "run.grace_seconds=200"], "cluster.signal_seconds=120"),
        (["cluster=slurm", "job=tournament"], "tournament"),
        (["cluster=slurm", "run.dir=s3://bucket/run"], "a run folder needs a file system"),
        (["cluster=unknown"], "cluster/unknown"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_refused_before_anything_is_submitted(
    overrides: Sequence[str], said: str, quick_job: Job, battles: Battles, tmp_path: Path
) -> None:
    line = ["data=arena", f"data.path={battles(4)}", "engine=dummy", f"run.dir={tmp_path / 'run'}"]
    keys = {override.split("=")[0] for override in overrides}
    done = quick_job("submit", *(item for item in line if item.split("=")[0] not in keys), *overrides, code=2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "submit").exists()


def test_a_dry_run_shows_the_script_with_its_resources(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    cluster = ["cluster=slurm_array", "cluster.count=6", "cluster.at_once=2", "cluster.gres=gpu:1", "cluster.mem=8G"]
    cluster += ["cluster.partition=night", "cluster.time='8:00:00'", "cluster.options=[--exclusive]", "job=arena"]
    line = ["data=arena", f"data.path={battles(4)}", f"run.dir={tmp_path / 'run'}", "merge.on_failed=uniform"]
    shown = quick_job("submit", *cluster, *line, "--dry-run").stdout
    for option in ("array=0-5%2", "gres=gpu:1", "mem=8G", "partition=night", "time=8:00:00", "signal=B:USR1@120"):
        assert f"#SBATCH --{option}\n" in shown
    assert "#SBATCH --exclusive\n" in shown
    assert "/slurm/array.sbatch arena data=arena" in shown  # with the engine that jobs.arena has by itself
    assert f"/slurm/merge.sbatch run.dir={tmp_path}/run run.max_error_rate=0.0 merge.on_failed=uniform\n" in shown
    assert not (tmp_path / "run" / "submit").exists()


def test_a_server_over_several_nodes(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    """The Ray cluster is that of any run on Slurm; the driver on its first node starts the server."""
    line = ["data=arena", f"data.path={battles(4)}", "engine=smollm2_135m_vllm", f"run.dir={tmp_path / 'run'}"]
    line += ["engine.tensor_parallel_size=8", "engine.pipeline_parallel_size=2", "engine.num_gpus=16"]
    cluster = ["cluster=slurm", "cluster.nodes=2", "cluster.gres=gpu:8", "executor=server", "job=judge"]
    shown = quick_job("submit", *cluster, *line, "--dry-run").stdout
    assert "#SBATCH --nodes=2\n" in shown
    assert "#SBATCH --gres=gpu:8\n" in shown
    (command,) = [text for text in shown.splitlines() if "/slurm/ray.sbatch judge " in text]
    words = shlex.split(command)[3:]
    assert "executor=server" in words
    assert not [word for word in words if word.startswith("executor=") and word != "executor=server"]


@pytest.mark.parametrize(
    ("words", "added"),
    [
        (["judge", "engine=dummy"], "executor=ray"),
        (["judge", "engine=dummy", "executor=server"], ""),
        (["judge", "executor=server", "executor.start_seconds=60"], ""),
        (["judge", "run.name=an executor=servers"], "executor=ray"),
    ],
)
def test_scripts_add_their_executor_unless_a_server_is_asked_for(words: list[str], added: str) -> None:
    script = f"source {ROOT}/slurm/drive.sh; executor ray {shlex.join(words)}"
    environment = {"PATH": os.environ["PATH"], "OVERNIGHT_CODE": str(ROOT)}
    said = subprocess.run(["bash", "-uc", script], capture_output=True, text=True, env=environment, check=True)
    assert said.stdout.strip() == added
    assert not said.stderr


def test_sbatch_gets_the_users_variables_and_every_word_whole(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    """A stand-in notes what sbatch is given: what a real one makes of it is in tests/slurm."""
    tools = tmp_path / "tools"
    tools.mkdir()
    got = tmp_path / "got"
    (tools / "sbatch").write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" > "{got}"\nenv > "{got}.env"\necho 7\n')
    (tools / "sbatch").chmod(0o755)
    run = tmp_path / "a b" / "質問 #1 100%"
    line = [
        "data=arena",
        f"data.path={battles(4)}",
        "engine=dummy",
        f"run.dir={run}",
        "cluster.options=['--comment=a \"b']",
    ]
    given = {"SBATCH_ACCOUNT": "ours", "SBATCH_RESERVATION": "r", "SBATCH_WAIT": "1", "SBATCH_ARRAY_INX": "0-9"}
    shown = quick_job("submit", "cluster=slurm", *line, PATH=f"{tools}:/usr/bin:/bin", **given)
    variables = Path(f"{got}.env").read_text()
    assert "SBATCH_ACCOUNT=ours\n" in variables
    assert "SBATCH_RESERVATION=r\n" in variables
    assert "SBATCH_WAIT" not in variables
    assert "SBATCH_ARRAY_INX" not in variables
    words = got.read_text().splitlines()
    folder = next((run / "submit").glob("2*"))
    escaped = str(folder).replace("%", "%%")
    assert {f"--output={escaped}/%j.out", "--job-name=質問 #1 100%", '--comment=a "b'} <= set(words)
    script = (folder / "job.sbatch").read_text().splitlines()
    given_words = [shlex.split(text.removeprefix("#SBATCH ")) for text in script if text.startswith("#SBATCH")]
    assert [[word] for word in words if word.startswith("--") and word != "--parsable"] == given_words
    assert f"run.dir='{run}'" in shlex.split(script[-1])
    assert f"jobs.status run.dir='{run}'" in shown.stdout


@pytest.fixture
def slurm_of(tmp_path: Path) -> Callable[..., Path]:
    """A folder of stand-ins of Slurm's commands, each a script of bash, which first note what they are given."""

    def make(**commands: str) -> Path:
        tools = tmp_path / "tools"
        tools.mkdir(exist_ok=True)
        for name in ("sbatch", "scancel", "scontrol", "squeue", "sacct"):
            note = f'echo "{name} $*" >> {tools}/given\n'
            (tools / name).write_text(f"#!/bin/bash\n{note}{commands.get(name, 'true')}\n")
            (tools / name).chmod(0o755)
        return tools

    return make


COUNTING = 'n=$(($(cat "$0.n" 2> /dev/null || echo 10) + 1)); echo $n | tee "$0.n"'


@pytest.mark.parametrize("at_once", [[], ["cluster.at_once=2"]], ids=["all", "two"])
def test_an_array_in_slices(
    at_once: list[str], slurm_of: Callable[..., Path], quick_job: Job, battles: Battles, tmp_path: Path
) -> None:
    """Of at most so many elements as Slurm takes; with a bound on those at once one after another."""
    tools = slurm_of(sbatch=COUNTING, scontrol='echo "MaxArraySize = 3"; echo "ClusterName = ours"')
    line = ["cluster=slurm_array", "cluster.count=8", "cluster.depends=5:6", "cluster.mail=a@b.org", *at_once]
    line += ["data=arena", f"data.path={battles(4)}", "engine=dummy", f"run.dir={tmp_path / 'run'}"]
    said = quick_job("submit", *line, PATH=f"{tools}:/usr/bin:/bin").stdout
    assert "jobs:       11 12 13 14\n" in said
    given = [text.split() for text in (tools / "given").read_text().splitlines() if text.startswith("sbatch ")]
    suffix = "%2" if at_once else ""
    arrays = [word for words in given for word in words if word.startswith("--array=")]
    assert arrays == [f"--array={numbers}{suffix}" for numbers in ("0-2", "0-2", "0-1")]
    waits = [[word for word in words if word.startswith("--dependency=")] for words in given]
    after = (
        [["--dependency=afterany:11"], ["--dependency=afterany:12"]] if at_once else [["--dependency=afterok:5:6"]] * 2
    )
    assert waits == [["--dependency=afterok:5:6"], *after, ["--dependency=afterany:11:12:13"]]
    assert ["--kill-on-invalid-dep=yes" in words for words in given] == [wait[0].endswith("5:6") for wait in waits]
    assert ["--mail-user=a@b.org" in words for words in given] == [False, False, False, True]
    desk = next((tmp_path / "run" / "submit").glob("2*"))
    offsets = [text for path in sorted(desk.glob("job*")) for text in path.read_text().splitlines() if "OFFSET" in text]
    assert offsets == ["export OFFSET=3", "export OFFSET=6", "export OFFSET=0"]
    record = json.loads((desk / "submission.json").read_text())
    assert (record["ids"], record["cluster"]) == (["11", "12", "13", "14"], "ours")


def test_a_slice_that_is_refused_names_what_was_submitted(
    slurm_of: Callable[..., Path], quick_job: Job, battles: Battles, tmp_path: Path
) -> None:
    """And jobs.cancel ends that, as far as it is this run's: another job may have such an id."""
    refusing = (
        f'{COUNTING} > "$0.id"; [ "$(cat "$0.n")" -lt 12 ] || {{ echo "too many jobs" >&2; exit 1; }}; cat "$0.id"'
    )
    tools = slurm_of(sbatch=refusing, scontrol='echo "MaxArraySize = 3"')
    run = tmp_path / "run"
    line = ["cluster=slurm_array", "cluster.count=4", "data=arena", f"data.path={battles(4)}", "engine=dummy"]
    path = {"PATH": f"{tools}:/usr/bin:/bin"}
    failed = quick_job("submit", *line, f"run.dir={run}", code=1, **path)
    assert f"too many jobs; 11 had been submitted: python -m jobs.cancel run.dir={run} ends them" in failed.stderr
    desk = next((run / "submit").glob("2*"))
    ours, another = f"11|11_0|RUNNING|{desk}/job.sbatch", "7|7|PENDING|/home/me/job.sbatch"
    slurm_of(squeue=f"echo '{another}'; echo '{ours}'")
    (tools / "given").unlink()
    assert "cancelled:  11 (1 RUNNING)\n" in quick_job("cancel", f"run.dir={run}", **path).stdout
    assert "scancel 11\n" in (tools / "given").read_text()
    (tools / "given").unlink()
    slurm_of()
    said = quick_job("cancel", f"run.dir={run}", **path).stdout
    assert "cancelled:  nothing, since no job of this run waits or works (11 unknown to the scheduler)" in said
    assert "scancel" not in (tools / "given").read_text()
    assert "jobs:       11 unknown to the scheduler\n" in quick_job("status", f"run.dir={run}", **path).stdout
    slurm_of(**dict.fromkeys(("scontrol", "squeue"), "echo no controller >&2; exit 1"))
    shown = quick_job("status", f"run.dir={run}", **path).stdout
    assert "jobs:       unknown here (scontrol show config: no controller)\n" in shown
    assert "no controller" in quick_job("cancel", f"run.dir={run}", code=1, **path).stderr
    assert "none was submitted" in quick_job("cancel", f"run.dir={_planned(quick_job, line, tmp_path)}", **path).stdout


def _planned(quick_job: Job, line: list[str], folder: Path) -> Path:
    quick_job("submit", *line, f"run.dir={folder / 'planned'}", "--dry-run", PATH="/usr/bin:/bin")
    return folder / "planned"


def test_what_a_site_wants_is_shown(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    cluster = ["cluster.setup=[module load cuda/12.4]", "cluster.launcher=[apptainer,exec,--nv,a b.sif]"]
    cluster += ["cluster.srun=['--container-image=a#b.sqsh','--container-mounts=/work']"]
    line = ["data=arena", f"data.path={battles(4)}", "engine=dummy", f"run.dir={tmp_path / 'run'}"]
    shown = quick_job("submit", "cluster=slurm", *cluster, *line, "--dry-run").stdout
    assert "\nmodule load cuda/12.4\n" in shown
    assert "\nexec apptainer exec --nv 'a b.sif' \"${overnight_command[@]}\"\n" in shown
    assert "export OVERNIGHT_SRUN='--container-image=a#b.sqsh\n--container-mounts=/work'\n" in shown


@pytest.mark.parametrize("name", ["a\nb", "a\\b"])
def test_a_run_folder_that_sbatch_cannot_take_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.dir="):
        render(SlurmConfig(), Desk(tmp_path / name), "ray.sbatch", ["judge"])


def test_what_is_submitted_names_the_folder_that_was_planned(quick_job: Job, tmp_path: Path) -> None:
    line = ["job=judge", "engine=dummy", "run.name=tonight", f"run.root={tmp_path}", "++merge.on_failed=uniform"]
    said = quick_job("submit", "cluster=slurm_array", *line, "--dry-run").stdout
    (folder,) = tmp_path.glob("judge-tonight-*")
    run, merge = (shlex.split(word) for word in said.splitlines() if word.startswith("exec bash "))
    assert [word for word in run if word.startswith("run.")] == [f"run.dir={folder}"]
    assert merge[-2:] == ["run.max_error_rate=0.0", "++merge.on_failed=uniform"]


@pytest.mark.parametrize("cluster", [["cluster=slurm"], ["cluster=slurm_array", "--missing"], ["cluster=ray"]])
def test_a_run_with_nothing_left_is_finished_here(
    cluster: list[str], quick_job: Job, battles: Battles, tmp_path: Path
) -> None:
    """All of its shards are there, and no result yet: as after the last element of an array, or when all is known."""
    run, out = tmp_path / "run", tmp_path / "out"
    line = ["data=arena", f"data.path={battles(6)}", "engine=dummy", f"run.dir={run}", f"run.out={out}"]
    quick_job("judge", *line, "array.element=0/1", "executor=inline")
    assert not (run / "result.parquet").exists()
    shown = quick_job("submit", *cluster, *line, "--dry-run", PATH="/nowhere").stdout
    assert "nothing is left to be done: no job is submitted, the run would be finished here" in shown
    assert not (run / "result.parquet").exists()
    shown = quick_job("submit", *cluster, *line, "--wait", PATH="/nowhere").stdout
    assert "nothing is left to be done: no job is submitted, the run is finished here" in shown
    assert f"submission: {run / 'submission.csv'} (6 rows, checked)" in shown
    assert (out / "submission.csv").read_bytes() == (run / "submission.csv").read_bytes()
    assert not (run / "submit").exists()


def test_a_run_that_is_finished_here_ends_with_its_own_exit_code(
    quick_job: Job, battles: Battles, tmp_path: Path
) -> None:
    line = ["data=arena", f"data.path={battles(6)}", "engine=dummy", f"run.dir={tmp_path / 'run'}"]
    line += ["engine.fail_on=Question number 3"]
    quick_job("judge", *line, "array.element=0/1", "executor=inline")
    failed = quick_job("submit", "cluster=slurm", *line, "--wait", code=1, PATH="/nowhere")
    assert "1 of 6 rows failed, more than run.max_error_rate=0 allows" in failed.stderr


def test_a_job_in_stages_has_a_status_and_can_be_cancelled(
    slurm_of: Callable[..., Path], quick_job: Job, tmp_path: Path
) -> None:
    """Its folder holds its runs, and no rows of its own."""
    (tmp_path / "questions.csv").write_text("id,question\na,why?\n")
    (tmp_path / "talk.txt").write_text("One. Two.")
    run, path = tmp_path / "run", {"PATH": f"{slurm_of(sbatch='echo 11')}:/usr/bin:/bin"}
    line = ["engine@embedder=dummy", "engine@generator=dummy", "generator.max_model_len=4096", f"run.dir={run}"]
    line += [f"data.path={tmp_path}/questions.csv", f"documents.path={tmp_path}/talk.txt"]
    assert "jobs:       11\n" in quick_job("submit", "cluster=slurm", "job=rag", *line, **path).stdout
    assert f"run folder: {run}\n" in quick_job("status", f"run.dir={run}", **path).stdout
    desk = next((run / "submit").glob("2*"))
    slurm_of(squeue=f"echo '11|11|RUNNING|{desk}/job.sbatch'")
    assert "cancelled:  11 (1 RUNNING)\n" in quick_job("cancel", f"run.dir={run}", **path).stdout


def test_what_an_array_merges_is_copied_too(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    line = ["data=arena", f"data.path={battles(4)}", "engine=dummy", f"run.dir={tmp_path / 'run'}"]
    shown = quick_job("submit", "cluster=slurm_array", *line, f"run.out={tmp_path / 'out'}", "--dry-run").stdout
    assert f"/slurm/merge.sbatch run.dir={tmp_path}/run run.max_error_rate=0.0 run.out={tmp_path}/out\n" in shown


def test_without_a_scheduler_it_says_so(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    line = ["data=arena", f"data.path={battles(4)}", "engine=dummy", f"run.dir={tmp_path / 'run'}"]
    done = quick_job("submit", "cluster=slurm", *line, code=1, PATH="/nowhere")
    assert done.stderr.splitlines()[-1].endswith(
        "sbatch: no such command; is this a machine that Slurm jobs are submitted from?"
    )
    assert "0 of 4 rows" in quick_job("status", f"run.dir={tmp_path / 'run'}", PATH="/nowhere").stdout


def test_without_a_ray_cluster_it_says_so(job: Job, battles: Battles, tmp_path: Path) -> None:
    line = ["data=arena", f"data.path={battles(4)}", "engine=dummy", f"run.dir={tmp_path / 'run'}"]
    done = job("submit", "cluster=ray", "cluster.address=http://127.0.0.1:9", *line, code=1)
    assert "http://127.0.0.1:9: Ray's dashboard does not do that" in done.stderr.splitlines()[-1]


def test_a_snapshot_holds_all_that_runs(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path)
    snapshot.write()
    snapshot.write()
    assert [path.name for path in tmp_path.iterdir()] == [snapshot.path.name]
    tracked = subprocess.run(
        ["git", "ls-files", "jobs", "lib", "conf", "slurm"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(tracked) > 50
    for name in tracked:
        if (ROOT / name).exists():
            assert (snapshot.path / name).read_bytes() == (ROOT / name).read_bytes()
    assert not list(snapshot.path.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("numbers", "text"), [([0], "0"), ([0, 1, 2], "0-2"), ([1, 3], "1,3"), ([0, 1, 3, 4, 9], "0-1,3-4,9")]
)
def test_elements_are_named_as_sbatch_takes_them(numbers: list[int], text: str) -> None:
    assert _ranges(numbers) == text


def test_a_store_behind_a_url_is_the_jobs_and_its_secrets_stand_in_the_script_alone(
    quick_job: Job, battles: Battles, tmp_path: Path
) -> None:
    tools, run, url = tmp_path / "tools", tmp_path / "run", "memory://user:s3cret@host/store"
    tools.mkdir()
    (tools / "sbatch").write_text("#!/bin/bash\necho 7\n")
    (tools / "sbatch").chmod(0o755)
    line = ["cluster=slurm", "data=arena", f"data.path={battles(4)}", "engine=dummy", f"run.dir={run}"]
    places = {"PATH": f"{tools}:/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    said = quick_job("submit", *line, f"store.dir={url}", **places)
    assert "s3cret" not in said.stdout + said.stderr
    holding = [path for path in run.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    assert [path.name for path in holding] == ["job.sbatch"]
    assert f"store.dir={url}" in shlex.split(holding[0].read_text().splitlines()[-1])
