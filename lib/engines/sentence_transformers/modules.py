"""What a folder of sentence-transformers says that a text goes through, read without the library.

modules.json lists the modules; a Router (router_config.json) has a list of its own for each route, and which one a text
takes depends on its role.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.engines.checkpoints.checkpoint import positions
from lib.engines.checkpoints.json_files import read_json
from lib.errors import ConfigError

MODULES = "modules.json"
ROLES = ("query", "document", "none")
_ROUTER = "router_config.json"
_LIBRARYS = "sentence_transformers."
_SAME_WIDTH = {"Normalize", "Dropout", "LayerNorm"}
_WITHOUT_TOKENIZER = {"BoW", "WordEmbeddings", "CLIPModel"}  # such models split words in a way of their own


@dataclass(frozen=True)
class Module:
    """One module: the name of its class, whether that is the library's own, and the folder with its files."""

    kind: str
    librarys: bool
    folder: Path

    def settings(self, key: str, name: str = "config.json") -> dict[str, Any]:
        """A JSON file of its folder; empty where there is none."""
        return read_json(self.folder / name, dict, key) or {}


def chain(folder: Path, key: str, role: str) -> list[Module]:
    """The modules that a text of a role goes through, in their order; a Router is replaced by the route it takes.

    Raises ConfigError, naming `key`, for a folder that isn't of sentence-transformers, or has no route for the role.
    """
    listed = read_json(folder / MODULES, list, key)
    if listed is None:
        raise ConfigError(
            f"{key}: there is no {folder / MODULES}, so the library would guess how it pools; use a transformers "
            "engine with engine.pooling, or save the model by SentenceTransformer.save_pretrained"
        )
    modules = [_module(folder, str(each.get("type")), str(each.get("path", "")), key) for each in listed]
    if not modules:
        raise ConfigError(f"{key}: {folder / MODULES} lists no modules")
    if modules[0].kind == "Router":
        modules[:1] = _route(modules[0], key, None if role == "none" else role)
    return modules


def every(folder: Path, key: str) -> list[Module]:
    """Every module, those of all routes included."""
    listed = read_json(folder / MODULES, list, key) or []
    modules = [_module(folder, str(each.get("type")), str(each.get("path", "")), key) for each in listed]
    routed = [
        _module(module.folder, kind, path, key)
        for module in modules
        if module.kind == "Router"
        for path, kind in module.settings(key, _ROUTER).get("types", {}).items()
    ]
    return [*modules, *routed]


def check(folder: Path, key: str, *, trust_remote_code: bool) -> None:
    """Raise ConfigError for modules that are not loaded: with code or weights that could run, without a tokenizer."""
    for module in every(folder, key):
        if not module.librarys and not trust_remote_code:
            raise ConfigError(
                f"{key}: {module.kind} is code of its own, in {module.folder}; read it, and use "
                "engine.trust_remote_code=true where you trust it"
            )
        if module.librarys and module.kind in _WITHOUT_TOKENIZER:
            raise ConfigError(
                f"{key}: begins with {module.kind}, whose words can't be counted here; choose another model"
            )
        others = sorted(path.name for path in module.folder.glob("*.bin"))
        if others and not any(module.folder.glob("*.safetensors")):
            raise ConfigError(
                f"{key}: {module.folder} has {others[0]} and no *.safetensors; other formats can run code when they "
                "are loaded, so convert them (SentenceTransformer.save_pretrained writes safetensors)"
            )
        for settings in module.folder.glob("sentence_*_config.json"):
            modalities = module.settings(key, settings.name).get("modality_config")
            if modalities is not None and "text" not in modalities:
                raise ConfigError(f"{key}: {settings} takes {', '.join(modalities)}, and no text; choose another model")


def longest(modules: Sequence[Module], key: str) -> int | None:
    """Tokens of a text at most, with those around it; None where nothing limits it."""
    first = modules[0]
    if first.librarys and first.kind == "StaticEmbedding":
        cut = first.settings(key, "tokenizer.json").get("truncation") or {}
        return cut.get("max_length")
    own = [first.settings(key, path.name) for path in first.folder.glob("sentence_*_config.json")]
    limits = [found.get(name) for found in own for name in ("max_seq_length", "query_length", "document_length")]
    limits += [((found.get("processing_kwargs") or {}).get("text") or {}).get("max_length") for found in own]
    if not any(found.get("max_seq_length") for found in own):
        limits.append(first.settings(key, "tokenizer_config.json").get("model_max_length"))
    settings = first.settings(key)
    limits.append(positions(settings.get("text_config") or settings))
    return min((int(limit) for limit in limits if limit is not None), default=None)


def width(modules: Sequence[Module], key: str) -> int:
    """Length of the vectors that come out. Raises ConfigError where that can't be told."""
    for module in reversed(modules):
        settings = module.settings(key)
        found = None
        if module.kind == "Dense":
            found = settings.get("out_features")
        elif module.kind == "Pooling":
            found = _pooled(settings)
        elif module.kind == "StaticEmbedding":
            found = _columns(module.folder / "model.safetensors")
        elif module.kind in _SAME_WIDTH and module.librarys:
            continue
        if isinstance(found, int) and found > 0:
            return found
        raise ConfigError(f"{key}: how wide the vectors of {module.kind} are can't be told from {module.folder}")
    raise ConfigError(f"{key}: none of its modules makes a vector of a text")


def content(folder: Path, others: Sequence[str]) -> list[str]:
    """The files that make up a model, by their names in its folder: not its card, nor what `others` name."""
    others = [*others, "__pycache__"]
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = (path.relative_to(folder) for path in paths)
    kept = (name for name in names if not any(part.startswith(".") or part in others for part in name.parts))
    return [name.as_posix() for name in kept if name.name != "README.md"]


def _pooled(settings: dict[str, Any]) -> int | None:
    """Of a Pooling: the states' width, for each of its modes (as version 6 writes them, and as they were before)."""
    states = settings.get("embedding_dimension", settings.get("word_embedding_dimension"))
    modes = settings.get("pooling_mode")
    if modes is None:
        count = sum(value is True for name, value in settings.items() if name.startswith("pooling_mode_"))
    else:
        count = 1 if isinstance(modes, str) else len(modes)
    return states * count if isinstance(states, int) else None


def _columns(file: Path) -> int | None:
    """Of a matrix of embeddings in a file of safetensors: its columns."""
    if not file.is_file():
        return None
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as tensors:
        names = [name for name in ("embedding.weight", "embeddings") if name in tensors.keys()]  # noqa: SIM118
        return int(tensors.get_slice(names[0]).get_shape()[1]) if names else None


def _module(folder: Path, kind: str, path: str, key: str) -> Module:
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise ConfigError(f"{key}: {folder / MODULES} names {path}, which is outside of the model's folder")
    return Module(kind.rpartition(".")[2], kind.startswith(_LIBRARYS), folder / path)


def _route(router: Module, key: str, role: str | None) -> list[Module]:
    """The modules of the route that a text takes, by the library's own rules: mappings, the role's name, `text`."""
    settings = router.settings(key, _ROUTER)
    structure, parameters = settings.get("structure", {}), settings.get("parameters", {})
    mappings = {_pair(told): route for told, route in (parameters.get("route_mappings") or {}).items()}
    asked = [(role, "text"), (role, None), (None, "text"), (None, None)]
    routes = [mappings[pair] for pair in asked if pair in mappings]
    routes += [name for name in (role, "text") if name in structure]
    if role is None:
        first = next(iter(structure), None) if parameters.get("allow_empty_key", True) else None
        routes += filter(None, [parameters.get("default_route") or first])
    if not routes or routes[0] not in structure:
        raise ConfigError(
            f"{key}: its Router has no route for embed.role={role or 'none'}; it has {', '.join(structure) or 'none'}"
        )
    return [_module(router.folder, settings["types"][name], name, key) for name in structure[routes[0]]]


def _pair(told: str) -> object:
    """A key of route_mappings, as ("query", None) is written there."""
    try:
        return ast.literal_eval(told)
    except (ValueError, SyntaxError):
        return told
