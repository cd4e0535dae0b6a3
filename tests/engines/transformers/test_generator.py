"""Generated text against transformers' own `generate`, asked for one row at a time, without padding."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.engines.transformers.generator import GeneratorEngine
from lib.engines.transformers.loading import Loaded
from lib.types import Completion, Sampling, TokenIds, TokenLogprob
from tests.engines.conftest import word_tokenizer
from tests.engines.transformers.test_causal import random_prompts, tiny

END = 2
DRAWS = Sampling(max_tokens=12, temperature=1.0)
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "old": {"type": "boolean"}},
    "required": ["name", "old"],
}


def engine_of(model: Any, batch_tokens: int = 4096, max_model_len: int = 128) -> GeneratorEngine:
    tokenizer = HuggingFaceTokenizer(word_tokenizer())
    return GeneratorEngine(Loaded(model, "cpu", 0), tokenizer, max_model_len=max_model_len, batch_tokens=batch_tokens)


def plain(model: Any, prompt: TokenIds, new_tokens: int, **options: Any) -> list[list[int]]:
    """Each text by transformers alone, up to its end token."""
    import torch

    ids = torch.tensor([prompt])
    with torch.inference_mode():
        found = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new_tokens,
            do_sample=False,
            pad_token_id=END,
            **options,
        )
    return [cut(tokens) for tokens in found[:, len(prompt) :].tolist()]


def cut(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(END) + 1] if END in tokens else tokens


def tokens_of(texts: Sequence[Sequence[Completion]]) -> list[list[list[int]]]:
    return [[sample.tokens for sample in samples] for samples in texts]


@pytest.mark.parametrize("name", ["llama", "qwen2", "mistral", "gemma2", "gemma3", "gpt2"])
@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_greedy_is_what_transformers_gives_to_each_row_alone(name: str, batch_tokens: int) -> None:
    model = tiny(name)
    prompts = random_prompts([40, 3, 17, 1, 33, 9, 25])
    expected = [plain(model, prompt, 20, eos_token_id=END) for prompt in prompts]
    completions = engine_of(model, batch_tokens).generate(prompts, Sampling(max_tokens=20), [0] * 7)
    assert not completions.errors
    assert tokens_of(completions.texts) == expected
    assert len({tuple(text[0]) for text in expected}) > 4
    for (sample,) in completions.texts:
        ended = sample.tokens[-1] == END
        assert sample.finish_reason == ("stop" if ended else "length")
        assert sample.text.split() == ["<pad>" if t == 0 else f"w{t - 3}" for t in sample.tokens if t not in (1, END)]


def test_a_repetition_penalty_does_not_see_the_padding() -> None:
    model = tiny("llama")
    prompts = random_prompts([3, 40, 9])
    expected = [plain(model, prompt, 12, eos_token_id=END, repetition_penalty=3.0) for prompt in prompts]
    assert expected != [plain(model, prompt, 12, eos_token_id=END) for prompt in prompts]
    found = engine_of(model).generate(prompts, Sampling(max_tokens=12, repetition_penalty=3.0), [0] * 3)
    assert tokens_of(found.texts) == expected


@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_beams_are_those_of_transformers(batch_tokens: int) -> None:
    model = tiny("llama")
    prompts = random_prompts([20, 5, 11, 30])
    options = {"num_beams": 4, "num_return_sequences": 3, "eos_token_id": END}
    expected = [plain(model, prompt, 8, **options) for prompt in prompts]
    found = engine_of(model, batch_tokens).generate(prompts, Sampling(max_tokens=8, num_beams=4, n=3), [0] * 4)
    assert tokens_of(found.texts) == expected
    assert all(len({tuple(text) for text in texts}) == 3 for texts in expected)


def test_the_checkpoints_own_sampling_is_not_used() -> None:
    model = tiny("llama")
    prompts = random_prompts([9, 4])
    expected = [plain(model, prompt, 9, eos_token_id=END) for prompt in prompts]
    model.generation_config.repetition_penalty = 5.0
    model.generation_config.min_new_tokens = 9
    assert tokens_of(engine_of(model).generate(prompts, Sampling(max_tokens=9), [0, 0]).texts) == expected


def test_end_tokens_are_those_of_checkpoint_and_tokenizer() -> None:
    model = tiny("llama")
    prompts = random_prompts([8] * 30)
    free = engine_of(model).generate(prompts, Sampling(max_tokens=15), [0] * 30).texts
    other = free[0][0].tokens[5]
    model.generation_config.eos_token_id = [other]
    ended = engine_of(model).generate(prompts, Sampling(max_tokens=15), [0] * 30).texts
    first = ended[0][0]
    assert first.tokens == free[0][0].tokens[: free[0][0].tokens.index(other) + 1]
    assert first.finish_reason == "stop"
    assert f"w{other - 3}" not in first.text.split()
    assert {sample.tokens[-1] for (sample,) in ended if sample.finish_reason == "stop"} <= {other, END}


def test_a_row_draws_the_same_whatever_else_is_asked() -> None:
    model = tiny("llama")
    prompts, seeds = random_prompts([40, 3, 17, 1, 33, 9, 25]), list(range(100, 107))
    sampling = Sampling(max_tokens=12, temperature=0.9, top_p=0.95, n=3)
    together = engine_of(model).generate(prompts, sampling, seeds).texts
    assert engine_of(model, 1).generate(prompts, sampling, seeds).texts == together
    assert engine_of(model).generate(prompts[::-1], sampling, seeds[::-1]).texts == together[::-1]
    assert engine_of(model).generate(prompts[2:3], sampling, seeds[2:3]).texts == together[2:3]
    assert all(len({sample.text for sample in samples}) == 3 for samples in together)
    assert engine_of(model).generate(prompts[2:3], sampling, [5]).texts != together[2:3]


def test_equal_rows_with_other_seeds_differ() -> None:
    texts = engine_of(tiny("llama")).generate([[5, 6, 7]] * 20, DRAWS, list(range(20))).texts
    assert len({sample.text for (sample,) in texts}) > 15


def only(keep: Callable[[Any], Any], probabilities: Any) -> Any:
    kept = np.where(keep(probabilities), probabilities, 0)
    return kept / kept.sum()


def likeliest(count: int) -> Callable[[Any], Any]:
    return lambda p: p >= np.sort(p)[-count]


def nucleus(mass: float) -> Callable[[Any], Any]:
    def keep(p: Any) -> Any:
        order = np.argsort(-p)
        return np.isin(np.arange(len(p)), order[: np.searchsorted(np.cumsum(p[order]), mass) + 1])

    return keep


@pytest.mark.parametrize(
    ("sampling", "keeps"),
    [
        (Sampling(max_tokens=1, temperature=1.5), []),
        (Sampling(max_tokens=1, temperature=1.5, top_k=4), [likeliest(4)]),
        (Sampling(max_tokens=1, temperature=1.5, top_p=0.6), [nucleus(0.6)]),
        (Sampling(max_tokens=1, temperature=1.5, min_p=0.2), [lambda p: p >= 0.2 * p.max()]),
        (Sampling(max_tokens=1, temperature=1.5, epsilon_cutoff=0.05), [lambda p: p >= 0.05]),
        (
            Sampling(max_tokens=1, temperature=2.0, min_p=0.05, top_k=9, top_p=0.9, epsilon_cutoff=0.03),
            [lambda p: p >= 0.05 * p.max(), likeliest(9), nucleus(0.9), lambda p: p >= 0.03],
        ),
    ],
)
def test_draws_follow_the_distribution(sampling: Sampling, keeps: Sequence[Callable[[Any], Any]]) -> None:
    import torch
    from scipy.stats import chisquare

    model, count = tiny("llama"), 4000
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[5, 9, 23]])).logits[0, -1].double()
    expected = torch.softmax(logits / sampling.temperature, dim=0).numpy()
    for keep in keeps:
        expected = only(keep, expected)
    assert (expected > 0.01).sum() > 1
    texts = engine_of(model, 1 << 20).generate([[5, 9, 23]] * count, sampling, list(range(count))).texts
    drawn = np.bincount([sample.tokens[0] for (sample,) in texts], minlength=64)
    assert drawn[expected == 0].sum() == 0
    common = expected * count >= 5
    seen = np.append(drawn[common], drawn[~common].sum())
    hoped = np.append(expected[common], expected[~common].sum()) * count
    assert chisquare(seen[hoped > 0], hoped[hoped > 0]).pvalue > 0.001


def test_a_stop_text_ends_a_sample_and_is_left_out() -> None:
    model, prompts = tiny("llama"), random_prompts([9, 30])
    free = engine_of(model).generate(prompts, Sampling(max_tokens=20), [0, 0]).texts
    stop = " ".join(free[0][0].text.split()[4:6])
    found = engine_of(model).generate(prompts, Sampling(max_tokens=20, stop=["nothing", stop]), [0, 0]).texts
    assert found[0][0].text == free[0][0].text[: free[0][0].text.index(stop)]
    assert found[0][0].finish_reason == "stop"
    assert len(found[0][0].tokens) == len(found[0][0].text.split()) + 2
    assert stop in free[1][0].text or found[1] == free[1]


def test_a_stop_text_that_begins_in_the_prompt_ends_nothing() -> None:
    model = tiny("llama")
    (free,) = engine_of(model).generate([[5, 6, 7]], Sampling(max_tokens=8), [0]).texts
    across = f"w4 {free[0].text.split()[0]}"
    assert across not in free[0].text
    stops = ["w2 w3 w4", across]
    assert engine_of(model).generate([[5, 6, 7]], Sampling(max_tokens=8, stop=stops), [0]).texts == [free]


def test_rows_end_where_their_room_does() -> None:
    model = tiny("llama")
    prompts = [*random_prompts([12, 4, 19, 20]), []]
    free = [plain(model, prompt, 20, eos_token_id=END)[0] for prompt in prompts[:4]]
    found = engine_of(model).generate(prompts, Sampling(max_tokens=50, max_length=20), [0] * 5)
    assert found.errors == {
        3: "the prompt's 20 tokens leave no room to write: generate.max_length=20 counts prompt and output together",
        4: "the request is empty",
    }
    assert found.texts[3] == found.texts[4] == []
    for prompt, (sample,), whole in zip(prompts[:3], found.texts[:3], free[:3], strict=True):
        assert sample.tokens == whole[: 20 - len(prompt)]
        assert sample.finish_reason == ("stop" if sample.tokens[-1] == END else "length")
    within = engine_of(model, max_model_len=16).generate(prompts[:1], Sampling(max_tokens=50), [0])
    assert len(within.texts[0][0].tokens) <= 4


def test_no_row_goes_beyond_the_last_position() -> None:
    """GPT-2 has an embedding for each position: one more is an error for the whole batch."""
    model = tiny("gpt2")
    prompts = random_prompts([127, 120, 120, 3, 60])
    found = engine_of(model).generate(prompts, Sampling(max_tokens=120), [0] * 5)
    assert not found.errors
    for prompt, (sample,) in zip(prompts, found.texts, strict=True):
        assert [sample.tokens] == plain(model, prompt, min(120, 128 - len(prompt)), eos_token_id=END)


def test_out_of_memory_changes_no_answer() -> None:
    import torch

    model = tiny("llama")
    prompts = [*random_prompts([30] * 9), *random_prompts([90])]
    sampling = Sampling(max_tokens=10, temperature=1.0, n=2)
    whole = engine_of(model).generate(prompts, sampling, list(range(10))).texts
    sizes = []

    def allocate(_: Any, args: Any, kwargs: Any) -> None:
        sizes.append(kwargs["input_ids"].numel())
        if sizes[-1] > 70:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 TiB")

    model.register_forward_pre_hook(allocate, with_kwargs=True)
    found = engine_of(model).generate(prompts, sampling, list(range(10)))
    assert found.errors == {9: "out of memory: one request of 100 tokens does not fit"}
    assert found.texts[:9] == whole[:9]
    assert found.texts[9] == []
    assert sum(size > 70 for size in sizes) < 8


def test_a_row_whose_numbers_break_down_is_an_error() -> None:
    import torch

    model = tiny("llama")
    with torch.no_grad():
        model.model.embed_tokens.weight[50] = torch.nan
    found = engine_of(model).generate([[5, 6, 7], [5, 50, 7], [8, 9]], Sampling(max_tokens=2), [0] * 3)
    assert found.errors == {1: "the model's output is not a finite number"}
    assert found.texts[1] == []
    assert len(found.texts[0]) == len(found.texts[2]) == 1


def by_hand(model: Any, prompt: TokenIds, new_tokens: int, reshape: Callable[[Any, list[int]], Any]) -> list[Any]:
    """Greedy tokens by forward passes of the whole text, each with its step's log-probabilities [vocabulary]."""
    import torch

    tokens: list[int] = []
    steps = []
    while len(tokens) < new_tokens and END not in tokens:
        with torch.inference_mode():
            logits = model(torch.tensor([[*prompt, *tokens]])).logits[0, -1].float()
        steps.append(logits.log_softmax(dim=0))
        tokens.append(int(reshape(logits.clone(), tokens).argmax()))
    return [tokens, steps]


def test_penalties_count_what_was_written_and_biases_are_added() -> None:
    model = tiny("llama")
    prompts = random_prompts([3, 30, 9])
    biases = ((7, 0.4), (11, -100.0))

    def reshape(logits: Any, tokens: list[int]) -> Any:
        for token, bias in biases:
            logits[token] += bias
        for token in set(tokens):
            logits[token] -= 0.3 * tokens.count(token) + 0.2
        return logits

    sampling = Sampling(max_tokens=14, frequency_penalty=0.3, presence_penalty=0.2, logit_bias=biases)
    expected = [by_hand(model, prompt, 14, reshape)[0] for prompt in prompts]
    found = tokens_of(engine_of(model).generate(prompts, sampling, [0] * 3).texts)
    assert found == [[tokens] for tokens in expected]
    assert found != tokens_of(engine_of(model).generate(prompts, Sampling(max_tokens=14), [0] * 3).texts)
    assert tokens_of(engine_of(model, 1).generate(prompts, sampling, [0] * 3).texts) == found


def test_logprobs_are_the_models_own_whatever_is_done_to_its_logits() -> None:
    model = tiny("llama")
    prompts = random_prompts([3, 30, 9])
    sampling = Sampling(max_tokens=10, frequency_penalty=1.0, logit_bias=((7, 5.0),), logprobs=3)
    names = HuggingFaceTokenizer(word_tokenizer()).decode

    def reshape(logits: Any, tokens: list[int]) -> Any:
        logits[7] += 5.0
        for token in set(tokens):
            logits[token] -= tokens.count(token)
        return logits

    for prompt, (sample,) in zip(prompts, engine_of(model).generate(prompts, sampling, [0] * 3).texts, strict=True):
        tokens, steps = by_hand(model, prompt, 10, reshape)
        assert sample.tokens == tokens
        assert sample.logprobs is not None
        assert [one.token for one in sample.logprobs] == [names([token]) for token in tokens]
        for one, token, step in zip(sample.logprobs, tokens, steps, strict=True):
            assert one.logprob == pytest.approx(float(step[token]), abs=1e-4)
            best = step.topk(3)
            assert [text for text, _ in one.top] == [names([other]) for other in best.indices.tolist()]
            assert [value for _, value in one.top] == pytest.approx(best.values.tolist(), abs=1e-4)
    plain_ones = engine_of(model).generate(prompts, Sampling(max_tokens=10), [0] * 3).texts
    assert {sample.logprobs for (sample,) in plain_ones} == {None}
    (drawn,) = engine_of(model).generate(prompts[:1], replace(DRAWS, n=2, logprobs=0), [5]).texts
    assert [len(sample.logprobs or []) for sample in drawn] == [len(sample.tokens) for sample in drawn]
    assert {one.top for sample in drawn for one in map(freeze, sample.logprobs or [])} == {()}


def freeze(one: TokenLogprob) -> TokenLogprob:
    return replace(one, top=tuple(one.top))


def test_where_a_text_ends_can_be_said_otherwise() -> None:
    model = tiny("llama")
    prompts = random_prompts([8] * 30)
    engine = engine_of(model)
    free = [sample.tokens for (sample,) in engine.generate(prompts, Sampling(max_tokens=15), [0] * 30).texts]
    number = next(number for number, tokens in enumerate(free) if 2 < len(tokens) < 15 and tokens[-1] == END)
    prompt, short = prompts[number : number + 1], free[number]

    def one(**how: Any) -> Completion:
        return engine.generate(prompt, Sampling(max_tokens=15, **how), [0]).texts[0][0]

    later = one(min_tokens=12)
    assert later.tokens[: len(short) - 1] == short[:-1]
    assert END not in later.tokens[:12]
    assert len(one(ignore_eos=True).tokens) == 15
    assert one(ignore_eos=True).tokens[: len(short)] == short
    second = short[1]
    stopped = one(stop_token_ids=(second,))
    assert (stopped.tokens, stopped.finish_reason) == (short[:2], "stop")
    assert f"w{second - 3}" not in stopped.text.split()
    assert one(stop_token_ids=(second,), include_stop=True).text.split()[-1] == f"w{second - 3}"
    word = f"w{second - 3}"
    assert one(stop=(word,), include_stop=True).text == one(stop=(word,)).text + word


def test_tokens_that_the_model_does_not_have_are_refused() -> None:
    engine = engine_of(tiny("llama"))
    for how in ({"logit_bias": ((10**6, 1.0),)}, {"stop_token_ids": (10**6,)}):
        found = engine.generate(random_prompts([3, 4]), Sampling(max_tokens=4, **how), [0, 0])  # type: ignore[arg-type]
        assert [f"{next(iter(how))}: the model has no token 1000000" in found.errors[row] for row in (0, 1)]
        assert found.texts == [[], []]
