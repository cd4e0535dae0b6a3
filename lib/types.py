"""What tasks and engines exchange. Both import this; neither imports the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NotRequired, Protocol, TypedDict, runtime_checkable

import numpy as np
import numpy.typing as npt

from lib.images import Image

TokenIds = Sequence[int]

Label = tuple[tuple[int, ...], ...]
"""The token sequences that mean one label; their probabilities are summed."""

BATTLE_TEXTS = ("prompt", "response_a", "response_b")
"""The texts of a battle."""

PROBABILITIES = ("p_a", "p_b", "p_tie")
"""The columns of a battle's probabilities."""

VERDICTS = ("A", "B", "tie")
"""What a battle can end with, in the order of its probabilities: the words of labels and verdicts."""


def slot_column(name: str) -> str:
    """The column of canonical rows that holds what goes into a prompt's slot, as a list of texts."""
    return f"slot.{name}"


KEY = "row.key"
"""The column of canonical rows, and of shards, that holds a row's key (`lib/data/joining/keys.py`)."""


TokenPair = tuple[TokenIds, int]
"""Two texts as one request, and how many of its tokens belong to the first: all, where the model sees no difference."""


class Message(TypedDict):
    """One turn of a chat.

    parts: the texts that content joins, for templates that take them one by one, with the images between them. The
    other keys are as in OpenAI's chats, and for templates that know them.
    """

    role: str
    content: str
    parts: NotRequired[Sequence[str | Image]]
    name: NotRequired[str]
    reasoning: NotRequired[str]
    tool_calls: NotRequired[Sequence[Mapping[str, object]]]
    tool_call_id: NotRequired[str]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a server is told in place of token ids.

    messages: the turns of a chat; None where `texts` are the prompt: one, or two that are compared. begun: text that
    the answer begins with. add_generation_prompt, thinking, told: as of `Tokenizer.chat_prompt`.
    """

    messages: tuple[Message, ...] | None = None
    texts: tuple[str, ...] = ()
    begun: str = ""
    add_generation_prompt: bool = True
    thinking: bool | None = False
    told: Mapping[str, object] = field(default_factory=dict)


class ServerPrompt(list[int]):
    """A prompt for a model behind a server, which gets it as text; the list holds the tokens that we count it by."""

    def __init__(self, tokens: TokenIds, told: Told) -> None:
        super().__init__(tokens)
        self.told = told


def content_text(content: object, where: str) -> str:
    """The text of a turn's content, which is a text or a list of parts of type text. Raises ValueError for others."""
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    for part in parts:
        if not (isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)):
            raise ValueError(f"{where}: its content is neither a text nor a list of parts of type text")
    return "".join(str(part["text"]) for part in parts)


class Tokenizer(Protocol):
    """Turns text into token ids without any model weights. Thread-safe."""

    @property
    def has_chat_template(self) -> bool:
        """Whether the model was trained on chats (and so says how a chat is written)."""

    def spells_control(self, text: str) -> bool:
        """Whether a text spells out a control token (`<|im_end|>`), so that chats hold it with a blank in it."""

    def encode(self, text: str) -> list[int]:
        """Token ids of bare text: no BOS, no EOS."""

    def follow(self, prompt: TokenIds, text: str) -> list[int] | None:
        """Token ids by which a text continues a prompt; None where it can't without changing the prompt's tokens."""

    def begin(self, prompt: list[int], text: str) -> list[int]:
        """A prompt and the beginning of its answer behind it, in the tokens by which it follows, or those of its own.

        Raises ConfigError where the model can't be made to begin so.
        """

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Character range [start, end) of each token of `encode(text)`."""

    def plain(self, text: str) -> str:
        """A text of somebody else's in which no control token is spelled out."""

    def completion_prompt(self, text: str) -> list[int]:
        """Token ids of a prompt for a base model: one BOS (where the model has one), then the text."""

    def decode(self, tokens: TokenIds) -> str:
        """The text of token ids, special tokens included; a character that is not whole is U+FFFD."""

    def chat_prompt(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        thinking: bool | None = False,
        told: Mapping[str, object] = MappingProxyType({}),
    ) -> list[int]:
        """Token ids of a chat up to where the assistant's answer begins; exactly one BOS at most.

        A system turn is folded into the first user turn where the template has none. add_generation_prompt: whether
        the header of the assistant's turn stands at the end. thinking: whether a model that can do both reasons first;
        None: as the template has it. told: what else the template gets, by the names of transformers'
        `apply_chat_template` or its own. Raises ValueError where the template can't write this chat, or the model
        sees no images that it has.
        """

    def embedding_prompt(self, text: str, prefix: str = "", role: str = "none") -> list[int]:
        """Token ids of a text to embed, with what the tokenizer puts around it: [CLS] … [SEP], an end-of-text token.

        prefix: stands before it, as the model's prompt for its role: `query`, `document` or `none`. Control tokens that
        are spelled out in either count, as in a model's own prompts; make `plain` what is a row's.
        """

    def pair_prompt(self, first: str, second: str) -> TokenPair:
        """Two texts as a cross-encoder reads them: [CLS] query [SEP] passage [SEP], say."""

    def conversation(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a finished chat, as a reward model reads it; exactly one BOS at most.

        They end with the token at which the model's score is read, where it has one.
        """


@dataclass(frozen=True, kw_only=True)
class Served:
    """What a server says that its answers took; nothing of the kind where the model is in this process.

    prompt_tokens, completion_tokens: as it counts them. cost: by the config's prices. bounded: labels that were not
    among the tokens that it tells of, so that their probabilities are upper bounds. lost_mass: the most probability
    that the tokens it told of left to others, in any request about labels.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    bounded: int = 0
    lost_mass: float = 0.0

    def __add__(self, other: "Served") -> "Served":
        return Served(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cost=self.cost + other.cost,
            bounded=self.bounded + other.bounded,
            lost_mass=max(self.lost_mass, other.lost_mass),
        )


@dataclass(frozen=True)
class Usage:
    """What answering took.

    cached_tokens: of the prompts' tokens those that were not computed again, since another request began so too.
    queued: requests inside the engine meanwhile, on average: of all its callers, running or next in line.
    """

    cached_tokens: int = 0
    queued: float = 0.0
    served: Served = Served()


REFUSED = "the engine refused the request: "
"""How the error of a request begins that is at fault itself: of one with a token that the model doesn't have, say."""


class Reply(Protocol):
    """Any engine's answers: what answering took, beside them."""

    @property
    def usage(self) -> Usage:
        """What answering took."""


@dataclass(frozen=True)
class Answers:
    """What an engine answers to n requests, in their order.

    values: float32 [n, k]; rows of failed requests are NaN.
    errors: request number -> why it has no answer.
    """

    values: npt.NDArray[np.float32]
    errors: Mapping[int, str] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How text is generated.

    max_tokens: new tokens at most; fewer where engine.max_model_len or max_length (of prompt and output together) ends
    first. temperature: 0 is greedy, and the other parameters of the draw then have no effect. They apply in the order
    min_p, top_k (0 takes all tokens), top_p, epsilon_cutoff (tokens less likely than that are left out). num_beams:
    more than 1 searches for the likeliest texts instead. n: samples of each request, or of its beams the n best. stop:
    texts that end a sample, left out of it; one that is exactly a special token is met as that token. At most one of
    choice (the text is one of these), regex and json_schema.

    frequency_penalty, presence_penalty: taken from a token's logit, for each time that the sample has it already, and
    once if it has it at all. logit_bias: token id and what is added to its logit. min_tokens: the sample doesn't end
    before. ignore_eos: it ends by stops alone. stop_token_ids: tokens that end it, as stop texts do. include_stop: what
    ended it by these two is part of its text. tools: what the text may or has to call, as JSON text: an object with
    `tools`, `tool_choice` and `parallel_tool_calls` of OpenAI's chats. logprobs: how many of the likeliest tokens are
    told of each step, beside the one that was taken; None: nothing is.
    """

    max_tokens: int
    max_length: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    epsilon_cutoff: float = 0.0
    repetition_penalty: float = 1.0
    num_beams: int = 1
    n: int = 1
    stop: Sequence[str] = ()
    choice: Sequence[str] = ()
    regex: str | None = None
    json_schema: str | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Sequence[tuple[int, float]] = ()
    min_tokens: int = 0
    ignore_eos: bool = False
    stop_token_ids: Sequence[int] = ()
    include_stop: bool = False
    tools: str | None = None
    logprobs: int | None = None

    @property
    def constrained(self) -> bool:
        """Whether text has to keep to something."""
        return bool(self.choice) or self.regex is not None or self.json_schema is not None


@dataclass(frozen=True)
class TokenLogprob:
    """A token that was taken, special ones included, and natural-log probabilities at its step.

    They are the model's own: before penalties, biases, temperature and what a text has to keep to. top: the likeliest
    tokens, likeliest first.
    """

    token: str
    logprob: float
    top: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True)
class ToolCall:
    """A function that a text calls. arguments: JSON text, as the model wrote it."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Completion:
    """One generated text. finish_reason: `stop` (an end token or a stop text), `length`, or `tool_calls`.

    tokens: their ids, -1 for those that a server counts and does not name. logprobs: one for each token, where the
    sampling asks for them. calls: of tools, which are not in the text then.
    """

    text: str
    tokens: list[int]
    finish_reason: str
    logprobs: Sequence[TokenLogprob] | None = None
    calls: Sequence[ToolCall] = ()


@dataclass(frozen=True)
class Completions:
    """What a generating engine answers to n requests, in their order.

    texts: the samples of each request; none where it failed. errors: request number -> why it has no answer.
    """

    texts: list[list[Completion]]
    errors: Mapping[int, str] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)


@runtime_checkable
class LabelEngine(Protocol):
    """An engine that can tell how likely each label is to follow a prompt. Thread-safe.

    memory: bytes of its weights.
    """

    memory: int

    def label_logprobs(self, prompts: Sequence[TokenIds], labels: Sequence[Label]) -> Answers:
        """Natural-log probability of each label after each prompt, summed over its token sequences: [n, k].

        Not renormalised over the labels: exp of a row sums to the label mass.
        """


@runtime_checkable
class ClassEngine(Protocol):
    """An engine that puts a text into one of a few classes (a sequence classifier). Thread-safe.

    memory: bytes of its weights.
    """

    memory: int

    def class_logprobs(self, prompts: Sequence[TokenIds]) -> Answers:
        """Natural-log probability of each class for each text: [n, k], the classes in the order of the outputs."""


@runtime_checkable
class ScoreEngine(Protocol):
    """An engine that gives a finished conversation one score (a reward model). Thread-safe.

    memory: bytes of its weights.
    """

    memory: int

    def score(self, conversations: Sequence[TokenIds]) -> Answers:
        """Reward of each conversation, read at its last token: [n, 1]."""


@runtime_checkable
class GenerateEngine(Protocol):
    """An engine that writes text after a prompt. Thread-safe.

    memory: bytes of its weights.
    """

    memory: int

    def generate(self, prompts: Sequence[TokenIds], sampling: Sampling, seeds: Sequence[int]) -> Completions:
        """What follows each prompt, without the prompt.

        seeds: one for each prompt, unused where sampling is greedy; sample k draws from (seed, k) alone, never from
        what else is asked.
        """


@runtime_checkable
class EmbedEngine(Protocol):
    """An engine that gives each text a vector. Thread-safe.

    memory: bytes of its weights.
    """

    memory: int

    def embed(self, texts: Sequence[TokenIds]) -> Answers:
        """Vector of each text: [n, width]. Of length one, but of a model whose vectors are compared by dot product."""


@runtime_checkable
class RelevanceEngine(Protocol):
    """An engine that says how well a passage answers a query (a cross-encoder). Thread-safe.

    memory: bytes of its weights.
    """

    memory: int

    def relevance(self, pairs: Sequence[TokenPair]) -> Answers:
        """The model's one output for each pair of query and passage, without an activation: [n, 1]."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A text that was found.

    id: of its row in the corpus, or the link of a web page. score: higher is better; of one retriever comparable within
    a query. document, start, stop: where it stands in its source (characters [start, stop)), None where unknown.
    """

    id: str
    text: str
    score: float
    document: str | None = None
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True)
class Found:
    """Passages of n queries, best first; of one that failed none.

    errors: query number -> why it has none.
    """

    passages: list[list[Passage]]
    errors: Mapping[int, str] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)


@runtime_checkable
class SearchEngine(Protocol):
    """An engine that finds passages for a query (a retriever). Thread-safe.

    memory: bytes of its index.
    """

    memory: int

    def search(self, queries: Sequence[str], vectors: npt.NDArray[np.float32] | None, k: int) -> Found:
        """At most k passages for each query; fewer where the corpus is smaller or nothing else fits.

        vectors: [n, width]; None where the queries aren't embedded.
        """


class Engine(Protocol):
    """Any of them. memory: bytes of its weights."""

    memory: int


class Replies(Protocol):
    """Where a server's replies about some rows are kept until these rows are done. Thread-safe."""

    def get(self, key: str) -> str | None:
        """The reply to a request, if there was one. key: a hash of all that it asks."""

    def put(self, key: str, reply: str, cost: float) -> None:
        """Keep the reply to a request, before anything else is made of it."""


@runtime_checkable
class RemoteEngine(Protocol):
    """An engine that asks a server, where each answer may cost money: none is asked for again. Thread-safe."""

    memory: int

    def keeping(self, replies: Replies) -> "Engine":
        """The same engine, about some rows: it keeps its replies there, and asks only what isn't there."""

    def charge(self, cost: float) -> None:
        """Count what the run has spent before; shared among its workers."""

    def close(self) -> None:
        """Ask nothing more: whoever waits for an answer gets Unfinished."""
