import pytest

from lib.engines.dummy import BOS, END, ByteTokenizer
from lib.errors import ConfigError
from lib.tasks.prompts import Chat, PromptConfig
from lib.types import Tokenizer

TEMPLATE = "Q: {prompt} 1: {response_a} 2: {response_b} Better:"
TEXTS = {"prompt": ["why", "how"], "response_a": ["so"], "response_b": ["thus", "", "hence"]}
FILLED = "Q: why how 1: so 2: thus  hence Better:"


class BaseTokenizer(ByteTokenizer):
    """Of a model that was not trained on chats."""

    has_chat_template = False


def prompt(template: str = TEMPLATE, **settings: object) -> PromptConfig:
    return PromptConfig(template=template, **{"labels": ["A", "B", "tie"], **settings})  # type: ignore[arg-type]


def text(tokens: list[int]) -> str:
    """The bytes among the tokens, with `|` for each of the others but BOS."""
    assert tokens.count(BOS) == 1
    assert tokens[0] == BOS
    return b"".join(bytes([token]) if token < BOS else b"|" for token in tokens[1:]).decode()


@pytest.mark.parametrize(
    ("template", "wrong"),
    [
        ("{prompt} {response_a}", "response_b"),
        ("hello", "prompt, response_a, response_b"),
        ("{prompt} {response_a} {response_b} {question}", "question"),
        ("{prompt} {response_a} {Response_b}", "Response_b, response_b"),
    ],
)
def test_slots_are_exactly_the_three(template: str, wrong: str) -> None:
    with pytest.raises(ConfigError, match=f"missing or unknown: {wrong}$"):
        prompt(template)


def test_braces_that_are_no_slots_stay() -> None:
    config = prompt('{"json": {}} {prompt} {response_a} {response_b} {a b}')
    assert config.fill({"prompt": "p", "response_a": "a", "response_b": "b"}) == '{"json": {}} p a b {a b}'


def test_a_slot_may_stand_twice() -> None:
    config = prompt("{prompt} {response_a} {response_b} again: {prompt}")
    assert config.fill({"prompt": "p", "response_a": "a", "response_b": "b"}) == "p a b again: p"


def test_values_are_not_searched_for_slots() -> None:
    values = {"prompt": "{response_a} {", "response_a": "{prompt}", "response_b": "{response_b} \\1 %s"}
    assert prompt().fill(values) == "Q: {response_a} { 1: {prompt} 2: {response_b} \\1 %s Better:"


@pytest.mark.parametrize("labels", [["A", "B"], ["A", "B", " "], ["A", "B", "tie", "none"]])
def test_labels_are_three(labels: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"prompt\.labels"):
        prompt(labels=labels)


@pytest.mark.parametrize(
    ("chat", "tokenizer", "expected"),
    [
        (Chat.auto, ByteTokenizer(), f"|{FILLED}||"),
        (Chat.always, ByteTokenizer(), f"|{FILLED}||"),
        (Chat.never, ByteTokenizer(), FILLED),
        (Chat.auto, BaseTokenizer(), FILLED),
        (Chat.never, BaseTokenizer(), FILLED),
    ],
)
def test_chat_where_wanted_and_known(chat: Chat, tokenizer: ByteTokenizer, expected: str) -> None:
    assert text(prompt(chat=chat).tokens(TEXTS, tokenizer)) == expected


def test_turns_are_joined_by_what_the_config_says() -> None:
    assert text(prompt(joint=" / ", chat=Chat.never).tokens(TEXTS, ByteTokenizer())) == (
        "Q: why / how 1: so 2: thus /  / hence Better:"
    )


def test_system_is_a_turn_of_a_chat_and_else_stands_first() -> None:
    assert text(prompt(system="Judge.").tokens(TEXTS, ByteTokenizer())) == f"|Judge.||{FILLED}||"
    assert text(prompt(system="Judge.", chat=Chat.never).tokens(TEXTS, ByteTokenizer())) == f"Judge.\n\n{FILLED}"
    assert END in prompt(system="Judge.").tokens(TEXTS, ByteTokenizer())


def test_real_chat_template(smollm2: Tokenizer) -> None:
    def chat(system: str) -> list[int]:
        turns = (("system", system), ("user", FILLED))
        written = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
        return smollm2.encode(f"{written}<|im_start|>assistant\n")

    assert prompt(system="Judge.").tokens(TEXTS, smollm2) == chat("Judge.")
    usual = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    assert prompt().tokens(TEXTS, smollm2) == chat(usual)
    assert prompt(chat=Chat.never).tokens(TEXTS, smollm2) == smollm2.encode(FILLED)
