import itertools
import random
from pathlib import Path

import pytest

from lib.data.rows.chunking import Chunk, ChunkBy, ChunkConfig, Spans, chunks
from lib.engines.byte_tokenizer import ByteTokenizer
from lib.errors import ConfigError
from lib.types import Tokenizer

DELIMITER = ChunkConfig(by=ChunkBy.delimiter, max_characters=None)
PARAGRAPH = ChunkConfig(by=ChunkBy.paragraph, max_characters=None)


def words(text: str) -> list[tuple[int, int]]:
    """One token a word, its leading blank included, as byte-level tokenizers have it."""
    found, start = [], 0
    for place, character in enumerate(text):
        if place and character.isspace() and not text[place - 1].isspace():
            found.append((start, place))
            start = place
    return [*found, (start, len(text))] if text else []


def texts(document: str, config: ChunkConfig, spans: Spans | None = None) -> list[str]:
    found = chunks(document, config, spans)
    for chunk in found:
        place = document[chunk.start : chunk.stop]
        assert chunk.text == (place.replace("\n", " ").replace("\r", " ") if config.by is ChunkBy.paragraph else place)
        assert chunk.text == chunk.text.strip() != ""
    assert [c.start for c in found] == sorted(c.start for c in found)
    assert all(a.stop <= b.start for a, b in itertools.pairwise(found))
    return [chunk.text for chunk in found]


def test_by_delimiter() -> None:
    document = " 一つ。二\nつ。 。\n三つ目。四"
    assert texts(document, DELIMITER) == ["一つ", "二\nつ", "三つ目", "四"]
    assert texts(document, ChunkConfig(by=ChunkBy.delimiter, keep_delimiter=True)) == [
        "一つ。",
        "二\nつ。",
        "。",
        "三つ目。",
        "四",
    ]
    assert texts("a||b|c", ChunkConfig(by=ChunkBy.delimiter, delimiter="||")) == ["a", "b|c"]
    assert chunks(" 一つ。二", DELIMITER)[0] == Chunk("一つ", 1, 3)


def test_by_paragraph() -> None:
    config = ChunkConfig(by=ChunkBy.paragraph)
    assert texts("\n\na\nb\n\n \n c\r\n\r\nd\r\ne", config) == ["a b", "c", "d  e"]
    assert texts("one line", config) == ["one line"]


@pytest.mark.parametrize("by", list(ChunkBy))
def test_a_document_of_nothing_has_no_chunks(by: ChunkBy) -> None:
    assert chunks("", ChunkConfig(by=by)) == chunks(" \n\n　\n", ChunkConfig(by=by, max_tokens=3), words) == []


def test_uncut() -> None:
    assert chunks(" a。\n\nb ", ChunkConfig(by=ChunkBy.none)) == [Chunk("a。\n\nb", 1, 6)]


def test_counts_of_the_lecture_are_the_sources(shared: Path) -> None:
    """The source's split("。") has one more, the empty text behind the last 「。」."""
    raw, corrected = (
        (shared / "lecture" / name).read_text(encoding="utf-8") for name in ("LLM2024_day4_raw.txt", "LLM2024_day4.txt")
    )
    for document, count in ((raw, 306), (corrected, 350)):
        theirs = [text.strip() for text in document.split("。")]
        assert (len(theirs), theirs[-1]) == (count, "")
        assert texts(document, DELIMITER) == theirs[:-1]
    paragraphs = [text.replace("\n", " ").strip() for text in corrected.split("\n\n")]
    assert len(paragraphs) == 45
    assert texts(corrected, PARAGRAPH) == paragraphs
    assert len(texts(raw, PARAGRAPH)) == 1  # the speech recognition has none


def test_a_budget_cuts_at_the_end_of_a_sentence_or_a_word() -> None:
    config = ChunkConfig(by=ChunkBy.none, max_tokens=6)
    document = "a b c d. e f g, h i j k l m n o p"
    assert texts(document, config, words) == ["a b c d.", "e f g, h i j", "k l m n o p"]
    assert texts("3.14 " * 8, config, words) == [" ".join(["3.14"] * 6), "3.14 3.14"]
    characters = ChunkConfig(by=ChunkBy.none, max_tokens=8)
    assert texts(
        "ああああ。いい、ううううう、えええ", characters, lambda text: [(i, i + 1) for i in range(len(text))]
    ) == [
        "ああああ。",
        "いい、ううううう",
        "、えええ",
    ]


def test_a_budget_comes_on_top() -> None:
    config = ChunkConfig(by=ChunkBy.delimiter, max_tokens=3)
    assert texts("a b c d。e f。", config, words) == ["a b c", "d", "e f"]
    assert texts("a\nb\nc\nd\n\ne", ChunkConfig(by=ChunkBy.paragraph, max_tokens=3), words) == ["a b c", "d", "e"]


def test_a_character_is_never_cut() -> None:
    spans = ByteTokenizer().spans
    assert texts("a同b", ChunkConfig(by=ChunkBy.none, max_tokens=2), spans) == ["a", "同", "b"]
    assert texts("同じ", ChunkConfig(by=ChunkBy.none, max_tokens=5), spans) == ["同", "じ"]


def test_a_piece_that_has_more_tokens_by_itself_is_cut_earlier() -> None:
    def spans(text: str) -> list[tuple[int, int]]:  # a text that begins inside a word has one more token
        characters = [(i, i + 1) for i in range(len(text))]
        return characters if text.startswith("<") else [(0, 0), *characters]

    config = ChunkConfig(by=ChunkBy.none, max_tokens=4)
    found = texts("<23456789", config, spans)
    assert found == ["<234", "567", "89"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Of Japanese, among other languages."""
    from lib.engines.checkpoints import hub
    from lib.engines.checkpoints.tokenizer_loading import load

    folder = hub.folder("package:semantra_multilingual/assets/multilingual-e5-small", None)
    return load(folder, chat_template=None, add_bos=None, trust_remote_code=False, key="x")


@pytest.mark.parametrize("by", list(ChunkBy))
@pytest.mark.parametrize("most", [8, 32, 100])
def test_chunks_of_the_lecture_keep_the_budget(shared: Path, tokenizer: Tokenizer, by: ChunkBy, most: int) -> None:
    document = (shared / "lecture" / "LLM2024_day4.txt").read_text(encoding="utf-8")[:6000]
    config = ChunkConfig(by=by, max_tokens=most)
    found = chunks(document, config, tokenizer.spans)
    assert max(len(tokenizer.spans(chunk.text)) for chunk in found) <= most
    whole = chunks(document, ChunkConfig(by=by))
    letters = "".join("".join(chunk.text.split()) for chunk in found)
    assert letters == "".join("".join(chunk.text.split()) for chunk in whole), "nothing is lost"
    assert texts(document, config, tokenizer.spans) == [chunk.text for chunk in found]


def test_any_text_is_covered_within_the_budget() -> None:
    random.seed(0)
    for _ in range(300):
        document = "".join(random.choices("ab 。.、\n同", k=random.randrange(60)))
        config = ChunkConfig(by=random.choice(list(ChunkBy)), max_tokens=random.randrange(3, 9))
        found = texts(document, config, ByteTokenizer().spans)
        assert config.max_tokens is not None
        assert all(len(text.encode()) <= config.max_tokens for text in found)
        lost = "。" if config.by is ChunkBy.delimiter else ""
        assert "".join("".join(found).split()) == "".join(document.replace(lost or "\0", "").split())


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"delimiter": ""}, "chunk.delimiter"),
        ({"max_tokens": 0}, "chunk.max_tokens"),
        ({"max_characters": 0}, "chunk.max_char"),
    ],
)
def test_bad_values_are_refused(values: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        ChunkConfig(**values)  # type: ignore[arg-type]
