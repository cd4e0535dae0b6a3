"""Models in formats of their own are turned once into safetensors and JSON, in a cache."""

import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from lib.cache import cache_folder
from lib.engines.files.content_hash import content_hash
from lib.errors import ConfigError


def cached(source: Path, write: Callable[[Path], None], *, key: str, kind: str, converter: str, name: str) -> Path:
    """The folder that `write` filled from a file: written elsewhere first and then renamed, at the first call.

    It is `$XDG_CACHE_HOME/overnight/<kind>/<content hash>-<converter>/<name>`. key: the config key that names the
    source, for the ConfigError where the folder cannot be made.
    """
    root = cache_folder(kind)
    found = source.stat()
    target = root / f"{_hash_once(source, found.st_size, found.st_mtime_ns)[:16]}-{converter}" / name
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=target.parent))
    except OSError as error:
        raise ConfigError(
            f"{key}: the folder for its converted weights cannot be written ({error}); "
            "set XDG_CACHE_HOME to one that can"
        ) from error
    try:
        write(temporary)
        temporary.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was faster: its files are the same
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


@lru_cache
def _hash_once(source: Path, size: int, mtime_ns: int) -> str:
    """A start asks for the config, the tokenizer and the weights of one file ten times over."""
    return content_hash(source)
