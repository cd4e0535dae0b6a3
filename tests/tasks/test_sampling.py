import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib.config import identity
from lib.errors import ConfigError
from lib.tasks.sampling import SamplingConfig, row_seed, sampling, schema_problem
from lib.types import Sampling

SCHEMA = '{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}'


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"temperature": -0.1}, r"generate.temperature=-0.1: must be 0 \(greedy\) or more"),
        ({"temperature": float("nan")}, "generate.temperature=nan"),
        ({"temperature": 1, "top_p": 0}, r"generate.top_p=0: must be in \(0, 1\]"),
        ({"temperature": 1, "top_p": 1.5}, r"generate.top_p=1.5: must be in \(0, 1\]"),
        ({"temperature": 1, "top_k": -1}, "generate.top_k=-1"),
        ({"temperature": 1, "min_p": 1}, r"generate.min_p=1: must be in \[0, 1\)"),
        ({"temperature": 1, "epsilon_cutoff": -0.1}, r"generate.epsilon_cutoff=-0.1: must be in \[0, 1\)"),
        ({"repetition_penalty": 0}, "generate.repetition_penalty=0: must be above 0"),
        ({"n": 0}, "generate.n=0: must be at least 1"),
        ({"max_new_tokens": 0}, "generate.max_new_tokens=0: must be at least 1"),
        ({"max_length": 0}, "generate.max_length=0: must be at least 1"),
        ({"num_beams": 0}, "generate.num_beams=0: must be at least 1"),
        ({"n": 2}, "generate.n=2: greedy texts of a row are all the same; set generate.temperature"),
        ({"n": 5, "num_beams": 4}, "generate.n=5: there are no more texts than beams; at most 4"),
        ({"num_beams": 2, "temperature": 0.5}, "generate.num_beams=2: a beam search draws nothing"),
        ({"num_beams": 2, "choice": ["a"]}, "generate.num_beams=2: a beam search keeps to no generate.choice"),
        ({"top_p": 0.9}, "generate.top_p=0.9: has no effect without draws"),
        ({"top_k": 5, "num_beams": 2}, "generate.top_k=5: has no effect without draws"),
        ({"min_p": 0.1}, "generate.min_p=0.1: has no effect"),
        ({"epsilon_cutoff": 0.1}, "generate.epsilon_cutoff=0.1: has no effect"),
        ({"choice": ["a"], "regex": "b"}, "generate.regex=b: one constraint at a time; leave out generate.choice"),
        ({"regex": "b", "json_schema": SCHEMA}, "generate.json_schema=.*leave out generate.regex"),
        ({"regex": ""}, "generate.regex=: is empty, so every text would be"),
        ({"regex": "[0-9"}, r"generate.regex=\[0-9: is no regular expression: unterminated"),
        ({"choice": ["a", "a"]}, "generate.choice=.*must be different texts"),
        ({"stop": [""]}, r"generate.stop=\[''\]: must be different texts, none of them empty"),
        ({"json_schema": "{"}, "generate.json_schema={: is no JSON"),
        ({"json_schema": "true"}, "generate.json_schema=true: a JSON schema is an object"),
        ({"json_schema": '{"type": "integr"}'}, "is no JSON schema: type: 'integr'"),
        ({"json_schema": '{"properties": {"a": {"minimum": "x"}}}'}, "is no JSON schema: properties/a/minimum"),
        ({"json_schema": "nowhere.json"}, "generate.json_schema=nowhere.json: the file cannot be read"),
    ],
)
def test_impossible_sampling_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SamplingConfig(**values)


def test_what_goes_together_is_taken() -> None:
    SamplingConfig()
    SamplingConfig(temperature=1.2, top_p=0.9, top_k=40, min_p=0.05, epsilon_cutoff=3e-4, n=8, choice=["a", "b"])
    SamplingConfig(num_beams=4, n=4, repetition_penalty=1.2, stop=["<|eot_id|>"])
    SamplingConfig(regex="[0-9]{3}", json_schema=None, choice=[])


def test_engines_are_told_everything_but_the_seed() -> None:
    values: dict[str, Any] = {"temperature": 0.7, "top_p": 0.9, "top_k": 3, "min_p": 0.1, "epsilon_cutoff": 0.01,
                              "repetition_penalty": 1.1, "n": 4, "regex": "a+"}  # fmt: skip
    told = sampling(SamplingConfig(**values, stop=["x"], seed=3, max_new_tokens=9))
    assert told == Sampling(**values, stop=("x",), choice=(), max_tokens=9)
    assert told == sampling(SamplingConfig(**values, stop=["x"], seed=4, max_new_tokens=9))
    assert sampling(SamplingConfig(num_beams=3, choice=[])).num_beams == 3


def test_limits_of_new_tokens_and_of_the_whole() -> None:
    def limits(**values: int) -> tuple[int, int | None]:
        told = sampling(SamplingConfig(**values))
        return told.max_tokens, told.max_length

    assert limits() == (256, None)
    assert limits(max_new_tokens=9) == (9, None)
    assert limits(max_length=2000) == (2000, 2000)
    assert limits(max_length=2000, max_new_tokens=9) == (9, 2000)


def test_a_schema_file_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    path.write_text(SCHEMA)
    config = SamplingConfig(json_schema=str(path))
    path.unlink()
    assert sampling(config).json_schema == SCHEMA
    assert identity(config) == identity(SamplingConfig(json_schema=SCHEMA))
    assert replace(config, seed=1).json_schema == SCHEMA


def test_texts_are_held_against_the_schema() -> None:
    assert schema_problem(json.dumps({"a": 1}), SCHEMA) is None
    assert schema_problem('{"a": "x"}', SCHEMA) == "$.a: 'x' is not of type 'integer'"
    assert (schema_problem('{"a"', SCHEMA) or "").startswith("is no JSON: ")


def test_seeds_of_rows_differ_and_stay() -> None:
    seeds = {row_seed(run, row, sample) for run in (0, 1) for row in ("a.csv 1", "a.csv 11") for sample in (0, 1)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert row_seed(0, "a.csv 1") == row_seed(0, "a.csv 1", 0) == 3090947422442625242


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"$ref": "#/nowhere"}, r"has a \$ref that leads nowhere inside of it: '/nowhere'"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, r"has a \$ref that leads nowhere inside of it: '/\$defs/b'"),
        ({"$ref": "http://127.0.0.1:9/x"}, "leads nowhere inside of it: http://127.0.0.1:9/x"),
        ({"$dynamicRef": "#a"}, "leads nowhere inside of it"),
        ({"$id": "http://[x", "$ref": "y"}, "leads nowhere inside of it: Invalid IPv6 URL"),
        ({"$ref": "#"}, r"a \$ref of it leads back to itself"),
        ({"$schema": ["x"]}, r"is no JSON schema: \$schema"),
        (nested(400), "is nested too deep"),
    ],
)
def test_schemas_that_cannot_be_followed(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SamplingConfig(json_schema=json.dumps(schema))


def test_what_cannot_be_held_against_a_schema_is_told() -> None:
    tree = {"properties": {"a": {"$ref": "#"}, "b": {"$defs": {"c": {"$ref": "#/$defs/d"}}}}, "$defs": {"d": {}}}
    assert schema_problem('{"a": {"a": {}}}', SamplingConfig(json_schema=json.dumps(tree)).json_schema or "") is None
    loop = {"properties": {"a": {"allOf": [{"$ref": "#/properties/a"}]}}}
    assert "can't be held against it" in (schema_problem('{"a": 1}', json.dumps(loop)) or "")
    assert "can't be held against it" in (schema_problem("1e400", '{"multipleOf": 0.3}') or "")
    assert (schema_problem("[" * 2000, SCHEMA) or "").startswith("is no JSON: ")


def test_counts_beyond_all_engines() -> None:
    for key in ("max_new_tokens", "max_length", "num_beams", "n", "top_k"):
        with pytest.raises(ConfigError, match=rf"generate.{key}=1{'0' * 400}: must be below 2\*\*31"):
            SamplingConfig(**{"temperature": 1.0, key: 10**400})
