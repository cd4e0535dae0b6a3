"""A vLLM model that a server of the run's own holds: asked by token ids, as if it were in this process."""

from dataclasses import dataclass, field, fields

from lib.engines.endpoint.asks import COMPLETIONS
from lib.engines.vllm.vllm_config import VllmConfig
from lib.types import Engine, Tokenizer

MODEL, ADAPTER = "model", "adapter"  # what the server calls them
_ANY_NUMBER = 10_000  # of labels' tokens: such a server tells of as many as it is asked for
_PATIENCE = 60.0  # seconds: of an end of its process one hears at once
_TRIES = 12  # with the waits between them two minutes: a server whose engine has ended answers until it ends itself


@dataclass(frozen=True, kw_only=True)
class ServedConfig(VllmConfig):
    """url: of the server's API. key: that it wants."""

    url: str
    key: str = field(repr=False)

    @staticmethod
    def of(config: VllmConfig, url: str, key: str) -> "ServedConfig":
        """The same model, behind a server."""
        same = {each.name: getattr(config, each.name) for each in fields(VllmConfig)}
        return ServedConfig(**same, url=url, key=key)

    def load(self, tokenizer: Tokenizer, method: str) -> Engine:
        """Connections to the server."""
        from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
        from lib.engines.endpoint.asks import Asker
        from lib.engines.endpoint.client import Client, Manners
        from lib.engines.endpoint.dialects import Server
        from lib.engines.endpoint.endpoint_engine import EndpointEngine
        from lib.engines.endpoint.limits import Prices
        from lib.engines.endpoint.server_tokenizer import ServerTokenizer

        assert isinstance(tokenizer, HuggingFaceTokenizer)
        manners = Manners(
            url=self.url,
            key=self.key,
            key_variable=None,
            max_in_flight=2 * self.most_at_once,
            requests_per_minute=None,
            tokens_per_minute=None,
            timeout=3600.0,
            tries=_TRIES,
            patience=_PATIENCE,
            max_cost=None,
            prices=Prices(prompt=0.0, completion=0.0, cached=None),
        )
        return EndpointEngine(
            Asker(MODEL if self.adapter is None else ADAPTER, Server.vllm, ids=True),
            Client(manners),
            ServerTokenizer(tokenizer, Server.vllm),
            prices=manners.prices,
            max_model_len=self.max_model_len,
            top={COMPLETIONS: _ANY_NUMBER},
            width=None,
            share=1.0,
        )
