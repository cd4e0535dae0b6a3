"""The image, the Kubernetes manifests and the Kaggle recipe, as far as they can be tried without a daemon."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dockerfile_parse import DockerfileParser

from tests.jobs.test_configs import make
from tests.running import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCKERFILE = DockerfileParser(path=str(ROOT / "Dockerfile"))
STEPS = [(step["instruction"], step["value"]) for step in DOCKERFILE.structure if step["instruction"] != "COMMENT"]
KUBERNETES = ROOT / "slurm" / "examples" / "kubernetes"
KAGGLE = ROOT / "slurm" / "examples" / "kaggle"
MANIFESTS = [document for path in sorted(KUBERNETES.glob("*.yaml"))
             for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]  # fmt: skip
BY_KIND = {document["kind"]: document for document in MANIFESTS}
CLUSTERS = {"RayCluster": BY_KIND["RayCluster"]["spec"], "RayJob": BY_KIND["RayJob"]["spec"]["rayClusterSpec"]}


def compose(words: list[str]) -> Any:
    """The config of a line such as `overnight judge engine=dummy`, as that job has it."""
    command, name, *overrides = words
    assert command == "overnight"
    return make("judge" if name == "fetch" else name, *overrides)


def lines_of(text: str) -> list[list[str]]:
    """The lines `overnight JOB …` in a text, those in its comments too; a backslash at an end goes on below."""
    whole = re.sub(r"\\\n#?", " ", text)
    found = re.findall(r"\bovernight(?::gpu)? ((?:judge|fetch) [^\n#]*=[^\n#]*)", whole)
    return [["overnight", *shlex.split(line)] for line in found]


def pods(kind: str) -> dict[str, Any]:
    """The pod templates of a Ray cluster, by what they are."""
    spec = CLUSTERS[kind]
    return {"head": spec["headGroupSpec"]["template"],
            **{group["groupName"]: group["template"] for group in spec["workerGroupSpecs"]}}  # fmt: skip


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_what_is_copied_is_there_and_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = [word for instruction, value in STEPS if instruction == "COPY" for word in value.split()[:-1]]
    assert {"jobs", "lib", "conf", "slurm", "pyproject.toml"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source in kept, f"{source} is left out by .dockerignore"


def test_the_image_runs_the_command_as_nobody_special_on_a_python_that_will_do() -> None:
    last = dict(STEPS)
    assert json.loads(last["ENTRYPOINT"]) == ["overnight"]
    assert last["USER"] == "1000"
    assert last["VOLUME"] == "/cache"
    assert DOCKERFILE.envs["HF_HOME"] == "/cache/huggingface"
    version = re.fullmatch(r"python:(3\.\d+)-slim", DOCKERFILE.baseimage)
    assert version is not None
    assert PROJECT["requires-python"] == f">={version[1]}"


@pytest.mark.skipif("scripts" not in PROJECT, reason="the project has no console script yet")
def test_the_command_is_one_that_is_installed() -> None:
    assert "overnight" in PROJECT["scripts"]


@pytest.mark.parametrize("arguments", [{}, {"EXTRAS": "gpu,demo", "UV_FLAGS": ""}])
def test_what_is_installed_is_what_pyproject_calls_so(arguments: dict[str, str], tmp_path: Path) -> None:
    """The line is run by a real shell, with commands in its path that write down what they were told."""
    defaults = dict(value.split("=", 1) for instruction, value in STEPS if instruction == "ARG")
    chosen = {name: value.strip('"') for name, value in defaults.items()} | arguments
    for name in ("python", "pip", "uv"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/said\n')
        (tmp_path / name).chmod(0o755)
    (install,) = [value for instruction, value in STEPS if instruction == "RUN" and "--requirements" in value]
    environment = {**chosen, "PATH": f"{tmp_path}:{os.environ['PATH']}", "VIRTUAL_ENV": str(tmp_path / "venv")}
    subprocess.run(["/bin/sh", "-ec", install], env=environment, check=True)
    words = (tmp_path / "said").read_text().splitlines()[-1].split()
    extras = [word for before, word in pairwise(words) if before == "--extra"]
    assert extras == chosen["EXTRAS"].split(",")
    assert set(extras) <= PROJECT["optional-dependencies"].keys()
    assert ("--torch-backend" in words) is (chosen["UV_FLAGS"] != "")


@pytest.mark.parametrize("kind", ["PersistentVolumeClaim", "Job"])
def test_plain_manifests_are_of_their_schema(kind: str) -> None:
    kubernetes_validate.validate(BY_KIND[kind], kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("kind", CLUSTERS)
def test_pods_of_ray_clusters_are_of_their_schema(kind: str) -> None:
    for name, template in pods(kind).items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, **template}
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


def test_ray_clusters_have_what_kuberay_asks_for() -> None:
    least = next(re.search(r">=(\d+\.\d+)", text) for text in PROJECT["dependencies"] if text.startswith("ray["))
    assert least is not None
    for kind, spec in CLUSTERS.items():
        assert BY_KIND[kind]["apiVersion"] == "ray.io/v1"
        assert re.fullmatch(rf"{re.escape(least[1])}\.\d+", spec["rayVersion"])
        assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"  # else workers of the run, beside the driver
        for group in spec["workerGroupSpecs"]:
            assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
            assert isinstance(group["rayStartParams"], dict)
            resources = group["template"]["spec"]["containers"][0]["resources"]
            assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "1"


def test_all_pods_share_image_volume_and_cache_of_models() -> None:
    claim, built = BY_KIND["PersistentVolumeClaim"]["metadata"]["name"], (ROOT / "Dockerfile").read_text()
    templates = [BY_KIND["Job"]["spec"]["template"], *(pod for kind in CLUSTERS for pod in pods(kind).values())]
    assert len(templates) == 5
    for template in templates:
        (container,) = template["spec"]["containers"]
        assert f"--tag {container['image']} " in built
        environment = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert environment["HF_HOME"] == "/data/huggingface"
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        places = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        assert places["/data"]["persistentVolumeClaim"]["claimName"] == claim
        assert template["spec"]["securityContext"]["runAsUser"] == int(dict(STEPS)["USER"])


def test_the_run_of_the_ray_job_is_one_that_goes_on_where_it_was() -> None:
    spec = BY_KIND["RayJob"]["spec"]
    config = compose(shlex.split(spec["entrypoint"]))
    assert type(config.executor).__name__ == "RayConfig"
    assert Path(config.run.dir).is_relative_to("/data")
    assert spec["backoffLimit"] > 0
    assert spec["shutdownAfterJobFinishes"] is True


def test_the_model_that_is_fetched_is_that_of_the_run() -> None:
    (fetch,) = BY_KIND["Job"]["spec"]["template"]["spec"]["containers"]
    fetched = compose(["overnight", *fetch["args"]]).engine
    assert fetched == compose(shlex.split(BY_KIND["RayJob"]["spec"]["entrypoint"])).engine
    (rule,) = BY_KIND["Job"]["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"] == {"containerName": fetch["name"], "operator": "In", "values": [2]}


@pytest.mark.parametrize("path", [ROOT / "Dockerfile", KUBERNETES / "raycluster.yaml"], ids=lambda path: path.name)
def test_lines_in_comments_compose(path: Path) -> None:
    lines = lines_of(path.read_text(encoding="utf-8"))
    assert lines
    for line in lines:
        compose(line)


def test_the_notebook_takes_what_was_prepared(tmp_path: Path) -> None:
    """prepare.sh with commands that write down what they were told; only the fetching is done."""
    cells = json.loads((KAGGLE / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    (line,) = lines_of(code)
    config = compose([word for word in line if not word.startswith("merge.sample=")])  # a file that isn't here
    assert type(config.executor).__name__ == "InlineConfig"
    assert config.engine.num_gpus == 2
    for number, cell in enumerate(cells):
        if "".join(cell["source"]).startswith("%%bash"):
            script = "".join(cell["source"]).partition("\n")[2]
            assert script.startswith("set -e\n"), number
            subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    python, uv = tmp_path / "python", tmp_path / "uv"
    python.write_text(f'#!/bin/sh\necho python "$@" >> {tmp_path}/said\n'
                      f'[ "$2" = pip ] || exec {sys.executable} "$@"\n')  # fmt: skip
    uv.write_text(f'#!/bin/sh\necho uv "$@" >> {tmp_path}/said\n')
    for command in (python, uv):
        command.chmod(0o755)
    done = subprocess.run(
        [KAGGLE / "prepare.sh", tmp_path / "out", "engine=dummy"],
        cwd=ROOT,
        env={**os.environ, "PYTHON": str(python), "UV": str(uv)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "nothing to fetch" in done.stdout
    said = (tmp_path / "said").read_text()
    for name in ("wheels", "requirements.txt"):
        assert f"{tmp_path}/out/{name}" in said
        assert f"/kaggle/input/overnight/{name}" in code
    assert "HF_HOME=/kaggle/input/overnight/huggingface" in code


def test_our_wheel_installs_without_an_index_and_holds_all_of_it(tmp_path: Path) -> None:
    source, wheels, bin_ = tmp_path / "source", tmp_path / "wheels", Path(sys.executable).parent
    for name in ("jobs", "lib", "conf", "slurm"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    suffixes = (".py", ".yaml", ".csv", ".tsv", ".css", ".js", ".html", ".sbatch", ".sh")
    ours = [path.relative_to(source) for path in source.rglob("*") if path.suffix in suffixes]
    uv = [bin_ / "uv", "--quiet"]
    subprocess.run(
        [*uv, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", wheels, source],
        check=True,
    )
    subprocess.run([*uv, "venv", "--python", sys.executable, tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    offline = ["--no-index", "--no-deps", "--find-links", wheels]
    subprocess.run([*uv, "pip", "install", "--python", python, *offline, "overnight"], check=True)
    program = "import importlib.metadata as m; print(*m.files('overnight'), sep='\\n')"
    listed = subprocess.run([python, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert len(ours) > 300
    inside = {f"overnight/{path}".replace("lib/entry/", "") for path in ours if path.name != "setup.py"}
    assert inside <= set(listed.splitlines())
