import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lib.data import parquet
from lib.errors import ConfigError
from lib.report.page import Section, Table, render
from lib.report.viewer.server import HOST, address_of, make_server
from tests.report.viewer.small_runs import EVIL, JAPANESE, battles, viewer_of, write_run

LINKS = {"one": "../one/report.html"}
Ask = Callable[..., tuple[int, str, http.client.HTTPMessage]]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    server = make_server(viewer_of(write_run(tmp_path / "run", *battles(), job="judge")), 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]

    def request(path: str, method: str = "GET", host: str | None = None) -> tuple[int, str, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection(HOST, port, timeout=20)
        connection.request(method, path, headers={"Host": host or f"{HOST}:{port}"})
        reply = connection.getresponse()
        text = reply.read().decode()
        connection.close()
        return reply.status, text, reply.headers

    yield request
    server.shutdown()
    server.server_close()


def test_pages_are_there_and_may_load_nothing_else(ask: Ask) -> None:
    for path in ("/", "/?row=2", "/?wrong=1&order=least_sure", "/viewer.js", "/viewer.css"):
        status, text, headers = ask(path)
        assert status == 200, path
        assert text
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert JAPANESE in ask("/?row=2")[1]
    assert ask("/", method="HEAD")[1] == ""


def test_the_report_is_served_without_links_to_what_is_not(ask: Ask, tmp_path: Path) -> None:
    assert ask("/report.html")[0] == 404
    assert 'href="report.html"' not in ask("/")[1]
    page = render("a run", ["words"], [Section(heading="Runs", table=Table(header=(), rows=[["one"]], links=LINKS))])
    (tmp_path / "run" / "report.html").write_text(page, encoding="utf-8")
    status, text, headers = ask("/report.html")
    assert status == 200
    assert 'href="../one/report.html">one</a>' in page
    assert text == page.replace('<a href="../one/report.html">one</a>', "one")
    assert "style-src 'unsafe-inline'" in headers["Content-Security-Policy"]
    assert "script-src" not in headers["Content-Security-Policy"]
    assert 'href="report.html"' in ask("/")[1]


def test_texts_are_escaped_wherever_they_stand(ask: Ask) -> None:
    for path in (
        "/",
        "/?row=3",
        "/?words=%3Cscript%3Ealert(1)%3C/script%3E",
        "/?order=%3Cscript%3E",
        "/?is.%3Cscript%3E=1",
    ):
        text = ask(path)[1]
        assert "<script>" not in text
        assert "<img" not in text
        assert "style=" not in text  # the policy allows none
    assert EVIL.partition("=")[0].replace("<", "&lt;").replace(">", "&gt;") in ask("/?row=3")[1]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "localhost:1"])
def test_another_name_of_this_machine_is_refused(host: str, ask: Ask) -> None:
    status, text, _ = ask("/", host=host)
    assert status == 403
    assert "question" not in text


def test_an_address_need_not_be_escaped(tmp_path: Path) -> None:
    with make_server(viewer_of(write_run(tmp_path / "run", {"text": ["海", JAPANESE]})), 0) as server:
        host = address_of(server).split("/")[2]
        with socket.create_connection(server.server_address[:2]) as connection:
            connection.sendall(f"GET /?words={JAPANESE} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            server.handle_request()
            with connection.makefile("rb") as reply:
                text = reply.read().decode()
    assert f'value="{JAPANESE}"' in text
    assert text.count("<tr data-row=") == 1


def test_what_there_is_not_is_said(ask: Ask) -> None:
    assert ask("/../../etc/passwd")[0] == 404
    assert ask("/viewer.py")[0] == 404
    assert ask("/", method="POST")[0] == 501
    assert ask("http://[/")[0] == 400
    for path, said in (("/?row=99", "there are 12 rows"), ("/?page=1", "there are 1 pages"), ("/?wrnog=1", "wrnog")):
        status, text, _ = ask(path)
        assert status == 400
        assert said in text


def test_a_browser_that_goes_away_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with make_server(viewer_of(write_run(tmp_path / "run", {"text": ["a"]})), 0) as server:
        request = f"GET / HTTP/1.1\r\nHost: {address_of(server).split('/')[2]}\r\n\r\n"
        gone = socket.create_connection(server.server_address[:2])
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # so that closing is a reset
        gone.sendall(request.encode())
        server.daemon_threads = False  # so that the end of `with` waits for it
        server.handle_request()
        gone.close()
    assert capsys.readouterr().err == ""


def test_a_result_that_was_written_again_is_not_shown_with_the_filters_of_the_old_one(ask: Ask, tmp_path: Path) -> None:
    assert ask("/?wrong=1")[0] == 200
    result = tmp_path / "run" / "result.parquet"
    parquet.write(parquet.read(result).take(list(reversed(range(12)))), result)
    for path in ("/?wrong=1", "/?row=0"):
        status, text, _ = ask(path)
        assert status == 500
        assert "start jobs.view again" in text
        assert "question" not in text


@pytest.mark.parametrize("kind", [ValueError, ConnectionResetError, TimeoutError])
def test_a_fault_of_ours_is_a_page_and_stands_in_the_terminal(
    kind: type[Exception], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: int) -> list[str]:
        raise kind("unforeseen")

    viewer = replace(viewer_of(write_run(tmp_path / "run", {"text": ["a"]})), make_prompts=fail)
    with make_server(viewer, 0) as server:
        connection = http.client.HTTPConnection(HOST, server.server_address[1], timeout=20)
        connection.request("GET", "/?row=0&prompt=1", headers={"Connection": "close"})
        server.handle_request()
        reply = connection.getresponse()
        assert reply.status == 500
        assert "a fault of the viewer itself" in reply.read().decode()
        connection.close()
    assert f"{kind.__name__}: unforeseen" in capsys.readouterr().err


def test_links_lead_to_the_neighbours_in_the_list(ask: Ask) -> None:
    text = ask("/?wrong=1&row=3")[1]
    assert 'rel="prev" href="./?wrong=1&amp;row=0"' in text
    assert 'rel="next" href="./?wrong=1&amp;row=6"' in text
    assert 'rel="up" href="./?wrong=1"' in text
    assert "prompt of row 3" not in text
    assert "prompt of row 3" in ask("/?wrong=1&row=3&prompt=1")[1]


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    viewer = viewer_of(write_run(tmp_path / "run", {"text": ["a"]}))
    with make_server(viewer, 0) as server, pytest.raises(ConfigError, match="can't be listened on"):
        make_server(viewer, server.server_address[1])


def test_browsers_leave_the_usual_port_out(tmp_path: Path) -> None:
    viewer = viewer_of(write_run(tmp_path / "run", {"text": ["a"]}))
    try:
        server = make_server(viewer, 80)
    except ConfigError as error:
        pytest.skip(f"needs port 80: {error}")
    with server:
        for host, status in ((HOST, 200), ("localhost", 200), ("evil.example", 403)):
            connection = http.client.HTTPConnection(HOST, 80, timeout=20)
            connection.request("GET", "/", headers={"Host": host, "Connection": "close"})
            server.handle_request()
            assert connection.getresponse().status == status
            connection.close()
