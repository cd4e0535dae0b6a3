"""What a body asks for, whatever its url: texts after prompts."""

from collections.abc import Sequence
from dataclasses import dataclass

from lib.tasks.openai.turns import Chat
from lib.types import Sampling


@dataclass(frozen=True, kw_only=True)
class TextRequest:
    """Texts that are asked for: `sampling.n` after each prompt, a chat or a text. seed: of the body, if it has one."""

    prompts: Sequence[Chat | str]
    sampling: Sampling
    seed: int | None
