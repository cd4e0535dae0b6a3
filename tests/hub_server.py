"""A small server that speaks what huggingface_hub asks of the hub: revisions, lists of files, files."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

REVISION = "main"


@dataclass
class Repository:
    """A folder as a repository. gated: only for those with the token. sizes: that are told of files, not their own."""

    folder: Path
    gated: bool = False
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.folder)): path.read_bytes()
                for path in sorted(self.folder.rglob("*")) if path.is_file()}  # fmt: skip

    @property
    def commit(self) -> str:
        return hashlib.sha1(repr((self.folder.name, sorted(self.files.items()))).encode()).hexdigest()


@dataclass
class Hub:
    """Repositories by their ids; what was asked for. broken: a file that is never sent whole."""

    repositories: dict[str, Repository]
    url: str = ""
    token: str = "secret"
    asked: list[str] = field(default_factory=list)
    broken: str | None = None

    def downloads(self) -> list[str]:
        """The files that were sent."""
        return [line.rpartition("/")[2] for line in self.asked if line.startswith("GET /") and "/resolve/" in line]


@contextmanager
def serving(repositories: dict[str, Repository]) -> Iterator[Hub]:
    """Serve them until the end."""
    hub = Hub(repositories)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(head=True)

        def do_GET(self) -> None:
            self._answer(head=False)

        def log_message(self, *args: Any) -> None:
            pass

        def _answer(self, head: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path}")
            found = re.fullmatch(r"/(?:api/models/)?([^/]+/[^/]+)/(revision|tree|resolve)/([^/]+)/?(.*)", path)
            repository = hub.repositories.get(found[1]) if found else None
            if found is None or repository is None:
                return self._refuse(401, "RepoNotFound", head)
            if found[3] not in (REVISION, repository.commit):
                return self._refuse(404, "RevisionNotFound", head)
            if found[2] == "revision":
                return self._json({"id": found[1], "sha": repository.commit})
            if found[2] == "tree":
                return self._json([self._entry(name, data, repository) for name, data in repository.files.items()])
            if repository.gated and self.headers.get("Authorization") != f"Bearer {hub.token}":
                return self._refuse(401, "GatedRepo", head)
            return self._file(repository, found[4], head)

        def _entry(self, name: str, data: bytes, repository: Repository) -> dict[str, Any]:
            size = repository.sizes.get(name, len(data))
            return {"type": "file", "path": name, "size": size, "oid": hashlib.sha1(data).hexdigest()}

        def _file(self, repository: Repository, name: str, head: bool) -> None:
            data = repository.files.get(name)
            if data is None:
                return self._refuse(404, "EntryNotFound", head)
            self.send_response(200)
            self.send_header("X-Repo-Commit", repository.commit)
            self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
            self.send_header("Content-Length", str(repository.sizes.get(name, len(data))))
            self.end_headers()
            if head:
                return None
            if name == hub.broken:
                data = data[: len(data) // 2]
                self.close_connection = True
            self.wfile.write(data)
            return None

        def _json(self, content: Any) -> None:
            data = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _refuse(self, status: int, code: str, head: bool) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
