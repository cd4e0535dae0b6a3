"""What a folder of sentence-transformers says of its texts and vectors, beside its pooling and its prompts.

sentence_bert_config.json has the longest text and whether texts are lowered; config_sentence_transformers.json has how
two vectors are compared. The library obeys them, so an engine that doesn't would give other vectors.
"""

from dataclasses import dataclass
from pathlib import Path

from lib.engines.checkpoints.json_files import read_json
from lib.engines.checkpoints.pooling import module_types
from lib.errors import ConfigError

FILES = ("sentence_bert_config.json", "config_sentence_transformers.json")
_COSINE = "cosine"


@dataclass(frozen=True)
class SentenceSettings:
    """longest: tokens of a text, with those around it; None where the folder doesn't say. lowered: texts in small
    letters. similarity: how vectors are compared. unit: whether the folder makes their length one.
    """

    longest: int | None
    lowered: bool
    similarity: str
    unit: bool


def read(folder: Path, key: str) -> SentenceSettings:
    """What a folder says; of one that isn't of sentence-transformers, what the library takes then.

    Raises ConfigError, naming `key`, for a file that can't be read.
    """
    texts, vectors = (read_json(folder / name, dict, key) or {} for name in FILES)
    return SentenceSettings(
        longest=texts.get("max_seq_length"),
        lowered=bool(texts.get("do_lower_case")),
        similarity=vectors.get("similarity_fn_name") or _COSINE,
        unit="Normalize" in (module_types(folder, key) or []),
    )


def check(folder: Path, key: str, max_model_len: int) -> None:
    """Raise ConfigError where texts would be longer, or vectors compared otherwise, than the folder says."""
    found = read(folder, key)
    if found.longest is not None and max_model_len > found.longest:
        raise ConfigError(
            f"engine.max_model_len={max_model_len}: {folder / FILES[0]} says max_seq_length={found.longest}; use "
            f"engine.max_model_len={found.longest} or less"
        )
    if found.similarity != _COSINE and not (found.unit and found.similarity in ("dot", "dot_product")):
        raise ConfigError(
            f"{key}: {folder / FILES[1]} says that its vectors are compared by {found.similarity} (similarity_fn_name) "
            "and their lengths count, but here vectors have length one and are ranked by cosine; choose another model"
        )
