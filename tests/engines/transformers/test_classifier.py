from typing import Any

import numpy as np
import pytest

from lib.engines.transformers.classifier import ClassifierEngine
from lib.engines.transformers.loading import Loaded
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.errors import ConfigError
from lib.types import RelevanceEngine, ScoreEngine
from tests.engines.conftest import Save, word_tokenizer
from tests.engines.transformers.test_causal import LAYERS, SMALL, TOLERANCE, WINDOW, random_prompts

PROMPTS = [*random_prompts([40, 3, 17, 1, 33]), [5, 6, 2, 2], [2, 7, 2]]  # 2 is padding, and the end of text too


ENCODER = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_labels": 1,
           "num_attention_heads": 4, "max_position_embeddings": 130, "initializer_range": 0.4}  # fmt: skip
MODERN = {"pad_token_id": 2, "global_attn_every_n_layers": 2, "local_attention": 8, "initializer_range": 0.4}
SPLIT = [1, 2, 9, 1, 20, 2, 3]
"""How many tokens of each prompt are a query's."""


def tiny(name: str) -> Any:
    import torch
    import transformers

    torch.manual_seed(1)
    config = {
        "llama": lambda: transformers.LlamaConfig(**SMALL, num_labels=1),
        "qwen3": lambda: transformers.Qwen3Config(**SMALL, num_labels=1),
        "gemma3": lambda: transformers.Gemma3TextConfig(**SMALL, **WINDOW, **LAYERS, num_labels=1),
        "bert": lambda: transformers.BertConfig(**ENCODER),
        "xlm_roberta": lambda: transformers.XLMRobertaConfig(**ENCODER, pad_token_id=1, type_vocab_size=1),
        "modernbert": lambda: transformers.ModernBertConfig(**(ENCODER | MODERN)),
    }[name]()
    return transformers.AutoModelForSequenceClassification.from_config(config).eval()


def plain(model: Any, prompt: list[int], first: int | None = None) -> float:
    """The score of one row by itself: nothing is padding. first: tokens of the first text, for a BERT."""
    import torch

    with torch.no_grad():
        if hasattr(model, "score"):
            return float(model.score(model.model(torch.tensor([prompt])).last_hidden_state)[0, -1, 0])
        types = {}
        if first is not None and model.config.model_type == "bert":
            types = {"token_type_ids": torch.tensor([[0] * first + [1] * (len(prompt) - first)])}
        return float(model(torch.tensor([prompt]), **types).logits[0, 0])


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "bert", "xlm_roberta", "modernbert"])
@pytest.mark.parametrize("batch_tokens", [1, 80, 4096])
def test_scores_do_not_depend_on_the_batch_or_the_padding_token(name: str, batch_tokens: int) -> None:
    model = tiny(name)
    engine = ClassifierEngine(Loaded(model, "cpu", 0), max_model_len=64, batch_tokens=batch_tokens)
    answers = engine.score(PROMPTS)
    assert not answers.errors
    assert answers.values.dtype == np.float32
    expected = np.array([[plain(model, prompt)] for prompt in PROMPTS])
    assert expected.std() > 0.1
    np.testing.assert_allclose(answers.values, expected, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["qwen3", "bert", "xlm_roberta", "modernbert"])
@pytest.mark.parametrize("batch_tokens", [1, 80, 4096])
def test_relevance_is_that_of_each_pair_by_itself(name: str, batch_tokens: int) -> None:
    model = tiny(name)
    engine = ClassifierEngine(Loaded(model, "cpu", 0), max_model_len=64, batch_tokens=batch_tokens)
    answers = engine.relevance(list(zip(PROMPTS, SPLIT, strict=True)))
    assert not answers.errors
    expected = [[plain(model, prompt, first)] for prompt, first in zip(PROMPTS, SPLIT, strict=True)]
    np.testing.assert_allclose(answers.values, expected, atol=TOLERANCE)
    one_text = [[plain(model, prompt)] for prompt in PROMPTS]
    assert np.allclose(expected, one_text, atol=0.01) is (name != "bert"), "only BERT tells the texts apart"


@pytest.mark.parametrize("name", ["bert", "xlm_roberta", "qwen3"])
def test_relevance_is_that_of_sentence_transformers(name: str, save: Save) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    folder = save(tiny(name))
    (folder / "chat_template.jinja").unlink()
    if name != "qwen3":  # a decoder's texts stand side by side
        pair_tokenizer(types=name == "bert").save_pretrained(folder)
    config = TransformersConfig(model=str(folder), max_model_len=64, device="cpu")
    config.check("relevance")
    tokenizer = config.load_tokenizer()
    engine = config.load(tokenizer, "relevance")
    assert isinstance(engine, RelevanceEngine)
    texts = [("w1 w2", "w3 w9 w4"), ("w1", "w7 " * 30), ("w5 w6 w7 w8", "w2"), ("w1 w2", "w3 w9 w5")]
    answers = engine.relevance([tokenizer.pair_prompt(*pair) for pair in texts])
    theirs = CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity()).predict(texts)
    np.testing.assert_allclose(answers.values[:, 0], theirs, atol=TOLERANCE)
    assert theirs.std() > 0.1


def pair_tokenizer(*, types: bool) -> Any:
    """The word tokenizer that puts special tokens around two texts. types: whether it tells the texts apart."""
    from tokenizers.processors import TemplateProcessing

    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    tokenizer = word_tokenizer(model_max_length=64, model_input_names=inputs)
    pair = "<bos>:0 $A:0 <eos>:0 $B:1 <eos>:1" if types else "<bos>:0 $A:0 <eos>:0 <eos>:0 $B:0 <eos>:0"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", pair=pair, special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    return tokenizer


def test_pairs_that_do_not_fit_fail_alone() -> None:
    engine = ClassifierEngine(Loaded(tiny("bert"), "cpu", 0), max_model_len=8, batch_tokens=64)
    answers = engine.relevance([([5] * 9, 2), ([], 0), ([5, 6], 1)])
    assert answers.errors == {0: "9 tokens, engine.max_model_len=8", 1: "the request is empty"}
    assert np.isfinite(answers.values[2]).all()


def test_a_language_model_is_no_cross_encoder(save: Save) -> None:
    from tests.engines.transformers import test_causal

    with pytest.raises(ConfigError, match="LlamaForCausalLM gives no scores"):
        TransformersConfig(model=str(save(test_causal.tiny("llama"))), max_model_len=64).check("relevance")


def test_a_saved_reward_model_scores_a_conversation(save: Save) -> None:
    model = tiny("llama")
    config = TransformersConfig(model=str(save(model)), max_model_len=128)
    tokenizer = config.load_tokenizer()
    engine = config.load(tokenizer, "score")
    assert isinstance(engine, ScoreEngine)
    chat = tokenizer.conversation([{"role": "user", "content": "w1 w2"}, {"role": "assistant", "content": "w3"}])
    assert engine.score([chat]).values[0, 0] == pytest.approx(plain(model, chat), abs=TOLERANCE)
