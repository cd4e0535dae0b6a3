"""The keys of a body, read strictly: what can't be done as asked is refused, never passed over."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

_LABELS = {"model", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
           "prompt_cache_retention", "prediction", "request_id"}  # fmt: skip

# What can only be asked for in the way it is anyway: key -> the values that ask for nothing else, and why not.
OFF: dict[str, tuple[Sequence[Any], str]] = {
    "stream": ((False,), "a batch file is not streamed"),
    "tool_choice": (("none", "auto"), "there are no tools"),
    "parallel_tool_calls": ((False, True), "there are no tools"),
    "functions": (([],), "the old name of tools; use these"),
    "modalities": ((["text"],), "models here write text"),
    "include_reasoning": ((True,), "what a model reasons is part of its text"),
    "use_beam_search": ((False,), "searches are not supported in batch files"),
    "skip_special_tokens": ((True,), "texts are without special tokens"),
    "add_special_tokens": ((False,), "chats have those that the template writes"),
    "echo": ((False,), "texts are without their prompts"),
    "best_of": ((1,), "all samples are kept; use n"),
    "suffix": (("",), "models here write what follows a prompt"),
    "background": ((False,), "a batch is not waited for anyway"),
    "truncation": (("disabled",), "requests are not cut"),
}


class Keys:
    """The keys of a body, each to be taken once; null is as good as absent. All raise ValueError, saying why."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._left = {key: value for key, value in body.items() if value is not None and key not in _LABELS}

    def take(self, key: str, kinds: type | tuple[type, ...], what: str, default: Any = None) -> Any:
        """The value of a key, of one of these types. what: these in words."""
        value = self._left.pop(key, default)
        if value is not default and (not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool)):
            raise ValueError(f"{key}={short(value)}: must be {what}")
        return value

    def number(self, key: str, default: float) -> float:
        """A number."""
        value = self.take(key, (int, float), "a number", default)
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{key}={short(value)}: too large") from None

    def within(self, key: str, default: float, least: float, most: float) -> float:
        """A number in [least, most]."""
        value = self.number(key, default)
        if not least <= value <= most:
            raise ValueError(f"{key}={short(value)}: must be in [{least:g}, {most:g}]")
        return value

    def whole(self, key: str, default: int | None) -> int | None:
        """A whole number, of any size."""
        value: int | None = self.take(key, int, "a whole number", default)
        return value

    def whole_within(self, key: str, least: int, most: int) -> int | None:
        """A whole number in [least, most], if there is one."""
        value = self.whole(key, None)
        if value is not None and not least <= value <= most:
            raise ValueError(f"{key}={short(value)}: must be in [{least}, {most}]")
        return value

    def switch(self, key: str, default: bool = False) -> bool:
        """True or false."""
        value: bool = self.take(key, bool, "true or false", default)
        return value

    def texts(self, key: str) -> list[str] | None:
        """A text or a list of texts."""
        value = self.take(key, (str, list), "a text or a list of texts")
        texts = [value] if isinstance(value, str) else value
        if texts is not None and not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{key}={short(value)}: must be a text or a list of texts (token ids are not supported)")
        return texts

    def finish(self, *off: str) -> None:
        """Refuse what is left. off: keys of OFF that may be there in the way they are meant anyway."""
        for key, value in self._left.items():
            if key not in off:
                raise ValueError(f"unknown key {key!r}; if it changes no answer, leave it out")
            usual, why = OFF[key]
            if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in usual):
                raise ValueError(f"{key}={short(value)}: {why}; leave it out")


def short(value: object) -> str:
    """A value in a message."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"
