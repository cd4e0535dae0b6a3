"""Biases of a checkpoint whose config.json does not name them: vLLM leaves them out without a word."""

import re
from pathlib import Path

from lib.errors import EngineError

_IN_LAYER = re.compile(r"(?:^|\.)((?:layers?|h|blocks?)\.\d+\.(?:.*\.)?)(?:weight|bias)$")


def require_place(folder: Path, model: str) -> None:
    """Raise EngineError where a layer's projection has a bias in the checkpoint, and none in its architecture.

    model: its name in our config. What GPTQ's tools write for every projection is zero and passes, as do projections
    that the architecture calls by other names, and architectures that transformers does not have.
    """
    import torch
    import transformers
    from safetensors import safe_open

    usual = {"trust_remote_code": False}  # else it would ask on the terminal about code in the folder
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, **usual)
        with torch.device("meta"):
            architecture = transformers.AutoModel.from_config(config, **usual)
    except (ValueError, KeyError, OSError):  # none of transformers' own
        return
    own = {name[found.start(1) :] for name, _ in architecture.named_parameters() if (found := _IN_LAYER.search(name))}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            for key in weights.keys():  # noqa: SIM118 (it is no dict)
                found = _IN_LAYER.search(key) if key.endswith(".bias") else None
                if found is None or f"{found[1]}weight" not in own or f"{found[1]}bias" in own:
                    continue
                if weights.get_tensor(key).any():
                    raise EngineError(
                        f"engine.model={model}: its weights have {key}, for which {type(architecture).__name__} has no "
                        "place, so vLLM would answer without it; config.json may lack a key (as attention_bias), or "
                        "may name another architecture"
                    )
