"""Puts an adapter's weights into a loaded model: merged into its own, or beside them where these are quantised."""

import warnings
from typing import TYPE_CHECKING

from lib.engines.checkpoints.adapter import WEIGHTS, Adapter, inject
from lib.errors import EngineError

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def adapt(model: "PreTrainedModel", adapter: Adapter, *, name: str) -> "PreTrainedModel":
    """The model with its adapter. name: of the model, as `engine.model` has it.

    Merged, a model is as fast as without an adapter. Weights that are quantised can't take up the adapter's without
    losing them again, layers without a bias can't take up one, and of two weights that are tied one would change with
    the other: then the adapter's layers stay.
    Raises ConfigError where the adapter does not fit, EngineError where its weights are no numbers.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of merging, which we decide
        adapted = inject(model, adapter, model=name)
        _, unplaced = set_peft_model_state_dict(adapted, load_file(adapter.folder / WEIGHTS))
        if unplaced:
            raise EngineError(f"{adapter.key}: peft has no place for {', '.join(unplaced[:5])}")
        quantised = getattr(model, "hf_quantizer", None) is not None
        if quantised or adapter.settings.get("lora_bias") or _changes_tied_weights(adapted):
            return adapted.get_base_model()
        try:
            return adapted.merge_and_unload(safe_merge=True)
        except ValueError as error:
            raise EngineError(f"{adapter.key}: can't be merged into engine.model={name}: {error}") from error


def _changes_tied_weights(adapted: "PeftModel") -> bool:
    """Whether the adapter has layers of its own in place of embeddings or of a head that share their weights."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    model = adapted.get_base_model()
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    tied = bool(model.config.get_text_config().tie_word_embeddings)
    return tied and any(isinstance(end, (BaseTunerLayer, AuxiliaryTrainingWrapper)) for end in ends)
