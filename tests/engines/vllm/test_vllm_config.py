"""What is refused before vLLM is imported."""

import json
from pathlib import Path
from typing import Any

import pytest

from lib.engines.vllm.vllm_config import VllmConfig, VllmQuantization
from lib.errors import ConfigError
from lib.types import Sampling
from tests.engines.adapters import edit, edit_weights, lora, save_adapter
from tests.engines.conftest import CHATML, Save


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"temperature": 1.0, "epsilon_cutoff": 0.01}, "generate.epsilon_cutoff=0.01: vLLM has no such thing"),
        ({"num_beams": 4}, "generate.num_beams=4: vLLM has no such thing; use a transformers engine"),
        ({"regex": "(?=a)b"}, "xgrammar can't read it"),
    ],
)
def test_what_vllm_lacks_is_refused_before_loading(changes: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        VllmConfig(model="x").check_sampling(Sampling(max_tokens=1, **changes))
    VllmConfig(model="x").check_sampling(Sampling(max_tokens=1, temperature=1, top_p=0.9, min_p=0.1, top_k=5, n=8))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"quantization": VllmQuantization.awq}, "engine.quantization=awq: .* is not quantised; .*online_int8"),
        ({"quantization": VllmQuantization.compressed_tensors}, "engine.quantization=compressed_tensors"),
        ({"quantization": VllmQuantization.bitsandbytes}, "needs vllm-bnb-plugin.*pip install vllm-bnb-plugin"),
        ({"quantization": VllmQuantization.gguf}, "needs vllm-gguf-plugin"),
        ({"max_model_len": 200}, "engine.max_model_len=200: .* reads at most 128 tokens"),
    ],
)
def test_what_the_checkpoint_cannot_give_is_refused(changes: Any, says: str, save: Save) -> None:
    from transformers import LlamaForCausalLM

    with pytest.raises(ConfigError, match=says):
        tiny(save(random_llama(LlamaForCausalLM)), **changes).check("label_logprobs")


def test_a_checkpoint_quantised_otherwise_is_refused(save: Save) -> None:
    from transformers import LlamaForCausalLM

    folder = save(random_llama(LlamaForCausalLM))
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"quantization_config": {"quant_method": "gptq"}}))
    on_gpu = {"num_gpus": 1}  # a CPU may lack its kernel
    tiny(folder, quantization=VllmQuantization.gptq, **on_gpu).check("label_logprobs")
    tiny(folder, **on_gpu).check("label_logprobs")
    with pytest.raises(ConfigError, match=r"^engine\.quantization=awq: .* is quantised by gptq; name"):
        tiny(folder, quantization=VllmQuantization.awq, **on_gpu).check("label_logprobs")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tensor_parallel_size": 2, "num_gpus": 1}, "needs 2 GPUs, but a worker has engine.num_gpus=1"),
        ({"tensor_parallel_size": 2, "pipeline_parallel_size": 2, "num_gpus": 3}, "needs 4 GPUs"),
        ({"tensor_parallel_size": 0}, "engine.tensor_parallel_size=0"),
        ({"gpu_memory_utilization": 1.2}, r"engine.gpu_memory_utilization=1.2: must be in \(0, 1\]"),
        ({"max_num_seqs": 0}, "engine.max_num_seqs=0"),
        ({"block_size": -1}, "engine.block_size=-1"),
    ],
)
def test_impossible_settings_are_refused(changes: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        VllmConfig(model="x", **changes)


def random_llama(kind: Any, **changes: Any) -> Any:
    import torch
    from transformers import LlamaConfig

    torch.manual_seed(0)
    shape = {
        "vocab_size": 64,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 128,
        "initializer_range": 0.3,
        "pad_token_id": 2,
    }
    return kind(LlamaConfig(**(shape | changes))).eval()


def tiny(folder: Path, **changes: Any) -> VllmConfig:
    values: dict[str, Any] = {"chat_template": CHATML, "max_model_len": 64, "kv_cache_memory_bytes": 8 << 20}
    return VllmConfig(model=str(folder), **(values | changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"use_dora": True}, "does not take of an adapter: use_dora; use a transformers engine"),
        ({"modules_to_save": ["embed_tokens", "score"]}, r"modules_to_save=\['embed_tokens'\]"),
        ({"bias": "lora_only"}, "bias=lora_only"),
        ({"rank_pattern": {"v_proj": 1024}}, r"rank 1024 \(it takes 512 at most\)"),
        ({"peft_type": "IA3"}, "peft_type=IA3"),
        ({"task_type": "SEQ_CLS"}, "a head for a base that has none"),
    ],
)
def test_an_adapter_that_is_no_plain_lora_is_refused(changes: Any, says: str, save: Save, tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    folder = save(random_llama(LlamaForCausalLM))
    adapter = save_adapter(random_llama(LlamaForCausalLM), lora(), tmp_path / "adapter", str(folder))
    edit(adapter, **changes)
    with pytest.raises(ConfigError, match=says):
        tiny(folder, adapter=str(adapter)).check("label_logprobs")


def test_a_whole_vocabulary_in_an_adapter_is_refused(save: Save, tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    folder = save(random_llama(LlamaForCausalLM))
    adapter = save_adapter(random_llama(LlamaForCausalLM), lora(), tmp_path / "adapter", str(folder))
    tiny(folder, adapter=str(adapter)).check("label_logprobs")
    with pytest.raises(ConfigError, match="does not take of an adapter: vectors"):
        tiny(folder, adapter=str(adapter)).check("embed")
    edit_weights(adapter, add={"base_model.model.model.embed_tokens.weight": (64, 64)})
    with pytest.raises(
        ConfigError, match=r"weights of a whole vocabulary \(base_model\.model\.model\.embed_tokens\.we"
    ):
        tiny(folder, adapter=str(adapter)).check("label_logprobs")
