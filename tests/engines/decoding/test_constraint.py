from typing import Any

import pytest

from lib.errors import ConfigError
from lib.types import Sampling
from tests.engines.conftest import smollm2_config


@pytest.mark.parametrize(
    ("constraint", "says"),
    [
        ({"regex": "(?=a)b"}, r"generate.regex=\(\?=a\)b: xgrammar can't read it: .*[Ll]ookahead"),
        ({"json_schema": '{"$ref": "#/nowhere"}'}, "generate.json_schema=.*xgrammar can't read it: .*nowhere"),
        ({"json_schema": '{"items": {"type": "array", "uniqueItems": true}}'}, "uniqueItems would not be enforced"),
        ({"json_schema": '{"properties": {"a": {"not": {}}}}'}, "not would not be enforced"),
        ({"json_schema": '{"allOf": [{}, {}]}'}, "allOf of several would not be enforced"),
        ({"json_schema": '{"type": "string", "format": "iri"}'}, "format iri would not be enforced"),
        ({"json_schema": '{"type": "string", "pattern": "a", "minLength": 3}'}, "pattern or format with minLength"),
    ],
)
def test_constraints_that_cannot_be_kept_to_are_refused_before_loading(constraint: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        smollm2_config().check_sampling(Sampling(max_tokens=1, **constraint))


def test_all_else_is_taken() -> None:
    schema = '{"properties": {"not": {"enum": [{"if": 1}]}, "format": {"type": "string"}}, "allOf": [{}]}'
    smollm2_config().check_sampling(Sampling(max_tokens=1, json_schema=schema))
    smollm2_config().check_sampling(Sampling(max_tokens=1, temperature=1, epsilon_cutoff=0.1))
    smollm2_config().check_sampling(Sampling(max_tokens=1, num_beams=4, n=4))
