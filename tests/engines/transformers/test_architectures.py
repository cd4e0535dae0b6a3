"""Many architectures, tiny and random: whatever stands beside a row, its answer is that of the row alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lib.engines.checkpoints.pooling import Pooling
from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.engines.transformers.causal import CausalEngine
from lib.engines.transformers.classifier import ClassifierEngine
from lib.engines.transformers.embedder import EmbedderEngine
from lib.engines.transformers.generator import GeneratorEngine
from lib.engines.transformers.loading import Loaded
from lib.engines.transformers.neighbours import Together
from lib.errors import EngineError
from lib.types import Label, Sampling
from tests.engines.conftest import word_tokenizer

ROWS = [[5, 9, 7, 12, 8, 30, 6, 41, 22, 9, 17], [8, 6, 11], [13, 5, 44, 20, 9], [6, 7, 19], [31, 50, 10, 2]]
LABELS: list[Label] = [((5,), (6, 7)), ((8, 9, 10), (8, 11))]
TOLERANCE = 1e-4
SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "initializer_range": 0.3,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
DECODER = {"is_decoder": True}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
MOE = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
WINDOW = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}
MULTI = {"num_key_value_heads": 4}

CAUSAL: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 4},
    "mixtral": MOE,
    "qwen2": {},
    "qwen3": {},
    "qwen3_moe": MOE,
    "gemma": {},
    "gemma2": WINDOW,
    "gemma3_text": WINDOW,
    "phi": MULTI,
    "phi3": {},
    "stablelm": MULTI,
    "olmo": {},
    "olmo2": {},
    "cohere": {},
    "cohere2": WINDOW,
    "granite": {},
    "starcoder2": {},
    "gpt_neox": {},
    "gpt2": GPT,
    "gptj": GPT | {"rotary_dim": 4},
    "codegen": GPT | {"rotary_dim": 4},
    "gpt_bigcode": GPT,
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 4},
    "bloom": {"n_layer": 2, "n_head": 4},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 128},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "falcon": {"head_dim": None},
    "xglm": {"d_model": 32, "ffn_dim": 48, "num_layers": 2, "attention_heads": 4},
    "biogpt": {},
    "smollm3": {},
    "glm": {},
    "helium": {},
    "nemotron": {},
    "persimmon": {},
    "arcee": {},
    "exaone4": WINDOW | {"num_key_value_heads": 2},
    "ctrl": GPT | {"dff": 48},
    "openai-gpt": GPT,
    "mamba": {"state_size": 4},
    "rwkv": {"attention_hidden_size": 32, "context_length": 128},
    "recurrent_gemma": {"lru_width": 32, "attention_window_size": 8, "num_hidden_layers": 3},
    "modernbert-decoder": {"local_attention": 4},
    "bert": DECODER,
    "roberta": DECODER,
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48, "max_position_embeddings": None},
    "jamba": MOE | {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_dt_rank": 4},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
}
REFUSED = {"xlnet": "XLNetLMHeadModel looks at the tokens to come", "openai-gpt": "OpenAIGPTLMHeadModel can't answer"}
CLASSIFIERS: dict[str, dict[str, Any]] = {
    name: CAUSAL[name]
    for name in ("llama", "qwen3", "gemma3_text", "gpt2", "opt", "bloom", "falcon", "phi3", "ctrl", "openai-gpt",
                 "modernbert-decoder", "gpt_neox", "mistral", "xlnet")
} | {
    "gemma3_text both ways": WINDOW | {"use_bidirectional_attention": True},
    "llama both ways": {"is_causal": False},
    "bert": {}, "roberta": {}, "xlm-roberta": {"pad_token_id": 1}, "albert": {"embedding_size": 16},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}, "electra": {"embedding_size": 16},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}, "modernbert": {"local_attention": 4},
    "mpnet": {}, "convbert": {"embedding_size": 16}, "fnet": {}, "squeezebert": {"embedding_size": 32},
    "nystromformer": {}, "big_bird": {"attention_type": "original_full"},
}  # fmt: skip
ENCODERS = [name for name in CLASSIFIERS if name not in ("ctrl", "openai-gpt", "squeezebert", "nystromformer")]


def tiny(head: str, name: str, sizes: dict[str, Any]) -> Loaded:
    """A model of that architecture; settings that it doesn't know are kept and unused, as those of any config."""
    import torch
    import transformers

    torch.manual_seed(3)
    settings = {key: value for key, value in (SIZES | sizes | {"num_labels": 1}).items() if value is not None}
    config = transformers.AutoConfig.for_model(name.partition(" ")[0], **settings)
    if "both ways" in name:
        config._attn_implementation = "eager"
    model = getattr(transformers, f"AutoModel{head}").from_config(config).eval()
    if model.can_generate():
        model.generation_config.eos_token_id = None
    with torch.no_grad():  # some architectures start with heads of nearly nothing
        for parameter in model.parameters():
            if parameter.ndim > 1 and parameter.std() < 0.1:
                parameter.normal_(0, 0.3)
    return Loaded(model, "cpu", 0)


def alone(answer: Any, rows: Sequence[Any]) -> list[Any]:
    return [answer([row]) for row in rows]


@pytest.mark.parametrize("name", CAUSAL)
def test_label_logprobs(name: str) -> None:
    if name in REFUSED:
        with pytest.raises(EngineError, match=rf"^engine\.model: {REFUSED[name]}"):
            CausalEngine(tiny("ForCausalLM", name, CAUSAL[name]), max_model_len=64, batch_tokens=512)
        return
    engine = CausalEngine(tiny("ForCausalLM", name, CAUSAL[name]), max_model_len=64, batch_tokens=512)
    found = engine.label_logprobs(ROWS, LABELS)
    assert not found.errors
    expected = [a.values[0] for a in alone(lambda rows: engine.label_logprobs(rows, LABELS), ROWS)]
    np.testing.assert_allclose(found.values, expected, atol=TOLERANCE)
    np.testing.assert_allclose(found.values[:, 0], [plain(engine._model, row) for row in ROWS], atol=TOLERANCE)


def plain(model: Any, row: list[int]) -> float:
    """Log P(5) + P(6 7) after a row, by the definition: one row, no cache."""
    import torch

    with torch.no_grad():
        steps = torch.log_softmax(model(torch.tensor([row]), use_cache=False).logits[0, -1].float(), -1)
        after = torch.log_softmax(model(torch.tensor([[*row, 6]]), use_cache=False).logits[0, -1].float(), -1)
    return float(torch.logaddexp(steps[5], steps[6] + after[7]))


@pytest.mark.parametrize("name", CAUSAL)
def test_greedy_text(name: str) -> None:
    tokenizer = HuggingFaceTokenizer(word_tokenizer())
    loaded = tiny("ForCausalLM", name, CAUSAL[name])
    engine = GeneratorEngine(loaded, tokenizer, max_model_len=64, batch_tokens=4096)

    def texts(rows: Sequence[list[int]]) -> list[list[int]]:
        return [text[0].tokens for text in engine.generate(rows, Sampling(max_tokens=6), [0] * len(rows)).texts]

    assert texts(ROWS) == [tokens for (tokens,) in alone(texts, ROWS)]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_scores(name: str) -> None:
    loaded = tiny("ForSequenceClassification", name, CLASSIFIERS[name])
    engine = ClassifierEngine(loaded, max_model_len=64, batch_tokens=512)
    found = engine.score(ROWS)
    assert not found.errors
    assert np.ptp(found.values) > 10 * TOLERANCE
    np.testing.assert_allclose(found.values, [scored(loaded.model, row) for row in ROWS], atol=TOLERANCE)


def scored(model: Any, row: list[int]) -> list[float]:
    """The model's own score of a row that is not padded."""
    import torch

    with torch.no_grad():
        return [float(model(torch.tensor([row])).logits[0, 0])]


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("pooling", [Pooling.mean, Pooling.last])
def test_embeddings(name: str, pooling: Pooling) -> None:
    loaded = tiny("", name, CLASSIFIERS[name])
    engine = EmbedderEngine(loaded, pooling=pooling, max_model_len=64, batch_tokens=512)
    found = engine.embed(ROWS)
    assert not found.errors
    np.testing.assert_allclose(found.values, [a.values[0] for a in alone(engine.embed, ROWS)], atol=TOLERANCE)


ORDINARY = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "olmo2", "gpt2", "gpt_neox")


@pytest.mark.parametrize("name", [*ORDINARY, "rwkv", "recurrent_gemma"])
def test_ordinary_decoders_share_batches(name: str) -> None:
    loaded = tiny("ForCausalLM", name, CAUSAL[name])
    engines = [
        CausalEngine(loaded, max_model_len=64, batch_tokens=512),
        GeneratorEngine(loaded, HuggingFaceTokenizer(word_tokenizer()), max_model_len=64, batch_tokens=512),
    ]
    if name in ORDINARY:
        assert [engine._together for engine in engines] == [Together.any, Together.any]
    else:
        assert engines[1]._together is not Together.any


@pytest.mark.parametrize("name", ["bert", "roberta", "xlm-roberta", "modernbert", "deberta-v2", "qwen3", "fnet"])
def test_ordinary_encoders_share_batches(name: str) -> None:
    engine = EmbedderEngine(tiny("", name, CLASSIFIERS[name]), pooling=Pooling.mean, max_model_len=64, batch_tokens=512)
    assert (engine._together is Together.any) == (name != "fnet")


def test_a_model_that_wants_more_than_token_ids_is_refused() -> None:
    import transformers

    sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    text = {key: SIZES[key] for key in sizes}
    config = transformers.CLIPConfig(text_config=text, vision_config={"num_hidden_layers": 1})
    loaded = Loaded(transformers.CLIPModel(config).eval(), "cpu", 0)
    with pytest.raises(EngineError, match="CLIPModel can't answer plain token ids"):
        EmbedderEngine(loaded, pooling=Pooling.mean, max_model_len=64, batch_tokens=512)
