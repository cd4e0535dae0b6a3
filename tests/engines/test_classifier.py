from typing import Any

import numpy as np
import pytest

from lib.engines import load_engine, load_tokenizer
from lib.engines.classifier import ClassifierEngine
from lib.engines.loading import Loaded
from lib.engines.transformers import TransformersConfig
from lib.types import ScoreEngine
from tests.engines.conftest import Save
from tests.engines.test_causal import LAYERS, SMALL, TOLERANCE, WINDOW, random_prompts

PROMPTS = [*random_prompts([40, 3, 17, 1, 33]), [5, 6, 2, 2], [2, 7, 2]]  # 2 is padding, and the end of text too


def tiny(name: str) -> Any:
    import torch
    import transformers

    torch.manual_seed(1)
    config = {
        "llama": lambda: transformers.LlamaConfig(**SMALL, num_labels=1),
        "gemma3": lambda: transformers.Gemma3TextConfig(**SMALL, **WINDOW, **LAYERS, num_labels=1),
        "bert": lambda: transformers.BertConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            initializer_range=0.4,
            num_labels=1,
        ),
    }[name]()
    return transformers.AutoModelForSequenceClassification.from_config(config).eval()


def plain(model: Any, prompt: list[int]) -> float:
    """The score of one row by itself: nothing is padding."""
    import torch

    with torch.no_grad():
        if hasattr(model, "score"):
            return float(model.score(model.model(torch.tensor([prompt])).last_hidden_state)[0, -1, 0])
        return float(model(torch.tensor([prompt])).logits[0, 0])


@pytest.mark.parametrize("name", ["llama", "gemma3", "bert"])
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


def test_a_saved_reward_model_scores_a_conversation(save: Save) -> None:
    model = tiny("llama")
    config = TransformersConfig(model=str(save(model)), max_model_len=128)
    tokenizer = load_tokenizer(config)
    engine = load_engine(config, tokenizer, "score")
    assert isinstance(engine, ScoreEngine)
    chat = tokenizer.conversation([{"role": "user", "content": "w1 w2"}, {"role": "assistant", "content": "w3"}])
    assert engine.score([chat]).values[0, 0] == pytest.approx(plain(model, chat), abs=TOLERANCE)
