"""What is InternLM2's own, but its weights: what a reward model's config says, and the tokenizer without remote code.

Source: `modeling_internlm2.py` (`get_score`) and `tokenization_internlm2_fast.py` of internlm/internlm2-7b-reward.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REWARD_MODEL = "InternLM2ForRewardModel"


def reward_token(settings: Mapping[str, Any]) -> int | None:
    """The token that ends a conversation, and at which its score is read; None for other models' config.json.

    Raises ConfigError where a reward model names none.
    """
    if REWARD_MODEL not in (settings.get("architectures") or []):
        return None
    token = settings.get("reward_token_id")
    if not isinstance(token, int):
        raise ConfigError(f"engine.model: config.json of an {REWARD_MODEL} must have reward_token_id, found {token}")
    return token


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder's tokenizer is InternLM2's."""
    return _tokenizer_settings(folder).get("tokenizer_class") in ("InternLM2Tokenizer", "InternLM2TokenizerFast")


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """transformers' tokenizer from InternLM2's `tokenizer.model`.

    A sentencepiece BPE with byte fallback that puts no blank before a text; unused pieces take the names in
    `added_tokens_decoder`, and texts begin with BOS unless the config says otherwise.
    """
    from transformers import PreTrainedTokenizerFast

    add_bos = _tokenizer_settings(folder).get("add_bos_token", True)
    return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True, add_bos_token=add_bos)


def _tokenizer_settings(folder: Path) -> Mapping[str, Any]:
    path = folder / "tokenizer_config.json"
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found
