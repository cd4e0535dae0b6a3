"""Result pages of a search engine: ddgs writes the requests and reads the answers; politeness and failures are ours."""

import itertools
import logging
import time
from typing import Any, TypedDict
from urllib.parse import urlsplit, urlunsplit

from lib.errors import EngineError

_OK = 200
_REFUSED = (202, 403, 408, 429)  # too many requests, in the words of one engine or another; 500 and above count as well
_EMPTY_HANDED = 20
log = logging.getLogger("overnight")


class Page(TypedDict):
    """One result of a search."""

    link: str
    title: str
    snippet: str


class SearchFailed(Exception):
    """One query can't be answered: says why. The next one may be."""


def backends() -> list[str]:
    """Names of the search engines that ddgs knows."""
    from ddgs.engines import ENGINES

    return sorted(ENGINES["text"])


def _engine(backend: str, timeout_seconds: float) -> Any:
    from ddgs.engines import ENGINES

    return ENGINES["text"][backend](timeout=timeout_seconds)  # type: ignore[arg-type]


class Pages:
    """Asks one search engine, one request at a time. Not thread-safe.

    ddgs takes every status but 200 for a page without results; so its engine is given our way to send a request.
    """

    def __init__(
        self,
        *,
        backend: str,
        base_url: str | None,
        timeout_seconds: float,
        requests_per_second: float,
        retries: int,
        backoff_seconds: float,
    ) -> None:
        self._backend, self._base_url = backend, base_url
        self._pause, self._retries, self._backoff = 1 / requests_per_second, retries, backoff_seconds
        self._engine = _engine(backend, timeout_seconds)
        self._http = self._engine.http_client.client
        self._engine.request = self._request
        self._next = 0.0  # when the next request may be sent
        self._answered = False  # whether any request ever was
        self._empty = 0  # queries in a row that found nothing

    def find(self, query: str, region: str, most: int) -> list[Page]:
        """The first results, each link once; none where nothing is found.

        Raises SearchFailed after all retries, EngineError where the search engine can't be reached.
        """
        found: dict[str, Page] = {}
        for number in itertools.count(1):
            before = len(found)
            for page in self._page(query, region, number):
                found.setdefault(page["link"], page)
            if len(found) == before or len(found) >= most:
                break
        self._empty = 0 if found else self._empty + 1
        if self._empty == _EMPTY_HANDED:
            log.warning(
                "%s queries in a row found nothing: are the pages of %s still as ddgs expects them?",
                _EMPTY_HANDED,
                self._backend,
            )
        return list(found.values())[:most]

    def _page(self, query: str, region: str, number: int) -> list[Page]:
        from ddgs.exceptions import DDGSException
        from lxml.etree import LxmlError  # type: ignore[import-untyped]

        try:
            results = self._engine.search(query, region=region, page=number)
        except (DDGSException, LxmlError, LookupError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise SearchFailed(f"{self._backend} answered with a page that ddgs can't read ({reason})") from error
        return [Page(link=r.href, title=r.title, snippet=r.body) for r in results if r.href]

    def _request(self, method: str, url: str, **content: object) -> str:
        """Send a request for ddgs, by as many tries as it takes; the text of the answer."""
        import primp

        reason, lost = "", False
        for attempt in range(self._retries + 1):
            if attempt:
                seconds = self._backoff * 2 ** (attempt - 1)
                log.info("%s %s; the next try is in %.3g s", self._backend, reason, seconds)
                self._next = max(self._next, time.monotonic() + seconds)
            self._wait()
            try:
                answer = self._http.request(method, self._placed(url), **content)
            except primp.PrimpError as error:
                lost = not self._answered or isinstance(error, (primp.ConnectError, primp.DNSError))
                timed_out = isinstance(error, primp.TimeoutError)
                reason = "did not answer in time (retriever.timeout_seconds)" if timed_out else f"is away ({error})"
                continue
            self._answered, lost = True, False
            if answer.status_code == _OK and answer.text.strip():
                return str(answer.text)
            reason = f"answers with HTTP status {answer.status_code}" if answer.status_code != _OK else "sends nothing"
            if answer.status_code not in (_OK, *_REFUSED) and answer.status_code < 500:
                raise SearchFailed(f"{self._backend} {reason}")
        if lost:
            raise EngineError(
                f"retriever.backend={self._backend}: can't be reached, it {reason}, {self._retries + 1} times. Does "
                "this machine reach the web (HTTPS_PROXY)? Mend that and run the same line again: it resumes"
            )
        raise SearchFailed(f"{self._backend} {reason}, {self._retries + 1} times")

    def _wait(self) -> None:
        """Until the next request may be sent."""
        time.sleep(max(self._next - time.monotonic(), 0))
        self._next = time.monotonic() + self._pause

    def _placed(self, url: str) -> str:
        """The address of a request, at base_url where there is one."""
        if self._base_url is None:
            return url
        base, asked = urlsplit(self._base_url), urlsplit(url)
        return urlunsplit((base.scheme, base.netloc, base.path.rstrip("/") + asked.path, asked.query, ""))
