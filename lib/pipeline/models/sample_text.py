"""The text on which models are measured and compared, and pieces of it."""

from pathlib import Path

from lib.errors import InputError
from lib.types import TokenIds, Tokenizer

PIECE = 32  # tokens


def read_tokens(key: str, path: str, tokenizer: Tokenizer) -> list[int]:
    """The tokens of a UTF-8 text, two at least. Raises InputError, naming `key`, for one that can't be used."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{key}={path}: cannot be read as UTF-8 text: {error}") from error
    tokens = tokenizer.completion_prompt(text)
    if len(tokens) < 2:
        raise InputError(f"{key}={path}: has {len(tokens)} tokens; 2 at least are needed")
    return tokens


def pieces(text: TokenIds, count: int, length: int = PIECE) -> list[list[int]]:
    """`count` pieces of a text, equally long (`length` tokens, if it has them), from its beginning to its end."""
    length = min(length, len(text))
    starts = [number * (len(text) - length) // max(count - 1, 1) for number in range(count)]
    return [[*text[start : start + length]] for start in starts]
