"""The arithmetic of plans against numbers worked out by hand, from config.json as the models' makers wrote it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib.engines.checkpoints.checkpoint import Dtype
from lib.engines.sizing.hardware import GPUS
from lib.engines.sizing.model_size import RESERVE, Sizing, cache_per_token, embedding_parameters, stored_bytes
from lib.engines.transformers.transformers_config import BitsAndBytes, TransformersConfig
from lib.engines.vllm.vllm_config import KvCacheDtype, VllmConfig, VllmQuantization

LLAMA_2_7B: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
LLAMA_LAYERS = 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096) + 4096  # matrices and norms
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}
YI_34B: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 7168,
    "intermediate_size": 20480,
    "num_hidden_layers": 60,
    "num_attention_heads": 56,
    "num_key_value_heads": 8,
    "vocab_size": 64000,
    "tie_word_embeddings": False,
    "quantization_config": AWQ,
}
YI_LAYERS = 60 * (2 * 7168**2 + 2 * 7168 * 1024 + 3 * 7168 * 20480 + 2 * 7168) + 7168
LLAMA = Sizing(
    settings=LLAMA_2_7B,
    parameters=LLAMA_LAYERS,
    weights=2 * (LLAMA_LAYERS + 2 * 32000 * 4096),
    cache_per_token=512 * 1024,
    max_model_len=4096,
    dtype="float16",
    memory_share=0.9,
    most_at_once=256,
)


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    """A model of which the hub's cache has config.json alone."""

    def save(settings: dict[str, Any]) -> str:
        folder = tmp_path / "snapshots" / "0123abc"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(settings))
        return str(folder)

    return save


def of(config: Any) -> Sizing:
    found = config.sizing()
    assert found is not None
    return found


def test_llama_2_7b(saved: Any) -> None:
    model = of(VllmConfig(model=saved(LLAMA_2_7B), dtype=Dtype.float16, max_model_len=2048, num_gpus=1))
    assert model.parameters == LLAMA_LAYERS == 6_476_271_616
    assert model.weights == 2 * 6_738_415_616
    assert model.cache_per_token == 512 * 1024
    assert (model.max_model_len, model.gpus, model.block, model.device) == (2048, 1, 16, "auto")


def test_yi_34b_awq(saved: Any) -> None:
    config = VllmConfig(
        model=saved(YI_34B),
        dtype=Dtype.float16,
        quantization=VllmQuantization.awq,
        tensor_parallel_size=2,
        num_gpus=2,
        gpu_memory_utilization=0.95,
        max_model_len=1024,
    )
    model = of(config)
    assert model.parameters == YI_LAYERS
    assert model.weights == pytest.approx(YI_LAYERS * (0.5 + 2.5 / 128) + 2 * 2 * 64000 * 7168)
    assert model.weights == pytest.approx(19.2e9, rel=0.002)
    assert model.cache_per_token == 2 * 60 * 8 * 128 * 2
    assert model.gpus_needed(GPUS["T4"]) == 2
    assert model.gpus_needed(GPUS["A100-40GB"]) == 1
    # as 16-bit numbers: 69 GB on GPUs with 14.1 GB to use; 5 would do, but can't share 56 heads
    assert replace(model, weights=2 * (YI_LAYERS + 2 * 64000 * 7168)).gpus_needed(GPUS["T4"]) == 7


def test_files_of_a_quantised_checkpoint_are_weighed(saved: Any) -> None:
    config = VllmConfig(model=saved(YI_34B), dtype=Dtype.float16, quantization=VllmQuantization.awq)
    folder = Path(config.model)
    computed = of(config).weights
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-1.safetensors").write_bytes(b"x" * 300)
    assert of(config).weights == computed  # half of them is there
    (folder / "model-2.safetensors").write_bytes(b"x" * 200)
    assert of(config).weights == 500


@pytest.mark.parametrize(
    ("quantization", "byte"),
    [
        (BitsAndBytes.none, 2),
        (BitsAndBytes.int8, 1),
        (BitsAndBytes.nf4, 0.5625),
        (BitsAndBytes.nf4_double, 0.5 + 0.127 / 8),  # "0.127 bits per parameter": QLoRA, section 3
    ],
)
def test_what_is_quantised_while_loading(quantization: BitsAndBytes, byte: float, saved: Any) -> None:
    config = TransformersConfig(model=saved(LLAMA_2_7B), dtype=Dtype.bfloat16, quantization=quantization, num_gpus=1)
    assert of(config).weights == pytest.approx(byte * LLAMA_LAYERS + 2 * 2 * 32000 * 4096, rel=1e-4)
    assert of(config).block is None


def test_eight_bit_caches_are_half_as_large(saved: Any) -> None:
    model = saved(LLAMA_2_7B)
    assert of(VllmConfig(model=model, kv_cache_dtype=KvCacheDtype.fp8)).cache_per_token == 256 * 1024
    assert of(VllmConfig(model=model, kv_cache_dtype=KvCacheDtype.bfloat16)).cache_per_token == 512 * 1024
    assert of(VllmConfig(model=model)).cache_per_token == 1024 * 1024  # float32


def test_a_classifier_has_no_head_that_predicts_tokens(saved: Any) -> None:
    settings = {**LLAMA_2_7B, "architectures": ["LlamaForSequenceClassification"], "num_labels": 1}
    config = TransformersConfig(model=saved(settings), dtype=Dtype.float16)
    assert of(config).weights == 2 * (LLAMA_LAYERS + 32000 * 4096)
    assert embedding_parameters({**LLAMA_2_7B, "tie_word_embeddings": True}, head=True) == 32000 * 4096


def test_of_the_unknown_nothing_is_said(saved: Any) -> None:
    assert TransformersConfig(model=saved({**LLAMA_2_7B, "model_type": "megatron9"})).sizing() is None
    unknown = {**LLAMA_2_7B, "quantization_config": {"quant_method": "magic"}}
    assert VllmConfig(model=saved(unknown)).sizing() is None


def test_caches_count_key_value_heads_and_the_heads_own_size() -> None:
    settings = {"num_hidden_layers": 3, "num_attention_heads": 8, "hidden_size": 64, "num_key_value_heads": 2}
    assert cache_per_token(settings, 2) == 2 * 3 * 2 * 8 * 2
    assert cache_per_token({**settings, "head_dim": 32}, 2) == 2 * 3 * 2 * 32 * 2


@pytest.mark.parametrize(
    ("quantization", "byte"),
    [
        (AWQ, 0.5 + 2.5 / 128),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 1),
        ({"quant_method": "fp8"}, 1),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 0.5625),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 1),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "group_size": 32}}},
            },
            0.5625,
        ),
        ({"quant_method": "compressed-tensors", "config_groups": {}}, None),
        ({"quant_method": "mxfp4"}, None),
    ],
)
def test_bytes_of_stored_parameters(quantization: dict[str, Any], byte: float | None) -> None:
    assert stored_bytes(quantization) == byte


def test_reading_takes_what_the_arithmetic_takes() -> None:
    whole = 2 * LLAMA_LAYERS * 1000 + 2 * 32 * 4096 * 1000**2
    beginning = 2 * LLAMA_LAYERS * 400 + 2 * 32 * 4096 * 400**2
    l4 = GPUS["L4"]
    assert LLAMA.flops([1000, 1000]) == 2 * whole
    assert LLAMA.flops([1000, 1000], [0, 400]) == 2 * whole - beginning
    assert LLAMA.read_seconds(l4, [1000, 1000], [0, 400]) == pytest.approx((2 * whole - beginning) / 121e12)
    assert replace(LLAMA, gpus=2).read_seconds(l4, [1000]) == pytest.approx(whole / 242e12)


def test_the_cache_gets_what_weights_leave() -> None:
    room = LLAMA.cache_room(GPUS["L4"])
    assert room == 0.9 * 24e9 - RESERVE - 13_476_831_232
    assert LLAMA.at_once(room, 1024) == 13  # 7.05 GB, half a GiB each
    assert LLAMA.at_once(room, 1) == 256
    assert replace(LLAMA, gpus=2).cache_room(GPUS["L4"]) == 2 * (0.9 * 24e9 - RESERVE) - 13_476_831_232
    assert replace(LLAMA, gpus=2, cache_bytes=1000).cache_room(GPUS["L4"]) == 2000
    assert replace(LLAMA, cache_bytes=1000).cache_room(None) == 1000


def test_writing_takes_what_the_memory_takes() -> None:
    lengths, context, together = [1000] * 26, 1024, 13
    step = (13_476_831_232 + together * context * 512 * 1024) / 0.3e12
    assert LLAMA.write_seconds(GPUS["L4"], lengths, 48) == pytest.approx(26 * 48 / together * step)
    assert LLAMA.write_seconds(GPUS["L4"], lengths, 0) == 0
    assert LLAMA.write_seconds(GPUS["T4"], lengths, 48) == float("inf")  # 13.4 GB to use, 13.5 GB of weights


def test_a_model_that_no_number_of_gpus_holds() -> None:
    assert LLAMA.gpus_needed(GPUS["T4"]) == 2
    assert replace(LLAMA, weights=10**12).gpus_needed(GPUS["T4"]) is None
