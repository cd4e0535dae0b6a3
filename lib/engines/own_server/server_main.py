"""vLLM's server, in a process that ends with the one that started it: python -m … PROCESS FLAGS."""

import os
import runpy
import signal
import sys
import threading
import time

_LOOK_EVERY, _TO_END = 1.0, 10.0  # seconds


def end_with_parent(parent: int) -> None:
    """End this process and its group when its parent ends, however that ends: else its GPUs would stay taken."""
    threading.Thread(target=_wait_for_end, args=(parent,), name="parent", daemon=True).start()


def _wait_for_end(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_TO_END)  # vLLM may be deaf to the first signal while it loads
    os.killpg(os.getpid(), signal.SIGKILL)  # it leads its group, in which all its processes are


if __name__ == "__main__":
    end_with_parent(int(sys.argv.pop(1)))
    # Not `vllm serve`: that looks for a package called vllm, which vLLM for CPUs isn't.
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
