"""What the benchmarks of engines share: time, memory, and the loop that ours are compared with."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lib.types import Label, TokenIds


def seconds(work: Callable[[], Any], device: str = "cpu") -> float:
    """Wall time until the device has done all the work."""
    return cost(work, device)[0]


def cost(work: Callable[[], Any], device: str = "cpu") -> tuple[float, int]:
    """Wall time, and the bytes that the work needs at its peak above what was there before it.

    Bytes of tensors on a GPU; on a CPU of this process (Linux).
    """
    before = _forget_peak(device)
    start = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - start
    return seconds, max(_peak(device) - before, 0)  # Linux counts pages in batches: some may be missing in the end


def _forget_peak(device: str) -> int:
    """Bytes in use now, from where the peak is counted; a GPU has then done all that it was given."""
    if device == "cpu":
        Path("/proc/self/clear_refs").write_text("5")
    else:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    return _peak(device)


def _peak(device: str) -> int:
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device)
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024


def tokens(requests: Sequence[TokenIds]) -> int:
    """Real tokens, without padding."""
    return sum(map(len, requests))


def generate_one_token_each(
    model: Any, prompts: Sequence[TokenIds], labels: Sequence[Label]
) -> npt.NDArray[np.float32]:
    """The source's loop: `generate` one token for each prompt, and read its scores [n, k]. One token a label."""
    ids = [label[0][0] for label in labels]
    rows = []
    for prompt in prompts:
        inputs = torch.tensor([prompt], device=model.device)
        with torch.no_grad():
            output = model.generate(
                inputs,
                attention_mask=torch.ones_like(inputs),
                max_new_tokens=1,
                do_sample=False,
                output_scores=True,
                return_dict_in_generate=True,
                pad_token_id=0,
            )
        rows.append(torch.log_softmax(output.scores[0][0].float(), dim=-1)[ids])
    return torch.stack(rows).cpu().numpy()
