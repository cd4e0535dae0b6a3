"""Where a model lies (a folder, an installed Python package, or the Hugging Face hub) and what identifies it."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from lib.engines.files.content_hash import content_hash
from lib.engines.packaged import packages
from lib.errors import ConfigError

_METADATA = ["*.json", "*.jinja", "*.model", "*.txt", "*.py"]
_BELOW = ["[!1]*/*"]  # other formats of the same weights, but not 1_Pooling/config.json
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.json",
    "chat_template.jinja",
)


def folder(
    model: str, revision: str | None, *, weights: Iterable[str] = (), below: bool = False, key: str = "engine.model"
) -> Path:
    """The local folder of a model; what the hub has and the cache has not is downloaded.

    model: a folder, `package:NAME` or `package:NAME/FOLDER` (the folder of an installed Python package, which is not
    imported, or one inside it), or a hub id.
    weights: patterns of weight files wanted too; configs and tokenizers always are. below: those in folders below the
    model's as well, and not just its pooling's. HF_HOME, HF_HUB_OFFLINE and
    HF_TOKEN hold as they do for huggingface_hub.
    Raises ConfigError, naming `key`, where there is no such model.
    """
    if model.startswith(packages.PREFIX):
        return packages.folder(model, key)
    local = Path(model).expanduser()
    if local.is_dir():
        return local
    if local.is_file():
        raise ConfigError(f"{key}={model}: is a file; give its folder, and a GGUF file's name as engine.gguf_file")
    if model.startswith(("/", ".", "~")) or model.count("/") > 1 or not model:
        raise ConfigError(f"{key}={model}: no such folder")
    return _snapshot(model, revision, [*_METADATA, *weights], [] if below else _BELOW, key)


def commit(path: Path) -> str | None:
    """The commit of a folder in the hub's cache (`…/snapshots/<commit>`), None of any other."""
    return path.name if path.parent.name == "snapshots" else None


def shown(model: str) -> str:
    """A model's name without where it lies: the same model elsewhere is the same model."""
    local = Path(model).expanduser()
    return local.resolve().name if local.is_dir() else model


def files_hash(path: Path, names: Iterable[str]) -> str:
    """One hash for some files of a folder: of the commit for a hub snapshot, else of names and contents."""
    if found := commit(path):
        return f"commit:{found}"
    digest = sha256()
    for name in sorted(names):
        digest.update(f"{name}\0{content_hash(path / name)}\n".encode())
    return digest.hexdigest()


def _snapshot(model: str, revision: str | None, patterns: list[str], but: list[str], key: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        path = snapshot_download(
            model,
            revision=revision,
            allow_patterns=patterns,
            ignore_patterns=["consolidated*", *but],
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        at = f" at engine.revision={revision}" if revision else ""
        raise ConfigError(
            f"{key}={model}{at}: neither a folder here nor to be had from the hub or its cache "
            f"(HF_HOME, HF_HUB_OFFLINE and HF_TOKEN are respected): {error}"
        ) from error
    return Path(path)
