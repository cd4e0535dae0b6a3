"""What a server's answers say: texts, probabilities of tokens, vectors, scores, and what they took. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.engines.endpoint.tries import Refused

Reply = Mapping[str, Any]


class BadReply(ValueError):
    """An answer of another shape than was asked for: says what is wrong with it."""


@dataclass(frozen=True)
class Counts:
    """Tokens of an answer, as the server counts them. cached: of the prompt's."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0


@dataclass(frozen=True)
class Text:
    """One sample."""

    text: str
    finish_reason: str


@dataclass(frozen=True)
class Top:
    """What a server tells of one next token: the natural-log probabilities of some, by their texts (or ids).

    lost: the probability that it leaves to others; floor: log-probability of the least likely of those it tells of.
    """

    logprobs: Mapping[str, float]
    lost: float
    floor: float


def counts(reply: Reply) -> Counts:
    """What an answer took; zero for what the server doesn't say."""
    usage = reply.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    details = details if isinstance(details, dict) else {}
    prompt = _count(usage.get("prompt_tokens"))
    cached = _count(details.get("cached_tokens")) or _count(usage.get("prompt_cache_hit_tokens"))
    return Counts(prompt or _count(usage.get("total_tokens")), _count(usage.get("completion_tokens")), cached)


def texts(reply: Reply, samples: int) -> list[Text] | Refused:
    """The samples of a request, in their order. Raises BadReply unless there are so many."""
    found = []
    for choice in _choices(reply, samples):
        message = choice.get("message")
        if isinstance(message, dict):
            if message.get("refusal"):
                return Refused(f"the model refuses: {' '.join(str(message['refusal']).split())[:300]}")
            content = message.get("content")
        else:
            content = choice.get("text")
        reason = choice.get("finish_reason")
        if reason == "content_filter":
            return Refused("the server's content filter has stopped the answer (finish_reason=content_filter)")
        if reason not in ("stop", "length"):
            raise BadReply(f"it ends with finish_reason={reason!r}, not with stop or length")
        if not isinstance(content, str | None):
            raise BadReply(f"its text is a {type(content).__name__}")
        found.append(Text(content or "", reason))
    return found


def top(reply: Reply) -> Top | Refused:
    """The tokens that the first of an answer could have been. Raises BadReply where the answer doesn't tell."""
    (choice,) = _choices(reply, 1)
    if choice.get("finish_reason") == "content_filter":
        return Refused("the server's content filter has stopped the answer (finish_reason=content_filter)")
    told = choice.get("logprobs")
    told = told if isinstance(told, dict) else {}
    logprobs: dict[str, float] = {}
    try:
        if "content" in told:  # of a chat
            first = told["content"][0]
            pairs = [(each["token"], each["logprob"]) for each in first["top_logprobs"]]
            if first["token"] not in {token for token, _ in pairs}:  # it may be drawn from beyond those
                pairs.append((first["token"], first["logprob"]))
        else:
            pairs = list(told["top_logprobs"][0].items())
        for token, value in pairs:
            value = float(value)
            if not value <= 1e-3:  # rounding; NaN, too
                raise BadReply(f"the log-probability of {token!r} is {value}")
            logprobs[str(token)] = float(np.logaddexp(logprobs.get(str(token), -math.inf), min(value, 0.0)))
    except BadReply:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise BadReply(f"it has no log-probabilities of a next token ({type(error).__name__}: {error})") from error
    if not logprobs:
        raise BadReply("it has no log-probabilities of a next token")
    mass = math.fsum(map(math.exp, logprobs.values()))
    return Top(logprobs, max(1.0 - mass, 0.0), min(logprobs.values()))


def vector(reply: Reply, width: int) -> npt.NDArray[np.float32]:
    """The vector of a text, of length one. Raises BadReply where it isn't one of `width` finite numbers."""
    try:
        (found,) = reply["data"]
        values = np.asarray(found["embedding"], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise BadReply(f"it has no vector ({type(error).__name__}: {error})") from error
    length = float(np.linalg.norm(values))
    if values.shape != (width,) or not 0 < length < math.inf:
        raise BadReply(f"its vector has the shape {values.shape} and the length {length:g}; engine.width={width}")
    return (values / length).astype(np.float32)


def score(reply: Reply) -> float:
    """The score of a pair. Raises BadReply where there isn't one finite number."""
    try:
        (found,) = reply["data"] if "data" in reply else reply["results"]
        value = float(found["score"] if "score" in found else found["relevance_score"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadReply(f"it has no score ({type(error).__name__}: {error})") from error
    if not math.isfinite(value):
        raise BadReply(f"its score is {value}")
    return value


def _choices(reply: Reply, samples: int) -> Sequence[Mapping[str, Any]]:
    choices = reply.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        said = f", but an error: {str(reply['error'])[:200]}" if "error" in reply else ""
        raise BadReply(f"it has no choices{said}")
    numbers = [choice.get("index", place) for place, choice in enumerate(choices)]
    if sorted(numbers, key=str) != sorted(range(samples), key=str):
        raise BadReply(f"it has the choices {numbers}, where {samples} were asked for")
    return [choice for _, choice in sorted(zip(numbers, choices, strict=True), key=lambda pair: int(pair[0]))]


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
