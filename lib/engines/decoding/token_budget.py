"""Token budgets: how much each prompt leaves to write."""

from collections.abc import Sequence

from lib.types import Sampling, TokenIds


def token_budgets(
    prompts: Sequence[TokenIds], sampling: Sampling, max_model_len: int
) -> tuple[list[int], dict[int, str]]:
    """New tokens that may follow each prompt, at most; and prompt number -> why nothing can."""
    limit, key = max_model_len, f"engine.max_model_len={max_model_len}"
    if sampling.max_length is not None and sampling.max_length < max_model_len:
        limit, key = sampling.max_length, f"generate.max_length={sampling.max_length}"
    budgets = [min(sampling.max_tokens, limit - len(prompt)) for prompt in prompts]
    errors = {
        number: "the request is empty"
        if not prompt
        else f"the prompt's {len(prompt)} tokens leave no room to write: {key} counts prompt and output together"
        for number, prompt in enumerate(prompts)
        if not prompt or budgets[number] < 1
    }
    return budgets, errors
