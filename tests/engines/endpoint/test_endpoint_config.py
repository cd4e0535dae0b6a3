from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from lib.config import identity
from lib.engines.endpoint.dialects import _ALWAYS, _CONSTRAINTS, DIALECTS, Server, Structured
from lib.engines.endpoint.endpoint_config import EndpointConfig
from lib.errors import ConfigError
from lib.types import Sampling
from tests.engines.endpoint.misbehaving import MODEL, serving

URL = "http://127.0.0.1:9/v1"


def config(**settings: Any) -> EndpointConfig:
    return EndpointConfig(**{"url": URL, "model": MODEL, "server": Server.openai, **settings})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "127.0.0.1:8000"}, "engine.url=127.0.0.1:8000: must be an address"),
        ({"url": "ftp://host/v1"}, "must be an address"),
        ({"url": "http://host:port/v1"}, "engine.url=http://host:port/v1"),
        ({"url": "http://me:secret@host/v1"}, "engine.url=http://host/v1: must have no user, password"),
        ({"url": "http://host/v1?key=secret"}, "engine.url=http://host/v1: must have no user, password, query"),
        ({"model": ""}, "engine.model=''"),
        ({"max_in_flight": 0}, "engine.max_in_flight=0"),
        ({"tries": 0}, "engine.tries=0"),
        ({"timeout": 0}, "engine.timeout=0: must be above 0"),
        ({"requests_per_minute": 0}, "engine.requests_per_minute=0: must be above 0, or null"),
        ({"patience": -1}, "engine.patience=-1"),
        ({"price_prompt": -1}, "engine.price_prompt=-1"),
        ({"share": 0}, "engine.share=0"),
        ({"max_cost": 1}, "engine.max_cost=1: nothing is known to cost anything"),
        ({"gguf_file": "a.gguf"}, "engine.gguf_file=a.gguf: has no effect without engine.tokenizer"),
        ({"prompts": {"passage": ""}}, "engine.prompts"),
    ],
)
def test_what_can_not_be_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config(**settings)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_what_a_kind_of_server_can_not_do_is_refused() -> None:
    for server, method, said in (
        (Server.anthropic, "label_logprobs", "tells no probabilities"),
        (Server.ollama, "label_logprobs", "engine.top_logprobs"),
        (Server.deepseek, "relevance", "compares no texts"),
        (Server.vllm, "score", "reward models"),
    ):
        with pytest.raises(ConfigError, match=said):
            config(server=server).check(method)
    config(server=Server.ollama, top_logprobs=5).check("label_logprobs")
    with pytest.raises(ConfigError, match=r"engine\.dimensions"):
        config().width()
    assert config(dimensions=8).width() == 8


@pytest.mark.parametrize(
    ("server", "sampling", "said"),
    [
        (Server.openai, {"top_k": 5}, r"generate\.top_k=5: engine\.server=openai has no such thing"),
        (Server.openai, {"choice": ("a", "b")}, r"generate\.choice"),
        (Server.openai, {"stop": tuple("abcde")}, "takes 4 at most"),
        (Server.vllm, {"num_beams": 2}, r"generate\.num_beams=2"),
        (Server.vllm, {"epsilon_cutoff": 0.1}, r"generate\.epsilon_cutoff"),
        (Server.deepseek, {"json_schema": "{}"}, r"generate\.json_schema"),
        (Server.vllm, {"logit_bias": ((1, 2.0),)}, r"generate\.logit_bias"),
        (Server.vllm, {"logprobs": 0}, r"generate\.logprobs"),
        (Server.vllm, {"tools": "{}"}, r"generate\.tools"),
        (Server.openai, {"min_tokens": 3}, r"generate\.min_tokens"),
        (Server.ollama, {"frequency_penalty": 1.0}, r"generate\.frequency_penalty"),
    ],
)
def test_sampling_that_a_server_lacks_is_refused(server: Server, sampling: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config(server=server).check_sampling(Sampling(max_tokens=9, **sampling))


def test_what_is_not_known_to_be_told_is_refused() -> None:
    """Of a setting that somebody adds to Sampling no server hears: it must not be passed over."""
    told = {*_ALWAYS, *(key for dialect in DIALECTS.values() for key in (*dialect.extras, *dialect.optional))}
    for key in {each.name for each in fields(Sampling)} - told - {*_CONSTRAINTS[Structured.vllm]}:
        with pytest.raises(ConfigError, match=rf"generate\.{key}=odd"):
            config(server=Server.vllm).check_sampling(Sampling(**{"max_tokens": 9, key: "odd"}))


def test_sampling_that_a_server_has_is_taken() -> None:
    config(server=Server.vllm).check_sampling(Sampling(max_tokens=9, top_k=5, min_p=0.1, regex="a", temperature=1, n=3))
    config(server=Server.openai).check_sampling(Sampling(max_tokens=9, json_schema="{}", temperature=1, n=3))


def test_a_missing_key_is_refused_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    keyed = config(key_variable="SOME_KEY")
    for call in (lambda: keyed.check("generate"), keyed.identity, lambda: keyed.load(keyed.load_tokenizer(), "embed")):
        with pytest.raises(ConfigError, match=r"engine\.key_variable=SOME_KEY: the environment has no such variable"):
            call()


def test_where_it_stands_and_how_it_is_asked_change_no_results() -> None:
    one, other = config(), config(url="https://elsewhere/v1", key_variable="K", max_in_flight=3, timeout=5, patience=1)
    assert identity(one) == identity(other)
    assert identity(one) != identity(config(server=Server.vllm))
    assert identity(one) != identity(config(model="another"))


def test_what_the_server_tells_of_its_model_is_its_identity() -> None:
    with serving() as server:
        first, second = config(url=server.url).identity(), config(url=server.url + "/").identity()
        assert first == second == {"served": '{"id": "model", "owned_by": "us"}'}  # not when it was created
        assert config(url=server.url, model="another").identity() == {}
        server.models = None  # no list
        assert config(url=server.url).identity() == {}


def test_no_server_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"engine\.url=http://127\.0\.0\.1:9/v1: no server answers there"):
        config().identity()


def test_workers_share_limits() -> None:
    whole = config(max_in_flight=64, requests_per_minute=600)
    assert whole.shared(4).shared(2).share == 1 / 8
    assert whole.shared(4).max_in_flight == 64  # of all of them
    assert whole.usual_workers == 1
    assert whole.most_at_once == 64


def test_a_tokenizer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"engine\.tokenizer"):
        config(tokenizer=str(tmp_path)).check("generate")
