"""Adapters as peft saves them, with random weights far from nothing: mistakes show."""

import json
from pathlib import Path
from typing import Any

TARGETS = ["q_proj", "v_proj", "down_proj"]


def lora(**changes: Any) -> Any:
    import peft

    values: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": TARGETS, "task_type": "CAUSAL_LM"}
    return peft.LoraConfig(**(values | changes))


def save_adapter(model: Any, config: Any, folder: Path, base: str | None = None) -> Path:
    """Save an adapter of a model, which is changed thereby. base: what it calls the model that it was trained on."""
    import peft
    import torch

    torch.manual_seed(2)
    adapted = peft.get_peft_model(model, config)
    own = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    assert own
    with torch.no_grad():
        for parameter in own:
            parameter.add_(torch.randn_like(parameter) * 0.3)
    adapted.save_pretrained(folder)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": base}))
    return folder


def edit(folder: Path, **changes: Any) -> None:
    """Change an adapter's settings."""
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | changes))


def edit_weights(folder: Path, drop: str = "", add: dict[str, tuple[int, ...]] | None = None) -> None:
    """Take the weights out of an adapter's file whose names hold `drop`, and put others in."""
    import torch
    from safetensors.torch import load_file, save_file

    file = folder / "adapter_model.safetensors"
    weights = {name: tensor for name, tensor in load_file(file).items() if not drop or drop not in name}
    weights |= {name: torch.ones(shape) for name, shape in (add or {}).items()}
    save_file(weights, file, metadata={"format": "pt"})
