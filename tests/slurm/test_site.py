"""A site's own ways, on a real Slurm: modules, containers, dependencies, arrays in slices, and runs that are ended."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.slurm.conftest import Slurm, pace, shards, until
from tests.slurm.test_slurm import ARRAY, RAY, output, require_equal

MODULES = """module() {
  [ "$2" != none ] || { echo "module: none is not there" >&2; return 1; }
  export PATH="$TOOLS:$PATH" LOADED=$2
}
"""
APPTAINER = """#!/bin/bash
echo "$LOADED $*" >> "$TOOLS/said"
while [[ $1 != *.sif ]]; do shift; done
export CONTAINER=$1
exec "${@:2}"
"""
MARKS = {"CONTAINER=image.sif", "LOADED=apptainer/1.3", "CAME_BY=srun"}
OURS = re.compile(r"python|raylet|gcs_server|ray::")


@dataclass(frozen=True)
class Site:
    """A site with a stand-in of `module`, which must be sourced, and of apptainer, which must be loaded."""

    tools: Path
    overrides: list[str]

    def said(self) -> list[list[str]]:
        """The Python commands that were run behind apptainer, by words."""
        lines = (self.tools / "said").read_text().splitlines()
        words = [line.split() for line in lines]
        assert {tuple(line[:4]) for line in words} == {("apptainer/1.3", "exec", "--nv", "image.sif")}
        return [line[5:] for line in words if line[4:] != ["true"]]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "modules.sh").write_text(MODULES)
    (tools / "apptainer").write_text(APPTAINER)
    (tools / "apptainer").chmod(0o755)
    setup = f"cluster.setup=[export TOOLS={tools},source {tools}/modules.sh,module load apptainer/1.3]"
    return Site(tools, [setup, "cluster.launcher=[apptainer,exec,--nv,image.sif]"])


def environments(*jobs: str) -> dict[str, list[str]]:
    """Processes of these Slurm jobs that are ours, by their command, and their environments."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            variables = (process / "environ").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):  # it has ended
            continue
        program = command.split(" ")[0].rpartition("/")[2]
        if any(f"SLURM_JOB_ID={job}" in variables for job in jobs) and OURS.match(program):
            found[command] = variables
    return found


def test_a_ray_cluster_is_inside_the_container_altogether(
    slurm: Slurm, site: Site, line: list[str], laptop: bytes, tmp_path: Path
) -> None:
    """Head, workers and driver; as steps with the options of srun, as those of pyxis."""
    run = tmp_path / "run"
    more = ["cluster.srun=['--export=ALL,CAME_BY=srun']", "cluster.mail=root", f"run.dir={run}"]
    (ray,) = slurm.submit(*RAY, *site.overrides, *more, *line, pace(2))
    until(lambda: shards(run), "a shard is done")
    seen = environments(ray)
    for part in ("jobs.judge", "gcs_server", "raylet", "ray::"):
        assert any(part in command for command in seen), (part, list(seen))
    for command, variables in seen.items():
        left = MARKS & set(variables)
        # A process that names itself anew, as ray::DashboardAgent does, overwrites a part of what is read here.
        assert left == MARKS or (left and command.startswith("ray::")), command
    assert "MailUser=root MailType=END,FAIL" in slurm.run("scontrol", "show", "job", ray).stdout
    assert slurm.wait(ray) == "COMPLETED|0:0"
    require_equal(run, laptop)
    modules = sorted(words[words.index("-m") + 1] for words in site.said())
    assert modules == ["jobs.judge", "lib.cluster.ray_nodes", "ray.scripts.scripts", "ray.scripts.scripts"]


def test_a_line_that_fails_on_one_node_ends_the_job(slurm: Slurm, line: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    setup = ["cluster.setup=['[ $SLURMD_NODENAME != node2 ]']", "cluster.options=['--nodelist=node[1-2]']"]
    failed = slurm.job("submit", *RAY, *setup, *line, f"run.dir={run}", "--wait", code=1)
    assert "failed; its output" in failed.stderr
    assert "cluster.setup: exit code 1 on node2 of this line: [ $SLURMD_NODENAME != node2 ]" in output(run)
    assert not shards(run)


def test_an_array_of_more_elements_than_slurm_takes(
    slurm: Slurm, site: Site, line: list[str], laptop: bytes, tmp_path: Path
) -> None:
    """In slices, which are merged when the last of them has ended; all of it in the container."""
    run = tmp_path / "run"
    ids = slurm.submit(*ARRAY, "cluster.count=6", *site.overrides, *line, pace(0.5), f"run.dir={run}")
    assert len(ids) == 3
    assert slurm.wait(ids[-1]) == "COMPLETED|0:0"
    require_equal(run, laptop)
    said = site.said()
    elements = sorted(word for words in said for word in words if word.startswith("array.element="))
    assert elements == [f"array.element={number}/6" for number in range(6)]
    assert sorted(words[words.index("-m") + 1] for words in said) == ["jobs.judge"] * 6 + ["jobs.merge"]
    parts = [json.loads((run / f"progress-{number}of6.json").read_text()) for number in range(6)]
    assert sum(part["rows_done"] for part in parts) == 200


def test_a_run_that_depends_on_one_that_fails_is_cancelled(
    slurm: Slurm, site: Site, line: list[str], tmp_path: Path
) -> None:
    """What it depends on fails since a module is not there."""
    setup = [site.overrides[0].replace("apptainer/1.3", "none")]
    held = [*ARRAY, "cluster.count=1", *setup, "cluster.options=[--hold]", f"run.dir={tmp_path}/one"]
    first = slurm.submit(*held, *line)
    other = slurm.submit(*RAY, *line, f"cluster.depends={first[-1]}", f"run.dir={tmp_path}/other")
    slurm.run("scontrol", "release", *first)
    assert slurm.wait(first[-1]) == "FAILED|1:0"
    said = "cluster.setup: exit code 1 on node1 of this line: module load none"
    assert re.sub("node[123]", "node1", output(tmp_path / "one")).count(said) == 2  # in the element and in the merge
    assert slurm.wait(other[0]).startswith("CANCELLED")


def test_a_cancelled_run_leaves_others_alone_and_resumes(
    slurm: Slurm, line: list[str], laptop: bytes, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    submission = [*ARRAY, "cluster.count=2", "cluster.at_once=1", *line, f"run.dir={run}"]
    ids = slurm.submit(*submission, pace(2))
    other = slurm.run("sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 600").stdout.strip()
    until(lambda: shards(run), "a shard is done")
    assert " of 200 rows are there, " in slurm.job("merge", f"run.dir={run}", "partial=true").stdout
    assert pq.read_table(run / "partial.parquet")["row"].to_pylist() == list(range(200))
    said = slurm.job("cancel", f"run.dir={run}").stdout
    assert f"cancelled:  {ids[0]} (1 PENDING), {ids[0]} (1 RUNNING), {ids[1]} (1 PENDING)\n" in said
    asked = ["squeue", "-h", "-o", "%i"]
    until(lambda: slurm.run(*asked).stdout.split() == [other], "only the other job is left")
    slurm.run("scancel", other)
    again = slurm.job("cancel", f"run.dir={run}").stdout
    assert "cancelled:  nothing" in again
    assert "CANCELLED" in again
    assert 0 < len(shards(run)) < 40

    record = next(run.glob("submit/*/submission.json"))
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "cluster": "another"}))
    shown = slurm.job("status", f"run.dir={run}").stdout
    assert f"{ids[0]} unknown to the scheduler, {ids[1]} unknown to the scheduler" in shown
    slurm.job("submit", *submission, pace(0), "--wait")
    require_equal(run, laptop)
    assert not list(run.glob("partial*"))
