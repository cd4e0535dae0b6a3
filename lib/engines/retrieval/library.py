"""The library bm25s, imported without numba."""

from types import ModuleType

from lib.imports import without


def bm25s() -> ModuleType:
    """The module.

    It would import numba where that is installed (vLLM brings it), for a backend that is not used here; and vLLM cannot
    start in a process that has numba: it looks into every module, and stumbles over numba's llvmlite.
    """
    with without("numba"):
        import bm25s  # type: ignore[import-untyped]
    return bm25s  # type: ignore[no-any-return]
