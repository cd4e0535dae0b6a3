"""How labels are spelled after a prompt, with tokenizers of the kinds that put a blank before a text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.errors import ConfigError
from lib.tasks.prompts.labels import ask_labels, label_sequences, spell
from lib.tasks.prompts.prompt import Chat, PromptConfig
from lib.types import Answers, Label, TokenIds

PIECES = ["<unk>", "<s>", "</s>", "\n", "▁", "A", "B", ":", "▁A", "▁B", "x", "▁x"]


def llama2(*, metaspace: bool = False) -> HuggingFaceTokenizer:
    """A BPE as Llama 2's: a blank is put before every text; A after a line break is the bare token.

    metaspace: as its newer files say the same, in the pre-tokenizer.
    """
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    merges = [("▁", "A"), ("▁", "B"), ("▁", "x")]
    backend = Tokenizer(BPE({piece: n for n, piece in enumerate(PIECES)}, merges, unk_token="<unk>"))
    if metaspace:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        backend.decoder = decoders.Metaspace(prepend_scheme="first", split=False)
    else:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")
    return HuggingFaceTokenizer(tokenizer, add_bos=True)


def ids(*pieces: str) -> tuple[int, ...]:
    return tuple(map(PIECES.index, pieces))


@pytest.mark.parametrize("metaspace", [False, True])
@pytest.mark.parametrize("prompt", ["x\n", "x:\n", "x " * 40 + "\n"])
def test_a_label_after_a_line_break_is_the_bare_token(prompt: str, metaspace: bool) -> None:
    tokenizer = llama2(metaspace=metaspace)
    request = tokenizer.completion_prompt(prompt)
    assert label_sequences(["A", "B"], tokenizer, request) == (
        (ids("A"), ids("▁A")),
        (ids("B"), ids("▁B")),
    )


def test_a_spelling_that_would_change_the_prompt_is_left_out() -> None:
    tokenizer = llama2()
    request = tokenizer.completion_prompt("x: ")  # "▁" at the end would become "▁A"
    assert label_sequences(["A", "B"], tokenizer, request) == ((ids("▁A"),), (ids("▁B"),))


def test_a_label_that_cannot_follow_is_refused() -> None:
    class Joins(HuggingFaceTokenizer):
        def follow(self, prompt: TokenIds, text: str) -> list[int] | None:
            return None

    tokenizer = Joins(llama2().huggingface)
    with pytest.raises(ConfigError, match=r"^prompt\.labels=\['A', 'B'\]: 'A' can't follow"):
        label_sequences(["A", "B"], tokenizer, tokenizer.completion_prompt("x"))


def test_an_answer_prefix_is_spelled_as_it_follows_the_chat() -> None:
    tokenizer = llama2()
    tokenizer.huggingface.chat_template = "{{ messages[0]['content'] + '\\n' }}"
    tokenizer = HuggingFaceTokenizer(tokenizer.huggingface, add_bos=True)
    prompt = PromptConfig(template="x", chat=Chat.always, answer_prefix="A:")
    assert tuple(prompt.tokens({}, tokenizer)) == ids("▁x", "\n", "A", ":")


class Records:
    """Answers with the first token of the first label; remembers what was asked."""

    memory = 0

    def __init__(self) -> None:
        self.asked: list[int] = []

    def label_logprobs(self, prompts: Sequence[TokenIds], labels: Sequence[Label]) -> Answers:
        self.asked.append(len(prompts))
        return Answers(np.array([[label[0][0] for label in labels]] * len(prompts), np.float32), {})


def test_each_prompt_is_asked_with_its_own_spellings() -> None:
    tokenizer, engine = llama2(), Records()
    requests = [tokenizer.completion_prompt(text) for text in ("x\n", "x: ", "x x\n")]
    answers = ask_labels(engine, requests, [*spell(["A", "B"], tokenizer, requests)[:2], "why"], 2)
    assert engine.asked == [1, 1]
    assert answers.errors == {2: "why"}
    np.testing.assert_array_equal(answers.values[:2], [[*ids("A", "B")], [*ids("▁A", "▁B")]])
    assert np.isnan(answers.values[2]).all()
