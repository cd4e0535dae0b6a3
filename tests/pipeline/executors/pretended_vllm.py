"""Stands in for vLLM's server, as a process: it loads in no time, tells of labels, and dies as it is told.

python pretended_vllm.py load|never|answer|once:FILE LONGEST --host=… --port=…

A prompt of more than LONGEST tokens kills it.
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WHAT, LONGEST = sys.argv[1], int(sys.argv[2])
PLACE = dict(word.removeprefix("--").split("=") for word in sys.argv[3:])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""

    def do_GET(self) -> None:
        self._send(200 if WHAT != "never" and self.path == "/health" else 404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {os.environ['VLLM_API_KEY']}":
            self._send(401, {"error": {"message": "the key is wrong"}})
            return
        assert self.path == "/v1/completions"
        assert body["model"] == "model"
        if len(body["prompt"]) > LONGEST:
            print("this prompt is too much for me", file=sys.stderr, flush=True)
            os._exit(7)
        told = {f"token_id:{token}": -1.0 - place for place, token in enumerate(body["logprob_token_ids"])}
        choice = {"index": 0, "text": "", "finish_reason": "length", "logprobs": {"top_logprobs": [told]}}
        self._send(200, {"choices": [choice], "usage": {"prompt_tokens": len(body["prompt"]), "completion_tokens": 1}})

    def _send(self, status: int, reply: object) -> None:
        content = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


once = WHAT.removeprefix("once:") if WHAT.startswith("once:") else None
if WHAT == "load" or (once and os.path.exists(once)):
    time.sleep(0.3)
    sys.exit("no room for the weights")
if once:
    open(once, "w").close()
ThreadingHTTPServer((PLACE["host"], int(PLACE["port"])), Handler).serve_forever()
