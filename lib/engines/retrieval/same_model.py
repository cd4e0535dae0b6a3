"""Whether a corpus and its queries were embedded by the same model, as the manifests of the two runs say."""

from pathlib import Path
from typing import Any

from lib.data.manifest import FILE_NAME, read_manifest
from lib.errors import ConfigError

_ENGINE = "engine."
_OTHER = ("role", "prompt", "max_model_len")  # what may differ: how a text is put to the model, and where it is cut


def require_same_model(corpus: str | Path, queries: str | Path) -> bool:
    """Raise ConfigError naming the keys in which the models of two embedding runs differ.

    Each is a run folder, or a file in one. Returns whether that could be told: not of a Parquet file from elsewhere,
    which has no manifest beside it.
    """
    ours, theirs = _model(Path(corpus)), _model(Path(queries))
    if ours is None or theirs is None:
        return False
    differing = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
    if differing:
        changes = "\n".join(f"  {key}: {ours.get(key)!r}, of the queries {theirs.get(key)!r}" for key in differing)
        raise ConfigError(
            f"{queries} was embedded by another model than {corpus}, so their vectors can't be compared; these keys "
            f"differ:\n{changes}\nEmbed both with the same engine."
        )
    return True


def _model(path: Path) -> dict[str, Any] | None:
    """What the manifest of a run says of its model."""
    folder = path if path.is_dir() else path.parent
    if not (folder / FILE_NAME).exists():
        return None
    keys = read_manifest(folder).identity
    return {
        key: value
        for key, value in keys.items()
        if key.startswith(_ENGINE) and not any(word in key.removeprefix(_ENGINE) for word in _OTHER)
    }
