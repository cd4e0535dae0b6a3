"""Jobs on small files that went wrong once: the exit code, what is said, and what is in the result."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.running import Job

COMMON = ("data=table", "prompt=instruct", "engine=dummy", "executor=inline")


@pytest.fixture
def cases(shared: Path) -> Path:
    """The folder of small inputs that went wrong."""
    folder = shared.parent / "cases"
    if not folder.is_dir():
        pytest.skip("needs ../shared/cases, which is not part of the project")
    return folder


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        ("late_key.jsonl", (), ("row 1024", "column error")),
        ("quotes.tsv", (), ("row 1", "data.quotes=none")),
        ("twice_id.csv", (), ("is there twice",)),
        ("twice_id.parquet", (), ("is there twice",)),
        ("error_column.csv", ("++data.columns.instruction=error",), ("data.failed=null",)),
        ("utf16.csv", (), ("UTF-16",)),
        ("semicolon.csv", (), ("';'", "data.separator")),
    ],
)
def test_refused(
    cases: Path, quick_job: Job, tmp_path: Path, name: str, overrides: tuple[str, ...], said: tuple[str, ...]
) -> None:
    run = f"run.dir={tmp_path / 'run'}"
    done = quick_job("generate", *COMMON, f"data.path={cases / name}", run, *overrides, code=2)
    assert all(words in done.stderr for words in said)
    assert "defect" not in done.stderr


@pytest.mark.parametrize(
    ("name", "overrides", "rows"),
    [
        ("quotes.tsv", ("data.quotes=none",), 5),
        ("parts", (), 3),
        ("error_column.csv", ("++data.columns.instruction=error", "data.failed=null"), 2),
        ("semicolon.csv", ('data.separator=";"',), 2),
        ("string_view.parquet", ("data.carry=[note]",), 2),
        ("far_time.parquet", ("data.carry=[at]",), 2),
        ("number_slot.parquet", (), 2),
        ("late_key.jsonl", ("data.limit=5",), 5),
    ],
)
def test_read(cases: Path, quick_job: Job, tmp_path: Path, name: str, overrides: tuple[str, ...], rows: int) -> None:
    quick_job("generate", *COMMON, f"data.path={cases / name}", f"run.dir={tmp_path / 'run'}", *overrides)
    result = pq.read_table(tmp_path / "run" / "result.parquet")
    assert result.num_rows == rows
    assert result["error"].null_count == rows
    if "data.carry=[at]" in overrides:
        assert result["at"].cast(pa.int64()).to_pylist() == [1 << 62, 0]
    if "data.carry=[note]" in overrides:
        assert result["note"].to_pylist() == ["n1", None]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sums.csv", ("sums.csv, row 0 (id 1): the values do not sum to 1", "normalise=true")),
        ("partial_submission.csv", ("lacks 40 ids", "partial=true")),
    ],
)
def test_submissions_refused(cases: Path, quick_job: Job, tmp_path: Path, name: str, said: tuple[str, ...]) -> None:
    line = ("evaluate", f"submission={cases / name}", f"labels={cases / 'labels.csv'}", f"out={tmp_path}")
    done = quick_job(*line, code=2)
    assert all(words in done.stderr for words in said)
    assert not list(tmp_path.iterdir())


def test_a_part_of_a_submission_is_not_all_of_it(cases: Path, quick_job: Job, tmp_path: Path) -> None:
    files = (f"submission={cases / 'partial_submission.csv'}", f"labels={cases / 'labels.csv'}")
    done = quick_job("evaluate", *files, "partial=true", f"out={tmp_path}")
    assert "lacks 40 ids" in done.stderr
    assert "50 rows: 10 scored (coverage 20.00%), 40 failed; 50 with labels, 10 measured." in done.stdout
    assert "not in the submission" in (tmp_path / "report.html").read_text()


def test_bodies_of_a_batch_are_answered_in_openais_own_types(cases: Path, quick_job: Job, tmp_path: Path) -> None:
    types = pytest.importorskip("openai.types.chat")
    line = ("data=openai_batch", "merge.format=openai_batch", "engine=dummy", "executor=inline")
    quick_job("generate", *line, f"data.path={cases / 'batch_bodies.jsonl'}", f"run.dir={tmp_path / 'run'}")
    answered, refused = (
        [json.loads(text) for text in (tmp_path / "run" / name).read_text().splitlines()]
        for name in ("openai_output.jsonl", "openai_errors.jsonl")
    )
    assert [answer["custom_id"] for answer in answered] == [f"c{number}" for number in range(12)]
    assert not refused
    for answer in answered:
        (choice,) = types.ChatCompletion.model_validate(answer["response"]["body"], strict=True).choices
        if answer["custom_id"] == "c1":
            assert [len(step.top_logprobs) for step in choice.logprobs.content] == [3, 3, 3, 3]
        else:
            assert choice.logprobs is None


def test_a_late_error_is_recorded(cases: Path, quick_job: Job, tmp_path: Path) -> None:
    settings = ("data.on_bad_row=record", "run.max_error_rate=0.1", f"run.dir={tmp_path / 'run'}")
    quick_job("generate", *COMMON, f"data.path={cases / 'late_key.jsonl'}", *settings)
    failures = pq.read_table(tmp_path / "run" / "failures.parquet")
    assert failures.select(["row", "error"]).to_pylist() == [
        {"row": 1024, "error": "error: the first stage ran out of time"}
    ]


def test_a_flipped_bit_in_the_input_folder_ends_the_run(quick_job: Job, prompts: Path, tmp_path: Path) -> None:
    line = ("generate", *COMMON, f"data.path={prompts}", f"run.dir={tmp_path / 'run'}")
    quick_job(*line)
    for shard in (tmp_path / "run").glob("shards/*/*.parquet"):
        shard.unlink()
    (path,) = (tmp_path / "run" / "input").iterdir()
    content = bytearray(path.read_bytes())
    chunk = pq.read_metadata(path).row_group(0).column(3)  # the prompts
    content[chunk.data_page_offset + chunk.total_compressed_size - 9] ^= 4
    path.write_bytes(content)
    done = quick_job(*line, code=2)
    assert f"{path}: damaged (" in done.stderr
    assert "defect" not in done.stderr


def test_a_damaged_shard_is_done_again(quick_job: Job, prompts: Path, tmp_path: Path) -> None:
    line = ("generate", *COMMON, f"data.path={prompts}", f"run.dir={tmp_path / 'run'}")
    quick_job(*line)
    before = pq.read_table(tmp_path / "run" / "result.parquet")
    shard = min((tmp_path / "run").glob("shards/*/*.parquet"))
    content = bytearray(shard.read_bytes())
    content[-12:-8] = b"\xff" * 4  # the end of its footer
    shard.write_bytes(content)
    (tmp_path / "run" / "result.parquet").unlink()
    quick_job(*line)
    assert pq.read_table(tmp_path / "run" / "result.parquet").equals(before)
    assert pq.read_table(shard).num_rows == before.num_rows


def test_a_damaged_manifest_is_said_to_be_none(quick_job: Job, prompts: Path, tmp_path: Path) -> None:
    line = ("generate", *COMMON, f"data.path={prompts}", f"run.dir={tmp_path / 'run'}")
    quick_job(*line)
    manifest = tmp_path / "run" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"shard_rows": 8', '"shard_rows": 9'))
    assert "not a manifest" in quick_job(*line, code=2).stderr
    assert "not a manifest" in quick_job("status", f"run.dir={tmp_path / 'run'}", code=2).stderr


def test_one_bad_line_of_each_kind_in_a_batch(cases: Path, quick_job: Job, tmp_path: Path) -> None:
    path = cases / "batch_one_bad_line_each.jsonl"
    line = ["data=openai_batch", f"data.path={path}", "merge.format=openai_batch", "engine=dummy", "executor=inline"]
    quick_job("generate", *line, f"run.dir={tmp_path / 'run'}")
    outputs, errors = (
        [json.loads(line) for line in (tmp_path / "run" / f"openai_{name}.jsonl").read_text("utf-8").splitlines()]
        for name in ("output", "errors")
    )
    assert [line["custom_id"] for line in outputs] == ["c0", "c7"]
    assert [line["custom_id"] for line in errors] == [f"c{n}" for n in range(1, 7)]
    assert {line["response"]["status_code"] for line in errors} == {400}
    said = [line["response"]["body"]["error"]["message"] for line in errors]
    for message, expected in zip(
        said,
        (
            "body: temperature=",
            "turn 1 has k",
            "body: top_p=1000",
            "url: ['/v1/chat/",
            "body: nested",
            "structured_out",
        ),
        strict=True,
    ):
        assert expected in message
