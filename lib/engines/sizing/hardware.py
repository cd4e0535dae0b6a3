"""GPUs: what the makers' data sheets say of them, and which ones this process sees.

Nothing here makes a CUDA context: the driver is asked through NVML (nvidia-ml-py, which CUDA builds of torch and vLLM
bring along).
"""

import os
import re
from dataclasses import dataclass
from typing import Any

from lib.errors import ConfigError

_GB, _TERA = 10**9, 1e12


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU.

    memory: bytes, the data sheet's GB taken as 10⁹ (a driver shows up to 7 % more). flops: dense 16-bit
    matrix-product operations a second with 32-bit sums, no sparsity. bandwidth: bytes a second from its memory.
    """

    name: str
    memory: int
    flops: float
    bandwidth: float


# NVIDIA's data sheets of each board; RTX: the GA102 and Ada architecture papers; A10G: the sheet of the AWS variant;
# B200: an eighth of the DGX B200. Where a sheet only shows operations with sparsity, half of them.
GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("T4", 16 * _GB, 65 * _TERA, 0.300 * _TERA),
        Gpu("V100-16GB", 16 * _GB, 125 * _TERA, 0.900 * _TERA),
        Gpu("V100-32GB", 32 * _GB, 125 * _TERA, 0.900 * _TERA),
        Gpu("A10G", 24 * _GB, 70 * _TERA, 0.600 * _TERA),
        Gpu("L4", 24 * _GB, 121 * _TERA, 0.300 * _TERA),
        Gpu("L40S", 48 * _GB, 362 * _TERA, 0.864 * _TERA),
        Gpu("RTX-3090", 24 * _GB, 71 * _TERA, 0.936 * _TERA),
        Gpu("RTX-4090", 24 * _GB, 165 * _TERA, 1.008 * _TERA),
        Gpu("A100-40GB", 40 * _GB, 312 * _TERA, 1.555 * _TERA),
        Gpu("A100-80GB", 80 * _GB, 312 * _TERA, 2.039 * _TERA),
        Gpu("H100", 80 * _GB, 989 * _TERA, 3.35 * _TERA),
        Gpu("H100-PCIe", 80 * _GB, 756 * _TERA, 2.0 * _TERA),
        Gpu("H200", 141 * _GB, 989 * _TERA, 4.8 * _TERA),
        Gpu("B200", 180 * _GB, 2250 * _TERA, 8.0 * _TERA),
    )
}


def lookup(name: str, key: str) -> Gpu:
    """The GPU of this name, in any case. Raises ConfigError, naming the config's `key`, for one we don't know."""
    found = {known.lower(): gpu for known, gpu in GPUS.items()}.get(name.lower())
    if found is None:
        raise ConfigError(f"{key}={name}: not a GPU we know; use one of {', '.join(GPUS)}, or null for this machine's")
    return found


def recognise(name: str) -> Gpu | None:
    """The GPU that a driver calls so ("NVIDIA A100-SXM4-80GB"), None where it is not in the table."""
    words = set(re.split(r"[^A-Z0-9]+", name.upper()))
    fits = [gpu for gpu in GPUS.values() if set(gpu.name.upper().split("-")) <= words]
    return max(fits, key=lambda gpu: len(gpu.name), default=None)


def detect() -> Gpu | None:
    """The kind of the first GPU that this process sees; None without one, or where it is not in the table."""
    handles = visible()
    if not handles:
        return None
    import pynvml

    return recognise(pynvml.nvmlDeviceGetName(handles[0]))


def visible() -> list[Any]:
    """NVML's handles of the GPUs that CUDA_VISIBLE_DEVICES names (without it: of all), in its order.

    Empty without nvidia-ml-py, without a driver, and where the driver does not know the names.
    """
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = chosen.split(",") if chosen is not None else map(str, range(pynvml.nvmlDeviceGetCount()))
        return [
            pynvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else pynvml.nvmlDeviceGetHandleByUUID(name)
            for name in (name.strip() for name in names)
            if name not in ("", "-1")  # ways to hide all of them
        ]
    except pynvml.NVMLError:
        return []


def utilization(handles: list[Any]) -> float | None:
    """Share of the last second or so in which the GPUs had work, their mean: in [0, 1].

    None where the driver does not tell, as of a part of a GPU (MIG).
    """
    import pynvml

    try:
        percent: int = sum(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu for handle in handles)
    except pynvml.NVMLError:
        return None
    return percent / (100 * len(handles))
