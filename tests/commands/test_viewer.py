"""The viewer in a real browser: it opens, filters, shows Japanese, and runs nothing that stands in data."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.report.viewer.small_runs import JAPANESE, battles, write_run

CHROMIUM = shutil.which("chromium")
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--virtual-time-budget=3000", "--dump-dom",
]  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium in PATH: apt-get install chromium")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("viewed") / "run", *battles(), job="judge")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    line = [sys.executable, "-m", "jobs.view", f"run.dir={folder}", "view.port=0"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


def dom(url: str, profile: Path) -> str:
    line = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={profile}", url]
    return subprocess.run(line, capture_output=True, text=True, check=True, timeout=120).stdout


def test_it_opens_filters_and_shows_japanese(address: str, tmp_path: Path) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
    listed = dom(f"{address}?wrong=1", tmp_path)
    assert re.findall(r'<tr data-row="(\d+)"', listed) == ["0", "3", "6", "9"]
    assert JAPANESE in dom(f"{address}?row=2", tmp_path)


def test_a_script_in_data_does_not_run(address: str, tmp_path: Path) -> None:
    for query in ("", "?row=3"):
        found = dom(address + query, tmp_path)
        assert "document.title='owned'" in found  # as text
        assert "<title>owned" not in found
        assert "<img" not in found


def test_a_bundle_opens_from_the_disk(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pages"
    line = [sys.executable, "-m", "jobs.view", f"run.dir={folder}", f"view.export={out}"]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
    listed = dom(f"file://{out}/index.html#wrong=1", tmp_path)
    assert re.findall(r'<tr data-row="(\d+)"[^>]*hidden', listed) == [str(n) for n in range(12) if n % 3]
    row = dom(f"file://{out}/rows/3.html#wrong=1", tmp_path)
    assert 'rel="prev" href="0.html#wrong=1"' in row
    assert 'rel="next" href="6.html#wrong=1"' in row
    assert "<title>owned" not in row
