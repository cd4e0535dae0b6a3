"""Whether a corpus and its queries were embedded by the same model, as the manifests of the two runs say."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from lib.data.manifest import read_manifest
from lib.data.run_folder import MANIFEST
from lib.engines.retrieval.corpus import Corpus, require_width
from lib.errors import ConfigError
from lib.urls import without_secrets

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


def require_comparable(corpus: str, queries: str, vector: pa.DataType | None) -> None:
    """Raise ConfigError, before a run, where the queries' vectors can't be compared with those of a corpus.

    queries: where they are; vector: the type of their column of vectors, None where there is none. Refused are those
    of another type, width or model.
    """
    if vector is None:
        raise ConfigError(
            f"{without_secrets(queries)}: has no column vector: embed the queries with jobs.embed and the model of the "
            "corpus, or search by words (retriever=bm25_en)"
        )
    if not pa.types.is_fixed_size_list(vector) or not pa.types.is_floating(vector.value_type):
        raise ConfigError(
            f"{without_secrets(queries)}, column vector: is of type {vector}, but must be vectors as jobs.embed writes "
            "them (fixed-size lists of floats)"
        )
    require_width(vector.list_size, Corpus(corpus, vectors=True))
    require_same_model(corpus, queries)


def _model(path: Path) -> dict[str, Any] | None:
    """What the manifest of a run says of its model."""
    folder = path if path.is_dir() else path.parent
    if not (folder / MANIFEST).exists():
        return None
    keys = read_manifest(folder).identity
    return {
        key: value
        for key, value in keys.items()
        if key.startswith(_ENGINE) and not any(word in key.removeprefix(_ENGINE) for word in _OTHER)
    }
