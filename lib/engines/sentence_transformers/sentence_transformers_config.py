"""The sentence-transformers engine: the library itself, for models that the transformers engine has no place for."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property, lru_cache
from pathlib import Path

from lib.config import transient
from lib.engines.base import HubFiles, ModelConfig
from lib.engines.checkpoints import embedding_prompts, hub, sentence_settings, tokenizer_loading
from lib.engines.checkpoints.checkpoint import Dtype
from lib.engines.checkpoints.json_files import read_json
from lib.engines.sentence_transformers import modules
from lib.engines.sentence_transformers.modules import Module
from lib.engines.sentence_transformers.text_tokens import Reader, TextTokenizer
from lib.errors import ConfigError, EngineError
from lib.types import Engine, Sampling, Tokenizer

_SETTINGS = embedding_prompts.FILE
_CLASSIFIER = "ForSequenceClassification"
_CPU_TOKENS, _GPU_TOKENS = 2048, 32768


class Backend(Enum):
    """What computes: PyTorch, or a model that was exported for ONNX Runtime or OpenVINO, in folders of these names."""

    torch = "torch"
    onnx = "onnx"
    openvino = "openvino"


@dataclass(frozen=True, kw_only=True)
class SentenceTransformersConfig(ModelConfig):
    """Models of sentence-transformers: embedders (`embed`) of any modules, cross-encoders (`relevance`) of one output.

    model: a folder, a hub id or `package:NAME[/FOLDER]`. revision: of a hub id. prompts: what stands before a `query`
    and before a `document`, and before a text of neither (`none`); a role that is not named: as the folder says.
    max_model_len: fewer where the model reads fewer. trust_remote_code: modules that are code of the model's own run.
    device: auto, cpu, cuda, cuda:1, …. batch_tokens: tokens of a batch, its padding included; null: 2,048 on a CPU,
    32,768 on a GPU.
    """

    model: str
    revision: str | None = None
    dtype: Dtype = Dtype.float32
    prompts: dict[str, str] = field(default_factory=dict)
    backend: Backend = Backend.torch
    trust_remote_code: bool = False
    device: str = transient(default="auto")
    batch_tokens: int | None = transient(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise ConfigError("engine.model='': give a folder, a hub id or package:NAME")
        if unknown := sorted(set(self.prompts) - set(modules.ROLES)):
            raise ConfigError(f"engine.prompts: has {', '.join(unknown)}; its keys are {', '.join(modules.ROLES)}")
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise ConfigError(f"engine.batch_tokens={self.batch_tokens}: must be at least 1 token, or null")
        if self.device not in ("auto", "cpu") and self.device.partition(":")[0] != "cuda":
            raise ConfigError(f"engine.device={self.device}: must be auto, cpu, cuda or cuda:N")

    @cached_property
    def max_tokens(self) -> int:
        """Tokens of a text: as many as the model reads, max_model_len at most."""
        if not (self._folder() / modules.MODULES).is_file():
            chains = [[Module("Transformer", True, self._folder())]]
        else:
            chains = list(self._chains().values())
        limits = [modules.longest(chain, self._key) for chain in chains]
        return min([self.max_model_len, *(limit for limit in limits if limit is not None)])

    def check(self, method: str) -> None:
        """Raise ConfigError for what the folder says already, and for a backend that is not installed.

        method: what the engine is for: `embed` or `relevance`.
        """
        if method not in ("embed", "relevance"):
            raise ConfigError(
                "engine=sentence_transformers embeds (jobs.embed) and compares pairs (jobs.rerank "
                "rerank.by=cross_encoder); this job needs a transformers or vLLM engine"
            )
        if importlib.util.find_spec("sentence_transformers") is None:
            raise ConfigError("engine=sentence_transformers: run `pip install sentence-transformers`")
        self._check_backend()
        modules.check(self._folder(), self._key, trust_remote_code=self.trust_remote_code)
        if method == "relevance":
            self._check_pairs()
        else:
            self.width()
            self.unit_vectors()
            self.embedding_prompts()
        self.load_tokenizer()

    def check_sampling(self, sampling: Sampling) -> None:
        """Raise ConfigError: it writes nothing."""
        raise ConfigError("engine=sentence_transformers: writes no text; use a transformers or vLLM engine")

    def load_tokenizer(self) -> Tokenizer:
        """The tokenizers, without weights. Raises ConfigError where there is none."""
        if not (self._folder() / modules.MODULES).is_file():  # a cross-encoder
            usual = self._reader(Module("Transformer", True, self._folder()))
            return TextTokenizer(lambda role: usual, usual.tokenizer)
        first = next(iter(self._chains().values()))[0]
        return TextTokenizer(lru_cache(self._reader_of), self._reader(first).tokenizer)

    def embedding_prompts(self) -> Mapping[str, str]:
        """What stands before a text, by its role; `none` is what the library's own `encode` puts there.

        Raises ConfigError for a file that cannot be read.
        """
        found = embedding_prompts.read(self._folder(), self._key)
        settings = read_json(self._folder() / _SETTINGS, dict, self._key) or {}
        usual = (settings.get("prompts") or {}).get(settings.get("default_prompt_name"), "")
        return {**found, "none": usual, **self.prompts}

    def width(self) -> int:
        """Length of the vectors. Raises ConfigError where that can't be told, or depends on the role."""
        found = {role: modules.width(chain, self._key) for role, chain in self._chains().items()}
        if len(set(found.values())) > 1:
            shown = ", ".join(f"{role}: {width}" for role, width in found.items())
            raise ConfigError(f"{self._key}: its routes make vectors of different widths ({shown})")
        return next(iter(found.values()))

    def unit_vectors(self) -> bool:
        """Whether vectors have length one: not where the model compares them by dot product, and leaves their lengths.

        Raises ConfigError for a model that compares them otherwise.
        """
        found = sentence_settings.read(self._folder(), self._key)
        if not found.unit and found.similarity not in sentence_settings.DOT:
            raise ConfigError(
                f"{self._key}: its vectors are compared by {found.similarity} (similarity_fn_name), but here they are "
                "ranked by cosine or dot product; choose another model"
            )
        return found.unit

    def identity(self) -> dict[str, str]:
        """A hash of all files of the model; its name without its path."""
        folder = self._folder()
        others = [backend.value for backend in Backend if backend is not self.backend]
        return {
            "model": hub.shown(self.model),
            "weights_hash": hub.files_hash(folder, modules.content(folder, others)),
        }

    def hub_files(self) -> Sequence[HubFiles]:
        """The model with all its modules, where it is a hub id. Raises ConfigError for what is no name of any."""
        return hub.wanted(self.model, self.revision, weights=self._weights, below=True)

    def load(self, tokenizer: Tokenizer, method: str) -> Engine:
        """The model with its weights, as the engine that answers `method`.

        Raises ConfigError for files that are missing, EngineError where the library can't load it.
        """
        import torch
        from sentence_transformers import CrossEncoder, SentenceTransformer

        from lib.engines.sentence_transformers.loading import load
        from lib.engines.sentence_transformers.sentence_engine import PairEngine, SentenceEngine

        where = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        by_torch = {"dtype": getattr(torch, self.dtype.value), "use_safetensors": True}
        options = {
            "device": where,
            "backend": self.backend.value,
            "trust_remote_code": self.trust_remote_code,
            "local_files_only": True,
            "model_kwargs": by_torch if self.backend is Backend.torch else {"export": False},
        }
        limit = self.max_tokens
        sizes = {
            "max_model_len": limit,
            "batch_tokens": self.batch_tokens or (_CPU_TOKENS if where == "cpu" else _GPU_TOKENS),
        }
        folder = str(self._weights_folder())
        if method == "relevance":
            pairs = load(lambda: CrossEncoder(folder, **options), self._key)
            self._require_room(pairs.max_seq_length, limit)
            return PairEngine(pairs, **sizes)
        model = load(lambda: SentenceTransformer(folder, **options), self._key)
        self._require_room(model.max_seq_length, limit)
        return SentenceEngine(model, width=self.width(), unit=self.unit_vectors(), **sizes)

    @property
    def _key(self) -> str:
        return f"engine.model={self.model}"

    def _folder(self) -> Path:
        """What says how the model is used: of a hub id without weights, unless only these tell it."""
        path = hub.folder(self.model, self.revision, below=True)
        static = any(module.kind == "StaticEmbedding" for module in modules.every(path, self._key))
        return self._weights_folder() if static or self.backend is not Backend.torch else path

    def _weights_folder(self) -> Path:
        return hub.folder(self.model, self.revision, weights=self._weights, below=True)

    @property
    def _weights(self) -> list[str]:
        return ["*.safetensors"] if self.backend is Backend.torch else [f"{self.backend.value}/*"]

    def _chains(self) -> dict[str, list[Module]]:
        """The modules of each role that the model has."""
        found = {}
        for role in modules.ROLES:
            try:
                found[role] = modules.chain(self._folder(), self._key, role)
            except ConfigError:  # a Router without a route for it; refused where a text has that role
                if role == modules.ROLES[-1] and not found:
                    raise
        return found

    def _reader_of(self, role: str) -> Reader:
        return self._reader(modules.chain(self._folder(), self._key, role)[0])

    def _reader(self, first: Module) -> Reader:
        settings = [first.settings(self._key, path.name) for path in first.folder.glob("sentence_*_config.json")]
        there = any((first.folder / name).is_file() for name in hub.TOKENIZER_FILES)
        tokenizer = tokenizer_loading.load(
            first.folder if there else self._folder(),
            chat_template=None,
            add_bos=None,
            lowered=any(found.get("do_lower_case") for found in settings),
            trust_remote_code=self.trust_remote_code,
            key=self._key,
        )
        return Reader(tokenizer, bare=first.librarys and first.kind == "StaticEmbedding")

    def _check_backend(self) -> None:
        if self.backend is Backend.torch:
            return
        if importlib.util.find_spec("optimum") is None:
            raise ConfigError(
                f"engine.backend={self.backend.value}: needs optimum; run `pip install "
                f"'sentence-transformers[{self.backend.value}]'`"
            )
        if not any(self._folder().rglob(f"{self.backend.value}/*")):
            raise ConfigError(
                f"engine.backend={self.backend.value}: {self._folder()} has no folder {self.backend.value} with an "
                "exported model; export it by the library, or use engine.backend=torch"
            )

    def _check_pairs(self) -> None:
        settings = read_json(self._folder() / "config.json", dict, self._key) or {}
        name = next(iter(settings.get("architectures") or []), "a model without an architecture in its config.json")
        kinds = {module.kind for module in modules.every(self._folder(), self._key)}
        if not str(name).endswith(_CLASSIFIER) or not kinds <= {"Transformer"}:
            raise ConfigError(
                f"{self._key}: {name} is no cross-encoder (…{_CLASSIFIER} and nothing behind it); for a language model "
                "that says yes or no use a transformers engine with rerank.by=labels"
            )
        labels = len(settings.get("id2label") or (0, 1))  # transformers leaves out its default of two
        if labels != 1:
            raise ConfigError(f"{self._key}: has {labels} labels, a reranker has one")
        own = read_json(self._folder() / _SETTINGS, dict, self._key) or {}
        if own.get("default_prompt_name"):
            raise ConfigError(
                f"{self._key}: {_SETTINGS} puts a prompt before each pair, which rows can't be cut to fit with; "
                "set default_prompt_name to null there"
            )

    def _require_room(self, read: float | None, limit: int) -> None:
        """Raise EngineError where the library would cut what a task has cut to fit already."""
        if read is not None and read < limit:
            raise EngineError(f"{self._key}: reads {read} tokens; use engine.max_model_len={read} or less")
