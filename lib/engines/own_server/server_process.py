"""A vLLM server of the run's own: a process on a free port of this machine, ended with the run."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.engines.checkpoints import checkpoint
from lib.engines.own_server.served_config import ADAPTER, MODEL, ServedConfig
from lib.engines.vllm import start
from lib.engines.vllm.vllm_config import STRUCTURED, VllmConfig
from lib.errors import EngineError

_HOST = "127.0.0.1"
_LOOK_EVERY, _TO_END = 0.5, 10.0  # seconds
_TAIL = 12  # lines of a log that a message quotes
_NOT_OF_A_SERVER = ("skip_tokenizer_init", "use_tqdm_on_load", "runner")


@dataclass(frozen=True)
class Serving:
    """How a server is started. words: of its command line, without place and key."""

    words: Sequence[str]
    environment: Mapping[str, str]


def serving(config: VllmConfig) -> Serving:
    """The server of a language model, its settings those of an engine in this process.

    With more than one GPU, in an allocation that has a Ray cluster (RAY_ADDRESS), vLLM takes the GPUs of all its nodes.
    Raises ConfigError for what is set twice.
    """
    arguments = config.arguments("generate")
    start.require_no_field(config.extra, arguments)
    settings = {name: value for name, value in arguments.items() if name not in _NOT_OF_A_SERVER}
    settings |= {"structured_outputs_config": STRUCTURED, "max_logprobs": -1, **config.extra}
    settings |= {"generation_config": "vllm"}  # what the model's own says of sampling is no part of our requests
    settings |= {"served_model_name": MODEL}
    gpus = config.tensor_parallel_size * config.pipeline_parallel_size
    if gpus > 1 and os.environ.get("RAY_ADDRESS"):
        settings.setdefault("distributed_executor_backend", "ray")
    adapter = checkpoint.adapter_of(config)
    if adapter is not None:
        settings |= {"lora_modules": json.dumps({"name": ADAPTER, "path": str(adapter.folder)})}
    words = [_flag(name, value) for name, value in settings.items()]
    usual = {**start.environment(config.num_gpus), "VLLM_LOGGING_LEVEL": "INFO"}
    return Serving([sys.executable, "-m", f"{__package__}.server_main", str(os.getpid()), *words], usual)


class ServerProcess:
    """Starts a server; `close` it. log: the file that its output is added to."""

    def __init__(self, how: Serving, log: Path) -> None:
        with socket.create_server((_HOST, 0)) as free:
            self._port = free.getsockname()[1]
        self._log = log
        self._key = secrets.token_hex(32)  # others may have a process on this node
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*how.words, f"--host={_HOST}", f"--port={self._port}"],
                env={**how.environment, **os.environ, "VLLM_API_KEY": self._key},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C is the run's: it ends the server when it is done with it
            )

    def wait(self, seconds: float) -> None:
        """Wait until it answers. Raises EngineError where it ends before, or takes longer than that."""
        until = time.monotonic() + seconds
        while not self._answers():
            if self.ended:
                raise EngineError(f"the vLLM server {self.how_it_ended} while loading the model:\n{self._tail()}")
            if time.monotonic() > until:
                raise EngineError(
                    f"the vLLM server does not answer after {seconds:g} s (executor.start_seconds); {self._log} says "
                    f"what it does:\n{self._tail()}"
                )
            time.sleep(_LOOK_EVERY)

    def served(self, config: VllmConfig) -> ServedConfig:
        """The model behind it."""
        return ServedConfig.of(config, f"http://{_HOST}:{self._port}/v1", self._key)

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self._process.poll() is not None

    @property
    def how_it_ended(self) -> str:
        """In words, with a verb."""
        code = self._process.wait()
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def close(self) -> None:
        """End it with all its children, whatever they are doing."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(_TO_END)
            except ProcessLookupError:  # none of them is left
                return
            except subprocess.TimeoutExpired:
                continue

    def _answers(self) -> bool:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"http://{_HOST}:{self._port}/health", timeout=5) as response:
                return bool(response.status == 200) and not self.ended  # else somebody else has its port
        except OSError:
            return False

    def _tail(self) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()
        return "\n".join(lines[-_TAIL:])


def _flag(name: str, value: object) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag}={json.dumps(value) if isinstance(value, dict | list) else value}"
