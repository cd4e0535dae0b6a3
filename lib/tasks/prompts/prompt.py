"""Prompts: `conf/prompt/*.yaml` as a template with named slots, worked examples and a system turn."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any

from lib.config import later, transient
from lib.errors import ConfigError
from lib.images import Image
from lib.scoring.aggregates.judgements import Aggregate
from lib.tasks.prompts.examples import ANSWER, check_example, read_examples, require_text
from lib.types import Message, Tokenizer

_BRACES = re.compile(r"\{\{|\}\}|\{(\w+)\}|[{}]")


class Chat(Enum):
    """Whether a prompt is put as a chat: `auto` where the tokenizer has a chat template."""

    auto = "auto"
    always = "always"
    never = "never"


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """What is asked, with slots for a row's texts.

    template: text with slots as {name}; a literal brace is doubled. joint: what stands between the texts of one slot.
    labels: the answers among which a task chooses; those of grades begin with a number each, in ascending order.
    decimals: a written grade may lie between two of them. means: of a judge's labels, what each says of the responses
    that it is shown: `a` (the first is better), `b` or `tie`; three labels mean this in this order anyway, and two the
    first two. weights: of the labels in a weighted win rate; 1 each unless given. turn: how an exchange is written in
    the slots of conversations, with {prompt} and {response}; `joint` stands between them. aggregate: how the verdicts
    of a run are summed up in its report and metrics, as the benchmark of the prompt does it. system: a first turn,
    without slots; before everything else where there are no turns. examples: rows with their answers, each a mapping
    from every slot, and from `answer`, to a text (or a list of texts). examples_file: the same as .jsonl, .csv or
    .yaml, in place of `examples`. shots: only the first so many; null: all. In a chat they are turns of user and
    assistant; else texts. example_joint: what stands after each of these. answer_joint: what stands between the
    question and the answer of one. chat: whether the prompt is a turn of a chat; auto: where there is a template.
    add_generation_prompt: a chat ends with the header of the assistant's turn. thinking: a model whose chat template
    has the switch (`enable_thinking`) reasons before it answers; others are as they are. answer_prefix: text that the
    answer is begun with, of the last turn only; label_prefix: the same in place of it where the probabilities of labels
    are asked for, not a text. images: fields of the table that the last turn of a chat shows as images, before its
    text. preview: requests to show, in place of a run.
    """

    template: str
    labels: list[Any] = field(default_factory=list)  # not list[str], which would make "True" of a bare yes
    decimals: bool = later(default=False)
    means: list[str] = later(default_factory=list)  # noqa: RUF009  a list for each
    weights: list[float] = transient(default_factory=list)  # noqa: RUF009
    turn: str = later(default="")
    aggregate: Aggregate | None = later(default=None, rule=True)  # noqa: RUF009  an Enum can't change
    system: str | None = None
    joint: str = " "
    examples: list[dict[str, Any]] = field(default_factory=list)
    examples_file: str | None = transient(default=None)
    shots: int | None = transient(default=None)
    example_joint: str = "\n\n"
    answer_joint: str = " "
    chat: Chat = Chat.auto
    add_generation_prompt: bool = True
    thinking: bool = False
    answer_prefix: str = ""
    label_prefix: str = later(default="")
    images: list[str] = later(default_factory=list)  # noqa: RUF009
    preview: int = transient(default=0)

    def __post_init__(self) -> None:
        for label in self.labels:
            require_text(label, f"prompt.labels={self.labels}")
            if not label.strip():
                raise ConfigError(f"prompt.labels={self.labels}: a label is empty")
        for key in ("decimals", "label_prefix", "means", "weights", "aggregate"):
            if getattr(self, key) and not self.labels:
                raise ConfigError(f"prompt.{key}: has no effect without prompt.labels; leave it out")
        for key in ("means", "weights"):
            if (given := getattr(self, key)) and len(given) != len(self.labels):
                raise ConfigError(f"prompt.{key}={given}: must have one for each of prompt.labels={self.labels}")
        if not set(self.means) <= {"a", "b", "tie"}:
            raise ConfigError(f"prompt.means={self.means}: each must be a, b or tie")
        if not all(0 < weight < math.inf for weight in self.weights):
            raise ConfigError(f"prompt.weights={self.weights}: each must be a number above 0")
        if self.turn and not {"{prompt}", "{response}"} <= set(re.findall(r"\{\w+\}", self.turn)):
            raise ConfigError("prompt.turn: must have {prompt} and {response}, where those of an exchange go")
        if self.shots is not None and self.shots < 0:
            raise ConfigError(f"prompt.shots={self.shots}: must not be negative; null shows all examples")
        if self.preview < 0:
            raise ConfigError(f"prompt.preview={self.preview}: must not be negative; 0 shows none")
        if self.answer_prefix and not self.add_generation_prompt:
            raise ConfigError(
                "prompt.answer_prefix: begins an answer whose turn prompt.add_generation_prompt=false leaves out; "
                "use one of them"
            )
        if not self.add_generation_prompt and self.chat is Chat.never:
            raise ConfigError(
                "prompt.add_generation_prompt=false: is told to a chat template, which prompt.chat=never leaves out"
            )
        if self.images and self.chat is Chat.never:
            raise ConfigError(f"prompt.images={self.images}: chats alone show images; leave prompt.chat=never out")
        if len(set(self.images)) < len(self.images) or self.slots.intersection(self.images):
            raise ConfigError(f"prompt.images={self.images}: each is shown once, and not as a text, too")
        if self.thinking and self.chat is Chat.never:
            raise ConfigError("prompt.thinking=true: is told to a chat template, which prompt.chat=never leaves out")
        _ = self._pieces, self._shots  # what is wrong with them is said now

    @property
    def slots(self) -> frozenset[str]:
        """The names of the template's slots."""
        return frozenset(self._pieces[1::2])

    def require(self, slots: Collection[str], key: str = "prompt.template") -> None:
        """Raise ConfigError, naming `key`, unless the template has exactly these slots."""
        missing, unknown = set(slots) - self.slots, self.slots - set(slots)
        if missing or unknown:
            wrong = [
                f"{what}: {_slots(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names
            ]
            needs = f"needs {_slots(slots)} and no other slot" if slots else "must have no slots"
            raise ConfigError(f"{key}: {needs}; {'; '.join(wrong)} (a literal brace is doubled)")

    def require_labels(self, *meanings: str) -> None:
        """Raise ConfigError unless there is one label for each of these meanings."""
        if len(self.labels) != len(meanings):
            raise ConfigError(
                f"prompt.labels={self.labels}: needs {len(meanings)} labels, in this order: {', '.join(meanings)}"
            )

    def require_unset(self, *keys: str, why: str) -> None:
        """Raise ConfigError where one of these settings is set, though it has no effect. why: when it has none."""
        for key in keys:
            if getattr(self, key):
                raise ConfigError(f"prompt.{key}: has no effect {why}; leave it out")

    @property
    def for_labels(self) -> "PromptConfig":
        """The prompt where the probabilities of its labels are asked for."""
        return replace(self, answer_prefix=self.label_prefix or self.answer_prefix, label_prefix="")

    @property
    def for_text(self) -> "PromptConfig":
        """The prompt where the answer is written."""
        return replace(self, label_prefix="")

    def check(self, tokenizer: Tokenizer) -> None:
        """Raise ConfigError where this tokenizer can't write the prompt as a chat though it should."""
        if self.chat is Chat.always and not tokenizer.has_chat_template:
            raise ConfigError("prompt.chat=always: the engine's tokenizer has no chat template; use auto or never")
        try:
            chats = [tokenizer.chat_prompt([_user(text)]) for text in ("", "a")] if self.is_chat(tokenizer) else []
        except ValueError as error:
            raise ConfigError(f"prompt.chat: {error}") from error
        if chats and chats[0] == chats[1]:
            raise ConfigError(
                "prompt.chat: the chat template of the engine's tokenizer leaves out what the user says (it may be for "
                "a reranker's roles); give another as engine.chat_template, or use prompt.chat=never"
            )

    @property
    def shown(self) -> Sequence[tuple[str, str]]:
        """The examples that are shown: question and answer."""
        return self._shots

    def fill(self, values: Mapping[str, str]) -> str:
        """The template with its slots filled; values are never searched for slots."""
        return "".join(values[piece] if index % 2 else piece for index, piece in enumerate(self._pieces))

    def tokens(
        self,
        values: Mapping[str, Sequence[str]],
        tokenizer: Tokenizer,
        *,
        images: Sequence[Image] = (),
        finished: bool = False,
    ) -> list[int]:
        """Token ids of the whole request for the texts of each slot, up to where the answer begins.

        images: that the last turn of a chat shows. finished: nothing is to follow; what the tokenizer puts around a
        whole text stands around one that is no chat. Raises ValueError for images that can't be shown.
        """
        if images and not self.is_chat(tokenizer):
            raise ValueError("chats alone show images, and the engine's tokenizer has no chat template")
        chat = self.is_chat(tokenizer)  # a chat's texts are made plain by the tokenizer, control tokens of ours too
        joined = {name: self.joint.join(texts) for name, texts in values.items()}
        text = self.fill(joined if chat else {name: tokenizer.plain(text) for name, text in joined.items()})
        if not chat:
            written = self._as_text(text)
            return tokenizer.embedding_prompt(written) if finished else tokenizer.completion_prompt(written)
        ids = tokenizer.chat_prompt(
            self._as_chat(text, images), add_generation_prompt=self.add_generation_prompt, thinking=self.thinking
        )
        return tokenizer.begin(ids, self.answer_prefix) if self.answer_prefix else ids

    def contents(self) -> Mapping[str, Any]:
        """For the fingerprint: the examples that are shown, wherever they come from."""
        return {"examples": [list(shot) for shot in self._shots]}

    def is_chat(self, tokenizer: Tokenizer) -> bool:
        """Whether the prompt is put as a chat."""
        return self.chat is Chat.always or (self.chat is Chat.auto and tokenizer.has_chat_template)

    def _as_chat(self, text: str, images: Sequence[Image]) -> list[Message]:
        system = [Message(role="system", content=self.system)] if self.system else []
        shots = [(_user(question), Message(role="assistant", content=answer)) for question, answer in self._shots]
        return [*system, *(turn for shot in shots for turn in shot), _user(text, images)]

    def _as_text(self, text: str) -> str:
        shots = [f"{question}{self.answer_joint}{answer}{self.example_joint}" for question, answer in self._shots]
        system = f"{self.system}\n\n" if self.system else ""
        begun = f"{self.answer_joint}{self.answer_prefix}" if self.answer_prefix else ""
        return "".join([system, *shots, text, begun])

    @cached_property
    def _pieces(self) -> list[str]:
        """The template, split: fixed text at even places, slot names at odd ones."""
        pieces, fixed, end = [], "", 0
        for found in _BRACES.finditer(self.template):
            fixed += self.template[end : found.start()]
            end = found.end()
            if found[1]:
                pieces += [fixed, found[1]]
                fixed = ""
            elif found[0] in ("{{", "}}"):
                fixed += found[0][0]
            else:
                line = self.template.count("\n", 0, found.start()) + 1
                raise ConfigError(
                    f"prompt.template, line {line}: a lone {found[0]}; a slot is written {{name}}, a literal brace is "
                    f"doubled: {2 * found[0]}"
                )
        return [*pieces, fixed + self.template[end:]]

    @cached_property
    def _shots(self) -> list[tuple[str, str]]:
        """The examples that are shown: question and answer."""
        given, where = self.examples, "prompt.examples"
        if self.examples_file is not None:
            if given:
                raise ConfigError("prompt.examples, prompt.examples_file: give one of the two")
            given, where = read_examples(self.examples_file), f"prompt.examples_file={self.examples_file}"
        checked = [check_example(example, self.slots, f"{where}, example {n}") for n, example in enumerate(given, 1)]
        if self.shots is not None and self.shots > len(checked):
            raise ConfigError(f"prompt.shots={self.shots}: {where} has {len(checked)}")
        questions = [self.fill({slot: self.joint.join(texts[slot]) for slot in self.slots}) for texts in checked]
        answers = [texts[ANSWER][0] for texts in checked]
        return list(zip(questions, answers, strict=True))[: self.shots]


def _user(text: str, images: Sequence[Image] = ()) -> Message:
    turn = Message(role="user", content=text)
    if images:
        turn["parts"] = [*images, text] if text else [*images]
    return turn


def _slots(names: Collection[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))
