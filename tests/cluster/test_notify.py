import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lib.cluster.notify import NotifyConfig, notify
from lib.errors import ClusterError, ConfigError


def test_the_summary_is_an_argument_and_no_shell_reads_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.mktemp("notify") / "told"
    program = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
    notify(NotifyConfig(command=[sys.executable, "-c", program, str(out), "run: {summary}"]), "$(rm -rf x); `y` 'z'")
    assert out.read_text() == "run: $(rm -rf x); `y` 'z'"


def test_nobody_is_told_unless_asked() -> None:
    notify(NotifyConfig(), "summary")


def test_a_command_that_fails_or_tells_nothing_is_an_error() -> None:
    with pytest.raises(ConfigError, match="tell nothing"):
        NotifyConfig(command=["true"])
    with pytest.raises(ClusterError, match="exits with 1"):
        notify(NotifyConfig(command=["false", "{summary}"]), "x")
    with pytest.raises(ClusterError, match="no-such-program"):
        notify(NotifyConfig(command=["no-such-program", "{summary}"]), "x")


def test_a_webhook_gets_json_and_is_never_named() -> None:
    got: list[object] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.headers["Content-Type"], json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200 if self.path == "/s3cret" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, summary = f"http://127.0.0.1:{server.server_port}/s3cret", 'run "a\\b"\nä: 3 of 4 rows'
    notify(NotifyConfig(post=True, to=url), summary)
    assert got == [("application/json", {"text": summary})]
    for wrong in (f"{url}/no", "http://127.0.0.1:9/s3cret", "http://127.0.0.1:x/s3cret", "http://127.0.0.1/s3 cret"):
        with pytest.raises(ClusterError, match=r"notify\.to: 127\.0\.0\.1 ") as error:
            notify(NotifyConfig(post=True, to=wrong), summary)
        assert "cret" not in str(error.value)
    server.shutdown()
    for to in (None, "hooks.example/s3cret"):
        with pytest.raises(ConfigError, match=r"notify\.to: must be the URL") as refused:
            NotifyConfig(post=True, to=to)
        assert "s3cret" not in str(refused.value)


def test_what_a_command_says_names_no_address() -> None:
    command = ["sh", "-c", "echo no $0 >&2; exit 3", "https://h/s3cret", "{summary}"]
    with pytest.raises(ClusterError) as error:
        notify(NotifyConfig(command=command, to="https://h/s3cret"), "x")
    assert "exits with 3: no notify.to" in str(error.value)
