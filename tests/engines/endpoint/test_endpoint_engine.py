"""Answers of a server that behaves: what it is asked, and what is read from it."""

import json
import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from lib.engines.endpoint.dialects import Server as Kind
from lib.engines.endpoint.endpoint_config import EndpointConfig
from lib.engines.endpoint.endpoint_engine import EndpointEngine
from lib.engines.endpoint.server_tokenizer import ServerTokenizer
from lib.errors import ConfigError, Unfinished
from lib.tasks.openai.turns import read_turns
from lib.tasks.prompts.labels import label_sequences
from lib.tasks.prompts.prompt import PromptConfig
from lib.types import Message, Sampling, ServerPrompt
from tests.engines.endpoint.misbehaving import MODEL, Server, serving
from tests.pictures import data_url, picture


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def made(there: Server, method: str = "generate", **settings: Any) -> tuple[EndpointEngine, ServerTokenizer]:
    config = EndpointConfig(
        **{"url": there.url, "model": MODEL, "server": Kind.openai, "max_model_len": 500, **settings}
    )
    tokenizer = config.load_tokenizer()
    engine = config.load(tokenizer, method)
    assert isinstance(engine, EndpointEngine)
    assert isinstance(tokenizer, ServerTokenizer)
    return engine, tokenizer


def user(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


def test_a_chat_is_asked_for_and_comes_in_order(server: Server) -> None:
    engine, tokenizer = made(server)
    prompts = [tokenizer.chat_prompt(user(f"row={n} ")) for n in range(20)]
    found = engine.generate(prompts, Sampling(max_tokens=7), [0] * 20)
    texts = [row[0].text for row in found.texts]
    assert len(set(texts)) == 20
    again = engine.generate(prompts[::-1], Sampling(max_tokens=7), [0] * 20)
    assert [row[0].text for row in again.texts] == texts[::-1]
    body = {key: value for key, value in server.log.bodies[0].items() if key != "messages"}
    assert body == {"model": MODEL, "max_completion_tokens": 7, "temperature": 0.0}
    assert len(found.texts[0][0].tokens) == 10  # as the server counts
    assert (found.usage.served.prompt_tokens, found.usage.served.completion_tokens) == (400, 200)


def test_draws_have_seeds_and_samples(server: Server) -> None:
    engine, tokenizer = made(server, server=Kind.vllm)
    prompt = tokenizer.completion_prompt("Once")
    sampling = Sampling(max_tokens=7, temperature=0.5, top_p=0.9, top_k=3, n=2, stop=("x",), regex="a+")
    found = engine.generate([prompt], sampling, [11])
    assert [text.text[-1] for text in found.texts[0]] == ["0", "1"]
    assert server.log.bodies == [
        {
            "model": MODEL, "prompt": "Once", "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "seed": 11, "top_k": 3,
            "min_p": 0.0, "repetition_penalty": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0, "n": 2,
            "stop": ["x"], "structured_outputs": {"regex": "a+"},
        }
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [Kind.vllm, Kind.sglang])
def test_no_settings_of_the_served_model_count(kind: Kind, server: Server) -> None:
    """Both take what a request leaves open from its generation_config.json; SGLang refuses a top_k of 0."""
    engine, tokenizer = made(server, server=kind)
    prompt = tokenizer.completion_prompt("Once")
    engine.generate([prompt], Sampling(max_tokens=7), [0])
    neutral = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0}
    (body,) = server.log.bodies
    assert {key: body.get(key) for key in neutral} == neutral
    engine.label_logprobs([prompt], [((65,),), ((66,),)])
    assert {key: server.log.bodies[-1].get(key) for key in neutral} == neutral


def test_a_server_on_this_machine_is_asked_without_a_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody is
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    engine, tokenizer = made(server, patience=1.0)
    assert not engine.generate([tokenizer.completion_prompt("Once")], Sampling(max_tokens=7), [0]).errors


def test_penalties_and_ends_are_told(server: Server) -> None:
    engine, tokenizer = made(server, server=Kind.vllm)
    sampling = Sampling(max_tokens=7, presence_penalty=0.5, stop_token_ids=(7,), include_stop=True)
    engine.generate([tokenizer.completion_prompt("Once")], sampling, [0])
    told = {"presence_penalty": 0.5, "stop_token_ids": [7], "include_stop_str_in_output": True}
    (body,) = server.log.bodies
    assert {key: body[key] for key in told} == told
    assert "ignore_eos" not in body


def test_turns_of_batch_bodies_are_sent_as_servers_know_them(server: Server) -> None:
    engine, tokenizer = made(server, server=Kind.vllm)
    several = read_turns([{"role": "user", "content": [{"type": "text", "text": text} for text in "ab"], "name": "x"}])
    chat = tokenizer.chat_prompt(several, thinking=None, told={"documents": [{"text": "d"}], "level": 3})
    engine.generate([chat], Sampling(max_tokens=7), [0])
    (body,) = server.log.bodies
    assert body["messages"] == [{"role": "user", "content": "a\nb", "name": "x"}]
    assert (body["documents"], body["chat_template_kwargs"]) == ([{"text": "d"}], {"level": 3})


def test_images_are_sent_with_their_texts(server: Server) -> None:
    engine, tokenizer = made(server)
    parts = [
        {"type": "text", "text": "row=1 "},
        {"type": "image_url", "image_url": {"url": data_url(picture(1, (57, 28)))}},
        {"type": "text", "text": "?"},
    ]
    chat = tokenizer.chat_prompt(read_turns([{"role": "user", "content": parts}, {"role": "user", "content": "b"}]))
    texts = tokenizer.chat_prompt(
        read_turns([{"role": "user", "content": "row=1 \n?"}, {"role": "user", "content": "b"}])
    )
    assert len(chat) == len(texts) + 3  # of 28 pixels each, along both sides
    found = engine.generate([chat], Sampling(max_tokens=7), [0])
    assert found.texts[0][0].text
    (body,) = server.log.bodies
    assert body["messages"] == [{"role": "user", "content": parts}, {"role": "user", "content": "b"}]


@pytest.mark.parametrize(
    ("kind", "turns", "told", "said"),
    [
        (Kind.vllm, [{"role": "user", "content": "a"}], {"tools": [{}]}, "not sent to servers"),
        (Kind.vllm, [{"role": "assistant", "content": "a", "reasoning": "b"}], {}, "not sent to servers"),
        (Kind.openai, [{"role": "user", "content": "a"}], {"level": 3}, "level: engine.server=openai takes no word"),
    ],
)
def test_what_servers_are_not_told_is_refused(
    kind: Kind, turns: list[object], told: dict[str, object], said: str, server: Server
) -> None:
    _, tokenizer = made(server, server=kind)
    with pytest.raises(ValueError, match=said):
        tokenizer.chat_prompt(read_turns(turns), thinking=None, told=told)


def test_samples_are_requests_of_their_own_where_a_server_gives_one_at_a_time(server: Server) -> None:
    engine, tokenizer = made(server, server=Kind.deepseek)
    found = engine.generate([tokenizer.chat_prompt(user("a"))], Sampling(max_tokens=7, temperature=1, n=3), [11])
    assert len(found.texts[0]) == 3
    assert len(server.log.bodies) == 3
    assert "seed" not in server.log.bodies[0]


def test_a_json_schema_is_told_to_openai(server: Server) -> None:
    engine, tokenizer = made(server)
    engine.generate([tokenizer.chat_prompt(user("a"))], Sampling(max_tokens=7, json_schema='{"type": "object"}'), [0])
    told = server.log.bodies[0]["response_format"]
    assert told["type"] == "json_schema"
    assert told["json_schema"]["schema"] == {"type": "object"}


def test_labels_are_read_from_the_likeliest_tokens(server: Server) -> None:
    engine, tokenizer = made(server, "label_logprobs")
    prompt = tokenizer.chat_prompt(user("row=1 "))
    labels = label_sequences(["A", "B", "C"], tokenizer, prompt)
    found = engine.label_logprobs([prompt], labels)
    assert server.log.bodies[0]["top_logprobs"] == 20
    assert server.log.bodies[0]["max_completion_tokens"] == 1
    from tests.engines.endpoint.misbehaving import answer

    told = answer(server.log.bodies[0], "/v1/chat/completions")["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    tokens = {each["token"]: math.exp(each["logprob"]) for each in told}
    expected = [tokens["A"] + tokens[" A"], tokens["B"]]
    np.testing.assert_allclose(np.exp(found.values[0, :2]), expected, rtol=1e-5)
    lost = 1 - sum(tokens.values())
    assert np.exp(found.values[0, 2]) == pytest.approx(2 * min(lost, min(tokens.values())), rel=1e-4)
    assert found.usage.served.bounded == 1
    assert found.usage.served.lost_mass == pytest.approx(lost)


def test_a_label_of_several_tokens_is_asked_on_where_the_server_can(server: Server) -> None:
    engine, tokenizer = made(server, "label_logprobs", server=Kind.vllm)
    prompt = tokenizer.chat_prompt(user("row=1 "))
    found = engine.label_logprobs([prompt], label_sequences(["A", "tA"], tokenizer, prompt))
    assert not found.errors
    assert len(server.log.bodies) == 2
    assert server.log.bodies[1]["messages"][-1] == {"role": "assistant", "content": "t"}
    assert server.log.bodies[1]["continue_final_message"] is True
    assert server.log.bodies[1]["add_generation_prompt"] is False
    engine, tokenizer = made(server, "label_logprobs")
    prompt = tokenizer.chat_prompt(user("row=1 "))
    found = engine.label_logprobs([prompt], label_sequences(["A", "tA"], tokenizer, prompt))
    assert "takes the server several tokens" in found.errors[0]
    assert np.isnan(found.values).all()


def test_an_answer_is_begun_where_the_server_can() -> None:
    prompt = PromptConfig(template="{q}", answer_prefix="Verdict:")
    tokenizer = EndpointConfig(url="http://h/v1", model="m", server=Kind.vllm).load_tokenizer()
    tokens = prompt.tokens({"q": ["a"]}, tokenizer)
    assert isinstance(tokens, ServerPrompt)
    assert tokens.told.begun == "Verdict:"
    assert tokenizer.decode(tokens) == "<begin><user>a<end><assistant>Verdict:"
    tokenizer = EndpointConfig(url="http://h/v1", model="m", server=Kind.openai).load_tokenizer()
    with pytest.raises(ConfigError, match="can't be made to go on from a begun answer"):
        prompt.tokens({"q": ["a"]}, tokenizer)


def test_vectors_and_scores(server: Server) -> None:
    engine, tokenizer = made(server, "embed", dimensions=8)
    found = engine.embed([tokenizer.embedding_prompt("a"), tokenizer.embedding_prompt("b")])
    np.testing.assert_allclose(np.linalg.norm(found.values, axis=1), 1, rtol=1e-6)
    assert {"model": MODEL, "input": "a"} in server.log.bodies
    scores = engine.relevance([tokenizer.pair_prompt("q", "p")])
    assert scores.values.shape == (1, 1)
    assert server.log.bodies[-1] == {"model": MODEL, "query": "q", "documents": ["p"]}


def test_a_prompt_without_room_is_a_row_error_and_not_asked(server: Server) -> None:
    engine, tokenizer = made(server, max_model_len=20)
    found = engine.generate([tokenizer.chat_prompt(user("x" * 40))], Sampling(max_tokens=7), [0])
    assert "leave no room to write" in found.errors[0]
    assert not server.log.bodies


def test_shards_share_the_limits(server: Server) -> None:
    server.seconds = 0.02
    engine, tokenizer = made(server, max_in_flight=3)

    def ask(part: int) -> None:
        prompts = [tokenizer.chat_prompt(user(f"row=r{part}x{n} ")) for n in range(10)]
        assert not engine.generate(prompts, Sampling(max_tokens=7), [0] * 10).errors

    threads = [threading.Thread(target=ask, args=(part,)) for part in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.log.most_at_once == 3
    assert set(server.log.asked.values()) == {1}


def test_requests_keep_their_pace(server: Server) -> None:
    engine, tokenizer = made(server, requests_per_minute=1200)
    prompts = [tokenizer.chat_prompt(user(f"row={n} ")) for n in range(6)]
    engine.generate(prompts, Sampling(max_tokens=7), [0] * 6)
    times = sorted(server.log.times)
    assert times[-1] - times[0] >= 0.2  # five gaps of 50 ms, give or take how long each takes to arrive


def test_a_server_that_asks_for_more_patience_than_there_is_ends_the_run_at_once(server: Server) -> None:
    server.all_fail = (429, {"Retry-After": "43200"}, "come back tomorrow")
    engine, tokenizer = made(server, patience=60)
    start = time.monotonic()
    with pytest.raises(Unfinished, match="asks to wait 43200 s more"):
        engine.generate([tokenizer.chat_prompt(user("a"))], Sampling(max_tokens=7), [0])
    assert time.monotonic() - start < 30


def test_what_is_kept_is_not_asked_for(server: Server) -> None:
    class Kept(dict[str, str]):
        def put(self, key: str, reply: str, cost: float) -> None:
            assert cost == pytest.approx(20 * 3e-6 + 10 * 5e-6)
            self[key] = reply

    kept = Kept()
    engine, tokenizer = made(server, price_prompt=3, price_completion=5)
    prompts = [tokenizer.chat_prompt(user(f"row={n} ")) for n in range(4)]
    first = engine.keeping(kept).generate(prompts[:3], Sampling(max_tokens=7), [0] * 3)
    again = engine.keeping(kept).generate(prompts, Sampling(max_tokens=7), [0] * 4)
    assert again.texts[:3] == first.texts
    assert set(server.log.asked.values()) == {1}
    assert again.usage.served.cost == pytest.approx(4 * 110e-6)  # also of what was paid for before
    assert all("choices" in json.loads(reply) for reply in kept.values())
