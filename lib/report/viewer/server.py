"""The viewer's server: on this machine only, for pages of one run; it answers GET and changes nothing of the run."""

import sys
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from lib.data.run_folder import REPORT
from lib.errors import ConfigError, InputError, OvernightError
from lib.report.viewer.selection import read_query
from lib.report.viewer.viewer import FILES, Viewer

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")
_HTTP_PORT = 80  # which browsers leave out
_STATIC = {"/viewer.css": "text/css", "/viewer.js": "text/javascript"}
_HTML = "text/html; charset=utf-8"
_ALONE = "base-uri 'none'; frame-ancestors 'none'"
_POLICY = f"default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; {_ALONE}"
_POLICY_OF_REPORTS = f"default-src 'none'; style-src 'unsafe-inline'; {_ALONE}"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def make_server(viewer: Viewer, port: int) -> ThreadingHTTPServer:
    """A server of these pages that listens already. port: 0 for any that is free. Raises ConfigError for one in use."""

    class Handler(_Handler):
        pages = viewer

    try:
        server = _Server((HOST, port), Handler)
    except OSError as error:
        raise ConfigError(
            f"view.port={port}: can't be listened on ({error.strerror}); 0 takes one that is free"
        ) from error
    return server


def address_of(server: ThreadingHTTPServer) -> str:
    """Where the pages are."""
    return f"http://{HOST}:{server.server_address[1]}/"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away before it had its page."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    pages: Viewer
    server: ThreadingHTTPServer
    server_version = "overnight"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """Answer one request."""
        if not self._is_for_us():
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"this server answers to its own address only\n")
            return
        try:
            url = urlsplit(self.path.encode("iso-8859-1").decode("utf-8", "replace"))  # as curl has them, unescaped
        except ValueError:  # http://[ and its like
            self._send(HTTPStatus.BAD_REQUEST, "text/plain", b"this is no address\n")
            return
        if (kind := _STATIC.get(url.path)) is not None:
            self._send(HTTPStatus.OK, kind, (FILES / url.path[1:]).read_bytes())
        elif url.path == f"/{REPORT}" and (report := self.pages.report) is not None:
            self._send(HTTPStatus.OK, _HTML, report.encode(), _POLICY_OF_REPORTS)
        elif url.path == "/":
            self._show(url.query)
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"there is no such page\n")

    def do_HEAD(self) -> None:
        """The same, without its body."""
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Say nothing of each request."""

    def _is_for_us(self) -> bool:
        """Whether the browser means this machine: another name that leads here is a trap (DNS rebinding)."""
        port = self.server.server_address[1]
        own = [f"{name}:{port}" for name in _NAMES] + (list(_NAMES) if port == _HTTP_PORT else [])
        return self.headers.get_all("Host") in [[name] for name in own]

    def _show(self, query: str) -> None:
        try:
            selection = read_query(query)
            pages = self.pages
            text = pages.list_page(selection) if selection.row is None else pages.row_page(selection)
            pages.require_unchanged()
            status = HTTPStatus.OK
        except OvernightError as error:
            status = HTTPStatus.BAD_REQUEST if isinstance(error, InputError) else HTTPStatus.INTERNAL_SERVER_ERROR
            text = self.pages.refusal(str(error))
        except Exception:  # of whatever kind: else the browser would be left without an answer
            traceback.print_exc()
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            text = self.pages.refusal("a fault of the viewer itself: the terminal in which it runs says more")
        self._send(status, _HTML, text.encode("utf-8", "replace"))

    def _send(self, status: HTTPStatus, kind: str, body: bytes, policy: str = _POLICY) -> None:
        self.send_response(status)
        for name, value in {"Content-Security-Policy": policy, **_HEADERS}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
