"""The arithmetic of a forward pass, and what a machine can do of it: for plans, and for MFU in benchmarks."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_SECONDS = 0.5  # of matrix products that a peak is measured on
_SIZE = {"cpu": 1024, "cuda": 8192}  # rows and columns of the square matrices


def forward_flops(parameters: int, settings: Mapping[str, Any], lengths: Sequence[int]) -> float:
    """Floating-point operations to read prompts of these lengths (tokens), one result position each.

    parameters: of the model without its embeddings and its head. settings: its config.json.
    2 × parameters without embeddings × tokens, plus 2 × layers × width × length² a prompt for causal attention (QKᵀ
    and AV, half of each square): Kaplan et al. 2020, "Scaling Laws for Neural Language Models", section 2.1.
    """
    text = settings.get("text_config") or settings
    heads = text["num_attention_heads"]
    width = heads * (text.get("head_dim") or text["hidden_size"] // heads)
    attention: float = 2.0 * text["num_hidden_layers"] * width * sum(length * length for length in lengths)
    return 2.0 * parameters * sum(lengths) + attention


def peak_flops(device: str, dtype: str) -> float:
    """Operations a second of a large square matrix product on this machine, measured for half a second."""
    import torch

    where = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    size = _SIZE[where.partition(":")[0]]
    a = torch.randn(size, size, device=where).to(getattr(torch, dtype))
    start, count = 0.0, -1  # the first product warms up
    while count < 1 or time.perf_counter() - start < _SECONDS:
        a @ a
        if a.is_cuda:
            torch.cuda.synchronize(a.device)
        count += 1
        if count == 0:
            start = time.perf_counter()
    return 2.0 * size**3 * count / (time.perf_counter() - start)


def count_parameters(folder: Path) -> int:
    """Parameters of the model in a folder without its embeddings and its head, counted without loading any.

    Of an architecture that transformers knows, or was told of.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    with torch.device("meta"):
        model = AutoModel.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    return int(model.num_parameters(exclude_embeddings=True))
