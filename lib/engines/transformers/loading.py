"""Loads the weights of a transformers model: number formats, quantisation, device."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lib.engines.checkpoints.heads import Head
from lib.errors import EngineError
from lib.imports import without

if TYPE_CHECKING:
    from torch import dtype as TorchDtype
    from transformers import BitsAndBytesConfig, PreTrainedModel

    from lib.engines.checkpoints.adapter import Adapter

# The report of weights, which `load` reads itself, and how layers would be sharded, which they are not.
_COMPUTED = r"(^|.*\.)(rotary_emb\.inv_freq|position_ids|masked_bias|attn\.bias|attention\.bias|token_type_ids)$"
_UNASKED = (
    r"(model\.)?(vision|visual|audio|speech|multi_modal|mm_projector|vision_tower|embed_vision|embed_audio|mtp)"
    r"|pooler\.|bert\.pooler\.|roberta\.pooler\.|cls\.seq_relationship\.|v_head\."
)
# Of a body alone. A `decoder` that has a bias and a weight itself is a head: ModernBERT's.
_BODY = r"(encoder|decoder(?!\.(bias|weight)$)|layers?|h|blocks|embeddings|embed_tokens|norm|wte|transformer)\."
_TALKATIVE = ("modeling_utils", "distributed.tensor_parallel")


@dataclass(frozen=True)
class Loaded:
    """A model ready to answer. memory: bytes of its weights as loaded, scales of quantised ones included."""

    model: "PreTrainedModel"
    device: str
    memory: int


def load(
    folder: Path,
    *,
    head: Head,
    dtype: str,
    quantization: str,
    device: str,
    trust_remote_code: bool,
    adapter: "Adapter | None" = None,
    name: str = "",
) -> Loaded:
    """Load a model from a local folder of safetensors, and its adapter. name: of the model, as `engine.model` has it.

    Raises EngineError where it does not load, or where the checkpoint lacks weights that the architecture has:
    transformers would fill those with random numbers. A head may be missing that the adapter brings.
    """
    import torch
    import transformers

    with without("sklearn"):  # a second, with scipy, for a way of generating that nothing here uses
        from lib.engines.checkpoints import internlm2_model

    internlm2_model.register()
    quiet()
    brought = adapter.shapes if adapter is not None else {}
    labels = adapter.labels if adapter is not None else None
    where = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model, report = getattr(transformers, head.value).from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            **_quantization(quantization, getattr(torch, dtype)),
            device_map={"": where},
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            **({} if labels is None else {"num_labels": labels}),
        )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise EngineError(f"engine.model: {folder} cannot be loaded on {where}: {error}") from error
    # The pooler of a BERT without a head: nothing here reads it, and not all checkpoints have it.
    missing = (key for key in report["missing_keys"] if f"base_model.model.{key}" not in brought)
    if lacking := sorted(key for key in missing if not key.startswith("pooler.")):
        raise EngineError(f"engine.model: {folder} lacks weights of its architecture: {', '.join(lacking[:5])}")
    replaced = head is Head.body or labels is not None
    if dropped := sorted(key for key in report["unexpected_keys"] if not _harmless(key, model, replaced)):
        raise EngineError(
            f"engine.model: {folder} has {len(dropped)} weights that {type(model).__name__} has no place for, so its "
            f"answers would not be the checkpoint's: {', '.join(dropped[:5])}; its config.json may lack a key (as "
            "attention_bias), or may name another architecture"
        )
    if adapter is not None:
        from lib.engines.transformers.adapting import adapt

        model = adapt(model, adapter, name=name)
    return Loaded(model.eval(), where.partition(":")[0], _memory(model))


def quiet() -> None:
    """Have libraries say only what is wrong while they load a model, or compute."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    for name in _TALKATIVE:
        logging.getLogger(f"transformers.{name}").setLevel(logging.ERROR)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of a cast in every product of every layer


def _harmless(key: str, model: "PreTrainedModel", replaced: bool) -> bool:
    """Whether a weight of the checkpoint may be left out: a table of what is computed, or of a part that isn't asked.

    Parts: other heads, beside a body or a language model; towers for pictures and sounds; layers that guess ahead.
    replaced: whether the checkpoint's own head is not asked, since a body is, or a head that an adapter brings.
    """
    if re.search(_COMPUTED, key) or re.match(_UNASKED, key):
        return True
    prefix = model.base_model_prefix
    inside = not prefix or key.startswith(f"{prefix}.") or re.match(_BODY, key) is not None
    return replaced and not inside


def _memory(model: "PreTrainedModel") -> int:
    """Bytes of all weights, buffers, and what bitsandbytes keeps beside weights: scales (and scales of scales)."""
    import torch

    def size(holder: object) -> int:
        return sum(t.nbytes for t in vars(holder).values() if isinstance(t, torch.Tensor)) if holder is not None else 0

    total: int = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    for weight in model.parameters():
        state = getattr(weight, "quant_state", None)
        scales = getattr(weight, "SCB", None)
        total += size(state) + size(getattr(state, "state2", None)) + (0 if scales is None else scales.nbytes)
    return total


def _quantization(name: str, compute_dtype: "TorchDtype") -> "dict[str, BitsAndBytesConfig]":
    """What is told of bitsandbytes: nothing for `none`, since even a None would hide the checkpoint's own."""
    if name == "none":
        return {}
    from transformers import BitsAndBytesConfig

    if name == "int8":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=name == "nf4_double",
        bnb_4bit_compute_dtype=compute_dtype,
    )
    return {"quantization_config": config}


def out_of_memory(error: Exception) -> bool:
    """Whether an exception says that memory ran out; the GPU's unused memory is then given back."""
    import torch

    if isinstance(error, torch.OutOfMemoryError) and torch.cuda.is_available():
        torch.cuda.empty_cache()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
