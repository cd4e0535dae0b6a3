"""vLLM's server, in a process that ends with the one that started it: python -m … PROCESS FLAGS."""

import ctypes
import os
import runpy
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def end_with_parent(parent: int) -> None:
    """Have the system end this process when its parent ends, however that ends: else its GPUs would stay taken."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it has ended meanwhile
        sys.exit(f"process {parent}, which this server is for, has ended")


if __name__ == "__main__":
    end_with_parent(int(sys.argv.pop(1)))
    # Not `vllm serve`: that looks for a package called vllm, which vLLM for CPUs isn't.
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
