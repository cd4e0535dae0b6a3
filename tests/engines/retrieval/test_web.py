"""The web retriever against a local server that speaks the search engines' pages. Nothing goes to the web."""

import html
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from lib.config import identity
from lib.engines.retrieval.pages import backends
from lib.engines.retrieval.web import WebConfig
from lib.errors import ConfigError, EngineError
from tests.engines.retrieval.conftest import ids, load

Result = tuple[str, str, str]
Answer = Callable[[str, int], Any]


def mojeek(results: list[Result]) -> str:
    items = "".join(
        f'<li><h2><a href="{link}">{html.escape(title)}</a></h2><p class="s">{html.escape(text)}</p></li>'
        for link, title, text in results
    )
    return f"<html><body><ul class='results-standard results'>{items}</ul></body></html>"


def duckduckgo(results: list[Result]) -> str:
    items = "".join(
        f'<div class="links_main body"><h2>{title}</h2><a href="{link}">{text}</a></div>'
        for link, title, text in results
    )
    return f"<html><body>{items}</body></html>"


class Server(ThreadingHTTPServer):
    """Answers as `answer(query, number of the request)` says: with a page, a status, or after so many seconds.

    asked: (query, path, time) of each request.
    """

    answer: Answer
    asked: list[tuple[str, str, float]]


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def _reply(self, parameters: str) -> None:
        url = urlsplit(self.path)
        query = parse_qs(parameters)
        asked = query.get("q", query.get("search", query.get("titles", [""])))[0]
        self.server.asked.append((asked, self.path, time.monotonic()))
        answer = self.server.answer(asked, len(self.server.asked))
        if isinstance(answer, float):
            time.sleep(answer)
            answer = 200
        status, page = (answer, " ") if isinstance(answer, int) else (200, answer)
        body = page.encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            assert url.path  # the client has lost patience

    def do_GET(self) -> None:
        self._reply(urlsplit(self.path).query)

    def do_POST(self) -> None:
        self._reply(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def log_message(self, *args: Any) -> None:
        """Nothing to the terminal."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Handler) as made:
        made.asked = []
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def config(server: Server, **changes: Any) -> WebConfig:
    fast = {"backend": "mojeek", "requests_per_second": 1000.0, "backoff_seconds": 0.01, "timeout_seconds": 5.0}
    return WebConfig(**(fast | {"base_url": f"http://127.0.0.1:{server.server_port}"} | changes))


def five(query: str, number: int) -> str:
    return mojeek([(f"https://site{n}.example/{query}", f"Title {n} & more", f"About {query}") for n in range(5)])


def test_snippets_are_passages(server: Server) -> None:
    server.answer = five
    made = config(server, region="jp-jp", max_results=4)
    assert not made.needs_vectors
    found = load(made).search(["推論 time", "dragon"], None, 3)
    assert not found.errors
    assert [len(passages) for passages in found.passages] == [3, 3]
    best = found.passages[0][0]
    assert best.id == best.document == "https://site0.example/推論+time"
    assert best.text == "Title 0 & more\nAbout 推論 time"
    assert [passage.score for passage in found.passages[0]] == [1, 1 / 2, 1 / 3]
    assert [query for query, _, _ in server.asked] == ["推論 time", "dragon"]


def test_further_pages_are_asked_for_until_there_is_enough_or_nothing_new(server: Server) -> None:
    def pages(query: str, number: int) -> str:
        return mojeek([(f"https://{query}{n}.example", "t", "s") for n in range(min(3 * number, 7))])

    server.answer = pages
    found = load(config(server, max_results=20)).search(["a"], None, 20)
    assert ids(found.passages[0]) == [f"https://a{n}.example" for n in range(7)]
    assert [path.partition("s=")[2] for _, path, _ in server.asked] == ["", "11", "21", "31"]


@pytest.mark.parametrize("page", [duckduckgo, mojeek])
def test_other_engines_speak_their_own_pages(server: Server, page: Callable[[list[Result]], str]) -> None:
    server.answer = lambda query, number: page([("https://one.example", "One", "the first")])
    (passages,) = load(config(server, backend=page.__name__, max_results=1)).search(["x"], None, 1).passages
    assert [(passage.id, passage.document) for passage in passages] == [("https://one.example",) * 2]


def test_wikipedia_answers_in_json(server: Server) -> None:
    def answer(query: str, number: int) -> str:
        if number == 1:
            return json.dumps([query, ["Dragon"], [""], ["https://en.wikipedia.example/wiki/Dragon"]])
        return json.dumps({"query": {"pages": {"1": {"extract": "A beast."}}}})

    server.answer = answer
    found = load(config(server, backend="wikipedia", max_results=1)).search(["dragons"], None, 5)
    assert [passage.text for passage in found.passages[0]] == ["Dragon\nA beast."]
    server.answer = lambda query, number: "<html>no JSON</html>"
    found = load(config(server, backend="wikipedia")).search(["dragons"], None, 5)
    assert "a page that ddgs can't read" in found.errors[0]


def test_the_cache_answers_a_second_run(server: Server, tmp_path: Path) -> None:
    server.answer = lambda query, number: five(query, number) if query != "none" else mojeek([])
    cached = config(server, cache=str(tmp_path / "cache"))
    first = load(cached).search(["a", "none", "ä/b"], None, 3)
    asked = len(server.asked)
    assert len(list((tmp_path / "cache").iterdir())) == 3
    assert load(cached).search(["ä/b", "a", "none"], None, 3).passages == [first.passages[n] for n in (2, 0, 1)]
    assert len(server.asked) == asked
    load(config(server, cache=cached.cache, region="jp-jp")).search(["a"], None, 3)
    assert len(server.asked) > asked  # another question
    whole = {path: path.read_text() for path in (tmp_path / "cache").iterdir()}
    for damage in (lambda text: "{", lambda text: "[]", lambda text: text.replace('"snippet": "', '"snippet": "x')):
        for path, text in whole.items():
            path.write_text(damage(text))
        with pytest.raises(EngineError, match="damaged; delete it"):
            load(cached).search(["a"], None, 3)


def test_failures_are_not_cached(server: Server, tmp_path: Path) -> None:
    server.answer = lambda query, number: 429
    cached = config(server, cache=str(tmp_path), retries=1)
    assert 0 in load(cached).search(["a"], None, 3).errors
    server.answer = five
    assert len(load(cached).search(["a"], None, 3).passages[0]) == 3


def test_requests_are_spaced_out(server: Server) -> None:
    server.answer = five
    load(config(server, requests_per_second=10.0, max_results=5)).search(list("abcd"), None, 3)
    times = [moment for _, _, moment in server.asked]
    assert len(times) == 4
    assert times[-1] - times[0] > 3 * 0.1 - 0.05  # the first may have been on its way for longer than the last


@pytest.mark.parametrize("status", [429, 202, 503])
def test_a_refusal_is_followed_by_longer_and_longer_waits(server: Server, status: int) -> None:
    server.answer = lambda query, number: status if number <= 3 else five(query, number)
    found = load(config(server, backoff_seconds=0.1, max_results=5)).search(["a"], None, 3)
    assert len(found.passages[0]) == 3
    times = [moment for _, _, moment in server.asked]
    assert len(times) == 4
    assert times[-1] - times[0] > 0.1 + 0.2 + 0.4 - 0.05


def test_one_query_that_keeps_failing_is_a_row_error(server: Server) -> None:
    server.answer = lambda query, number: 429 if query == "bad" else five(query, number)
    found = load(config(server, retries=2, max_results=5)).search(["good", "bad", "fine", " "], None, 3)
    assert [len(passages) for passages in found.passages] == [3, 0, 3, 0]
    assert found.errors == {1: "mojeek answers with HTTP status 429, 3 times", 3: "the query is empty"}
    assert [query for query, _, _ in server.asked] == ["good", "bad", "bad", "bad", "fine"]


def test_what_is_not_found_is_not_asked_for_again(server: Server) -> None:
    server.answer = lambda query, number: 404
    assert load(config(server)).search(["a"], None, 3).errors == {0: "mojeek answers with HTTP status 404"}
    assert len(server.asked) == 1


def test_an_empty_answer_is_no_result_page(server: Server) -> None:
    server.answer = lambda query, number: " " if number == 1 else five(query, number)
    assert len(load(config(server)).search(["a"], None, 3).passages[0]) == 3


def test_nothing_found_is_no_error_but_twenty_times_it_is_said(server: Server, said: pytest.LogCaptureFixture) -> None:
    server.answer = lambda query, number: mojeek([])
    found = load(config(server)).search([f"q{n}" for n in range(25)], None, 3)
    assert found.passages == [[]] * 25
    assert not found.errors
    assert [record.message.split(":")[0] for record in said.records] == ["20 queries in a row found nothing"]


def test_time_out_is_a_row_error_once_the_engine_has_answered(server: Server) -> None:
    server.answer = lambda query, number: 2.0 if query == "slow" else five(query, number)
    found = load(config(server, timeout_seconds=0.3, retries=1)).search(["a", "slow", "b"], None, 3)
    assert [len(passages) for passages in found.passages] == [3, 0, 3]
    assert found.errors == {1: "mojeek did not answer in time (retriever.timeout_seconds), 2 times"}


def test_an_engine_that_never_answers_is_out_of_reach(server: Server) -> None:
    server.answer = lambda query, number: 2.0
    with pytest.raises(EngineError, match=r"can't be reached, it did not answer in time .*, 2 times"):
        load(config(server, timeout_seconds=0.3, retries=1)).search(["a"], None, 3)


def test_no_server_is_out_of_reach(server: Server) -> None:
    server.answer = five
    engine = load(config(server, retries=1, base_url="http://127.0.0.1:9"))
    with pytest.raises(EngineError, match=r"retriever.backend=mojeek: can't be reached, it is away .*HTTPS_PROXY"):
        engine.search(["a"], None, 3)


def test_settings(server: Server) -> None:
    assert "duckduckgo" in backends()
    with pytest.raises(ConfigError, match=r"backend=altavista: ddgs has .*duckduckgo"):
        WebConfig(backend="altavista").check("search")
    with pytest.raises(ConfigError, match="can search, and not score"):
        WebConfig().check("score")
    assert identity(WebConfig(cache="a", retries=1)) == identity(WebConfig(cache="b", timeout_seconds=1.0))


@pytest.mark.parametrize(
    "bad",
    [{"region": "japan"}, {"base_url": "x"}, {"max_results": 0}, {"timeout_seconds": 0.0},
     {"requests_per_second": 0.0}, {"retries": -1}, {"backoff_seconds": -1.0}],
)  # fmt: skip
def test_bad_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"retriever.{next(iter(bad))}"):
        WebConfig(**bad)
