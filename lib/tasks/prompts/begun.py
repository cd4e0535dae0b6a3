"""How a prompt has begun the answer: with the mark of reasoning, or with words of its own."""

from lib.types import TokenIds, Tokenizer

THINK, THOUGHT = "<think>", "</think>"  # what reasoning models put around their reasoning
_HEADER = 16  # tokens in which a chat template says that the reasoning begins


def begun_answer(prefix: str, request: TokenIds, tokenizer: Tokenizer) -> str:
    """What stands before a written answer: "<think>" where a request has opened the reasoning, and then its prefix.

    prefix: the prompt's own text there, `prompt.answer_prefix`. Empty where the answer is all the model's.
    """
    header = tokenizer.decode(request[-_HEADER - len(tokenizer.encode(prefix)) :]).removesuffix(prefix)
    return (THINK if header.rstrip().endswith(THINK) else "") + prefix
