import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib.data.atomic import write_new_text
from lib.errors import ConfigError
from lib.pipeline.array import ArrayConfig
from tests.conftest import Job


@pytest.mark.parametrize("element", ["", "1", "4/4", "5/4", "0/0", "-1/4", "1/4/2", "a/b"])
def test_an_element_is_a_number_of_a_count(element: str) -> None:
    with pytest.raises(ConfigError, match=r"array\.element="):
        ArrayConfig(element=element)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_elements_share_the_shards_out(count: int) -> None:
    elements = [ArrayConfig(element=f"{n}/{count}") for n in range(count)]
    owners = [[element.element for element in elements if element.has(number)] for number in range(10)]
    assert owners == [[f"{number % count}/{count}"] for number in range(10)]
    assert all(ArrayConfig().has(number) for number in range(10))
    assert [element.file("log.txt") for element in elements] == [f"log-{n}of{count}.txt" for n in range(count)]
    assert ArrayConfig().file("log.txt") == "log.txt"


def test_the_first_writer_wins(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        wins = list(pool.map(lambda n: write_new_text(tmp_path / "file", str(n)), range(50)))
    assert wins.count(True) == 1
    assert (tmp_path / "file").read_text() == str(wins.index(True))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_elements_work_at_the_same_time_and_leave_the_merge_to_others(
    job: Job, quick_job: Job, battles: Callable[..., Path], tmp_path: Path
) -> None:
    line = ["data=arena", f"data.path={battles(40)}", "engine=dummy", "executor=inline", "run.shard_rows=3"]
    quick_job("judge", *line, f"run.dir={tmp_path / 'whole'}")
    run = tmp_path / "elements"
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: job("judge", *line, f"run.dir={run}", f"array.element={n}/3"), range(3)))
    assert not (run / "result.parquet").exists()
    assert len(list((run / "input").iterdir())) == 1
    assert not list(run.rglob("*.tmp"))
    rows = [json.loads((run / f"progress-{n}of3.json").read_text())["rows"] for n in range(3)]
    assert sum(rows) == 40
    quick_job("merge", f"run.dir={run}")
    assert (run / "submission.csv").read_bytes() == (tmp_path / "whole" / "submission.csv").read_bytes()
    elements, whole = (json.loads((folder / "metrics.json").read_text()) for folder in (run, tmp_path / "whole"))
    assert elements.pop("engine")["tokens"] == whole.pop("engine")["tokens"]
    assert elements == whole
