"""The web as a retriever: asks a search engine through ddgs, with a cache, a rate limit and back-off."""

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lib.config import transient
from lib.data.atomic import write_text
from lib.engines.retrieval.pages import Page, Pages, SearchFailed, backends
from lib.engines.retrieval.retriever import RetrieverConfig
from lib.errors import ConfigError, EngineError
from lib.types import Engine, Found, Passage, Tokenizer
from lib.urls import without_secrets


@dataclass(frozen=True, kw_only=True)
class WebConfig(RetrieverConfig):
    """`conf/retriever/web.yaml`.

    backend: a search engine, by its name in ddgs. base_url: another server that speaks as that one does, such as a
    gateway; null: the engine itself. region: country and language, as in jp-jp. max_results: results that a question
    is asked for, and passages that it can have at most.
    timeout_seconds: of one request. requests_per_second: of each worker, at most. retries: further tries of a request
    that fails or is refused, after backoff_seconds, and twice as long each time. cache: folder with one JSON file for
    each question that was answered, so that it isn't asked again; null: none.
    """

    backend: str = "duckduckgo"
    base_url: str | None = None
    region: str = "us-en"
    max_results: int = 10
    timeout_seconds: float = transient(default=10.0)
    requests_per_second: float = transient(default=0.5)
    retries: int = transient(default=5)
    backoff_seconds: float = transient(default=2.0)
    cache: str | None = transient(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"[a-z]{2}-[a-z]{2,3}", self.region):
            raise ConfigError(f"retriever.region={self.region}: must be a country and a language, as in us-en or jp-jp")
        if self.base_url is not None and not re.match(r"https?://.", self.base_url):
            raise ConfigError("retriever.base_url: must begin with https:// or http://, or be null")
        if self.base_url is not None and re.search("[?#]", self.base_url):
            raise ConfigError("retriever.base_url: a query (?…) has no effect, since each request has its own")
        if self.max_results < 1:
            raise ConfigError(f"retriever.max_results={self.max_results}: must be at least 1")
        for key in ("timeout_seconds", "requests_per_second"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"retriever.{key}={getattr(self, key)}: must be above 0")
        for key in ("retries", "backoff_seconds"):
            if getattr(self, key) < 0:
                raise ConfigError(f"retriever.{key}={getattr(self, key)}: must not be negative")

    def check(self, method: str) -> None:
        """Raise ConfigError for a search engine that ddgs doesn't know. Asks nothing."""
        super().check(method)
        if self.backend not in (known := backends()):
            raise ConfigError(f"retriever.backend={self.backend}: ddgs has {', '.join(known)}")

    def identity(self) -> dict[str, str]:
        """The other server without user and password."""
        return {} if self.base_url is None else {"base_url": without_secrets(self.base_url)}

    def load(self, tokenizer: Tokenizer, method: str) -> Engine:
        """Nothing to load."""
        return WebEngine(self)


class WebEngine:
    """Finds web pages: a passage is a page's title and snippet; its id and document are the link.

    Scores only say the order in which the search engine gave them: 1, 1/2, 1/3, …. What the web answers changes from
    day to day; the cache keeps what it answered.
    """

    memory = 0

    def __init__(self, config: WebConfig) -> None:
        self._config = config
        self._pages = Pages(
            backend=config.backend,
            base_url=config.base_url,
            timeout_seconds=config.timeout_seconds,
            requests_per_second=config.requests_per_second,
            retries=config.retries,
            backoff_seconds=config.backoff_seconds,
        )
        self._turn = threading.Lock()

    def search(self, queries: Sequence[str], vectors: npt.NDArray[np.float32] | None, k: int) -> Found:
        """At most k passages for each query; none where the search engine finds nothing.

        A query that fails after all retries has an error. Raises EngineError where search can't be reached.
        """
        passages: list[list[Passage]] = []
        errors: dict[int, str] = {}
        for number, query in enumerate(queries):
            pages: list[Page] = []
            try:
                with self._turn:  # requests are spaced out anyway
                    pages = self._find(query)
            except SearchFailed as error:
                errors[number] = without_secrets(str(error))
            passages.append([_passage(page, rank) for rank, page in enumerate(pages[:k], 1)])
        return Found(passages, errors)

    def _find(self, query: str) -> list[Page]:
        config = self._config
        if not query.strip():
            raise SearchFailed("the query is empty")
        if config.cache is None:
            return self._pages.find(query, config.region, config.max_results)
        key = [config.backend, config.base_url, config.region, config.max_results, query]
        path = Path(config.cache) / f"{sha256(json.dumps(key).encode()).hexdigest()}.json"
        if not path.exists():
            found = self._pages.find(query, config.region, config.max_results)
            path.parent.mkdir(parents=True, exist_ok=True)
            content = {"query": query, "backend": config.backend, "region": config.region, "pages": found}
            write_text(path, json.dumps({**content, "sha256": _digest(found)}, ensure_ascii=False, indent=1) + "\n")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            pages: list[Page] = content["pages"]
            sound = content["sha256"] == _digest(pages)
        except (ValueError, KeyError, TypeError, RecursionError):
            sound = False
        if not sound:
            raise EngineError(f"{path}: damaged; delete it, and the question is asked again")
        return pages


def _digest(pages: Sequence[Page]) -> str:
    return sha256(json.dumps(pages).encode()).hexdigest()


def _passage(page: Page, rank: int) -> Passage:
    text = "\n".join(filter(None, (page["title"], page["snippet"])))
    return Passage(id=page["link"], text=text, score=1 / rank, document=page["link"])
