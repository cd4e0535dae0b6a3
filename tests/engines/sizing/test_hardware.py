import sys
from types import SimpleNamespace
from typing import Any

import pytest

from lib.engines.sizing import hardware
from lib.engines.sizing.hardware import GPUS, detect, lookup, recognise, utilization, visible
from lib.errors import ConfigError


class FakeNvml:
    """Stands in for pynvml on a machine with three GPUs, whose handles are their numbers."""

    NVMLError = RuntimeError

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return 3

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        handles = {"GPU-aa": 0, "GPU-bb": 1, "GPU-cc": 2, "MIG-dd": 3}
        if uuid not in handles:
            raise RuntimeError("Not Found")
        return handles[uuid]

    def nvmlDeviceGetName(self, handle: int) -> str:
        return ("NVIDIA L4", "NVIDIA H200", "Quadro K600", "NVIDIA H200")[handle]

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        if handle == 3:
            raise RuntimeError("Not Supported")
        return SimpleNamespace(gpu=(100, 50, 0)[handle])


@pytest.fixture
def three_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())


def test_names_are_found_in_any_case_and_others_are_refused() -> None:
    assert lookup("a100-80gb", "plan.gpu") is GPUS["A100-80GB"]
    with pytest.raises(ConfigError, match=r"plan\.gpu=Voodoo2: .*T4, .*L40S, .*B200"):
        lookup("Voodoo2", "plan.gpu")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Tesla T4", "T4"),
        ("Tesla V100-SXM2-16GB", "V100-16GB"),
        ("Tesla V100-PCIE-32GB", "V100-32GB"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce RTX 3090", "RTX-3090"),
        ("NVIDIA GeForce RTX 4090", "RTX-4090"),
        ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA A100 80GB PCIe", "A100-80GB"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100-PCIe"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA L40", None),
        ("NVIDIA A10", None),
    ],
)
def test_drivers_names_are_recognised(name: str, known: str | None) -> None:
    assert recognise(name) is (GPUS[known] if known else None)


def test_figures_are_in_bytes_and_operations() -> None:
    for gpu in GPUS.values():
        assert 15e9 < gpu.memory < 200e9
        assert 50e12 < gpu.flops < 3000e12
        assert 0.2e12 < gpu.bandwidth < 10e12


def test_a_machine_without_nvml_or_driver_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert (visible(), detect()) == ([], None)

    class NoDriver(FakeNvml):
        def nvmlInit(self) -> None:
            raise RuntimeError("NVML Shared Library Not Found")

    monkeypatch.setitem(sys.modules, "pynvml", NoDriver())
    assert (visible(), detect()) == ([], None)


@pytest.mark.parametrize(
    ("chosen", "handles", "kind"),
    [
        (None, [0, 1, 2], "L4"),
        ("1,0", [1, 0], "H200"),
        ("GPU-cc, GPU-bb", [2, 1], None),
        ("", [], None),
        ("-1", [], None),
        ("GPU-ee", [], None),
    ],
)
@pytest.mark.usefixtures("three_gpus")
def test_only_the_gpus_that_cuda_shows_count(
    chosen: str | None, handles: list[int], kind: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if chosen is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert visible() == handles
    assert detect() is (hardware.GPUS[kind] if kind else None)


@pytest.mark.usefixtures("three_gpus")
def test_utilisation_is_a_share() -> None:
    assert utilization([0, 1]) == 0.75
    assert utilization([3]) is None
