"""Prompts: `conf/prompt/*.yaml` as a template with named slots."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from lib.errors import ConfigError
from lib.types import Message, Tokenizer

_SLOT = re.compile(r"\{(\w+)\}")


class Chat(Enum):
    """Whether a prompt is put as a chat: `auto` where the tokenizer has a chat template."""

    auto = "auto"
    always = "always"
    never = "never"


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """A prompt with the slots {prompt}, {response_a} and {response_b}, and the labels that answer it.

    joint: what stands between the turns of one text. labels: how A, B and a tie are called, in this order.
    """

    template: str
    labels: list[str]
    system: str | None = None
    joint: str = " "
    chat: Chat = Chat.auto

    def __post_init__(self) -> None:
        slots, needed = set(_SLOT.findall(self.template)), {"prompt", "response_a", "response_b"}
        if slots != needed:
            wrong = ", ".join(sorted(slots ^ needed))
            raise ConfigError(
                "prompt.template: needs the slots {prompt}, {response_a} and {response_b} and no other; "
                f"missing or unknown: {wrong}"
            )
        if len(self.labels) != 3 or not all(label.strip() for label in self.labels):
            raise ConfigError(f"prompt.labels={self.labels}: needs three labels: for A, for B, and for a tie")

    @cached_property
    def _pieces(self) -> list[str]:
        """The template, split: fixed text at even places, slot names at odd ones."""
        return _SLOT.split(self.template)

    def fill(self, values: Mapping[str, str]) -> str:
        """The template with its slots filled; values are never searched for slots."""
        return "".join(values[piece] if index % 2 else piece for index, piece in enumerate(self._pieces))

    def tokens(self, values: Mapping[str, Sequence[str]], tokenizer: Tokenizer) -> list[int]:
        """Token ids of the whole request for the turns of each slot, up to where the answer begins."""
        text = self.fill({name: self.joint.join(turns) for name, turns in values.items()})
        if self.chat is Chat.always or (self.chat is Chat.auto and tokenizer.has_chat_template):
            user = Message(role="user", content=text)
            return tokenizer.chat_prompt([Message(role="system", content=self.system), user] if self.system else [user])
        return tokenizer.completion_prompt(f"{self.system}\n\n{text}" if self.system else text)
