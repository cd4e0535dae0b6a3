"""Where a model lies (a folder, an installed Python package, or the Hugging Face hub) and what identifies it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from lib.engines.base import HubFiles
from lib.engines.files.content_hash import content_hash
from lib.engines.packaged import packages
from lib.errors import ConfigError, HubUnreachable, NotDownloaded

_METADATA = ["*.json", "*.jinja", "*.model", "*.txt", "*.py"]
_DOUBLES = "consolidated*"
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
    Raises ConfigError, naming `key`, where there is no such model; NotDownloaded where it can't be had from here.
    """
    if (local := _local(model, key)) is not None:
        return local
    return download(HubFiles(key=key, model=model, revision=revision, weights=tuple(weights), below=below))


def wanted(
    model: str, revision: str | None, *, weights: Iterable[str] = (), below: bool = False, key: str = "engine.model"
) -> list[HubFiles]:
    """What `folder` reads of the hub; nothing of a model that lies here. Raises ConfigError as `folder` does."""
    if _local(model, key) is not None:
        return []
    return [HubFiles(key=key, model=model, revision=revision, weights=tuple(weights), below=below)]


@dataclass(frozen=True)
class Survey:
    """What the hub has of some files. commit: that the revision names. sizes: bytes of each; missing: not here yet."""

    commit: str
    sizes: Mapping[str, int]
    missing: Mapping[str, int]


def survey(files: HubFiles) -> Survey:
    """Ask the hub for sizes; nothing is downloaded.

    Raises NotDownloaded, and ConfigError where there are no such weights.
    """
    from huggingface_hub import snapshot_download

    with _explained(files):
        listed = snapshot_download(**_patterns(files), dry_run=True, tqdm_class=_silent())
    sizes = {file.filename: file.file_size or 0 for file in listed}
    if not listed or (files.weights and not _matching(sizes, files.weights)):
        raise ConfigError(_without_weights(files))
    missing = {file.filename: file.file_size or 0 for file in listed if file.will_download}
    return Survey(listed[0].commit_hash, sizes, missing)


@cache  # so that all parts of a process see the same commit, and the hub is asked once
def download(files: HubFiles) -> Path:
    """The folder of some files in the hub's cache; what is missing there is downloaded.

    Raises NotDownloaded, and ConfigError where there are no such weights.
    """
    from huggingface_hub import snapshot_download

    with _explained(files):
        path = Path(snapshot_download(**_patterns(files), tqdm_class=_silent() if is_here(files) else None))
    if files.weights and not _matching(_names(path), files.weights):
        raise ConfigError(_without_weights(files))
    return path


def is_here(files: HubFiles) -> bool:
    """Whether the hub's cache has all of these files, as far as it can tell. The hub is not asked."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        path = Path(snapshot_download(**_patterns(files), local_files_only=True))
    except LocalEntryNotFoundError:
        return False
    return not files.weights or bool(_matching(_names(path), files.weights))


def require_online() -> None:
    """Raise ConfigError where huggingface_hub was told to ask nobody."""
    from huggingface_hub import constants

    if constants.is_offline_mode():
        raise ConfigError(
            "HF_HUB_OFFLINE: says that nothing is to be downloaded; unset it, or run this line where there is network"
        )


def place() -> Path:
    """The hub's cache: below HF_HOME, or where HF_HUB_CACHE says."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


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


def _local(model: str, key: str) -> Path | None:
    """The folder of a model that lies here; None for a hub id. Raises ConfigError for what is neither."""
    if model.startswith(packages.PREFIX):
        return packages.folder(model, key)
    local = Path(model).expanduser()
    if local.is_dir():
        return local
    if local.is_file():
        raise ConfigError(f"{key}={model}: is a file; give its folder, and a GGUF file's name as engine.gguf_file")
    if "://" in model:
        raise ConfigError(f"{key}={model}: is a URL; give the hub's name of the model, OWNER/NAME, or a folder")
    if model.startswith(("/", ".", "~")) or model.count("/") > 1 or not model:
        raise ConfigError(f"{key}={model}: no such folder")
    return None


def _silent() -> Any:
    """A progress bar that isn't shown."""
    from tqdm.auto import tqdm

    class Silent(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

    return Silent


def _patterns(files: HubFiles) -> dict[str, Any]:
    """As huggingface_hub takes them."""
    return {
        "repo_id": files.model,
        "revision": files.revision,
        "allow_patterns": [*_METADATA, *files.weights],
        "ignore_patterns": [_DOUBLES, *([] if files.below else _BELOW)],
    }


def _names(path: Path) -> list[str]:
    """All files of a folder, by their names in it."""
    return [str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()]


def _matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]


@contextmanager
def _explained(files: HubFiles) -> Iterator[None]:
    """Turn what huggingface_hub raises into what was wrong and what to do next."""
    from huggingface_hub import constants, errors
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the library that it asks with

    refusals = (errors.DryRunError, errors.LocalEntryNotFoundError, errors.HFValidationError, HTTPError)
    try:
        yield
    except (*refusals, errors.OfflineModeIsEnabled) as error:
        wrapped = isinstance(error, (errors.DryRunError, errors.LocalEntryNotFoundError))
        cause = error.__cause__ if wrapped and error.__cause__ is not None else error
        what = f"{files.key}={files.model}{f' at engine.revision={files.revision}' if files.revision else ''}"
        if isinstance(cause, errors.GatedRepoError):
            raise NotDownloaded(
                f"{what}: is gated; accept its licence at {constants.ENDPOINT}/{files.model}, and set HF_TOKEN to a "
                "token of yours (or run `hf auth login`)"
            ) from error
        if isinstance(cause, errors.RevisionNotFoundError):
            raise NotDownloaded(f"{what}: the hub has no such branch, tag or commit of it") from error
        if isinstance(cause, errors.RepositoryNotFoundError):
            raise NotDownloaded(
                f"{what}: neither a folder here nor a model that the hub shows you; a private one wants HF_TOKEN set "
                "to a token of its owner (or `hf auth login`)"
            ) from error
        if isinstance(cause, errors.HFValidationError):
            raise NotDownloaded(
                f"{what}: neither a folder here nor a name of the hub's, OWNER/NAME ({' '.join(str(cause).split())})"
            ) from error
        status = cause.response.status_code if isinstance(cause, errors.HfHubHTTPError) else None
        silent = isinstance(cause, (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError))
        gone = silent or (isinstance(cause, HTTPError) and (status is None or status == 429 or status >= 500))
        raise (HubUnreachable if gone else NotDownloaded)(
            f"{what}: neither a folder here nor to be had from the hub or its cache "
            f"(HF_HOME, HF_HUB_OFFLINE and HF_TOKEN are respected): {' '.join(str(cause).split())}"
        ) from error


def ggufs(model: str, revision: str | None, path: Path) -> list[str]:
    """The GGUF files that the hub has of a model. path: its folder; nothing where that is not in the hub's cache."""
    if commit(path) is None:
        return []
    return _ggufs(HubFiles(key="engine.model", model=model, revision=revision, weights=()))


def _ggufs(files: HubFiles) -> list[str]:
    from huggingface_hub import HfApi

    with _explained(files):
        there = HfApi().list_repo_files(files.model, revision=files.revision)
    return sorted(name for name in there if name.endswith(".gguf"))


def _without_weights(files: HubFiles) -> str:
    """Why there is nothing to load in a repository."""
    gguf = _ggufs(files)
    if any(pattern.endswith(".gguf") for pattern in files.weights):
        return (
            f"engine.gguf_file={files.weights[0]}: the hub's {files.model} has no such file; it has "
            f"{', '.join(gguf) or 'no .gguf file'}"
        )
    if "*.safetensors" in files.weights:
        hint = f"; it has {gguf[0]}, which engine.gguf_file names" if gguf else ""
        return (
            f"{files.key}={files.model}: the hub has no weights of it as *.safetensors; other formats can run code "
            f"when they are loaded, so convert them (model.save_pretrained writes safetensors){hint}"
        )
    return f"{files.key}={files.model}: the hub has nothing of it that is called {' or '.join(files.weights) or 'so'}"
