"""A hub on this machine: what huggingface_hub asks to read models and data sets, and to commit to the latter."""

import base64
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
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_s3cret"
_DATE = "2026-01-02T03:04:05.000Z"
Files = dict[str, bytes]


@dataclass
class Repository:
    """Its commits (the last one is main) with all of their files.

    gated: files are only for those with the token. sizes: that are told of files, not their own.
    """

    private: bool = False
    gated: bool = False
    sizes: dict[str, int] = field(default_factory=dict)
    commits: list[tuple[str, Files]] = field(default_factory=list)

    def commit(self, files: Files) -> str:
        """Add a commit with these files in place of all before; returns its hash."""
        seed = f"{len(self.commits)} {sorted(files)}"
        self.commits.append((hashlib.sha1(seed.encode()).hexdigest(), files))
        return self.commits[-1][0]

    def at(self, revision: str) -> tuple[str, Files] | None:
        """The commit of a revision."""
        if revision == "main":
            return self.commits[-1]
        return next((each for each in self.commits if each[0] == revision), None)


@dataclass
class Hub:
    """What lies on the hub, what it was asked (method and path), and whether it answers.

    refuses: requests to paths with this in them are answered by `refusal`. broken: a file that is never sent whole.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    objects: Files = field(default_factory=dict)
    refuses: str | None = None
    refusal: tuple[int, str] = (403, "Forbidden: not tonight")
    broken: str | None = None
    role: str = "write"  # of the token

    def add(self, name: str, files: Files, private: bool = False) -> str:
        """A repository OWNER/NAME, or a further commit to it; the commit's hash."""
        return self.repositories.setdefault(name, Repository(private)).commit(files)

    def files(self, name: str) -> Files:
        """The files on main."""
        return self.repositories[name].commits[-1][1]

    def downloads(self) -> list[str]:
        """The files that were sent, without their folders."""
        return [path.rpartition("/")[2] for how, path in self.asked if how == "GET" and "/resolve/" in path]


def files_below(folder: Path) -> Files:
    """A folder's files, as a commit has them."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def hub() -> Iterator[Hub]:
    """A hub, while it is used. TOKEN is that of the user "me"."""
    found = Hub()

    class Handler(_Handler):
        hub = found

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


def _entry(path: str, content: bytes, repository: Repository) -> dict[str, Any]:
    commit = {"id": "0" * 40, "title": "a commit", "date": _DATE}
    size = repository.sizes.get(path, len(content))
    return {"type": "file", "path": path, "size": size, "oid": _oid(content), "lastCommit": commit}


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        self.hub.asked.append((self.command, path))
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if self.hub.refuses and self.hub.refuses in path:
            return self._say(self.hub.refusal[0], {"error": self.hub.refusal[1]})
        if path == "/api/whoami-v2":
            role = {"accessToken": {"displayName": "night", "role": self.hub.role}}
            me = {"type": "user", "name": "me", "orgs": [{"name": "us"}], "auth": {"type": "access_token", **role}}
            return self._say(200, me) if known else self._say(401, {"error": "Invalid token"})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._say(200, {"errors": [], "warnings": []})
        if found := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
            self.hub.objects[found[1]] = body
            return self._say(200, {})
        found = re.match(
            r"/(?:api/)?(?:(?:datasets|models)/)?([^/]+/[^/.]+)(\.git)?(?:/([a-z-]+)(?:/([^/]+)(?:/(.*))?)?)?$", path
        )
        repository = self.hub.repositories.get(found[1]) if found else None
        if found is None or repository is None or (repository.private and not known):
            return self._say(404 if known else 401, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
        if found[2]:
            return self._batch(json.loads(body))
        what, revision, rest = found[3] or "revision", found[4] or "main", found[5] or ""
        commit = repository.at(revision)
        if commit is None:
            return self._say(404, {"error": "no revision"}, {"X-Error-Code": "RevisionNotFound"})
        if what == "resolve" and repository.gated and not known:
            return self._say(401, {"error": "ask its owner"}, {"X-Error-Code": "GatedRepo"})
        return self._of(repository, found[1], what, commit, rest, body)

    do_GET = do_POST = do_PUT = do_HEAD = _answer

    def _of(
        self, repository: Repository, name: str, what: str, commit: tuple[str, Files], rest: str, body: bytes
    ) -> None:
        sha, files = commit
        if what == "revision":
            return self._say(200, {"id": name, "sha": sha, "private": repository.private, "siblings": []})
        if what == "tree":
            deep = parse_qs(urlsplit(self.path).query).get("recursive") == ["True"] or "recursive=true" in self.path
            return self._say(200, self._tree(repository, files, f"{rest}/" if rest else "", deep))
        if what == "paths-info":
            paths = parse_qs(body.decode())["paths"]
            return self._say(200, [_entry(path, files[path], repository) for path in paths if path in files])
        if what == "resolve":
            return self._file(repository, sha, files, rest)
        if what == "preupload":
            said = [self._upload(file["path"], files) for file in json.loads(body)["files"]]
            return self._say(200, {"files": said})
        assert what == "commit"
        return self._commit(repository, name, files, [json.loads(line) for line in body.splitlines()])

    @staticmethod
    def _tree(repository: Repository, files: Files, below: str, deep: bool) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for path, content in files.items():
            if path.startswith(below):
                parts = path.removeprefix(below).split("/")
                for depth in range(1, len(parts) if deep else min(len(parts), 2)):
                    folder = below + "/".join(parts[:depth])
                    found[folder] = {"type": "directory", "path": folder, "size": 0, "oid": "1" * 40}
                if deep or len(parts) == 1:
                    found[path] = _entry(path, content, repository)
        return list(found.values())

    @staticmethod
    def _upload(path: str, files: Files) -> dict[str, Any]:
        mode = "lfs" if path.endswith(".parquet") else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False}

    def _file(self, repository: Repository, commit: str, files: Files, path: str) -> None:
        if path not in files:
            return self._say(404, {"error": "no file"}, {"X-Error-Code": "EntryNotFound"})
        content, wanted = files[path], self.headers.get("Range")
        about = {"X-Repo-Commit": commit, "ETag": f'"{_oid(content)}"'}
        if wanted is None or wanted.endswith("-"):  # a server need not go on where a download broke off
            size = repository.sizes.get(path, len(content))
            if path == self.hub.broken:
                content = content[: len(content) // 2]
                self.close_connection = True
            return self._send(200, content, about, size)
        start, stop = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
        part = content[start : stop + 1]
        span = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(content)}"}
        return self._send(206, part, {**about, **span})

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization'] or 'me'}/{asked['name']}"
        if name in self.hub.repositories:
            return self._say(409, {"error": "You already created this dataset repo", "url": f"{self.hub.url}/{name}"})
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.add(name, {".gitattributes": b"*.parquet filter=lfs\n"}, private)
        return self._say(200, {"url": f"{self.hub.url}/datasets/{name}", "name": name})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{each['oid']}"}}} for each in asked["objects"]
        ]
        self._say(200, {"transfer": "basic", "objects": objects})

    def _commit(self, repository: Repository, name: str, before: Files, lines: list[dict[str, Any]]) -> None:
        files = dict(before)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = repository.commit(files)
        self._say(200, {"success": True, "commitUrl": f"{self.hub.url}/datasets/{name}/commit/{sha}", "commitOid": sha})

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _say(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(
        self, status: int, content: bytes, headers: dict[str, str] | None = None, size: int | None = None
    ) -> None:
        """size: that is told, where it is not the content's own."""
        self.send_response(status)
        told = len(content) if size is None else size
        for key, value in {**(headers or {}), "Content-Length": str(told)}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
