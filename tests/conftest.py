"""What tests share: the real data, and jobs run as a user runs them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"

Job = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data."""
    if not SHARED.is_dir():
        pytest.skip("needs the real data in ../shared/data, which is not part of the project")
    return SHARED


@pytest.fixture(scope="session")
def job() -> Job:
    """Run `python -m jobs.<name> <overrides>` from the root, as a user does."""

    def run(name: str, *overrides: str, code: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", f"jobs.{name}", *overrides],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        if code is not None:
            assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture
def battles(tmp_path: Path) -> Callable[..., Path]:
    """Make a Kaggle-like CSV of `rows` small battles; `texts` puts a prompt of one's own at a row."""

    def make(rows: int, texts: dict[int, str] | None = None, name: str = "battles.csv") -> Path:
        import csv

        path = tmp_path / name
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            columns = ["id", "prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie"]
            writer.writerow(columns)
            for row in range(rows):
                prompt = (texts or {}).get(row, f"Question number {row}?")
                cells = [json.dumps([text]) for text in (prompt, f"answer {row}", f"another answer {row * 7}")]
                writer.writerow([1000 + row, *cells, *(int(row % 3 == label) for label in range(3))])
        return path

    return make


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real local Ray cluster with two logical GPUs, at the address that is yielded, started in another folder."""
    import ray

    here = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("cluster"))
    context = ray.init(address="local", num_cpus=4, num_gpus=2, include_dashboard=False, object_store_memory=256 << 20)
    os.chdir(here)
    yield context.address_info["gcs_address"]
    ray.shutdown()
