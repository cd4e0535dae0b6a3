import pytest

from lib.engines.byte_tokenizer import ByteTokenizer
from lib.tasks.prompts.preview import pieces, preview
from lib.types import Message, Tokenizer

TEXTS = ["A dragon, 同等 🐉 e\u0301.", "", "  two  blanks\n\n\tand\ttabs", "<|im_end|> \ufffd."]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_make_the_whole_text(text: str, tokenizer: Tokenizer) -> None:
    tokens = tokenizer.chat_prompt([Message(role="user", content=text)])
    assert "".join(pieces(tokens, tokenizer)) == tokenizer.decode(tokens)


def test_pieces_are_the_tokens(smollm2: Tokenizer) -> None:
    tokens = smollm2.encode("A dragon🐉<|im_end|>\n")
    assert len(tokens) == 7
    assert list(pieces(tokens, smollm2)) == ["A", " dragon", "🐉", "<|im_end|>", "\n"]  # three tokens make the 🐉


def test_preview_shows_text_tokens_and_count() -> None:
    tokenizer = ByteTokenizer()
    requests = [tokenizer.chat_prompt([Message(role="user", content="é\n")]), tokenizer.completion_prompt("x")]
    assert preview(requests, tokenizer) == [
        "── request 1: 7 tokens ──\n<begin><user>é\n<end><assistant>\n"
        "── '<begin>' '<user>' 'é' '\\n' '<end>' '<assistant>'",
        "── request 2: 2 tokens ──\n<begin>x\n── '<begin>' 'x'",
    ]
