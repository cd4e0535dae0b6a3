"""User, password and query of a URL open it, and stand in nothing that a run leaves or says."""

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Job

FILES: dict[str, bytes] = {}
ASKED: set[tuple[str | None, str]] = set()


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        given = (self.headers.get("Authorization"), query)
        ASKED.add(given)
        allowed = given == (f"Basic {base64.b64encode(b'user:s3cret').decode()}", "signature=s3cret")
        content = FILES.get(path, b"") if allowed else b""
        self.send_response(200 if content else 403)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet"])
def test_a_secret_stands_nowhere(name: str, host: str, tmp_path: Path, quick_job: Job) -> None:
    pq.write_table(pa.table({"id": ["a", "b"], "instruction": ["x", "y"]}), tmp_path / "x.parquet")
    FILES["/x.parquet"] = (tmp_path / "x.parquet").read_bytes()
    FILES["/x.jsonl"] = b'{"id": "a", "instruction": "x"}\n{"id": "b", "instruction": "y"}\n'
    line = ["data=table", "prompt=instruct", "engine=dummy", "executor=inline", f"run.dir={tmp_path / 'run'}"]
    url = f"data.path=http://user:s3cret@{host}/{name}?signature=s3cret"
    said = [quick_job("generate", *line, url) for _ in range(2)]
    assert pq.read_table(tmp_path / "run" / "result.parquet").num_rows == 2
    said.append(quick_job("generate", *line, url.replace("signature=", "signature=no"), code=2))
    said.append(quick_job("generate", *line, url.replace(name, "x.exe"), code=2))
    assert f"http://{host}/x.exe" in said[-1].stderr
    for done in said:
        assert "s3cret" not in done.stdout + done.stderr
    for path in (tmp_path / "run").rglob("*"):
        if path.suffix == ".parquet":
            assert "s3cret" not in str(pq.read_table(path).to_pylist()), path
            assert "s3cret" not in str(pq.read_schema(path).metadata), path
        elif path.is_file():
            assert b"s3cret" not in path.read_bytes(), path
    assert f"http://{host}/{name}" in (tmp_path / "run" / "report.html").read_text()


def test_what_must_hold_a_secret_is_for_its_owner_only(tmp_path: Path, quick_job: Job, battles: object) -> None:
    from lib.cluster.dispatch import Desk

    desk = Desk(tmp_path)
    desk.open({"job.sbatch": "data.path=http://user:s3cret@host/x\n"})
    desk.record(["1"], "http://user:s3cret@head:8265")
    for name in ("job.sbatch", "submission.json"):
        assert (desk.folder / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("evaluate", ["submission={url}", "labels=x"]),
        ("evaluate", ["run.dir={url}"]),
        ("merge", ["run.dir={url}"]),
        ("merge", ["merge.submissions=[{url},x]", "merge.weights=[0.5,0.5]", "merge.out=x"]),
        ("status", ["run.dir={url}"]),
        ("cancel", ["run.dir={url}"]),
        ("merge", ["merge.submissions=[x]", "merge.fit={url}", "merge.out=x"]),
        ("merge", ["merge.submissions=[x]", "merge.fit=x", "merge.fit_submissions=[{url}]", "merge.out=x"]),
        ("merge", ["run.dir=x", "merge.calibration={url}", "merge.out=x"]),
        ("calibrate", ["run.dir=x", "out={url}"]),
        ("calibrate", ["calibrate.runs=[{url},x]", "out=x"]),
        ("calibrate", ["submission={url}", "labels=x", "out=x"]),
        ("memory", ["memory.text={url}", "engine=smollm2_135m"]),
        ("quantize", ["quantize.text={url}", "out=x"]),
        ("quantize", ["out={url}"]),
        ("generate", ["engine=dummy", "generate.json_schema={url}.json"]),
    ],
)
def test_a_url_where_a_path_must_stand_is_refused_without_its_secrets(
    name: str, line: list[str], quick_job: Job
) -> None:
    said = quick_job(name, *(word.format(url="https://user:s3cret@host/x") for word in line), code=2).stderr
    assert "https://host/x" in said
    assert "must be a path here, not a URL" in said
    assert "s3cret" not in said
