"""The endpoint engine: a model behind a server that speaks OpenAI's API. Its config, and what is refused at once."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from lib.config import transient
from lib.engines.base import HubFiles, ModelConfig
from lib.engines.byte_tokenizer import ByteTokenizer
from lib.engines.checkpoints import embedding_prompts, gguf, hub, tokenizer_loading
from lib.engines.endpoint import dialects
from lib.engines.endpoint.asks import CHAT, COMPLETIONS, Asker
from lib.engines.endpoint.dialects import DIALECTS, Server
from lib.engines.endpoint.limits import Prices
from lib.engines.endpoint.served_model import as_identity, served_model
from lib.engines.endpoint.server_tokenizer import ServerTokenizer
from lib.errors import ConfigError
from lib.log import log
from lib.types import Engine, Sampling, Tokenizer
from lib.urls import without_secrets


@dataclass(frozen=True, kw_only=True)
class EndpointConfig(ModelConfig):
    """A model behind a server.

    url: of its API, with /v1 where it has that. model: as the server calls it. server: the kind of server, which says
    what can be asked of it. key_variable: the variable of the environment that holds the API key; null for none.
    tokenizer: whose tokens texts are counted and cut by: a folder, a hub id or package:NAME, with gguf_file a GGUF
    file's; null: bytes, of which no text has fewer than tokens. max_model_len counts prompt and output in the same.
    dimensions: of an embedder's vectors. prompts: of an embedder, what stands before a `query` and before a `document`.
    top_logprobs: likeliest tokens that the server tells of; null: as its kind does.

    max_in_flight, requests_per_minute, tokens_per_minute: of all workers of the run together. timeout: seconds of one
    try. tries: of one request that fails by itself (5xx, time-outs, broken answers). patience: seconds without any
    answer (connection refused, 429, 502, 503) before the run ends, to be resumed. max_cost: money that the whole run
    may spend. price_prompt, price_completion, price_cached: of a million tokens. share: of these limits and of the
    budget, that each worker has; executors set it.
    """

    url: str = transient()
    model: str
    server: Server = Server.other
    key_variable: str | None = transient(default=None)
    tokenizer: str | None = None
    gguf_file: str | None = None
    dimensions: int | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    top_logprobs: int | None = None
    max_in_flight: int = transient(default=64)
    requests_per_minute: float | None = transient(default=None)
    tokens_per_minute: float | None = transient(default=None)
    timeout: float = transient(default=600.0)
    tries: int = transient(default=5)
    patience: float = transient(default=300.0)
    max_cost: float | None = transient(default=None)
    price_prompt: float = transient(default=0.0)
    price_completion: float = transient(default=0.0)
    price_cached: float | None = transient(default=None)
    share: float = transient(default=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_url()
        if not self.model:
            raise ConfigError("engine.model='': give the model's name, as the server calls it")
        for key in ("max_in_flight", "tries"):
            if getattr(self, key) < 1:
                raise ConfigError(f"engine.{key}={getattr(self, key)}: must be at least 1")
        for key in ("requests_per_minute", "tokens_per_minute", "timeout", "max_cost", "dimensions"):
            if (value := getattr(self, key)) is not None and value <= 0:
                raise ConfigError(f"engine.{key}={value}: must be above 0{'' if key == 'timeout' else ', or null'}")
        for key in ("patience", "price_prompt", "price_completion", "price_cached", "top_logprobs"):
            if (value := getattr(self, key)) is not None and value < 0:
                raise ConfigError(f"engine.{key}={value}: must not be negative")
        if not 0 < self.share <= 1:
            raise ConfigError(f"engine.share={self.share}: must be in (0, 1]")
        if self.max_cost is not None and not (self.price_prompt or self.price_completion):
            raise ConfigError(
                f"engine.max_cost={self.max_cost}: nothing is known to cost anything; give engine.price_prompt and "
                "engine.price_completion, of a million tokens"
            )
        if self.gguf_file is not None and self.tokenizer is None:
            raise ConfigError(
                f"engine.gguf_file={self.gguf_file}: has no effect without engine.tokenizer; leave it out"
            )
        embedding_prompts.check(self.prompts)

    def _check_url(self) -> None:
        shown = f"engine.url={without_secrets(self.url)}"
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError as error:
            raise ConfigError(f"{shown}: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{shown}: must be an address such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigError(
                f"{shown}: must have no user, password, query or fragment; a key is read from the variable that "
                "engine.key_variable names"
            )

    @property
    def most_at_once(self) -> int:
        """Requests that are in flight at the same time, at most."""
        return self.max_in_flight

    @property
    def usual_workers(self) -> int:
        """One worker can have any number of requests in flight."""
        return 1

    def shared(self, workers: int) -> "EndpointConfig":
        """What one of so many workers may use."""
        return replace(self, share=self.share / workers)

    def check(self, method: str) -> None:
        """Raise ConfigError for what this kind of server can't do, and where its key is missing."""
        dialect = DIALECTS[self.server]
        lacks = f"engine.server={self.server.name}"
        if method == "score":
            raise ConfigError(f"{lacks}: reward models are not asked over the network; use a vllm engine")
        if method == "label_logprobs" and not self._top[CHAT]:
            raise ConfigError(
                f"{lacks}: tells no probabilities of tokens; let the model write (judge.mode=text, grade.mode=text), "
                "or, where this server tells some, say of how many by engine.top_logprobs"
            )
        if method == "relevance" and dialect.scores is None:
            raise ConfigError(f"{lacks}: compares no texts; use rerank.by=labels, or another server")
        self._key()
        if self.tokenizer is not None:
            tokenizer_loading.require_tokenizer(self._tokenizer_folder(), f"engine.tokenizer={self.tokenizer}")
        else:
            log.info(
                "without engine.tokenizer, tokens are counted as bytes: no text has more tokens than bytes, but texts "
                "are cut to engine.max_model_len=%s bytes",
                f"{self.max_model_len:,}",
            )
        log.warning(
            "engine.model=%s is behind a server, and can change under its name: the fingerprint holds what the server "
            "tells of it, not its weights",
            self.model,
        )

    def check_sampling(self, sampling: Sampling) -> None:
        """Raise ConfigError for what this kind of server can't do."""
        dialects.check_sampling(sampling, self.server)

    def identity(self) -> dict[str, str]:
        """What the server tells of the model, and a hash of the tokenizer.

        Raises ConfigError where no server answers, or it refuses the key.
        """
        key, lists = self._key(), DIALECTS[self.server].lists
        told = served_model(self.url.rstrip("/"), self.model, key, self.key_variable) if lists else {}
        limit = told.get("max_model_len")
        if self.tokenizer is not None and isinstance(limit, int) and self.max_model_len > limit:
            raise ConfigError(
                f"engine.max_model_len={self.max_model_len}: the server reads at most {limit} tokens with {self.model}"
            )
        found = as_identity(told)
        if self.tokenizer is not None:
            path = self._tokenizer_folder()
            files = [name for name in hub.TOKENIZER_FILES if (path / name).is_file()]
            found |= {"tokenizer": hub.shown(self.tokenizer), "tokenizer_hash": hub.files_hash(path, files)}
        return found

    def hub_files(self) -> Sequence[HubFiles]:
        """The tokenizer, where it is a hub id."""
        if self.tokenizer is None:
            return ()
        weights = [] if self.gguf_file is None else [self.gguf_file]
        return hub.wanted(self.tokenizer, None, weights=weights, key="engine.tokenizer")

    def load_tokenizer(self) -> Tokenizer:
        """Counts and cuts texts; its prompts hold what the server is told. Raises ConfigError where there is none."""
        if self.tokenizer is None:
            return ServerTokenizer(ByteTokenizer(), self.server)
        counts = tokenizer_loading.load(
            self._tokenizer_folder(),
            chat_template=None,
            add_bos=None,
            trust_remote_code=False,
            key=f"engine.tokenizer={self.tokenizer}",
        )
        return ServerTokenizer(counts, self.server)

    def load(self, tokenizer: Tokenizer, method: str) -> Engine:
        """Connections to the server. Raises ConfigError where its key is missing."""
        from lib.engines.endpoint.client import Client, Manners
        from lib.engines.endpoint.endpoint_engine import EndpointEngine

        assert isinstance(tokenizer, ServerTokenizer)
        manners = Manners(
            url=self.url.rstrip("/"),
            key=self._key(),
            key_variable=self.key_variable,
            max_in_flight=max(int(self.max_in_flight * self.share), 1),
            requests_per_minute=self.requests_per_minute and self.requests_per_minute * self.share,
            tokens_per_minute=self.tokens_per_minute and self.tokens_per_minute * self.share,
            timeout=self.timeout,
            tries=self.tries,
            patience=self.patience,
            max_cost=self.max_cost and self.max_cost * self.share,
            prices=self.prices,
        )
        return EndpointEngine(
            Asker(self.model, self.server),
            Client(manners),
            tokenizer,
            prices=self.prices,
            max_model_len=self.max_model_len,
            top=self._top,
            width=self.dimensions,
            share=self.share,
        )

    @property
    def prices(self) -> Prices:
        """What tokens cost."""
        return Prices(prompt=self.price_prompt, completion=self.price_completion, cached=self.price_cached)

    def cost(self, prompt: float, completion: float) -> float | None:
        """What so many tokens cost; None where nothing is known to."""
        return self.prices.cost(round(prompt), round(completion)) or None

    def embedding_prompts(self) -> Mapping[str, str]:
        """What stands before a text to embed, by its role."""
        return dict.fromkeys(embedding_prompts.ROLES, "") | self.prompts

    def width(self) -> int:
        """Length of the vectors. Raises ConfigError where it isn't given."""
        if self.dimensions is None:
            raise ConfigError("engine.dimensions: must be given for an embedder: how many values its vectors have")
        return self.dimensions

    @property
    def _top(self) -> Mapping[str, int]:
        dialect = DIALECTS[self.server]
        usual = {CHAT: dialect.top_logprobs, COMPLETIONS: dialect.completion_logprobs}
        return usual if self.top_logprobs is None else dict.fromkeys(usual, self.top_logprobs)

    def _key(self) -> str | None:
        """The API key. It is in no config, and no message."""
        if self.key_variable is None:
            return None
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise ConfigError(
                f"engine.key_variable={self.key_variable}: the environment has no such variable, or an empty one; put "
                "the server's API key there (on all machines that have workers), or use null where it wants none"
            )
        return key

    def _tokenizer_folder(self) -> Path:
        assert self.tokenizer is not None
        if self.gguf_file is None:
            return hub.folder(self.tokenizer, None, key="engine.tokenizer")
        whole = hub.folder(self.tokenizer, None, weights=[self.gguf_file], key="engine.tokenizer")
        path = gguf.joined(whole, self.gguf_file)
        if not (path / self.gguf_file).is_file():
            raise ConfigError(f"engine.gguf_file={self.gguf_file}: not in {path}")
        return gguf.metadata(path / self.gguf_file)
