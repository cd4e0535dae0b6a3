"""A local server that speaks OpenAI's API and misbehaves as a request's own text asks: `fault=NAME`.

It answers deterministically from what it is asked, and remembers how often it was asked and has answered.
"""

import hashlib
import json
import math
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PASSING = (
    "busy", "late_date", "error", "gateway", "timeout_status", "cut", "reset", "slow", "html", "list", "doubled",
    "same_choice", "empty", "no_choices", "odd_end", "shape",
)  # fmt: skip
"""Faults of a request's first tries."""
LASTING = ("refusal", "filter", "bad_request", "too_large", "broken")
"""Faults of all of its tries."""
MODEL = "model"


@dataclass
class Log:
    """What was asked and answered, by what the requests ask about: the text between `row=` and a blank."""

    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    after_answer: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    most_at_once: int = 0


class Server:
    """A running one. tries: that a passing fault spoils. seconds: that an answer takes."""

    def __init__(self, port: int = 0, *, tries: int = 1, seconds: float = 0.0, models: Sequence[str] | None = (MODEL,)):
        self.log, self.models, self.seconds, self.tries = Log(), models, seconds, tries
        self.all_fail: tuple[int, dict[str, str], str] | None = None
        self._turn, self._inside = threading.Lock(), 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Nothing on standard error."""

            def do_GET(self) -> None:
                if server.models is None:
                    _send(self, 404, {}, b"{}")
                else:
                    entries = [{"id": m, "owned_by": "us", "created": time.time()} for m in server.models]
                    _send(self, 200, {}, json.dumps({"data": entries}).encode())

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._turn:
                    server._inside += 1
                    server.log.most_at_once = max(server.log.most_at_once, server._inside)
                try:
                    server.respond(self, body)
                finally:
                    with server._turn:
                        server._inside -= 1

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: object) -> None:
                """A client that has gone away is no error."""

        self._http = Quiet(("127.0.0.1", port), Handler)
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def respond(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        asked = json.dumps(body)
        found = re.search(r"row=(\w+)", asked)
        row = found[1] if found else "?"
        with self._turn:
            self.log.asked[row] += 1
            self.log.after_answer[row] += self.log.answered[row] > 0
            tries = self.log.asked[row]
            self.log.times.append(time.monotonic())
            self.log.headers.append(dict(handler.headers))
            self.log.bodies.append(body)
        if self.all_fail is not None:
            status, headers, text = self.all_fail
            _send(handler, status, headers, text.encode())
            return
        time.sleep(self.seconds)
        named = re.search(r"fault=(\w+)", asked)
        fault = named[1] if named and named[1] != "none" else ""
        if fault in PASSING and tries > self.tries:
            fault = ""
        self._answer(handler, body, row, fault)

    def _answer(self, handler: BaseHTTPRequestHandler, body: dict[str, Any], row: str, fault: str) -> None:
        reply = answer(body, handler.path)
        if fault == "refusal":
            reply["choices"][0]["message"] |= {"content": None, "refusal": "I can't help with that."}
        if fault == "filter":
            reply["choices"][0] |= {"finish_reason": "content_filter"}
        if fault == "same_choice":
            reply["choices"] = reply["choices"] * 2
        if fault == "empty":
            reply["choices"] = []
        if fault == "no_choices":
            del reply["choices"]
        if fault == "odd_end":
            reply["choices"][0] |= {"finish_reason": None}
        if fault == "shape":
            reply["choices"][0]["message"] = {"content": ["not", "a text"]}
        whole = json.dumps(reply).encode()
        statuses: dict[str, tuple[int, dict[str, str]]] = {
            "busy": (429, {"Retry-After-Ms": "30"}),
            "late_date": (503, {"Retry-After": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())}),
            "error": (500, {}),
            "gateway": (502, {}),
            "timeout_status": (408, {}),
            "bad_request": (400, {}),
            "too_large": (413, {}),
            "broken": (500, {}),
        }
        if fault in statuses:
            status, headers = statuses[fault]
            _send(handler, status, headers, json.dumps({"error": {"message": f"this is {fault}"}}).encode())
        elif fault == "cut":
            _send(handler, 200, {"Content-Length": str(len(whole))}, whole[:-9], close=True)
        elif fault == "reset":
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        elif fault == "slow":
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(whole)))
            handler.end_headers()
            for byte in whole:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(0.3)
        elif fault == "html":
            _send(handler, 200, {}, b"<html>Just a moment</html>")
        elif fault == "list":
            _send(handler, 200, {}, b"[" + whole + b"]")
        elif fault == "doubled":
            _send(handler, 200, {}, whole + whole)
        else:
            _send(handler, 200, {}, whole)
            if not fault or fault in ("refusal", "filter"):
                with self._turn:
                    self.log.answered[row] += 1


def answer(body: dict[str, Any], path: str) -> dict[str, Any]:
    """What a well-behaved server answers."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
    usage = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
    if path.endswith("/embeddings"):
        return {"data": [{"embedding": [b - 127.5 for b in digest[:8]]}], "usage": {"total_tokens": 7}}
    if path.endswith("/rerank"):
        return {"results": [{"index": 0, "relevance_score": digest[0] / 255}], "usage": {"total_tokens": 9}}
    chat, choices = path.endswith("/chat/completions"), []
    for number in range(body.get("n", 1)):
        text = f"answer {digest.hex()[:8]} {number}"
        choice: dict[str, Any] = {"index": number, "finish_reason": "stop"}
        choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        if body.get("logprobs"):
            weights = {"A": digest[0] + 1, "B": digest[1] + 1, " A": 1, "t": digest[2] + 1, "Other": 40}
            told = {token: math.log(weight / (sum(weights.values()) + 3)) for token, weight in weights.items()}
            pairs = [{"token": token, "logprob": value} for token, value in told.items()]
            choice["logprobs"] = (
                {"content": [{**pairs[0], "top_logprobs": pairs}]} if chat else {"top_logprobs": [told]}
            )
        choices.append(choice)
    return {"choices": choices, "usage": usage}


def _send(
    handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], content: bytes, *, close: bool = False
) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)
    handler.close_connection = close


@contextmanager
def serving(port: int = 0, **settings: Any) -> Iterator[Server]:
    """A running server."""
    server = Server(port, **settings)
    try:
        yield server
    finally:
        server.close()
