"""Saves a loaded model, quantised weights as they are, in a folder from which it loads again."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lib.errors import EngineError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_GENERATION = "generation_config.json"


def save(model: "PreTrainedModel", companions: Mapping[str, Path], folder: Path) -> None:
    """Write config.json and safetensors of a model into a folder, and copies of what stands beside them, by name.

    Raises EngineError where it can't be saved or written.
    """
    import transformers
    from safetensors import SafetensorError

    from lib.engines.checkpoints import internlm2_model

    # The checkpoint's own is copied: transformers refuses to write one with a temperature that has no effect.
    model.generation_config = transformers.GenerationConfig()
    # InternLM2's weights stay those of Llama that they were turned into: what is quantised can't be put together again.
    as_it_was = model.config.model_type != internlm2_model.MODEL_TYPE
    try:
        model.save_pretrained(folder, save_original_format=as_it_was)
        (folder / _GENERATION).unlink(missing_ok=True)
        for name, file in companions.items():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(file, folder / name)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise EngineError(f"{folder}: the model cannot be saved there: {error}") from error
