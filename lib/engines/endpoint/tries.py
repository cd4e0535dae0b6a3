"""What a try came to: an answer, or a failure of the request, of the try, of the server, or of the whole run. Pure."""

import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

_LONGEST = 300  # characters of what a server says that a message quotes
_BUSY = {429, 502, 503}  # of the server or of what stands before it, whatever was asked
_AGAIN = {408, 409, 425, 504}  # the last one also where a gateway waits no longer for one long answer
_SPENT = ("insufficient_quota", "billing_hard_limit_reached")
_FIRST, _LONGEST_WAIT = 0.5, 30.0  # seconds


@dataclass(frozen=True)
class Good:
    """An answer, whose shape is yet to be looked at."""

    reply: Mapping[str, Any]


@dataclass(frozen=True)
class Refused:
    """The server won't answer this request, however often it is asked."""

    why: str


@dataclass(frozen=True)
class Faulty:
    """The try failed, perhaps by the request's fault. after: seconds to wait, where the server says so."""

    why: str
    after: float | None = None


@dataclass(frozen=True)
class Busy:
    """The server answers nobody now: not held against the request. after: as of Faulty."""

    why: str
    after: float | None = None


@dataclass(frozen=True)
class Over:
    """Nothing more can be asked. why: with what to do about it."""

    why: str


Outcome = Good | Refused | Faulty | Busy | Over


def outcome(status: int, headers: Mapping[str, str], text: str, *, key_variable: str | None, now: float) -> Outcome:
    """What a server's response means.

    headers: names in small letters. key_variable: where the API key comes from, if anywhere. now: seconds since 1970.
    """
    said = _said(text)
    why = f"HTTP {status}: {said}"
    after = retry_after(headers, now)
    if status == 200:
        try:
            reply = json.loads(text)
        except (ValueError, RecursionError) as error:
            return Faulty(f"the server's answer is no JSON ({error}): {said}", after)
        return Good(reply) if isinstance(reply, dict) else Faulty(f"the server's answer is no JSON object: {said}")
    if 300 <= status < 400:
        return Over(f"engine.url: the server answers with a redirect ({status}), which isn't followed; give its target")
    if status in (401, 403):
        if key_variable is None:
            return Over(f"{why}. The server wants an API key: name the variable that holds it as engine.key_variable")
        return Over(f"{why}. The server refuses the key in {key_variable}; put the right one there")
    if status == 402 or (status == 429 and any(word in text for word in _SPENT)):
        return Over(f"{why}. The account has nothing left to spend; top it up")
    if status in (404, 405, 410):
        return Over(f"{why}. Look at engine.url and engine.model: the server has no such thing")
    if status in _BUSY:
        return Busy(why, after)
    if status in _AGAIN or status >= 500:
        return Faulty(why, after)
    return Refused(f"the server refuses it: {why}")


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait before the next try, as a server says: retry-after-ms, or Retry-After in seconds or as a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    try:
        return max(parsedate_to_datetime(headers["retry-after"]).timestamp() - now, 0.0)
    except (KeyError, ValueError, TypeError):
        return None


def wait_seconds(tries: int, after: float | None, rng: random.Random) -> float:
    """Seconds before the next try, after so many: exponential, with full jitter; behind what the server asks for.

    Brooker 2015, "Exponential Backoff And Jitter".
    """
    return (after or 0.0) + rng.uniform(0, min(_FIRST * 2 ** min(tries, 10), _LONGEST_WAIT))


def _said(text: str) -> str:
    """What a server says, in one short line."""
    try:
        found = json.loads(text)
        error = found.get("error", found) if isinstance(found, dict) else found
        said = error.get("message") or error.get("detail") or text if isinstance(error, dict) else error
    except (ValueError, RecursionError):
        said = text
    return " ".join(str(said).split())[:_LONGEST] or "(nothing)"
