"""The files that answer an OpenAI batch file: its outputs and its errors, in the order of the input.

Both hold lines {"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error": null}, as OpenAI's files
do: also a failed request has a response, whose body says {"error": {"message", "type", "param", "code"}}. Ids follow
from the run's fingerprint and the custom_id (of a line without one: its place), so that the same run gives the same
files. The custom_id of a line that can't be read is null.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from typing import Any

from lib.data.atomic import atomic_path
from lib.data.manifest import Manifest
from lib.data.parquet import batches
from lib.data.rows.openai_batch import BODY, CUSTOM_ID, METHOD, URL
from lib.data.run_folder import MANIFEST, OPENAI_ERRORS, OPENAI_OUTPUT, RESULT

_BLOCK_ROWS = 1024
_LEAST = -9999.0  # of a log-probability, as with OpenAI and vLLM: JSON has no infinity
_PART = "\ufffd"  # what stands for bytes that are no whole character

Row = Mapping[str, Any]


def is_batch(manifest: Manifest) -> bool:
    """Whether a run answers an OpenAI batch file."""
    return manifest.identity.get("data.url") in _BODIES


def write_openai_files(manifest: Manifest, folder: Path) -> tuple[int, int]:
    """Write `openai_output.jsonl` and `openai_errors.jsonl` from `result.parquet`; returns the lines of both.

    The run must be of an OpenAI batch file (`is_batch`), and merged. `created` is when it was planned.
    """
    write_body = _BODIES[manifest.identity["data.url"]]
    created = int((folder / MANIFEST).stat().st_mtime)
    engine = manifest.identity.get("engine.model") or manifest.identity["engine.type"]
    counts = [0, 0]
    with (
        atomic_path(folder / OPENAI_OUTPUT) as output_path,
        atomic_path(folder / OPENAI_ERRORS) as errors_path,
        output_path.open("w", encoding="utf-8") as output,
        errors_path.open("w", encoding="utf-8") as errors,
    ):
        for batch in batches(folder / RESULT, _BLOCK_ROWS):
            for row in batch.to_pylist():
                failed = row["error"] is not None
                key = _hash(manifest.fingerprint, row["id"] or f"row {row['row']} of {row['file']}")
                if failed:
                    status, body = _error(row["error"])
                else:
                    about = {"created": created, "model": row["model"] or engine}
                    status, body = 200, write_body(row, key, about, f"fp_{manifest.fingerprint[:10]}")
                line = {
                    "id": f"batch_req_{key}",
                    "custom_id": row["id"],
                    "response": {"status_code": status, "request_id": f"req_{key}", "body": body},
                    "error": None,
                }
                (errors if failed else output).write(json.dumps(line, ensure_ascii=False) + "\n")
                counts[failed] += 1
    return counts[0], counts[1]


def _hash(fingerprint: str, name: str) -> str:
    return blake2b(f"{fingerprint}:{name}".encode(), digest_size=12).hexdigest()


def _error(reason: str) -> tuple[int, dict[str, Any]]:
    """Status and body of a failed request: 400 where it is the request's own fault, else 500."""
    own_fault = reason.startswith(("line ", *(f"{key}: " for key in (CUSTOM_ID, METHOD, URL, BODY))))
    status, name = (400, "invalid_request_error") if own_fault else (500, "server_error")
    return status, {"error": {"message": reason, "type": name, "param": None, "code": None}}


def _chat(row: Row, key: str, about: Row, system: str) -> dict[str, Any]:
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": logprobs and {"content": _steps(json.loads(logprobs)), "refusal": None},
            "finish_reason": reason,
        }
        for index, (text, reason, logprobs) in enumerate(_choices(row))
    ]
    head = {"id": f"chatcmpl-{key}", "object": "chat.completion", **about}
    return {**head, "choices": choices, "usage": _usage(row), "system_fingerprint": system}


def _completion(row: Row, key: str, about: Row, system: str) -> dict[str, Any]:
    choices = [
        {
            "index": index,
            "text": text,
            "logprobs": logprobs and _columns(json.loads(logprobs)),
            "finish_reason": reason,
        }
        for index, (text, reason, logprobs) in enumerate(_choices(row))
    ]
    head = {"id": f"cmpl-{key}", "object": "text_completion", **about}
    return {**head, "choices": choices, "usage": _usage(row), "system_fingerprint": system}


def _choices(row: Row) -> Iterator[tuple[str, str, str | None]]:
    """Text, reason of its end and log-probabilities of each choice."""
    return zip(row["text"], row["finish_reason"], row["logprobs"], strict=True)


def _steps(told: Sequence[Row]) -> list[dict[str, Any]]:
    """Log-probabilities as a chat has them. bytes: of the token's text; null where it is a part of a character."""
    return [
        {
            "token": one["token"],
            "logprob": max(one["logprob"], _LEAST),
            "bytes": None if _PART in one["token"] else list(one["token"].encode()),
            **({"top_logprobs": _steps(one["top_logprobs"])} if "top_logprobs" in one else {}),
        }
        for one in told
    ]


def _columns(told: Sequence[Row]) -> dict[str, Any]:
    """Log-probabilities as a completion has them: the token that was taken is among the likeliest, whatever it is."""
    tokens = [one["token"] for one in told]
    return {
        "tokens": tokens,
        "token_logprobs": [max(one["logprob"], _LEAST) for one in told],
        "top_logprobs": [
            {token["token"]: max(token["logprob"], _LEAST) for token in (one, *one["top_logprobs"])} for one in told
        ],
        "text_offset": list(accumulate(map(len, tokens[:-1]), initial=0)) if tokens else [],
    }


def _embeddings(row: Row, key: str, about: Row, system: str) -> dict[str, Any]:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(row["vectors"])]
    return {"object": "list", "data": data, "model": about["model"], "usage": _usage(row)}


def _scores(row: Row, key: str, about: Row, system: str) -> dict[str, Any]:
    data = [{"index": index, "object": "score", "score": score} for index, score in enumerate(row["scores"])]
    return {"id": f"score-{key}", "object": "list", **about, "data": data, "usage": _usage(row)}


def _rerank(row: Row, key: str, about: Row, system: str) -> dict[str, Any]:
    found = zip(row["indices"], row["documents"], row["scores"], strict=True)
    results = [{"index": index, "document": {"text": text}, "relevance_score": score} for index, text, score in found]
    return {"id": f"rerank-{key}", "model": about["model"], "results": results, "usage": _usage(row)}


def _usage(row: Row) -> dict[str, int]:
    """Tokens; of a prompt with several samples once."""
    if "new_tokens" not in row:
        return {"prompt_tokens": row["tokens"], "total_tokens": row["tokens"]}
    new = sum(row["new_tokens"])
    return {"prompt_tokens": row["tokens"], "completion_tokens": new, "total_tokens": row["tokens"] + new}


_BODIES: Mapping[str, Callable[[Row, str, Row, str], dict[str, Any]]] = {
    "/v1/chat/completions": _chat,
    "/v1/completions": _completion,
    "/v1/embeddings": _embeddings,
    "/v1/score": _scores,
    "/v1/rerank": _rerank,
}
