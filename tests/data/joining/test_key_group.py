"""Which rows are answered by which keys: as dictionaries would tell."""

import random
from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pytest

from lib.data.joining.key_group import KeyGroup
from lib.data.joining.keys import KEY_TYPE


def keys(values: list[int]) -> pa.Array:
    return pa.array([value.to_bytes(16, "big") for value in values], KEY_TYPE)


@pytest.mark.parametrize("case", range(40))
def test_rows_are_answered_as_a_dictionary_would_tell(case: int) -> None:
    draw = random.Random(case)
    size = draw.choice([0, 1, 5, 80])
    values = draw.choices(range(draw.choice([1, 3, 40])), k=size)
    numbers = sorted(draw.sample(range(1000), size))
    group = KeyGroup(keys(values), np.array(numbers, np.int64))
    before, places = Counter[int](), []
    rows = defaultdict(list)
    for value, number in zip(values, numbers, strict=True):
        places.append(before[value])
        before[value] += 1
        rows[value].append(number)
    assert group.places.tolist() == places

    left = set(values)
    for _ in range(4):
        asked = draw.choices(range(50), k=draw.choice([0, 1, 10, 60]))
        offset = draw.randrange(3)
        given = keys([99] * offset + asked).slice(offset)
        assert group.wants(given) is any(value in left for value in asked)
        found, answered = group.answered_by(given)
        got = dict(zip(answered.tolist(), found.tolist(), strict=True))
        assert len(got) == len(answered)
        wanted = {number: asked.index(value) for value in left & set(asked) for number in rows[value]}
        assert got == wanted
        left -= set(asked)
        assert group.complete is (not left)
        assert group.answered == len(set(values)) - len(left)
    assert sorted(group.repeats()) == sorted(number for value in left for number in rows[value][1:])


def test_keys_of_a_column_in_chunks_are_wanted_as_well() -> None:
    group = KeyGroup(keys([1, 2]), np.array([0, 1]))
    assert group.wants(pa.chunked_array([keys([7]), keys([2])]))
    assert not group.wants(pa.chunked_array([keys([7]), keys([8])]))
    assert not group.wants(pa.chunked_array([], KEY_TYPE))


def test_keys_of_one_first_half_are_told_apart_and_null_answers_nothing() -> None:
    alike = [bytes(8) + bytes([number]) * 8 for number in range(5)]
    group = KeyGroup(pa.array([*alike[:4], bytes(16)], pa.binary(16)), np.arange(5))
    assert group.answered_by(pa.array([alike[4], None], pa.binary(16)))[0].tolist() == []
    places, numbers = group.answered_by(pa.array([alike[3], None, alike[1], alike[0]], pa.binary(16)).slice(1))
    assert sorted(zip(places.tolist(), numbers.tolist(), strict=True)) == [(1, 1), (2, 0), (2, 4)]
    assert group.answered == 2
    assert group.wants(pa.chunked_array([pa.array([alike[2]], pa.binary(16))]))
