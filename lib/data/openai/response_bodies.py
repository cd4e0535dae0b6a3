"""The bodies of responses, as OpenAI's API reference and vLLM's server have them, from rows of results."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

_LEAST = -9999.0  # of a log-probability, as with OpenAI and vLLM: JSON has no infinity
_PART = "\ufffd"  # what stands for bytes that are no whole character

Row = Mapping[str, Any]


def _chat(row: Row, key: str, about: Row, system: str) -> dict[str, Any]:
    choices = [
        {
            "index": index,
            "message": _message(text, calls, f"{key}_{index}"),
            "logprobs": logprobs and {"content": _steps(json.loads(logprobs)), "refusal": None},
            "finish_reason": reason,
        }
        for index, (text, reason, logprobs, calls) in enumerate(_choices(row))
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
        for index, (text, reason, logprobs, _) in enumerate(_choices(row))
    ]
    head = {"id": f"cmpl-{key}", "object": "text_completion", **about}
    return {**head, "choices": choices, "usage": _usage(row), "system_fingerprint": system}


def _response(row: Row, key: str, about: Row, system: str) -> dict[str, Any]:
    ((text, reason, logprobs, _),) = _choices(row)
    cut = reason == "length"
    status = "incomplete" if cut else "completed"
    steps = _steps(json.loads(logprobs), unknown=[]) if logprobs else []  # here bytes may not be null
    content = {"type": "output_text", "text": text, "annotations": [], "logprobs": steps}
    usage = _usage(row)
    return {
        "id": f"resp_{key}",
        "object": "response",
        "created_at": about["created"],
        "model": about["model"],
        "status": status,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "error": None,
        "output": [
            {"id": f"msg_{key}", "type": "message", "role": "assistant", "status": status, "content": [content]}
        ],
        "tools": [],
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
    }


def _choices(row: Row) -> Iterator[tuple[str, str, str | None, str | None]]:
    """Text, reason of its end, log-probabilities and calls of tools of each choice."""
    return zip(row["text"], row["finish_reason"], row["logprobs"], row["tool_calls"], strict=True)


def _message(text: str, calls: str | None, key: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    if calls is None:
        return message
    called = [
        {"id": f"call_{key}_{number}", "type": "function", "function": function}
        for number, function in enumerate(json.loads(calls))
    ]
    return {**message, "content": text or None, "tool_calls": called}


def _steps(told: Sequence[Row], unknown: list[int] | None = None) -> list[dict[str, Any]]:
    """Log-probabilities as a chat has them. bytes: of the token's text; `unknown` where it is a part of a character."""
    return [
        {
            "token": one["token"],
            "logprob": max(one["logprob"], _LEAST),
            "bytes": unknown if _PART in one["token"] else list(one["token"].encode()),
            **({"top_logprobs": _steps(one["top_logprobs"], unknown)} if "top_logprobs" in one else {}),
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


BODIES: Mapping[str, Callable[[Row, str, Row, str], dict[str, Any]]] = {
    "/v1/chat/completions": _chat,
    "/v1/completions": _completion,
    "/v1/responses": _response,
    "/v1/embeddings": _embeddings,
    "/v1/score": _scores,
    "/v1/rerank": _rerank,
}
"""The body that answers a request to a url: (row, key of the request, created and model, fingerprint of the system)."""
