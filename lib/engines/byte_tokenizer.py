"""A tokenizer without a model: one token a byte."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from lib.images import images_of
from lib.types import Message, TokenIds, TokenPair

BOS, END = 256, 257
_ROLES = {"system": 258, "user": 259, "assistant": 260, "tool": 261}
_NAMES = {BOS: b"<begin>", END: b"<end>", **{token: f"<{role}>".encode() for role, token in _ROLES.items()}}


class ByteTokenizer:
    """One token per UTF-8 byte, and one for each of: begin of text, end of turn, the roles."""

    has_chat_template = True

    def spells_control(self, text: str) -> bool:
        """No: control tokens have no text here."""
        return False

    def encode(self, text: str) -> list[int]:
        """The bytes of the text."""
        return list(text.encode())

    def follow(self, prompt: TokenIds, text: str) -> list[int]:
        """The bytes of the text, whatever stands before it."""
        return self.encode(text)

    def begin(self, prompt: list[int], text: str) -> list[int]:
        """The prompt and the bytes of the text."""
        return [*prompt, *self.encode(text)]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """For each byte the character that it belongs to."""
        return [(i, i + 1) for i, character in enumerate(text) for _ in character.encode()]

    def plain(self, text: str) -> str:
        """The text: no bytes are control tokens."""
        return text

    def completion_prompt(self, text: str) -> list[int]:
        """BOS and the text."""
        return [BOS, *text.encode()]

    def decode(self, tokens: TokenIds) -> str:
        """The bytes' text, with names for the other tokens."""
        return b"".join(_NAMES.get(token) or bytes([token]) for token in tokens).decode(errors="replace")

    def chat_prompt(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        thinking: bool | None = False,
        told: Mapping[str, object] = MappingProxyType({}),
    ) -> list[int]:
        """The chat, as a rule up to the assistant's answer. thinking, told: change nothing.

        Raises ValueError for images, which have no bytes here.
        """
        if images_of(messages):
            raise ValueError("images: this engine sees none; use a vision-language model with a vllm engine")
        return [*self.conversation(messages), *([_ROLES["assistant"]] if add_generation_prompt else [])]

    def embedding_prompt(self, text: str, prefix: str = "", role: str = "none") -> list[int]:
        """BOS, prefix and text, and an end mark. role: changes nothing."""
        return [BOS, *(prefix + text).encode(), END]

    def pair_prompt(self, first: str, second: str) -> TokenPair:
        """BOS, the first text, an end mark, the second text, an end mark."""
        beginning = [BOS, *first.encode(), END]
        return [*beginning, *second.encode(), END], len(beginning)

    def conversation(self, messages: Sequence[Message]) -> list[int]:
        """BOS, then for each turn its role, its text and an end mark."""
        return [BOS, *(t for m in messages for t in (_ROLES[m["role"]], *m["content"].encode(), END))]
