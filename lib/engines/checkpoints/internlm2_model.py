"""InternLM2's weights on the Llama architecture, without the remote code of their checkpoints.

transformers 5 has no InternLM2, and the checkpoints' own code was written for transformers 4. InternLM2 is Llama with
other names, and with queries, keys and values in one matrix (Cai et al. 2024, "InternLM2 Technical Report", section
2.2). transformers maps the weights while it loads them, one by one and before it quantises them: no second copy.

Importing this imports torch: import it late.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    LlamaModel,
)
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import ConversionOps, WeightConverter, WeightRenaming

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig

MODEL_TYPE = "internlm2"


class InternLM2Config(LlamaConfig):  # type: ignore[misc]
    """An InternLM2 checkpoint's config.json, read as Llama's."""

    model_type = MODEL_TYPE
    attribute_map = {"bias": "attention_bias"}  # noqa: RUF012
    attention_bias: bool = True  # InternLM2's default: a checkpoint that means otherwise says so

    def __post_init__(self, **kwargs: object) -> None:
        super().__post_init__(**(kwargs | {"num_labels": 1}))


class InternLM2Model(LlamaModel):  # type: ignore[misc]
    """The decoder."""

    config_class = InternLM2Config


class InternLM2ForRewardModel(LlamaForSequenceClassification):  # type: ignore[misc]
    """The decoder with one linear output, which `ClassifierEngine` reads at the last token."""

    config_class = InternLM2Config


class _SplitQueriesKeysValues(ConversionOps):  # type: ignore[misc]
    """One matrix [groups * (queries a group + 2) * head_dim, …] into those of queries, keys and values.

    A group is the query heads that share a key and a value head: its queries come first, then its key and its value.
    """

    def convert(
        self,
        input_dict: "Mapping[str, Sequence[Tensor]]",
        *,
        target_patterns: Sequence[str],
        config: "PretrainedConfig",
        **_: object,
    ) -> "dict[str, Tensor]":
        ((packed,),) = input_dict.values()
        groups = config.num_key_value_heads
        queries = config.num_attention_heads // groups
        parts = packed.unflatten(0, (groups, queries + 2, config.head_dim)).split([queries, 1, 1], dim=1)
        return {name: part.flatten(0, 2) for name, part in zip(target_patterns, parts, strict=True)}


_LLAMA_NAMES = {
    r"tok_embeddings\.": "embed_tokens.",
    r"attention_norm\.": "input_layernorm.",
    r"attention\.wo\.": "self_attn.o_proj.",
    r"ffn_norm\.": "post_attention_layernorm.",
    r"feed_forward\.w1\.": "mlp.gate_proj.",
    r"feed_forward\.w2\.": "mlp.down_proj.",
    r"feed_forward\.w3\.": "mlp.up_proj.",
    r"v_head\.": "score.",
}


def register() -> None:
    """Make transformers' Auto classes know InternLM2; a second call changes nothing."""
    AutoConfig.register(MODEL_TYPE, InternLM2Config, exist_ok=True)
    AutoModel.register(InternLM2Config, InternLM2Model, exist_ok=True)
    AutoModelForSequenceClassification.register(InternLM2Config, InternLM2ForRewardModel, exist_ok=True)
    mapping = [WeightRenaming(theirs, llamas) for theirs, llamas in _LLAMA_NAMES.items()]
    mapping.append(
        WeightConverter(
            r"attention\.wqkv\.",
            ["self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."],
            [_SplitQueriesKeysValues()],
        )
    )
    register_checkpoint_conversion_mapping(MODEL_TYPE, mapping, overwrite=True)
