"""The bodies of requests for vectors and scores: OpenAI's /v1/embeddings, vLLM's /v1/score and /v1/rerank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lib.tasks.openai.body_keys import Keys, short


@dataclass(frozen=True, kw_only=True)
class EmbeddingRequest:
    """Texts to be embedded. dimensions: the first of a vector's values only; None for all."""

    texts: Sequence[str]
    dimensions: int | None


def read_embedding(given: Mapping[str, Any]) -> EmbeddingRequest:
    """A body of /v1/embeddings."""
    keys = Keys(given)
    texts = keys.texts("input")
    if not texts or "" in texts:
        raise ValueError("input: must be a text or a list of texts, none of them empty")
    dimensions = keys.whole("dimensions", None)
    if dimensions is not None and dimensions < 1:
        raise ValueError(f"dimensions={dimensions}: must be at least 1")
    if (form := keys.take("encoding_format", str, "a text", "float")) != "float":
        raise ValueError(f"encoding_format={short(form)}: vectors are written as numbers; use float, or leave it out")
    keys.finish()
    return EmbeddingRequest(texts=texts, dimensions=dimensions)


def read_score(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The pairs of a body of vLLM's /v1/score: one text against one or several, or as many against as many."""
    keys = Keys(given)
    names = next((pair for pair in (("text_1", "text_2"), ("queries", "documents")) if pair[0] in given), None)
    if names is None:
        raise ValueError("needs text_1 and text_2, or queries and documents")
    first, second = (keys.texts(name) for name in names)
    if not first or not second:
        raise ValueError(f"needs both {names[0]} and {names[1]}, each a text or a list of texts")
    _finish(keys)
    if len(first) == 1:
        first = first * len(second)
    if len(first) != len(second):
        raise ValueError(f"{names[0]} has {len(first)} texts, {names[1]} {len(second)}: must be 1 to n, or n to n")
    return list(zip(first, second, strict=True))


@dataclass(frozen=True, kw_only=True)
class RerankRequest:
    """Documents to be ranked by how well they answer a query. most: that are told, None for all."""

    query: str
    documents: Sequence[str]
    most: int | None


def read_rerank(given: Mapping[str, Any]) -> RerankRequest:
    """A body of vLLM's /v1/rerank."""
    keys = Keys(given)
    query = keys.take("query", str, "a text")
    documents = keys.texts("documents")
    if query is None or not documents:
        raise ValueError("needs query, a text, and documents, a list of texts")
    most = keys.whole_within("top_n", 0, 2**31) or None  # 0 is vLLM's way to say all
    _finish(keys)
    return RerankRequest(query=query, documents=documents, most=most)


def _finish(keys: Keys) -> None:
    if keys.switch("use_activation"):
        raise ValueError("use_activation=true: scores are the model's output as it is; leave it out")
    keys.finish()
