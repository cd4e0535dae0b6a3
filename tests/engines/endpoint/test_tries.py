import json
import random
import time
from email.utils import formatdate

import pytest

from lib.engines.endpoint.tries import Busy, Faulty, Good, Over, Refused, outcome, retry_after, wait_seconds


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (200, '{"choices": []}', Good),
        (200, '{"choices": [', Faulty),
        (200, "[]", Faulty),
        (200, "", Faulty),
        (200, "[" * 100_000, Faulty),
        (301, "", Over),
        (400, "", Refused),
        (401, "", Over),
        (402, "", Over),
        (403, "", Over),
        (404, "", Over),
        (408, "", Faulty),
        (413, "", Refused),
        (422, "", Refused),
        (429, "slow down", Busy),
        (429, '{"error": {"code": "insufficient_quota"}}', Over),
        (500, "", Faulty),
        (502, "", Busy),
        (503, "", Busy),
        (504, "", Faulty),
        (529, "overloaded", Faulty),
    ],
)
def test_what_a_response_means(status: int, text: str, kind: type) -> None:
    assert type(outcome(status, {}, text, key_variable="K", now=0)) is kind


@pytest.mark.parametrize(
    "text",
    [
        '{"error": {"message": "too  long"}}',
        '{"error": "too\\nlong"}',
        '{"message": "too long"}',
        "too long",
        '"too long"',
    ],
)
def test_what_a_server_says_is_quoted_in_one_line(text: str) -> None:
    found = outcome(400, {}, text, key_variable=None, now=0)
    assert isinstance(found, Refused)
    assert found.why == "the server refuses it: HTTP 400: too long"


def test_a_long_message_is_cut() -> None:
    found = outcome(400, {}, json.dumps({"error": {"message": "x" * 10_000}}), key_variable=None, now=0)
    assert isinstance(found, Refused)
    assert len(found.why) < 400


def test_servers_say_how_long_to_wait() -> None:
    now = time.time()
    assert retry_after({"retry-after": "7"}, now) == 7
    assert retry_after({"retry-after": "0.5"}, now) == 0.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "1"}, now) == 0.25
    assert retry_after({"retry-after": formatdate(now + 60, usegmt=True)}, now) == pytest.approx(60, abs=1)
    assert retry_after({"retry-after": formatdate(now - 60, usegmt=True)}, now) == 0
    assert retry_after({"retry-after": "soon"}, now) is None
    assert retry_after({"retry-after": "inf"}, now) is None
    assert retry_after({"retry-after": "nan"}, now) is None
    assert retry_after({}, now) is None


def test_waits_grow_and_are_spread() -> None:
    rng = random.Random(0)
    means = [sum(wait_seconds(tries, None, rng) for _ in range(500)) / 500 for tries in (1, 2, 3, 20)]
    assert means == pytest.approx([0.5, 1, 2, 15], rel=0.15)  # half of 0.5 * 2^tries, at most 30 s
    assert min(wait_seconds(1, None, rng) for _ in range(500)) < 0.05
    assert min(wait_seconds(1, 9.0, rng) for _ in range(500)) >= 9
