"""Reading OpenAI batch files."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lib.data.image_files import contents_hash
from lib.data.manifest import Manifest
from lib.data.openai.output_files import is_batch
from lib.data.reading.input_file import read_rows
from lib.data.reading.intake import take_in
from lib.data.rows.base import OnBadRow
from lib.data.rows.openai_batch import OpenAiBatchConfig, batch_url, open_batch
from lib.errors import ConfigError, InputError
from tests.pictures import data_url, picture

CHAT = "/v1/chat/completions"


def only_small(body: Mapping[str, Any]) -> None:
    if body.get("size", 0) > 1:
        raise ValueError("too large")


def line(custom_id: Any, body: Any, url: Any = CHAT, method: Any = "POST") -> dict[str, Any]:
    return {"custom_id": custom_id, "method": method, "url": url, "body": body}


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return path


def load(folder: Path, lines: list[Any], **values: Any) -> pa.Table:
    config = OpenAiBatchConfig(path=str(write(folder / "batch.jsonl", lines)), **values)
    rows = open_batch(config, batch_url(config, "generate"), only_small)
    return pa.concat_tables(read_rows(file, folder, 0, file.rows, rows) for file in take_in(rows, folder).inputs)


def test_a_request_that_cannot_be_used_is_a_row_with_its_reason(tmp_path: Path) -> None:
    good = {"model": "m", "text": "夜 \ud83d!", "size": 1}
    table = load(
        tmp_path,
        [
            line("a", good),
            line("b", {"model": "n", "size": 2}),
            line("c", None),
            line("d", [1]),
            line("e", {}, method="GET"),
        ],
    )
    assert table["id"].to_pylist() == ["a", "b", "c", "d", "e"]
    assert table["model"].to_pylist() == ["m", "n", None, None, None]
    assert json.loads(table["body"][0].as_py()) == {**good, "text": "夜 \N{REPLACEMENT CHARACTER}!"}
    assert table["error"].to_pylist() == [
        None,
        "body: too large",
        "body: there is none",
        "body: a list, not an object",
        "method: 'GET'; it must be POST",
    ]


def test_bad_requests_can_be_refused_altogether(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"row 1, column body: too large"):
        load(tmp_path, [line("a", {}), line("b", {"size": 2})], on_bad_row=OnBadRow.fail)


def test_images_in_files_are_put_into_bodies(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(picture(1))
    (tmp_path / "outside.png").write_bytes(picture(1))

    def body(url: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": ["?", {"type": "image_url", "image_url": {"url": url}}]}]}

    response = {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "a.png"}]}]}
    lines = [body("a.png"), body(data_url(picture(1))), response, body("../outside.png"), {"input": "a.png"}]
    requests = [line(f"r{n}", {**one, "model": "m"}) for n, one in enumerate(lines)]
    table = load(tmp_path, requests, image_root=str(tmp_path / "photos"))
    bodies = [json.loads(text) if text else None for text in table["body"].to_pylist()]
    assert bodies[0] == bodies[1] == {**body(data_url(picture(1))), "model": "m"}
    assert bodies[2]["input"][0]["content"][0]["image_url"] == data_url(picture(1))
    assert bodies[4] == {"input": "a.png", "model": "m"}
    assert table["error"].to_pylist()[:3] == [None] * 3
    assert table["error"][3].as_py().startswith("body: image ../outside.png: lies outside of")
    assert load(tmp_path, requests)["body"].to_pylist()[0] == json.dumps({**body("a.png"), "model": "m"})


def test_what_files_hold_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(1))
    part = {"type": "image_url", "image_url": {"url": "a.png"}}
    missing = {"type": "image_url", "image_url": {"url": "b.png"}}
    path = write(tmp_path / "b.jsonl", [line("a", {"messages": [{"role": "user", "content": [part, missing]}]})])

    def found() -> str:
        config = OpenAiBatchConfig(path=str(path), image_root=str(tmp_path))
        return contents_hash(open_batch(config, CHAT, only_small).shown_files())

    before = found()
    assert found() == before
    (tmp_path / "unnamed.png").write_bytes(picture(1))
    assert found() == before
    (tmp_path / "a.png").write_bytes(picture(2))
    changed = found()
    assert changed != before
    (tmp_path / "b.png").write_bytes(picture(2))
    assert found() not in (before, changed)


def test_a_folder_of_images_must_be_there_and_have_an_effect(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.image_root=.*none: no such folder"):
        OpenAiBatchConfig(path="x", image_root=str(tmp_path / "none"))
    config = OpenAiBatchConfig(path="x", image_root=str(tmp_path))
    with pytest.raises(ConfigError, match=r"data.image_root=.*: has no effect on requests to /v1/embeddings"):
        open_batch(config, "/v1/embeddings", only_small)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [line("a", {}), line("b", {}), line("a", {})],
            r"custom_ids are there more than once .*'a' \(.* row 0, .* row 2\)",
        ),
        ([line("a", {}, url="/v1/images")], "the first of which is '/v1/images'; known are /v1/chat"),
        ([line("a", {}, url="/v1/embeddings")], r"by jobs\.embed, not by jobs\.generate"),
        ([line("a", {}, url="/v1/score")], r"by jobs\.rerank, not by jobs\.generate"),
        ([line("a", {}, url=[CHAT])], r"no job answers the url of any line, the first of which is \['/v1/chat"),
        ([{"custom_id": "a", "url": CHAT}], "no line has the key method, body"),
        ([{"text": "a"}], "the lines have no url, so this is no OpenAI batch file"),
    ],
)
def test_a_file_that_cannot_be_matched_is_refused(lines: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load(tmp_path, lines)


def test_malformed_json_and_other_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps(line("a", {})) + "\n{'b'}\n")
    config = OpenAiBatchConfig(path=str(tmp_path / "x.jsonl"), on_bad_row=OnBadRow.fail)
    with pytest.raises(InputError, match=r"x\.jsonl, row 1, line 2: malformed JSON"):
        take_in(open_batch(config, batch_url(config, "generate"), only_small), tmp_path)
    (tmp_path / "x.csv").write_text("custom_id,url\na,b\n")
    with pytest.raises(InputError, match=r"x\.csv: OpenAI batch files are JSONL"):
        batch_url(OpenAiBatchConfig(path=str(tmp_path / "x.csv")), "generate")


def test_many_requests_are_checked_wherever_they_stand(tmp_path: Path) -> None:
    lines = [line(f"r{n}", {"size": 2 if n == 999 else 1}) for n in range(1000)]
    assert load(tmp_path, lines)["error"].null_count == 999
    lines = [*lines[:700], line("x", {}, url="/v1/score"), *lines[700:]]
    assert load(tmp_path, lines)["error"][700].as_py().startswith(f"url: '/v1/score', but this batch's is {CHAT}")
    with pytest.raises(InputError, match="row 700, column url: '/v1/score'"):
        load(tmp_path, lines, on_bad_row=OnBadRow.fail)


def test_no_line_ends_a_run(tmp_path: Path) -> None:
    """Whatever a line is, it is one row with its own error; those around it are read."""
    deep = json.dumps(line("deep", {"x": 0})).replace("0", "[" * 960 + "]" * 960)
    bad = {
        json.dumps(line("other", {}, url="/v1/embeddings")): f"url: '/v1/embeddings', but this batch's is {CHAT}",
        "{'b'}": "line 2: malformed JSON",
        "[1, 2]": "line 3: not a JSON object",
        '"text"': "line 4: not a JSON object",
        "[" * 100_000: "line 5: malformed JSON (maximum recursion depth",
        '{"custom_id": ' + "1" * 5000 + "}": "line 6: malformed JSON (Exceeds the limit",
        '{"custom_id": "x", "url": 1, "url": 2}': "line 7: malformed JSON (key 'url' is there twice)",
        '{"custom_id": "\udcff"}': "line 8: not UTF-8",
        deep: "body: nested more than 500 levels deep",
        json.dumps(line("nan", {"x": float("nan")})): "body: Out of range float values are not JSON compliant",
        json.dumps(line("list", {}, url=[CHAT])): f"url: ['{CHAT}'] (known are /v1/chat",
        json.dumps(line("half", {}, url="x\ud83d")): r"url: 'x\ud83d' (known are",
        json.dumps(line("none", {}, url=None)): "url: there is none (known are",
        json.dumps(line("get", {}, method=["POST"])): "method: ['POST']; it must be POST",
        json.dumps(line(7, {})): "custom_id: null (or an empty cell), where other rows have one",
        json.dumps(line(None, {})): "custom_id: null",
    }
    content = "\n".join([*bad, json.dumps(line("good", {}))])
    path = tmp_path / "bad.jsonl"
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    config = OpenAiBatchConfig(path=str(path))
    rows = open_batch(config, batch_url(config, "generate"), only_small)
    (file,) = take_in(rows, tmp_path).inputs
    table = read_rows(file, tmp_path, 0, file.rows, rows)
    *errors, last = table["error"].to_pylist()
    assert last is None
    for said, expected in zip(errors, bad.values(), strict=True):
        assert said.startswith(expected), (said, expected)
    ids = [key for key in table["id"].to_pylist() if key]
    assert ids == ["other", "deep", "nan", "list", "half", "none", "get", "good"]
    with pytest.raises(InputError, match=f"rows that can't be used: {len(bad) - 2};"):
        take_in(replace(rows, on_bad_row=OnBadRow.fail), tmp_path)


def test_a_result_keeps_what_the_files_need_and_other_runs_are_told_apart(tmp_path: Path) -> None:
    config = OpenAiBatchConfig(path=str(write(tmp_path / "x.jsonl", [line("a", {})])))
    assert open_batch(config, CHAT, only_small).carried == ("file", "row", "id", "model")
    other = Manifest(job="generate", fingerprint="f", identity={"data.id": "id"}, inputs=(), shard_rows=8)
    assert not is_batch(other)
