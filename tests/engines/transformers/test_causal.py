"""Label log-probabilities against a plain forward pass: one row at a time, no cache, no padding, all logits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lib.engines.checkpoints.heads import Head
from lib.engines.transformers.causal import CausalEngine
from lib.engines.transformers.loading import Loaded, load
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.errors import EngineError
from lib.tasks.prompts.labels import ask_labels, spell
from lib.types import Label, LabelEngine, TokenIds
from tests.engines.conftest import WORDS, Save
from tests.tasks.prompts.test_labels import PIECES, llama2

TOLERANCE = 2e-5  # of log-probabilities at fp32: batches of another shape add up in another order
LABELS: list[Label] = [
    ((5,), (6,)),
    ((7, 8, 9),),
    ((7, 8, 10, 11), (12, 13)),
    ((14, 15), (14, 16)),
    ((17,), (17, 18)),  # the second sequence is part of the first
]
SMALL = {
    "vocab_size": 3 + WORDS,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.4,  # answers far from uniform: mistakes show
    "pad_token_id": 2,
    "eos_token_id": 2,
    "bos_token_id": 1,
}
WINDOW = {"sliding_window": 8}
LAYERS = {"layer_types": ["sliding_attention", "full_attention"] * 2}


def tiny(name: str) -> Any:
    """A small model of a real architecture with random weights."""
    import torch
    import transformers

    torch.manual_seed(1)
    attention = {key: value for key, value in SMALL.items() if key != "head_dim"}
    config = {
        "llama": lambda: transformers.LlamaConfig(**SMALL),
        "qwen2": lambda: transformers.Qwen2Config(**attention),
        "mistral": lambda: transformers.MistralConfig(**SMALL, **WINDOW),
        "gemma2": lambda: transformers.Gemma2Config(**SMALL, **WINDOW, **LAYERS, final_logit_softcapping=3.0),
        "gemma3": lambda: transformers.Gemma3TextConfig(**SMALL, **WINDOW, **LAYERS),
        "gpt2": lambda: transformers.GPT2Config(
            vocab_size=64, n_positions=128, n_embd=32, n_layer=2, n_head=4, initializer_range=0.4
        ),
        "mamba": lambda: transformers.MambaConfig(
            vocab_size=64, hidden_size=32, num_hidden_layers=2, state_size=4, initializer_range=0.4
        ),
    }[name]()
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def plain(model: Any, prompts: Sequence[TokenIds], labels: Sequence[Label]) -> npt.NDArray[np.float64]:
    """[n, k] by the definition of a label's log-probability."""
    import torch

    def logprob(prompt: TokenIds, sequence: Sequence[int]) -> float:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*prompt, *sequence]]), use_cache=False).logits[0].float()
        steps = torch.log_softmax(logits, dim=-1)[range(len(prompt) - 1, len(prompt) + len(sequence) - 1), sequence]
        return float(steps.sum())

    return np.array(
        [[np.logaddexp.reduce([logprob(prompt, s) for s in label]) for label in labels] for prompt in prompts]
    )


def engine_of(model: Any, batch_tokens: int = 4096, max_model_len: int = 128) -> CausalEngine:
    return CausalEngine(Loaded(model, "cpu", 0), max_model_len=max_model_len, batch_tokens=batch_tokens)


def random_prompts(lengths: Sequence[int]) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [rng.integers(3, 3 + WORDS, length).tolist() for length in lengths]


@pytest.mark.parametrize("name", ["llama", "qwen2", "mistral", "gemma2", "gemma3", "gpt2", "mamba"])
@pytest.mark.parametrize("batch_tokens", [1, 128, 4096])
def test_architectures_agree_with_a_plain_forward_pass(name: str, batch_tokens: int) -> None:
    model = tiny(name)
    prompts = random_prompts([40, 3, 17, 1, 33, 9, 25])
    counted_once = [*LABELS[:-1], ((17,),)]
    expected = plain(model, prompts, counted_once)
    assert np.exp(expected).std(axis=0).max() > 0.01
    answers = engine_of(model, batch_tokens).label_logprobs(prompts, LABELS)
    assert not answers.errors
    np.testing.assert_allclose(answers.values, expected, atol=TOLERANCE)


def test_labels_of_one_token_need_no_cache() -> None:
    model = tiny("llama")
    seen, engine = [], engine_of(model)
    model.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["use_cache"]), with_kwargs=True)
    prompts = random_prompts([5, 9])
    one = engine.label_logprobs(prompts, LABELS[:1])
    assert seen == [False]
    np.testing.assert_allclose(one.values, plain(model, prompts, LABELS[:1]), atol=TOLERANCE)


def test_the_head_sees_only_the_positions_asked_for() -> None:
    model = tiny("llama")
    shapes, engine = [], engine_of(model)
    model.lm_head.register_forward_hook(lambda _, args, output: shapes.append(tuple(output.shape)))
    engine.label_logprobs(random_prompts([100, 90]), LABELS[:1])
    assert shapes == [(2, 1, 64)]
    assert not model.lm_head._forward_pre_hooks


def test_token_sequences_of_a_label_add_up() -> None:
    model, prompts = tiny("llama"), random_prompts([6, 11])
    apart = engine_of(model).label_logprobs(prompts, [((5,),), ((7, 8),), ((12, 13, 14),)]).values
    together = engine_of(model).label_logprobs(prompts, [((5,), (7, 8), (12, 13, 14))]).values
    np.testing.assert_allclose(np.exp(together[:, 0]), np.exp(apart).sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_all_labels_of_two_tokens_have_probability_one(name: str) -> None:
    labels: list[Label] = [((first, second),) for first in (5, 6) for second in range(64)]
    labels += [((first,),) for first in range(64) if first not in (5, 6)]
    values = engine_of(tiny(name)).label_logprobs(random_prompts([20, 4]), labels).values
    np.testing.assert_allclose(np.exp(values.astype(float)).sum(axis=1), 1, atol=1e-4)


def test_out_of_memory_changes_no_answer() -> None:
    import torch

    model = tiny("llama")
    prompts = random_prompts([30] * 9 + [80])
    whole = engine_of(model).label_logprobs(prompts, LABELS).values
    limit = 70

    def allocate(_: Any, args: Any, kwargs: Any) -> None:
        if kwargs["input_ids"].numel() > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 TiB")

    model.register_forward_pre_hook(allocate, with_kwargs=True)
    answers = engine_of(model).label_logprobs(prompts, LABELS)
    assert list(answers.errors) == [9]
    np.testing.assert_allclose(answers.values[:9], whole[:9], atol=TOLERANCE)


def test_a_row_whose_numbers_break_down_is_an_error() -> None:
    import torch

    model = tiny("llama")
    with torch.no_grad():
        model.model.embed_tokens.weight[50] = torch.nan
    prompts = [[5, 6, 7], [5, 50, 7], [8, 9]]
    answers = engine_of(model).label_logprobs(prompts, LABELS)
    assert list(answers.errors) == [1]
    np.testing.assert_allclose(answers.values[[0, 2]], plain(model, [prompts[0], prompts[2]], [*LABELS[:-1], ((17,),)]),
                               atol=TOLERANCE)  # fmt: skip


def test_an_overlong_prompt_is_an_error() -> None:
    answers = engine_of(tiny("llama"), max_model_len=10).label_logprobs(random_prompts([10, 11]), LABELS)
    assert list(answers.errors) == [1]


def test_a_saved_checkpoint_loads(save: Save) -> None:
    model = tiny("gemma3")
    config = TransformersConfig(model=str(save(model)), max_model_len=128)
    tokenizer = config.load_tokenizer()
    engine = config.load(tokenizer, "label_logprobs")
    assert isinstance(engine, LabelEngine)
    prompts = [tokenizer.completion_prompt("w1 w2 w3"), tokenizer.chat_prompt([{"role": "user", "content": "w9"}])]
    np.testing.assert_allclose(
        engine.label_logprobs(prompts, LABELS[:4]).values, plain(model, prompts, LABELS[:4]), atol=TOLERANCE
    )


def test_a_checkpoint_that_lacks_weights_is_refused(save: Save) -> None:
    from safetensors.torch import load_file, save_file

    folder = save(tiny("llama"))
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match=r"lacks weights.*layers\.1\.mlp\.up_proj"):
        load(folder, head=Head.causal, dtype="float32", quantization="none", device="cpu", trust_remote_code=False)


@pytest.mark.parametrize("last", ["\n", ""])
def test_a_llama_that_was_taught_to_answer_a_is_heard(last: str) -> None:
    """It says the bare A after a line break, and ▁A elsewhere, each with 0.99: that is the label's mass."""
    import torch
    import transformers

    tokenizer = llama2()
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=len(PIECES), **sizes)).eval()
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            parameter.zero_()  # what comes in goes out: the last token alone decides
        model.model.embed_tokens.weight.zero_()[:, 0] = 1
        model.model.embed_tokens.weight[PIECES.index("\n")] = torch.eye(16)[1]
        odds = np.log(0.99 / 0.01 * (len(PIECES) - 1)) / 4  # the last norm makes 4 of 1 in 16 places
        model.lm_head.weight.zero_()
        model.lm_head.weight[PIECES.index("▁A"), 0] = odds
        model.lm_head.weight[PIECES.index("A"), 1] = odds
    requests = [tokenizer.completion_prompt(text + last) for text in ("x:", "x x:")]
    engine = CausalEngine(Loaded(model, "cpu", 0), max_model_len=64, batch_tokens=512)
    answers = ask_labels(engine, requests, spell(["A", "B"], tokenizer, requests), 2)
    assert not answers.errors
    mass = np.exp(answers.values)
    assert (mass[:, 0] > 0.989).all()
    assert (mass[:, 1] < 0.01).all()
