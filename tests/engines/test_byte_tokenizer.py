from lib.engines.byte_tokenizer import ByteTokenizer
from lib.types import Message

TOKENIZER = ByteTokenizer()


def test_bytes_are_tokens_and_chats_begin_alike() -> None:
    text = "a同😀"
    assert bytes(TOKENIZER.encode(text)).decode() == text
    assert TOKENIZER.spans(text) == [(0, 1), *[(1, 2)] * 3, *[(2, 3)] * 4]
    chat = [Message(role="user", content="hi")]
    conversation = TOKENIZER.conversation([*chat, Message(role="assistant", content="yo")])
    prompt = TOKENIZER.chat_prompt(chat)
    assert conversation[: len(prompt)] == prompt
    assert prompt[0] == conversation[0] == TOKENIZER.completion_prompt("")[0]
