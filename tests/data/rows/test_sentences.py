import pytest

from lib.data.rows.chunking import ChunkBy, ChunkConfig, chunks
from lib.data.rows.sentences import sentences


@pytest.mark.parametrize(
    "expected",
    [
        ["It rains.", "It stops!", "Why?", "Nobody knows"],
        ["Dr. Smith paid 3.50 dollars, i.e. too much.", "He left at 5 p.m. on Jan. 3."],
        ["J. S. Bach wrote it.", "See Fig. 3 and No. 4.", "No.", "That was all."],
        ['She asked "Why?" and went.', '"I am here."', "(It was late.)", "The end…"],
        ["He waited... and waited.", "the dept. of trade agreed.", "lower case goes on here."],
        ["1. First things first.", "2. Then others."],
        ["A heading\n\n", "A text without a heading."],
        ["料金は千円です。", "本当ですか？", "はい！！", "終わり"],
        ["彼は「はい。」と言った。", "「いいえ。」", "「なぜ？」", "（おわり。）", "３．１４です．", "次"],
        ["これはOpenAI社のGPT-4.1です。", "はい。"],
    ],
)
def test_sentences_of_both_languages(expected: list[str]) -> None:
    blank = " " if expected[0].isascii() else ""
    text = blank.join(expected)
    found = [text[start:stop].strip() for start, stop in sentences(text)]
    assert [one for one in found if one] == [one.strip() for one in expected]


def test_every_chunk_is_bounded_and_nothing_is_lost() -> None:
    for text in ("word " * 2000, "あ" * 5000, "x" * 1501, "One, two. " * 300):
        for by in ChunkBy:
            found = chunks(text, ChunkConfig(by=by))
            assert max(len(chunk.text) for chunk in found) <= 500
            assert all(text[chunk.start : chunk.stop] == chunk.text for chunk in found)
            assert "".join("".join(chunk.text.split()) for chunk in found) == "".join(text.split())
