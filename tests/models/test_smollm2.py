"""The packaged SmolLM2 in the transformers engine: judging, quantised, writing, under constraints."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.engines.transformers.causal import CausalEngine
from lib.types import Label, Sampling
from tests.engines.conftest import smollm2_config
from tests.engines.transformers.test_causal import engine_of, plain
from tests.engines.transformers.test_generator import END, SCHEMA, tokens_of
from tests.engines.transformers.test_generator import plain as generated


@pytest.fixture(scope="module")
def engine(smollm2: HuggingFaceTokenizer) -> Any:
    return smollm2_config().load(smollm2, "generate")


@pytest.fixture(scope="module")
def judged(
    engine: Any, smollm2: HuggingFaceTokenizer
) -> tuple[Any, list[list[int]], list[Label], npt.NDArray[np.float64]]:
    """The model, prompts of mixed lengths, labels A, B and 同等, bare and after a blank, and what is true of them."""
    texts = ["Which is better, A or B? Say A, B or 同等." + " The sky is blue." * n for n in (0, 1, 7, 30, 2)]
    prompts = [smollm2.chat_prompt([{"role": "user", "content": text}]) for text in texts]
    labels: list[Label] = [
        tuple(tuple(smollm2.encode(text)) for text in (name, f" {name}")) for name in ("A", "B", "同等")
    ]
    assert max(len(sequence) for sequence in labels[2]) > 3
    return engine._model, prompts, labels, plain(engine._model, prompts, labels)


@pytest.mark.parametrize("batch_tokens", [1, 256, 2048])
def test_the_real_model_agrees_with_a_plain_forward_pass(judged: Any, batch_tokens: int) -> None:
    model, prompts, labels, expected = judged
    answers = engine_of(model, batch_tokens, max_model_len=1024).label_logprobs(prompts, labels)
    np.testing.assert_allclose(answers.values, expected, atol=2e-4)  # measured: 5e-5


@pytest.mark.parametrize(("quantization", "share"), [("int8", 0.45), ("nf4", 0.35), ("nf4_double", 0.33)])
def test_quantised_weights_load_and_judge_on_a_cpu(
    judged: Any, smollm2: HuggingFaceTokenizer, quantization: str, share: float
) -> None:
    from lib.engines.transformers.transformers_config import BitsAndBytes

    _, prompts, labels, expected = judged
    engine = smollm2_config(quantization=BitsAndBytes(quantization)).load(smollm2, "label_logprobs")
    assert isinstance(engine, CausalEngine)
    assert engine.memory < share * 538_060_288
    answers = engine.label_logprobs(prompts[:3], labels)
    assert not answers.errors
    assert not np.allclose(answers.values, expected[:3], atol=1e-3)  # else nothing was quantised
    np.testing.assert_allclose(answers.values, expected[:3], atol=3.5)


def chats(tokenizer: HuggingFaceTokenizer, *texts: str) -> list[list[int]]:
    return [tokenizer.chat_prompt([{"role": "user", "content": text}]) for text in texts]


QUESTIONS = ("Hi", "What is the capital of France?", "Tell me a story about a dragon. It should be short and scary.")


def test_the_real_model_writes_what_transformers_gives_to_each_row_alone(
    engine: Any, smollm2: HuggingFaceTokenizer
) -> None:
    prompts = chats(smollm2, *QUESTIONS)
    found = engine.generate(prompts, Sampling(max_tokens=24), [0] * 3)
    assert tokens_of(found.texts) == [generated(engine._model, prompt, 24, eos_token_id=END) for prompt in prompts]
    assert found.texts[1][0].text == "The capital of France is Paris."
    assert found.texts[1][0].finish_reason == "stop"
    assert "<|im_" not in "".join(sample.text for (sample,) in found.texts)


def test_the_real_model_draws_the_same_in_other_batches(engine: Any, smollm2: HuggingFaceTokenizer) -> None:
    prompts = chats(smollm2, *QUESTIONS)
    sampling = Sampling(max_tokens=16, temperature=0.9, top_p=0.9, n=2)
    together = engine.generate(prompts, sampling, [1, 2, 3]).texts
    alone = [
        engine.generate([prompt], sampling, [seed]).texts[0] for prompt, seed in zip(prompts, (1, 2, 3), strict=True)
    ]
    assert alone == together
    assert len({sample.text for samples in together for sample in samples}) == 6


def test_a_special_token_is_a_stop_as_well(engine: Any, smollm2: HuggingFaceTokenizer) -> None:
    (prompt,) = chats(smollm2, "What is the capital of France?")
    (free,) = engine.generate([prompt], Sampling(max_tokens=24), [0]).texts[0]
    special = smollm2.special_token("<|im_end|>")
    assert free.tokens[-1] == special == END
    engine._end_tokens = frozenset()
    try:
        (endless,) = engine.generate([prompt], Sampling(max_tokens=12), [0]).texts[0]
        (stopped,) = engine.generate([prompt], Sampling(max_tokens=24, stop=["<|im_end|>"]), [0]).texts[0]
    finally:
        engine._end_tokens = frozenset({END})
    assert endless.finish_reason == "length"
    assert stopped == free


def test_constrained_text_keeps_to_its_constraint(engine: Any, smollm2: HuggingFaceTokenizer) -> None:
    import jsonschema  # type: ignore[import-untyped]

    prompts = chats(smollm2, *QUESTIONS)
    choice = ['maybe "not"', "同等\\", "two\nlines"]
    for temperature in (0.0, 2.0):
        texts = engine.generate(
            prompts, Sampling(max_tokens=16, choice=choice, temperature=temperature), [1, 2, 3]
        ).texts
        assert all(sample.text in choice and sample.finish_reason == "stop" for (sample,) in texts)
    texts = engine.generate(
        prompts, Sampling(max_tokens=16, regex="[0-9]{3}-(aa|bb)", temperature=2.0), [1, 2, 3]
    ).texts
    assert all(sample.text[:3].isdecimal() and sample.text[3:] in ("-aa", "-bb") for (sample,) in texts)
    sampling = Sampling(max_tokens=40, json_schema=json.dumps(SCHEMA), temperature=1.5)
    for (sample,) in engine.generate(prompts, sampling, [1, 2, 3]).texts:
        jsonschema.validate(json.loads(sample.text), SCHEMA)
        assert sample.finish_reason == "stop"


def test_a_constrained_row_that_ends_early_disturbs_no_other(engine: Any, smollm2: HuggingFaceTokenizer) -> None:
    """Its padding breaks its grammar, and its room ends before its number does."""
    prompts = chats(smollm2, QUESTIONS[2], QUESTIONS[0])
    longest = len(prompts[0]) + 3
    found = engine.generate(prompts, Sampling(max_tokens=50, max_length=longest, regex="[0-9]{9}"), [0, 0])
    assert not found.errors
    assert (found.texts[0][0].finish_reason, len(found.texts[0][0].text)) == ("length", 3)
    assert (found.texts[1][0].finish_reason, len(found.texts[1][0].text)) == ("stop", 9)
