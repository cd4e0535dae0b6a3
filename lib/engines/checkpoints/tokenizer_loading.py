"""Loading the tokenizer in a checkpoint's folder, as its files say."""

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lib.engines.checkpoints import internlm2
from lib.engines.checkpoints.hub import TOKENIZER_FILES
from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load(
    folder: Path,
    *,
    chat_template: str | None,
    add_bos: bool | None,
    reward_token: int | None = None,
    lowered: bool = False,
    trust_remote_code: bool,
    key: str,
) -> HuggingFaceTokenizer:
    """The tokenizer in a folder; the same object as the last time where that was the same one, unchanged since.

    Raises ConfigError, naming `key`, where there is none that can be used.
    """
    require_tokenizer(folder, key)
    files = frozenset((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in folder.iterdir())
    return _load_once(folder, files, chat_template, add_bos, reward_token, lowered, trust_remote_code, key)


@lru_cache(maxsize=1)
def _load_once(
    folder: Path,
    files: frozenset[tuple[str, int, int]],
    chat_template: str | None,
    add_bos: bool | None,
    reward_token: int | None,
    lowered: bool,
    trust_remote_code: bool,
    key: str,
) -> HuggingFaceTokenizer:
    """The check before a run and the worker in the same process both want it. files: names, sizes, times of change."""
    try:
        tokenizer = _load(folder, trust_remote_code)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(f"{key}: the tokenizer in {folder} cannot be loaded: {error}") from error
    if not tokenizer.is_fast:
        raise ConfigError(f"{key}: the tokenizer in {folder} has no fast version (tokenizer.json), which is needed")
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    begins = _is_left_out("bos", tokenizer, folder, key, asked=add_bos)
    ends = _is_left_out("eos", tokenizer, folder, key)
    return HuggingFaceTokenizer(
        tokenizer, add_bos=add_bos, reward_token=reward_token, lowered=lowered, begins=begins, ends=ends
    )


def _is_left_out(
    which: str, tokenizer: "PreTrainedTokenizerBase", folder: Path, key: str, asked: bool | None = None
) -> bool:
    """Whether tokenizer_config.json wants a token around texts that the tokenizer, as it is loaded, doesn't put there.

    transformers 5 takes tokenizer.json alone and drops `add_bos_token` and `add_eos_token`. which: bos or eos.
    asked: what engine.add_bos says of it. Raises ConfigError where the two files contradict each other.
    """
    file = folder / "tokenizer_config.json"
    wanted = json.loads(file.read_text(encoding="utf-8")).get(f"add_{which}_token") if file.is_file() else None
    token = getattr(tokenizer, f"{which}_token_id")
    if not isinstance(wanted, bool) or (token is None and not wanted):
        return False
    if token is None:
        raise ConfigError(f"{key}: {file} says add_{which}_token=true, but the tokenizer has no such token")
    ids = tokenizer.backend_tokenizer.encode("a").ids
    there = token in (ids[:1] if which == "bos" else ids[-1:])
    if there and not wanted and asked is None:
        hint = ", or say engine.add_bos=true or false" if which == "bos" else ""
        name = tokenizer.convert_ids_to_tokens(token)
        raise ConfigError(
            f"{key}: {file} says add_{which}_token=false, but tokenizer.json puts {name} "
            f"around every text; remove the one that is wrong{hint}"
        )
    return wanted and not there


def _load(folder: Path, trust_remote_code: bool) -> "PreTrainedTokenizerBase":
    """From tokenizer.json as it stands, where there is one: that also saves importing torch, which takes seconds."""
    if (folder / "tokenizer.json").is_file():
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    if internlm2.has_tokenizer(folder):
        return internlm2.load_tokenizer(folder)
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)


def require_tokenizer(folder: Path, key: str) -> None:
    """Raise ConfigError where a folder holds no tokenizer."""
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ConfigError(f"{key}: there is no tokenizer in {folder}; name a model that has it as engine.tokenizer")
