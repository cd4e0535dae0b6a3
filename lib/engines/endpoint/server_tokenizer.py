"""Prompts of a model behind a server: what the server is told, and tokens by which we count and cut them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from lib.engines.byte_tokenizer import ByteTokenizer
from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.engines.endpoint.dialects import DIALECTS, Server
from lib.errors import ConfigError
from lib.images import Image, images_of
from lib.types import Message, ServerPrompt, TokenIds, TokenPair, Told

Counter = HuggingFaceTokenizer | ByteTokenizer
_OF_TOOLS = {"tool_calls", "tool_call_id", "reasoning"}
_PIXELS, _MOST = 28, 1600  # a token of an image: so many pixels along both sides; and such tokens of one image, at most


class ServerTokenizer:
    """A tokenizer whose prompts are `ServerPrompt`s. counts: counts and cuts texts, and spells labels."""

    def __init__(self, counts: Counter, server: Server) -> None:
        self.counts = counts
        self._server = server

    @property
    def names_tokens(self) -> bool:
        """Whether its ids are those of a model, not bytes."""
        return isinstance(self.counts, HuggingFaceTokenizer)

    @property
    def has_chat_template(self) -> bool:
        """Whether the model was trained on chats: as its tokenizer says; without one, yes."""
        return self.counts.has_chat_template

    def spells_control(self, text: str) -> bool:
        """Whether a text spells out a control token; never without a tokenizer that knows them."""
        return self.counts.spells_control(text)

    def encode(self, text: str) -> list[int]:
        """Token ids of bare text."""
        return self.counts.encode(text)

    def follow(self, prompt: TokenIds, text: str) -> list[int] | None:
        """Token ids by which a text continues a prompt; None where it can't."""
        return self.counts.follow(prompt, text)

    def begin(self, prompt: list[int], text: str) -> list[int]:
        """The prompt with an answer that begins so. Raises ConfigError where the server begins every answer itself."""
        assert isinstance(prompt, ServerPrompt)
        if not DIALECTS[self._server].continues:
            raise ConfigError(
                f"prompt.answer_prefix, prompt.label_prefix={text!r}: engine.server={self._server.name} can't be made "
                "to go on from a begun answer; use '', or another prompt"
            )
        return ServerPrompt(self.counts.begin(prompt, text), replace(prompt.told, begun=prompt.told.begun + text))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Character range [start, end) of each token."""
        return self.counts.spans(text)

    def plain(self, text: str) -> str:
        """A text in which no control token is spelled out, as far as they are known here."""
        return self.counts.plain(text)

    def completion_prompt(self, text: str) -> ServerPrompt:
        """A text that is gone on from."""
        return ServerPrompt(self.counts.completion_prompt(text), Told(texts=(text,)))

    def decode(self, tokens: TokenIds) -> str:
        """The text of token ids; of a chat as our tokenizer would write it, not the server's."""
        return self.counts.decode(tokens)

    def chat_prompt(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        thinking: bool | None = False,
        told: Mapping[str, object] = MappingProxyType({}),
    ) -> ServerPrompt:
        """A chat. Raises ConfigError for what the server's chat template can't be told, ValueError for tools."""
        if not DIALECTS[self._server].template:
            for key, asked in (("add_generation_prompt=false", not add_generation_prompt), ("thinking=true", thinking)):
                if asked:
                    raise ConfigError(
                        f"prompt.{key}: engine.server={self._server.name} takes no word to its chat template; leave it "
                        "out"
                    )
            if told:
                raise ValueError(
                    f"{', '.join(told)}: engine.server={self._server.name} takes no word to its chat template; leave "
                    "it out, or use a vllm engine"
                )
        if told.get("tools") or any(_OF_TOOLS.intersection(message) for message in messages):
            raise ValueError(
                "tools, their calls and earlier reasoning are not sent to servers; leave them out, or use a vllm engine"
            )
        ids = self.counts.chat_prompt(
            [_without_images(turn) for turn in messages],
            add_generation_prompt=add_generation_prompt,
            thinking=thinking,
            told=told,
        )
        seen = sum(map(_tokens_of, images_of(messages)))
        whole = Told(
            messages=tuple(self._turns(messages)),
            add_generation_prompt=add_generation_prompt,
            thinking=thinking,
            told=told,
        )
        return ServerPrompt([*self.counts.encode("*")[:1] * seen, *ids], whole)

    def embedding_prompt(self, text: str, prefix: str = "", role: str = "none") -> ServerPrompt:
        """A text to embed behind its prefix. role: changes nothing."""
        return ServerPrompt(self.counts.embedding_prompt(text, prefix), Told(texts=(prefix + text,)))

    def pair_prompt(self, first: str, second: str) -> TokenPair:
        """Two texts to compare."""
        ids, belong = self.counts.pair_prompt(first, second)
        return ServerPrompt(ids, Told(texts=(self.plain(first), self.plain(second)))), belong

    def conversation(self, messages: Sequence[Message]) -> ServerPrompt:
        """A finished chat."""
        return ServerPrompt(self.counts.conversation(messages), Told(messages=tuple(self._turns(messages))))

    def _turns(self, messages: Sequence[Message]) -> Sequence[Message]:
        """As our tokenizer would give them to a template: so does the server's."""
        turns = self.counts.turns(messages) if isinstance(self.counts, HuggingFaceTokenizer) else messages
        return [_sent(turn) for turn in turns]


def _sent(turn: Message) -> Message:
    """A turn without what only we know of it: its content has all its parts, or they are its content."""
    sent = turn.copy()
    parts = sent.pop("parts", ())
    if images_of([turn]):
        sent["content"] = [_part(part) for part in parts]  # type: ignore[typeddict-item]  # as servers take it
    return sent


def _part(part: str | Image) -> dict[str, object]:
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": part.url}}
    return {"type": "text", "text": part}


def _without_images(turn: Message) -> Message:
    """A turn as it is counted."""
    texts = [part for part in turn.get("parts", ()) if isinstance(part, str)]
    return turn if not images_of([turn]) else Message(role=turn["role"], content=turn["content"], parts=texts)


def _tokens_of(image: Image) -> int:
    """A guess: nobody but the server knows, and it refuses what is too long."""
    height, width = image.size
    return min(-(-height // _PIXELS) * -(-width // _PIXELS), _MOST)
