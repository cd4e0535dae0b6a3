"""Tokenizers of Hugging Face models, without weights: `lib.types.Tokenizer` over the Rust library `tokenizers`."""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from lib.errors import ConfigError
from lib.images import Image, ImagePrompt, images_of
from lib.types import Message, TokenIds, TokenPair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TODAY = datetime(2024, 7, 26)  # some templates print the date: a run must not change at midnight
_TAIL = 16  # tokens of a prompt that can bear on how what follows is spelled: more than a word
_THOUGHTS = ("<think>", "</think>")
_PROBE = "5c1fd2a0"  # a word that no template prints by itself


class Eyes(Protocol):
    """How a model sees images."""

    def see(self, written: Sequence[int], images: Sequence[Image]) -> ImagePrompt:
        """A prompt with its images. written: the tokens of the chat template, with one place for each of them.

        Raises ValueError where it has more places or fewer.
        """


class HuggingFaceTokenizer:
    """Text to token ids. Only the Rust tokenizer's read-only methods are used, so threads can share it."""

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        *,
        add_bos: bool | None = None,
        reward_token: int | None = None,
        lowered: bool = False,
        ends: bool = False,
        begins: bool = False,
    ) -> None:
        """Wrap a fast tokenizer.

        add_bos: whether `completion_prompt` begins with BOS; None: as the tokenizer does. reward_token: what ends a
        finished chat, for a model that reads a score there. lowered: texts to embed are put in small letters.
        begins, ends: BOS and EOS stand around a text though the tokenizer itself puts none there.
        """
        if add_bos and tokenizer.bos_token_id is None:
            raise ConfigError("engine.add_bos=true: the tokenizer has no BOS token; use null or false")
        self._eyes: Eyes | None = None
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._bos: int | None = tokenizer.bos_token_id
        self._lowered = lowered
        self._before = [self._bos] if begins and self._bos is not None else []
        self._after: list[int] = [tokenizer.eos_token_id] if ends else []
        begun = self._before or (self._bos is not None and self._backend.encode("a").ids[:1] == [self._bos])
        self._add_bos = bool(begun) if add_bos is None else add_bos
        self._reward_token = reward_token
        written = tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else ""
        added = [  # those that aren't called special too, where they mean something: Qwen3's </think>
            token
            for token in tokenizer.added_tokens_decoder.values()
            if token.special or token.content in _THOUGHTS or _is_mark(token.content, written)
        ]
        special = [token.content for token in sorted(added, key=lambda token: -len(token.content))]
        # Where texts are lowered, one that is a control token only then is one, too.
        self._control = re.compile("|".join(map(re.escape, special)) or r"(?!)", re.IGNORECASE if lowered else 0)
        self._folds_system = self.has_chat_template and not self._takes_system()

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer says how a chat is written."""
        return self._tokenizer.chat_template is not None

    def spells_control(self, text: str) -> bool:
        """Whether a text spells out a control token, so that chats hold it with a blank in it."""
        return self._control.search(text) is not None

    def encode(self, text: str) -> list[int]:
        """Token ids of bare text: no BOS, no EOS."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def follow(self, prompt: TokenIds, text: str) -> list[int] | None:
        """Token ids by which a text continues a prompt; None where the two would be joined in other tokens.

        Not those of the text by itself: Llama 2's tokenizer puts a blank before every text, but a text that follows a
        line break has none.
        """
        if not prompt:
            return self.encode(text)
        before = self.decode(prompt[-_TAIL:])
        own, whole = self.encode(before), self.encode(before + text)
        stands = own[-1:] == [prompt[-1]] and whole[: len(own)] == own
        return whole[len(own) :] if stands else None

    def begin(self, prompt: list[int], text: str) -> list[int]:
        """The prompt and the beginning of its answer: as it follows the prompt, or else as it is written by itself."""
        begun = self.follow(prompt, text)
        tokens = self.encode(text) if begun is None else begun
        return prompt.followed(tokens) if isinstance(prompt, ImagePrompt) else [*prompt, *tokens]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Character range [start, end) of each token; tokens that share a character share its range."""
        offsets: list[tuple[int, int]] = self._backend.encode(text, add_special_tokens=False).offsets
        return offsets

    def plain(self, text: str) -> str:
        """A text of somebody else's, with a blank in each control token that is spelled out in it (`<|im_end|>`)."""
        return self._control.sub(_apart, text)

    def completion_prompt(self, text: str) -> list[int]:
        """Token ids of a prompt for a base model: one BOS (where the model has one), then the text."""
        return self._begun(self.encode(text))

    def decode(self, tokens: TokenIds) -> str:
        """The text of token ids, special tokens included."""
        text: str = self._backend.decode(list(tokens), skip_special_tokens=False)
        return text

    def chat_prompt(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        thinking: bool | None = False,
        told: Mapping[str, object] = MappingProxyType({}),
    ) -> list[int]:
        """Token ids of a chat, as a rule up to where the assistant's answer begins.

        thinking: what the template is told as `enable_thinking`, None for nothing; one that knows no such word is the
        same for all. told: what else it gets. Raises ValueError for tools where the template has no place for them, and
        for images where it has none, or the model has no eyes.
        """
        if told.get("tools") and not self._takes_tools:
            raise ValueError(
                "tools: the chat template of the engine's tokenizer has no place for them; give another as "
                "engine.chat_template, or leave tools out"
            )
        images = images_of(messages)
        if images and self._eyes is None:
            raise ValueError(
                "images: this engine sees none; use a vision-language model with a vllm engine, or engine=endpoint"
            )
        if images and not self._takes_parts:
            raise ValueError(
                "images: the chat template of the engine's tokenizer has no place for them; give another as "
                "engine.chat_template"
            )
        more = {} if thinking is None else {"enable_thinking": thinking}
        ids = self._chat(messages, {"add_generation_prompt": add_generation_prompt, **more, **self._told(told)})
        return self._eyes.see(ids, images) if images and self._eyes is not None else ids

    def seeing(self, eyes: Eyes) -> "HuggingFaceTokenizer":
        """The same tokenizer, of a model that sees."""
        own = copy.copy(self)
        own._eyes = eyes
        return own

    def embedding_prompt(self, text: str, prefix: str = "", role: str = "none") -> list[int]:
        """Token ids of a text to embed behind its prefix, with the special tokens that the tokenizer puts around both.

        role: changes nothing.
        """
        whole = prefix + text
        ids: list[int] = self._backend.encode(whole.lower() if self._lowered else whole).ids
        return [*self._before, *ids, *self._after]

    def pair_prompt(self, first: str, second: str) -> TokenPair:
        """Token ids of two texts as a cross-encoder reads them, and how many belong to the first."""
        encoded = self._backend.encode(self.plain(first), self.plain(second))
        kinds: list[int] = encoded.type_ids
        ids = [*self._before, *encoded.ids, *self._after]
        return ids, len(self._before) + kinds.index(1) if 1 in kinds else len(ids)

    def conversation(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a finished chat; for a model with a reward token also its BOS, and that token at the end."""
        ids = self._chat(messages, {"add_generation_prompt": False, "enable_thinking": False})
        return ids if self._reward_token is None else [*self._begun(ids), self._reward_token]

    def turns(self, messages: Sequence[Message]) -> list[Message]:
        """The turns of a chat as they are told a template.

        Texts are data: a control token spelled out in one (`<|im_end|>`) gets a blank, lest it end its turn. A system
        turn is folded into the user's where the template has none.
        """
        plain: list[Message] = self._told(list(messages))
        return fold_system(plain) if self._folds_system else plain

    @property
    def huggingface(self) -> "PreTrainedTokenizerBase":
        """The tokenizer as transformers has it."""
        return self._tokenizer

    def plain_text(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        text: str = self._backend.decode(list(tokens), skip_special_tokens=True)
        return text

    def continuation(self, prompt: Sequence[int], tokens: Iterable[int]) -> Iterator[str]:
        """The text that each token adds after a prompt, without special ones: as vLLM tells it.

        A token that ends amid a character adds nothing yet.
        """
        from tokenizers.decoders import DecodeStream

        stream = DecodeStream(ids=list(prompt), skip_special_tokens=True)
        for token in tokens:
            try:
                piece = stream.step(self._backend, token)
            except Exception as error:  # tokenizers has no better class for this
                if "Invalid prefix" not in str(error):
                    raise
                # Bytes that are no text can make the stream lose its place: it goes on from this token.
                stream = DecodeStream(skip_special_tokens=True)
                piece = stream.step(self._backend, token)
            yield piece or ""

    def special_token(self, text: str) -> int | None:
        """The id of the special token that is written so; None where there is none."""
        return next(
            (i for i, t in self._tokenizer.added_tokens_decoder.items() if t.special and t.content == text), None
        )

    def _begun(self, ids: list[int]) -> list[int]:
        return [self._bos, *ids] if self._add_bos and self._bos is not None and ids[:1] != [self._bos] else ids

    def _chat(self, messages: Sequence[Message], told: Mapping[str, object]) -> list[int]:
        ids = self.encode(self._render([self._turn(message) for message in self.turns(messages)], told))
        doubled = self._bos is not None and ids[:2] == [self._bos, self._bos]
        return ids[1:] if doubled else ids

    def _turn(self, message: Message) -> dict[str, object]:
        """A turn as the template gets it: its texts one by one where there are several, or it takes none otherwise."""
        turn: dict[str, object] = {**message}
        parts = turn.pop("parts", None)
        if self._takes_parts and (parts or not self._takes_texts):
            turn["content"] = [_part(part) for part in message.get("parts", [message["content"]])]
        return turn

    def _told(self, value: Any) -> Any:
        """The same with all texts inside of it, keys included, made plain."""
        if isinstance(value, str):
            return self.plain(value)
        if isinstance(value, Mapping):
            return {self._told(key): self._told(one) for key, one in value.items()}
        return [self._told(one) for one in value] if isinstance(value, list) else value

    def _render(self, messages: Sequence[Mapping[str, object]], told: Mapping[str, object]) -> str:
        told = {"strftime_now": _TODAY.strftime, "date_string": _TODAY.strftime("%d %b %Y"), **told}
        try:
            text: str = self._tokenizer.apply_chat_template(list(messages), tokenize=False, **told)
        except Exception as error:  # a template is code: it may raise anything, for roles, documents or names it wants
            why = " ".join(str(error).split())[:200] or type(error).__name__
            raise ValueError(  # of this chat; `check` of a prompt tells whether it is so of all
                f"the chat template of the engine's tokenizer can't write this chat: {why}; give another as "
                "engine.chat_template, or use prompt.chat=never"
            ) from error
        return text

    @cached_property
    def _takes_parts(self) -> bool:
        """Whether the template goes through a turn's parts; others print the list as Python does, or fail."""
        text = self._tried([{"role": "user", "content": [{"type": "text", "text": _PROBE}]}])
        return _PROBE in text and not re.search(r"""['"]text['"]""", text)

    @cached_property
    def _takes_texts(self) -> bool:
        """Whether a turn may be one text; some templates read nothing of it."""
        return _PROBE in self._tried([Message(role="user", content=_PROBE)])

    @cached_property
    def _takes_tools(self) -> bool:
        """Whether the template writes what tools there are."""
        tool = {"type": "function", "function": {"name": _PROBE, "description": "", "parameters": {}}}
        return _PROBE in self._tried([Message(role="user", content="a")], tools=[tool])

    def _takes_system(self) -> bool:
        chat = [Message(role="system", content=_PROBE), Message(role="user", content="a")]
        return _PROBE in self._tried([self._turn(message) for message in chat])

    def _tried(self, messages: Sequence[Mapping[str, object]], **told: object) -> str:
        """What the template makes of a chat; nothing where it refuses ("System role not supported", says Gemma's)."""
        try:
            return self._render(messages, {"add_generation_prompt": True, "enable_thinking": False, **told})
        except ValueError:
            return ""


def _is_mark(token: str, template: str) -> bool:
    """Whether an added token is a mark of a chat template: no word, and no white space (Gemma has line breaks)."""
    return len(token.strip()) > 1 and not token.strip().isalnum() and token in template


def _part(part: str | Image) -> dict[str, object]:
    """A part of a turn as templates get it: of an image the place alone."""
    return {"type": "image"} if isinstance(part, Image) else {"type": "text", "text": part}


def _apart(token: re.Match[str]) -> str:
    return f"{token[0][0]} {token[0][1:]}"


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """The same chat with a leading system turn put before the first user turn's text, a blank line between."""
    if not messages or messages[0]["role"] != "system":
        return list(messages)
    system, rest = messages[0]["content"], list(messages[1:])
    if rest and rest[0]["role"] == "user":
        folded = Message(role="user", content=f"{system}\n\n{rest[0]['content']}")
        if images_of(rest[:1]):
            folded["parts"] = [f"{system}\n\n", *rest[0]["parts"]]
        return [folded, *rest[1:]]
    return [Message(role="user", content=system), *rest]
