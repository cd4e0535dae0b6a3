"""What a folder of sentence-transformers says of its texts and vectors, beside its pooling and its prompts.

sentence_bert_config.json has the longest text (since version 6: tokenizer_config.json) and whether texts are lowered;
config_sentence_transformers.json has how two vectors are compared. The library obeys them, so an engine that doesn't
would give other vectors.
"""

from dataclasses import dataclass
from pathlib import Path

from lib.engines.checkpoints.json_files import read_json
from lib.engines.checkpoints.pooling import module_types
from lib.errors import ConfigError

FILES = ("sentence_bert_config.json", "config_sentence_transformers.json")
DOT = ("dot", "dot_product")
_COSINE = "cosine"
_TOKENIZER = "tokenizer_config.json"
_UNLIMITED = 1 << 32  # transformers writes 10**30


@dataclass(frozen=True)
class SentenceSettings:
    """longest: tokens of a text, with those around it; None where the folder doesn't say. lowered: texts in small
    letters. similarity: how vectors are compared. normalised: whether the folder makes their length one.
    """

    longest: int | None
    lowered: bool
    similarity: str
    normalised: bool

    @property
    def unit(self) -> bool:
        """Whether vectors may have length one: where directions alone count."""
        return self.similarity == _COSINE or (self.normalised and self.similarity in DOT)


def read(folder: Path, key: str) -> SentenceSettings:
    """What a folder says; of one that isn't of sentence-transformers, what the library takes then.

    Raises ConfigError, naming `key`, for a file that can't be read.
    """
    texts, vectors = (read_json(folder / name, dict, key) or {} for name in FILES)
    modules = module_types(folder, key)
    longest = texts.get("max_seq_length")
    if longest is None and modules is not None:  # as version 6 writes it
        found = (read_json(folder / _TOKENIZER, dict, key) or {}).get("model_max_length")
        longest = found if isinstance(found, int) and found < _UNLIMITED else None
    return SentenceSettings(
        longest=longest,
        lowered=bool(texts.get("do_lower_case")),
        similarity=vectors.get("similarity_fn_name") or _COSINE,
        normalised="Normalize" in (modules or []),
    )


def check(folder: Path, key: str, max_model_len: int) -> None:
    """Raise ConfigError where texts would be longer, or vectors compared otherwise, than the folder says."""
    found = read(folder, key)
    if found.longest is not None and max_model_len > found.longest:
        raise ConfigError(
            f"engine.max_model_len={max_model_len}: {folder} says max_seq_length={found.longest} ({FILES[0]}, or "
            f"model_max_length in {_TOKENIZER}); use engine.max_model_len={found.longest} or less"
        )
    if not found.unit:
        raise ConfigError(
            f"{key}: {folder / FILES[1]} says that its vectors are compared by {found.similarity} (similarity_fn_name) "
            f"and their lengths count, but here vectors have length one; use engine=sentence_transformers {key}"
        )
