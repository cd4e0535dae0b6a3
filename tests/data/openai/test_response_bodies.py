"""The files that answer OpenAI batch files, held against OpenAI's own types."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data.manifest import Manifest, read_manifest
from lib.data.openai.output_files import write_openai_files
from lib.types import REFUSED

CHAT = "/v1/chat/completions"
STEPS = json.dumps(
    [
        {"token": "夜", "logprob": -0.5,
         "top_logprobs": [{"token": "夜", "logprob": -0.5}, {"token": "\ufffd", "logprob": -2.0}]},
        {"token": " a", "logprob": float("-inf"), "top_logprobs": [{"token": "b", "logprob": -0.25}]},
    ]
)  # fmt: skip


def _answer(folder: Path, url: str, rows: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """The lines of both files for a result."""
    manifest = Manifest(
        job="x", fingerprint="0123456789abcdef", identity={"data.url": url, "engine.type": "DummyConfig"}, inputs=(),
        shard_rows=8,
    )  # fmt: skip
    manifest.write(folder)
    pq.write_table(pa.table(rows), folder / "result.parquet")
    counts = write_openai_files(read_manifest(folder), folder)
    files = [folder / "openai_output.jsonl", folder / "openai_errors.jsonl"]
    outputs, errors = ([json.loads(one) for one in path.read_text("utf-8").splitlines()] for path in files)
    assert counts == (len(outputs), len(errors))
    return outputs, errors


def test_chats_are_written_as_openai_does(tmp_path: Path) -> None:
    types = pytest.importorskip("openai.types.chat")
    rows = {
        "id": ["a", "b", "c", "d", "e"],
        "model": ["m", None, "m", "m", "m"],
        "text": [["夜\n1", "2"], None, None, [""], None],
        "finish_reason": [["stop", "length"], None, None, ["length"], None],
        "new_tokens": [[3, 4], None, None, [1], None],
        "logprobs": [[None, None], None, None, [None], None],
        "tool_calls": [[None, None], None, None, [None], None],
        "tokens": [10, None, None, 2, None],
        "error": [None, "body: temperature=-1: no", "killed the worker", None, f"{REFUSED}no such token"],
    }
    outputs, errors = _answer(tmp_path, CHAT, rows)
    assert [one["custom_id"] for one in outputs] == ["a", "d"]
    assert all(
        set(one) == {"id", "custom_id", "response", "error"} and one["error"] is None for one in outputs + errors
    )
    first = types.ChatCompletion.model_validate(outputs[0]["response"]["body"], strict=True)
    assert first.object == "chat.completion"
    assert [(c.index, c.message.role, c.message.content, c.finish_reason) for c in first.choices] == [
        (0, "assistant", "夜\n1", "stop"),
        (1, "assistant", "2", "length"),
    ]
    assert first.usage is not None
    assert (first.usage.prompt_tokens, first.usage.completion_tokens, first.usage.total_tokens) == (10, 7, 17)
    assert (first.model, first.created) == ("m", int((tmp_path / "manifest.json").stat().st_mtime))
    assert [(one["custom_id"], one["response"]["status_code"]) for one in errors] == [
        ("b", 400), ("c", 500), ("e", 400),
    ]  # fmt: skip
    assert errors[0]["response"]["body"]["error"] == {
        "message": "body: temperature=-1: no", "type": "invalid_request_error", "param": None, "code": None,
    }  # fmt: skip
    assert errors[1]["response"]["body"]["error"]["type"] == "server_error"
    assert len({one["id"] for one in outputs + errors}) == 5
    assert _answer(tmp_path, CHAT, rows) == (outputs, errors)


def test_completions_embeddings_and_scores_are_written_as_their_servers_do(tmp_path: Path) -> None:
    types = pytest.importorskip("openai.types")
    common = {
        "id": ["a"],
        "model": pa.array([None], pa.string()),
        "tokens": [5],
        "error": pa.array([None], pa.string()),
    }
    folders = [tmp_path / name for name in ("completions", "embeddings", "score", "rerank")]
    for folder in folders:
        folder.mkdir()
    texts = {
        "text": [["x", "y"]], "finish_reason": [["stop", "stop"]], "new_tokens": [[1, 2]],
        "logprobs": [[STEPS, None]], "tool_calls": [[None, None]],
    }  # fmt: skip
    (output,), _ = _answer(folders[0], "/v1/completions", {**common, **texts})
    completion = types.Completion.model_validate(output["response"]["body"], strict=True)
    assert [(choice.index, choice.text) for choice in completion.choices] == [(0, "x"), (1, "y")]
    assert completion.model == "DummyConfig"  # where the body names none
    assert completion.choices[1].logprobs is None
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert (logprobs.tokens, logprobs.token_logprobs) == (["夜", " a"], [-0.5, -9999.0])
    assert logprobs.top_logprobs == [{"夜": -0.5, "\ufffd": -2.0}, {" a": -9999.0, "b": -0.25}]
    assert logprobs.text_offset == [0, 1]
    (output,), _ = _answer(folders[1], "/v1/embeddings", {**common, "vectors": [[[0.5, 1.0], [0.0, 2.0]]]})
    found = types.CreateEmbeddingResponse.model_validate(output["response"]["body"], strict=True)
    assert [(one.index, one.embedding) for one in found.data] == [(0, [0.5, 1.0]), (1, [0.0, 2.0])]
    assert (found.usage.prompt_tokens, found.usage.total_tokens) == (5, 5)
    (output,), _ = _answer(folders[2], "/v1/score", {**common, "scores": [[0.25, -1.0]]})
    body = output["response"]["body"]
    assert set(body) == {"id", "object", "created", "model", "data", "usage"}
    assert body["data"] == [
        {"index": 0, "object": "score", "score": 0.25}, {"index": 1, "object": "score", "score": -1.0},
    ]  # fmt: skip
    ranked = {"indices": [[1, 0]], "documents": [["b", "a"]], "scores": [[0.5, -1.0]]}
    (output,), _ = _answer(folders[3], "/v1/rerank", {**common, **ranked})
    body = output["response"]["body"]
    assert set(body) == {"id", "model", "results", "usage"}
    assert body["results"] == [
        {"index": 1, "document": {"text": "b"}, "relevance_score": 0.5},
        {"index": 0, "document": {"text": "a"}, "relevance_score": -1.0},
    ]


def one_choice(**cells: Any) -> dict[str, Any]:
    """A result of one row with one choice."""
    usual = {"text": "x", "finish_reason": "stop", "new_tokens": 1, "logprobs": None, "tool_calls": None, **cells}
    types = {"new_tokens": pa.int32()}
    lists = {name: pa.array([[cell]], pa.list_(types.get(name, pa.string()))) for name, cell in usual.items()}
    return {
        "id": ["a"], "model": ["m"], "tokens": [5], "error": pa.array([None], pa.string()), **lists,
    }  # fmt: skip


def test_log_probabilities_of_a_chat(tmp_path: Path) -> None:
    types = pytest.importorskip("openai.types.chat")
    (output,), _ = _answer(tmp_path, CHAT, one_choice(logprobs=STEPS))
    (choice,) = types.ChatCompletion.model_validate(output["response"]["body"], strict=True).choices
    first, second = choice.logprobs.content
    assert (first.token, first.logprob, first.bytes) == ("夜", -0.5, list("夜".encode()))
    assert [(top.token, top.logprob, top.bytes) for top in first.top_logprobs] == [
        ("夜", -0.5, list("夜".encode())),
        ("\ufffd", -2.0, None),  # bytes that are no whole character
    ]
    assert (second.logprob, second.top_logprobs[0].token) == (-9999.0, "b")


def test_calls_of_tools(tmp_path: Path) -> None:
    types = pytest.importorskip("openai.types.chat")
    calls = json.dumps([{"name": "now", "arguments": "{}"}, {"name": "now", "arguments": '{"zone": "UTC"}'}])
    (output,), _ = _answer(tmp_path, CHAT, one_choice(text="", finish_reason="tool_calls", tool_calls=calls))
    (choice,) = types.ChatCompletion.model_validate(output["response"]["body"], strict=True).choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert [(call.function.name, call.function.arguments) for call in choice.message.tool_calls] == [
        ("now", "{}"), ("now", '{"zone": "UTC"}'),
    ]  # fmt: skip
    assert len({call.id for call in choice.message.tool_calls}) == 2


@pytest.mark.parametrize(("reason", "status"), [("stop", "completed"), ("length", "incomplete")])
def test_responses(tmp_path: Path, reason: str, status: str) -> None:
    types = pytest.importorskip("openai.types.responses")
    (output,), _ = _answer(tmp_path, "/v1/responses", one_choice(finish_reason=reason, logprobs=STEPS))
    body = output["response"]["body"]
    found = types.Response.model_validate({**body, "created_at": float(body["created_at"])}, strict=True)
    assert (found.output_text, found.status) == ("x", status)
    assert (found.incomplete_details is None) is (status == "completed")
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.total_tokens) == (5, 1, 6)
    assert [step.token for step in found.output[0].content[0].logprobs] == ["夜", " a"]
