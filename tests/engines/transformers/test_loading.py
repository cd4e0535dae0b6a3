"""What a checkpoint holds and a model has no place for is never left out without a word."""

import json
from pathlib import Path
from typing import Any

import pytest

from lib.engines.checkpoints.heads import Head
from lib.engines.transformers.loading import Loaded, load
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.errors import ConfigError, EngineError
from tests.engines.conftest import Save
from tests.engines.transformers.test_causal import SMALL, tiny


def loaded(folder: Path, head: Head) -> Loaded:
    return load(folder, head=head, dtype="float32", quantization="none", device="cpu", trust_remote_code=False)


def add_weight(folder: Path, name: str, *shape: int) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    save_file({**load_file(file), name: torch.ones(*shape)}, file, metadata={"format": "pt"})


@pytest.mark.parametrize("head", [Head.causal, Head.body])
def test_biases_that_the_config_does_not_name_are_refused(save: Save, head: Head) -> None:
    folder = save(tiny("llama"))
    add_weight(folder, "model.layers.0.self_attn.q_proj.bias", 32)
    with pytest.raises(EngineError, match=r"1 weights that Llama\w+ has no place for.*layers\.0\.self_attn\.q_proj"):
        loaded(folder, head)


def test_layers_that_the_config_does_not_count_are_refused(save: Save) -> None:
    folder = save(tiny("llama"))
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"num_hidden_layers": 2}))
    with pytest.raises(EngineError, match=r"weights that LlamaForCausalLM has no place for"):
        loaded(folder, Head.causal)


@pytest.mark.parametrize("name", ["model.layers.0.self_attn.rotary_emb.inv_freq", "vision_tower.patch.weight"])
def test_what_is_computed_or_not_asked_is_left_out(save: Save, name: str) -> None:
    folder = save(tiny("llama"))
    add_weight(folder, name, 4)
    loaded(folder, Head.causal)


@pytest.mark.parametrize(
    "kind",
    ["BertForMaskedLM", "BertForPreTraining", "RobertaForMaskedLM", "LlamaForCausalLM", "ModernBertForMaskedLM"],
)
def test_a_body_leaves_other_heads_out(save: Save, kind: str) -> None:
    import transformers

    config: Any = getattr(transformers, kind.partition("For")[0] + "Config")
    model = getattr(transformers, kind)(config(**SMALL))
    loaded(save(model), Head.body)


def test_a_body_saved_by_itself_is_whole(save: Save) -> None:
    import transformers

    folder = save(transformers.BertModel(transformers.BertConfig(**SMALL)))
    loaded(folder, Head.body)
    add_weight(folder, "encoder.layer.0.attention.self.extra.weight", 4)
    with pytest.raises(EngineError, match="no place for"):
        loaded(folder, Head.body)


@pytest.mark.parametrize("base", [True, False])
def test_an_adapter_is_refused_by_name(save: Save, base: bool) -> None:
    folder = save(tiny("llama"))
    if not base:
        (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "meta/llama"}))
    with pytest.raises(ConfigError, match=r"holds an adapter \(adapter_config\.json\) for meta/llama"):
        TransformersConfig(model=str(folder)).check("label_logprobs")
