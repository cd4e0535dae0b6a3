"""Adapters and classifiers in the vLLM engine, against peft's own forward pass of each row by itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.types import ClassEngine, LabelEngine
from tests.engines.adapters import lora, save_adapter
from tests.engines.conftest import Save
from tests.engines.transformers.test_adapters import LABELS, class_logprobs, theirs
from tests.engines.transformers.test_causal import plain, random_prompts
from tests.engines.vllm.test_vllm_config import random_llama, tiny

TOLERANCE = 1e-4  # of log-probabilities at fp32: another attention kernel, other sums
PROMPTS = random_prompts([40, 3, 17, 1, 33])


def load(folder: Path, method: str, adapter: Path | None = None) -> Any:
    config = tiny(folder, adapter=None if adapter is None else str(adapter))
    config.check(method)
    return config.load(config.load_tokenizer(), method)


def test_labels_with_a_lora_are_those_of_peft(save: Save, tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    folder = save(random_llama(LlamaForCausalLM))
    scaled = lora(r=12, use_rslora=True, rank_pattern={"v_proj": 2}, target_modules="all-linear")
    adapter = save_adapter(random_llama(LlamaForCausalLM), scaled, tmp_path / "adapter", str(folder))
    engine = load(folder, "label_logprobs", adapter)
    assert isinstance(engine, LabelEngine)
    expected = plain(theirs("LlamaForCausalLM", folder, adapter), PROMPTS, LABELS)
    assert np.abs(expected - plain(random_llama(LlamaForCausalLM), PROMPTS, LABELS)).max() > 0.5, "the adapter counts"
    np.testing.assert_allclose(engine.label_logprobs(PROMPTS, LABELS).values, expected, atol=TOLERANCE)


@pytest.mark.parametrize("adapted", [False, True])
def test_classes_are_those_of_transformers(adapted: bool, save: Save, tmp_path: Path) -> None:
    from transformers import LlamaForSequenceClassification

    model = random_llama(LlamaForSequenceClassification, num_labels=3)
    folder = save(model)
    adapter = save_adapter(model, lora(task_type="SEQ_CLS"), tmp_path / "adapter", str(folder)) if adapted else None
    engine = load(folder, "class_logprobs", adapter)
    assert isinstance(engine, ClassEngine)
    known = model if adapter is None else theirs("LlamaForSequenceClassification", folder, adapter)
    answers = engine.class_logprobs(PROMPTS)
    np.testing.assert_allclose(answers.values, class_logprobs(known), atol=TOLERANCE)
    assert np.ptp(answers.values, axis=0).min() > 0.1
    none = engine.class_logprobs([[5] * 65])
    assert none.values.shape == (1, 3)
    assert none.errors == {0: "65 tokens and 0 of output, engine.max_model_len=64"}
