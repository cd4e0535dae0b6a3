"""The library bm25s, imported without numba."""

import sys
from types import ModuleType


def bm25s() -> ModuleType:
    """The module.

    It would import numba where that is installed (vLLM brings it), for a backend that is not used here; and vLLM cannot
    start in a process that has numba: it looks into every module, and stumbles over numba's llvmlite.
    """
    hide = "numba" not in sys.modules
    if hide:
        sys.modules["numba"] = None  # type: ignore[assignment]  # an import of it fails
    try:
        import bm25s  # type: ignore[import-untyped]
    finally:
        if hide:
            del sys.modules["numba"]
    return bm25s  # type: ignore[no-any-return]
