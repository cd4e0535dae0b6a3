"""A local S3 server, moto's, in a process of its own: python -m tests.data.s3_server PUTS.

It prints its port. PUTS: so many objects it takes, then it dies in the middle of the next one; -1: it lives on.
"""

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

left = int(sys.argv[1])
moto = DomainDispatcherApplication(create_backend_app)


class Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        pass


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    global left
    if environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].count("/") > 1:  # an object, no bucket
        if left == 0:
            os._exit(1)
        left -= 1
    return moto(environ, start_response)


server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
print(server.port, flush=True)
server.serve_forever()
