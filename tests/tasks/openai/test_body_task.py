"""The tasks of OpenAI batch files: what bodies ask for, what is refused, and what is asked of the engine."""

import json
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lib.engines.byte_tokenizer import ByteTokenizer
from lib.engines.dummy import DummyConfig, DummyEngine
from lib.engines.vllm.vllm_config import VllmConfig
from lib.errors import ConfigError
from lib.tasks.openai.bodies import read_chat, read_completion
from lib.tasks.openai.body_scores import EmbedInputs, RerankDocuments, ScorePairs
from lib.tasks.openai.body_texts import CHAT, COMPLETIONS, AnswerTexts
from lib.tasks.openai.pooling_bodies import read_embedding, read_score
from lib.tasks.sampling import row_keys, row_seed
from lib.types import Completions, Sampling, Tokenizer
from tests.tasks.tables import keyed

CONFIG = DummyConfig(max_model_len=300)
HI = [{"role": "user", "content": "hi"}]


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": HI, **more}


def texts(url: str = CHAT, seed: int = 7) -> AnswerTexts:
    return AnswerTexts(url=url, seed=seed, context=300, fits=CONFIG.check_sampling)


def rows(*bodies: Mapping[str, Any]) -> pa.Table:
    table = pa.table({"id": [f"r{n}" for n in range(len(bodies))], "body": [json.dumps(body) for body in bodies]})
    return keyed(table, ["body"])


class Watched(DummyEngine):
    """Writes down what it was asked to generate."""

    def __init__(self) -> None:
        super().__init__(CONFIG)
        self.calls: list[tuple[int, Sampling, list[int]]] = []

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]) -> Completions:
        self.calls.append((len(prompts), sampling, list(seeds)))
        return super().generate(prompts, sampling, seeds)


def test_openais_defaults() -> None:
    sampling = read_chat(chat(), 300).sampling
    assert sampling == Sampling(max_tokens=300, temperature=1.0)
    assert read_completion({"prompt": "a"}, 300).sampling.max_tokens == 16


def test_what_a_body_says_of_sampling() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    asked = read_chat(
        chat(
            temperature=0.5, top_p=0.9, top_k=5, min_p=0.1, repetition_penalty=1.1, n=3, max_completion_tokens=9,
            seed=4, stop="\n", response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
            frequency_penalty=0, presence_penalty=0.0, logit_bias={}, logprobs=False, stream=False, tools=None,
            user="me", metadata={"a": "b"},
        ),
        300,
    )  # fmt: skip
    assert asked.seed == 4
    assert asked.sampling == Sampling(
        max_tokens=9, temperature=0.5, top_p=0.9, top_k=5, min_p=0.1, repetition_penalty=1.1, n=3, stop=("\n",),
        json_schema=json.dumps(schema),
    )  # fmt: skip
    assert read_chat(chat(structured_outputs={"choice": ["a", "b"]}), 300).sampling.choice == ("a", "b")
    assert read_chat(chat(structured_outputs={"regex": "a+"}), 300).sampling.regex == "a+"
    assert read_chat(chat(response_format={"type": "json_object"}), 300).sampling.json_schema == '{"type": "object"}'
    assert read_chat(chat(top_k=-1), 300).sampling.top_k == 0


def test_greedy_whatever_is_said_of_draws() -> None:
    assert read_chat(chat(temperature=0, top_p=0.9, top_k=3, max_tokens=5), 300).sampling == Sampling(max_tokens=5)
    with pytest.raises(ValueError, match="top_p=2"):
        read_chat(chat(temperature=0, top_p=2), 300)


def test_what_a_body_says_of_logits_ends_and_logprobs() -> None:
    asked = read_chat(
        chat(
            frequency_penalty=1.5, presence_penalty=-2, logit_bias={"7": -100, "5": 1.5}, logprobs=True, top_logprobs=3,
            min_tokens=2, max_tokens=9, stop_token_ids=[4], ignore_eos=True, include_stop_str_in_output=True, seed=-5,
        ),
        300,
    )  # fmt: skip
    assert asked.seed == -5
    assert asked.sampling == Sampling(
        max_tokens=9, temperature=1.0, frequency_penalty=1.5, presence_penalty=-2.0, logit_bias=((5, 1.5), (7, -100.0)),
        logprobs=3, min_tokens=2, stop_token_ids=(4,), ignore_eos=True, include_stop=True,
    )  # fmt: skip
    assert read_chat(chat(logprobs=True), 300).sampling.logprobs == 0
    assert read_chat(chat(logprobs=False, top_logprobs=0), 300).sampling.logprobs is None
    assert read_completion({"prompt": "a", "logprobs": 0}, 300).sampling.logprobs == 0
    assert read_completion({"prompt": "a"}, 300).sampling.logprobs is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"model": "m"}, "messages: must be a list of messages"),
        (chat(messages="hi"), "messages=\"hi\": must be a list"),
        (chat(messages=[]), "messages: must be a list"),
        (chat(messages=["hi"]), "messages: turn 1 is not an object"),
        (chat(messages=[{"role": "user", "content": None}]), "turn 1: its content is neither"),
        (chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]), "neither a text nor"),
        (chat(messages=[{"role": "user", "content": []}]), "turn 1: its content is neither"),
        (chat(temperature=-1), r"^temperature=-1\.0: must be 0 \(greedy\) or more$"),
        (chat(temperature="hot"), 'temperature="hot": must be a number'),
        (chat(temperature=True), "temperature=true: must be a number"),
        (chat(top_p=0), r"top_p=0\.0: must be in"),
        (chat(n=0), "n=0: must be at least 1"),
        (chat(n=1.5), r"n=1\.5: must be a whole number"),
        (chat(n=129), "n=129: must be at most 128"),
        (chat(n=2, temperature=0), "n=2: greedy texts of a row are all the same; set temperature above 0"),
        (chat(max_tokens=0), "max_tokens=0: must be at least 1"),
        (chat(max_tokens=3, max_completion_tokens=3), "give one of them"),
        (chat(messages=[{"role": "critic", "content": "x"}]), "turn 1 has the role 'critic'"),
        (chat(seed=2**63), r"seed=9223372036854775808: must be in \[-9223372036854775808"),
        (chat(frequency_penalty=2.5), r"frequency_penalty=2.5: must be in \[-2, 2\]"),
        (chat(presence_penalty=float("nan")), r"presence_penalty=NaN: must be in"),
        (chat(logit_bias={"the": 1}), "logit_bias=.*must be token ids, each with a number"),
        (chat(logit_bias={"5": 101}), "must be token ids, each with a number"),
        (chat(logit_bias={"5": True}), "must be token ids, each with a number"),
        (chat(top_logprobs=2), "top_logprobs=2: needs logprobs=true"),
        (chat(logprobs=True, top_logprobs=21), r"top_logprobs=21: must be in \[0, 20\]"),
        (chat(logprobs=1), "logprobs=1: must be true or false"),
        (chat(min_tokens=9, max_tokens=8), r"min_tokens=9: must be in \[0, 8\]"),
        (chat(stop_token_ids=["a"]), "must be a list of token ids"),
        (chat(ignore_eos=True, structured_outputs={"choice": ["a"]}), "ignore_eos: a text that has to keep to"),
        (chat(stop=[1]), r"stop=\[1\]: must be a text or a list of texts"),
        (chat(stream=True), "stream=true: a batch file is not streamed; leave it out"),
        (chat(temprature=1), "unknown key 'temprature'"),
        (chat(suffix="x"), "unknown key 'suffix'"),
        (chat(response_format={"type": "xml"}), "type must be text, json_object or json_schema"),
        (chat(response_format={"type": "json_schema", "json_schema": {}}), "json_schema.schema must be a JSON schema"),
        (chat(structured_outputs={"json": "/etc/passwd.json"}), "structured_outputs: json is no JSON"),
        (chat(structured_outputs={"json": {"type": "nope"}}), "is no JSON schema"),
        (chat(structured_outputs={"grammar": "x"}), "structured_outputs: grammar is not supported"),
        (chat(structured_outputs={"regex": "a", "choice": ["a"]}), "one constraint at a time"),
        (chat(structured_outputs={"regex": "("}), "is no regular expression"),
        (chat(structured_outputs={"json": "[" * 5000}), "structured_outputs: json is no JSON"),
        (chat(structured_outputs={"json": {"$ref": "#/x"}}), "leads nowhere inside of it"),
        *((chat(**{key: 10**400}), f"{key}=10000.*: too large") for key in
          ("temperature", "top_p", "min_p", "repetition_penalty")),
        *((chat(**{key: 10**400}), f"{key}=10000.*: must be") for key in
          ("n", "seed", "top_k", "max_tokens")),
        (chat(max_completion_tokens=10**400), r"max_tokens=1000.*: must be below 2\*\*31"),
        (chat(top_logprobs=10**400), "top_logprobs=1000.*must be in"),
        (chat(temperature=float("inf")), "temperature=inf: must be"),
        (chat(top_p=float("nan")), "top_p=nan: must be"),
    ],
)  # fmt: skip
def test_bodies_that_cannot_be_answered(body: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        texts().check_body(body)
    assert "generate." not in str(error.value)


def test_what_the_engine_lacks_is_the_bodys_error() -> None:
    body = chat(response_format={"type": "json_schema", "json_schema": {"schema": {"type": "array", "contains": {}}}})
    texts().check_body(body)
    task = AnswerTexts(url=CHAT, seed=0, context=300, fits=VllmConfig(model="x").check_sampling)
    with pytest.raises(ValueError, match="json_schema: contains would not be enforced"):
        task.check_body(body)
    pickle.loads(pickle.dumps(task)).check_body(chat())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "prompt: must be a text or a list"),
        ({"prompt": [1, 2]}, "token ids are not supported"),
        ({"prompt": ["a", ""]}, "none of them empty"),
        ({"prompt": "a", "echo": True}, "echo=true: texts are without their prompts"),
        ({"prompt": "a", "best_of": 2}, "use n"),
        ({"prompt": "a", "logprobs": True}, "logprobs=true: must be a whole number"),
        ({"prompt": "a", "messages": HI}, "unknown key 'messages'"),
    ],
)
def test_completions_that_cannot_be_answered(body: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        texts(COMPLETIONS).check_body(body)


def test_rows_that_are_sampled_alike_are_asked_together_and_seeds_are_of_the_body() -> None:
    task, engine = texts(), Watched()
    long = [{"role": "user", "content": "x" * 400}]
    bodies = [chat(), chat(temperature=0.5), chat(seed=11), chat(messages=long), chat()]
    table = rows(*bodies)
    prepared = task.prepare(table, ByteTokenizer(), 300)
    result = task.read(prepared, task.ask(engine, prepared))
    assert [(count, sampling.temperature) for count, sampling, _ in engine.calls] == [(3, 1.0), (1, 0.5)]
    first, other, *_ = row_keys(table)
    assert engine.calls[0][2] == [row_seed(7, first), 11, row_seed(7, first)]  # equal bodies: the run tells them apart
    assert result.errors == {
        3: "body: too long: 404 tokens, and engine.max_model_len=300 for prompt and answer together"
    }
    assert result.columns["tokens"].to_pylist() == [6, 6, 6, 0, 6]
    sampling = read_chat(bodies[1], 300).sampling
    alone = DummyEngine(CONFIG).generate(prepared.requests[1:2], sampling, [row_seed(7, other)])
    assert result.columns["text"][1].as_py() == [alone.texts[0][0].text]


def test_a_prompt_of_one_token_less_than_the_context_is_answered() -> None:
    task = texts(COMPLETIONS)
    prepared = task.prepare(rows({"prompt": "x" * 298}, {"prompt": "x" * 299}), ByteTokenizer(), 300)
    result = task.read(prepared, task.ask(DummyEngine(CONFIG), prepared))
    assert list(result.errors) == [1]
    assert result.columns["finish_reason"][0].as_py() == ["length"]
    assert result.columns["new_tokens"][0].as_py() == [1]


def test_several_prompts_with_several_samples_and_an_engines_error() -> None:
    task, engine = texts(COMPLETIONS), DummyEngine(DummyConfig(max_model_len=300, fail_on="bad"))
    prepared = task.prepare(
        rows({"prompt": ["a", "b"], "n": 2}, {"prompt": ["a", "bad"]}, {"prompt": "c"}), ByteTokenizer(), 300
    )
    result = task.read(prepared, task.ask(engine, prepared))
    assert prepared.counts == [2, 2, 1]
    assert list(map(len, result.columns["text"].to_pylist()[0::2])) == [4, 1]
    assert len(set(result.columns["text"][0].as_py())) == 4
    assert result.errors == {1: "the request contains engine.fail_on='bad'"}


def test_chats_need_a_chat_template(tokenizer: Tokenizer) -> None:
    class Base(ByteTokenizer):
        has_chat_template = False

    texts().check(tokenizer, 300)
    texts(COMPLETIONS).check(Base(), 300)
    with pytest.raises(ConfigError, match=r"no chat template, which /v1/chat/completions needs"):
        texts().check(Base(), 300)


def test_embeddings() -> None:
    task, engine = EmbedInputs(16), DummyEngine(CONFIG)
    bodies = [{"input": "a"}, {"input": ["a", "b"]}, {"input": "a", "dimensions": 4}, {"input": "x" * 400}]
    for body in bodies:
        task.check_body(body)
    prepared = task.prepare(rows(*bodies), ByteTokenizer(), 300)
    result = task.read(prepared, task.ask(engine, prepared))
    vectors = result.columns["vectors"].to_pylist()
    assert [len(row or []) for row in vectors] == [1, 2, 1, 0]
    expected = engine.embed([ByteTokenizer().embedding_prompt(text) for text in "ab"]).values
    assert np.array_equal(np.array(vectors[1], np.float32), expected)
    shorter = expected[0, :4] / np.linalg.norm(expected[0, :4])
    assert np.allclose(vectors[2][0], shorter, atol=1e-6)
    assert result.columns["tokens"].to_pylist() == [3, 6, 3, 0]
    assert list(result.errors) == [3]
    nothing = task.prepare(rows(bodies[3]), ByteTokenizer(), 300)
    assert list(task.read(nothing, task.ask(engine, nothing)).errors) == [0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "input: must be a text"),
        ({"input": []}, "input: must be a text"),
        ({"input": [[1, 2]]}, "token ids are not supported"),
        ({"input": "a", "dimensions": 17}, "dimensions=17: the engine's vectors have 16"),
        ({"input": "a", "dimensions": 0}, "dimensions=0: must be at least 1"),
        ({"input": "a", "encoding_format": "base64"}, "vectors are written as numbers"),
        ({"input": "a", "truncate_prompt_tokens": 4}, "unknown key 'truncate_prompt_tokens'"),
    ],
)
def test_embeddings_that_cannot_be_answered(body: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EmbedInputs(16).check_body(body)
    assert read_embedding({"input": "a", "encoding_format": "float", "user": "me"}).texts == ["a"]


def test_scores() -> None:
    task, engine = ScorePairs(), DummyEngine(CONFIG)
    bodies = [
        {"text_1": "q", "text_2": "a"},
        {"queries": "q", "documents": ["a", "b"], "use_activation": False},
        {"text_1": ["q", "r"], "text_2": ["a", "b"]},
    ]
    prepared = task.prepare(rows(*bodies), ByteTokenizer(), 300)
    result = task.read(prepared, task.ask(engine, prepared))
    pairs = [("q", "a"), ("q", "a"), ("q", "b"), ("q", "a"), ("r", "b")]
    expected = engine.relevance([ByteTokenizer().pair_prompt(*pair) for pair in pairs]).values[:, 0].tolist()
    assert result.columns["scores"].to_pylist() == [expected[:1], expected[1:3], expected[3:]]
    assert not result.errors
    for body, message in [
        ({"text_1": "q"}, "needs both text_1 and text_2"),
        ({"data": "q"}, "needs text_1 and text_2, or queries and documents"),
        ({"text_1": ["a", "b"], "text_2": ["a"]}, "text_1 has 2 texts, text_2 1: must be 1 to n, or n to n"),
        ({"text_1": "a", "text_2": "b", "use_activation": True}, "scores are the model's output as it is"),
        ({"text_1": "a", "text_2": "b", "queries": "c"}, "unknown key 'queries'"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            read_score(body)


def test_documents_are_ranked() -> None:
    task, engine = RerankDocuments(), DummyEngine(CONFIG)
    documents = ["a", "b", "c", "a"]
    bodies = [{"query": "q", "documents": documents}, {"query": "q", "documents": documents, "top_n": 2}]
    prepared = task.prepare(rows(*bodies), ByteTokenizer(), 300)
    result = task.read(prepared, task.ask(engine, prepared))
    expected = engine.relevance([ByteTokenizer().pair_prompt("q", text) for text in documents]).values[:, 0].tolist()
    order = sorted(range(4), key=lambda index: (-expected[index], index))
    assert result.columns["indices"].to_pylist() == [order, order[:2]]
    assert result.columns["scores"][0].as_py() == [expected[index] for index in order]
    assert result.columns["documents"][1].as_py() == [documents[index] for index in order[:2]]
    for body, message in [
        ({"query": "q"}, "needs query, a text, and documents"),
        ({"query": "q", "documents": []}, "needs query, a text, and documents"),
        ({"query": ["q"], "documents": ["a"]}, "must be a text"),
        ({"query": "q", "documents": ["a"], "top_n": -1}, "top_n=-1: must be in"),
        ({"query": "q", "documents": ["a"], "max_chunks_per_doc": 1}, "unknown key 'max_chunks_per_doc'"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            task.check_body(body)
