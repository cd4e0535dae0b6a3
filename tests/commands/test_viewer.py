"""The viewer in a real browser: it opens, filters, obeys keys, shows Japanese, and runs nothing that stands in data."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Page, browser
from tests.conftest import ROOT
from tests.programs import program
from tests.report.viewer.small_runs import EVIL, JAPANESE, battles, write_run

SHOWN = "[...document.querySelectorAll('.list tbody tr:not([hidden])')].map(line => line.dataset.row).join(' ')"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(program("chromium"), tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("viewed") / "run", *battles(120), job="judge")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    line = [sys.executable, "-m", "jobs.view", f"run.dir={folder}", "view.port=0"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


@pytest.fixture(scope="module")
def pages(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same as files: the address of their folder."""
    out = tmp_path_factory.mktemp("exported") / "pages"
    line = [sys.executable, "-m", "jobs.view", f"run.dir={folder}", f"view.export={out}"]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
    return out.as_uri() + "/"


def shows_row(page: Page, n: int) -> None:
    page.until(f"document.body.dataset.row === '{n}' && document.readyState === 'complete'")
    assert page.run("document.querySelector('h1').textContent") == f"id{n}"


def shows_rows(page: Page, *numbers: int) -> None:
    page.until(f"document.readyState === 'complete' && {SHOWN} === '{' '.join(map(str, numbers))}'")


def test_it_opens_filters_and_shows_japanese(address: str, page: Page) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
    page.open(address)
    shows_rows(page, *range(50))
    page.click("input[name=wrong]")
    page.click("input[name=flipped]")
    page.click("form button")
    shows_rows(page, *range(0, 120, 12))
    page.open(f"{address}?row=2")
    assert JAPANESE in page.run("document.body.innerText")


@pytest.mark.parametrize("place", ["server", "files"])
def test_a_script_in_data_does_not_run(place: str, address: str, pages: str, page: Page) -> None:
    for url in (address, f"{address}?row=3") if place == "server" else (f"{pages}index.html", f"{pages}rows/3.html"):
        page.open(url)
        assert EVIL in page.run("document.body.textContent")
        assert page.run("document.title") != "owned"
        assert page.run("document.images.length") == 0


def test_keys_go_through_the_rows_of_a_filter(address: str, page: Page) -> None:
    page.open(f"{address}?wrong=1")
    page.press("j")
    shows_row(page, 0)
    for key, n in (("j", 3), ("ArrowRight", 6), ("k", 3), ("ArrowLeft", 0), ("k", 0), ("j", 3)):
        page.press(key)
        shows_row(page, n)
    page.press("u")
    shows_rows(page, *range(0, 120, 3))
    page.open(f"{address}?wrong=1&row=3")
    page.press("Escape")
    shows_rows(page, *range(0, 120, 3))


def test_keys_turn_pages_and_search(address: str, page: Page) -> None:
    page.open(address)
    page.press("ArrowRight")
    shows_rows(page, *range(50, 100))
    page.press("ArrowLeft")
    shows_rows(page, *range(50))
    page.press("/")
    page.type("question 11")
    assert page.run("document.querySelector('input[type=search]').value") == "question 11"  # without the key itself
    page.press("j")  # a letter, in a field
    assert page.run("document.querySelector('input[type=search]').value") == "question 11j"
    page.open(f"{address}?words=question+11")
    shows_rows(page, 11, *range(110, 120))


def test_files_from_the_disk_filter_as_the_server_does(pages: str, page: Page) -> None:
    page.open(f"{pages}index.html")
    shows_rows(page, *range(50))
    page.press("ArrowRight")
    shows_rows(page, *range(50, 100))
    page.click("input[name=wrong]")
    page.click("input[name=flipped]")
    shows_rows(page, *range(0, 120, 12))
    assert page.run("document.getElementById('place').textContent") == "10 rows, page 1 of 1"
    page.click("input[name=up]")
    shows_rows(page, *range(108, -1, -12))
    page.click("input[name=up]")
    page.press("/")
    page.type("QUESTION 12")
    shows_rows(page, 12)
    page.press("Escape")  # leaves the field
    page.open(f"{pages}index.html#wrong=1")
    page.press("j")
    shows_row(page, 0)
    assert page.run("document.querySelector('a[rel=prev]').hidden") is True
    for key, n in (("j", 3), ("j", 6), ("k", 3)):
        page.press(key)
        shows_row(page, n)
    assert page.run("document.getElementById('place').textContent") == "2 of 40"
    page.press("u")
    shows_rows(page, *range(0, 120, 3))
    assert page.run("document.querySelector('input[name=wrong]').checked") is True


def test_an_address_of_files_leads_to_what_it_means_or_says_that_it_means_nothing(pages: str, page: Page) -> None:
    page.open(f"{pages}index.html#page=-1")
    shows_rows(page, *range(50))
    page.open(f"{pages}index.html#page=99")
    shows_rows(page, *range(100, 120))
    for given, said in (
        ("wrnog=1", "wrnog: no such filter here"),
        ("is.nothing=1", "is.nothing: no such filter here"),
        ("order=nope", "order=nope: no such order here"),
        ("wrong=1&row=120", "row 120 is not in this folder"),
    ):
        page.open(f"{pages}index.html#{given}")
        page.until(f"document.getElementById('place').textContent === '{said}'")
        shows_rows(page)
    page.run(f"location.href = '{pages}index.html#wrong=1&row=3'")
    shows_row(page, 3)
    assert page.run("document.querySelector('a[rel=next]').getAttribute('href')") == "6.html#wrong=1"
