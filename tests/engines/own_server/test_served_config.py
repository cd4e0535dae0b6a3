"""What a server that is asked by token ids can't be told is an error of that request; nothing is sent without it."""

from typing import Any

import pytest

from lib.engines.own_server.served_config import ServedConfig
from lib.images import ImagePrompt
from lib.types import Sampling
from tests.vllm.serving import SMOLLM2


@pytest.fixture(scope="module")
def engine() -> Any:
    served = ServedConfig.of(SMOLLM2, "http://127.0.0.1:9/v1", "secret")  # nobody is there
    assert served.model == SMOLLM2.model
    assert "secret" not in repr(served)
    return served.load(served.load_tokenizer(), "generate")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"logit_bias": ((5, 1.0),)}, "generate.logit_bias="),
        ({"logprobs": 2}, "generate.logprobs=2: engine.server=vllm has no such thing"),
        ({"tools": "{}"}, "generate.tools="),
    ],
)
def test_what_is_not_told(engine: Any, changes: dict[str, Any], said: str) -> None:
    found = engine.generate([[1, 2], [3]], Sampling(max_tokens=4, **changes), [0, 0])
    assert found.texts == [[], []]
    assert list(found.errors) == [0, 1]
    assert all(said in error for error in found.errors.values())


def test_images(engine: Any) -> None:
    found = engine.generate([ImagePrompt([1, 2, 2], [1, 2], [])], Sampling(max_tokens=4), [0])
    assert found.errors == {0: "executor=server: asks by token ids, which show no images; use executor=ray or inline"}
