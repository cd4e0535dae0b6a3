"""Requests for a library that reads texts: token ids, by which a task counts and cuts, and the texts they are of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.types import Message, TokenIds, TokenPair


class TextTokens(list[int]):
    """Token ids, and what they are of: a text with what stands before it and its role, or a pair of texts."""

    def __init__(self, ids: TokenIds, *texts: str, prefix: str = "", role: str = "none") -> None:
        super().__init__(ids)
        self.texts = texts
        self.prefix = prefix
        self.role = role

    @property
    def content(self) -> tuple[str, ...]:
        """What makes two requests the same."""
        return (self.role, self.prefix, *self.texts)


@dataclass(frozen=True)
class Reader:
    """How the texts of one role are read. bare: without anything around them."""

    tokenizer: HuggingFaceTokenizer
    bare: bool


class TextTokenizer:
    """Counts as the library does, whose models may read each role by another tokenizer, and keeps the texts.

    read: the reader of a role (`query`, `document`, `none`); it raises ConfigError for one that the model lacks.
    usual: for what is no request.
    """

    has_chat_template = False

    def __init__(self, read: Callable[[str], Reader], usual: HuggingFaceTokenizer) -> None:
        self._read = read
        self._usual = usual

    def embedding_prompt(self, text: str, prefix: str = "", role: str = "none") -> list[int]:
        """Ids of a text to embed, with the text, what stands before it, and its role."""
        reader = self._read(role)
        whole = prefix + text
        ids = reader.tokenizer.encode(whole) if reader.bare else reader.tokenizer.embedding_prompt(whole)
        return TextTokens(ids, text, prefix=prefix, role=role)

    def pair_prompt(self, first: str, second: str) -> TokenPair:
        """Ids of two texts as a cross-encoder reads them, with the texts."""
        ids, count = self._usual.pair_prompt(first, second)
        return TextTokens(ids, self.plain(first), self.plain(second)), count

    def encode(self, text: str) -> list[int]:
        """Token ids of bare text."""
        return self._usual.encode(text)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Character range [start, end) of each token."""
        return self._usual.spans(text)

    def spells_control(self, text: str) -> bool:
        """Whether a text spells out a control token."""
        return self._usual.spells_control(text)

    def plain(self, text: str) -> str:
        """A text of somebody else's, with a blank in each control token that is spelled out in it."""
        return self._usual.plain(text)

    def decode(self, tokens: TokenIds) -> str:
        """The text of token ids."""
        return self._usual.decode(tokens)

    def follow(self, prompt: TokenIds, text: str) -> list[int] | None:
        """Token ids by which a text continues a prompt."""
        return self._usual.follow(prompt, text)

    def begin(self, prompt: list[int], text: str) -> list[int]:
        """The prompt and the beginning of an answer, which no model here gives."""
        return self._usual.begin(prompt, text)

    def completion_prompt(self, text: str) -> list[int]:
        """Token ids of a text that would be continued, which no model here does."""
        return self._usual.completion_prompt(text)

    def chat_prompt(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        thinking: bool | None = False,
        told: Mapping[str, object] = MappingProxyType({}),
    ) -> list[int]:
        """Raises ValueError: no model here reads chats."""
        raise ValueError("a model of sentence-transformers reads no chats")

    def conversation(self, messages: Sequence[Message]) -> list[int]:
        """Raises ValueError: no model here reads chats."""
        raise ValueError("a model of sentence-transformers reads no chats")
