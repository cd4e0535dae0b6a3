"""What a prompt is for, by what it shows: among the configs of a job those are offered that ask what the job asks."""

from collections.abc import Collection
from enum import Enum

_RESPONSES = {"response_a", "conversation_a"}


class PromptUse(Enum):
    """What a prompt asks for."""

    choice = "which of two responses is better"
    relevance = "whether a passage answers a question"
    grade = "which of its labels a row deserves"
    text = "a text"


def asked_for(use: PromptUse) -> dict[str, PromptUse]:
    """The metadata of a config's field whose prompts are for this."""
    return {"use": use}


def use_of(slots: Collection[str], *, labels: bool) -> PromptUse:
    """What a prompt with these slots is for. labels: whether it has any."""
    if not _RESPONSES.isdisjoint(slots):
        return PromptUse.choice
    if not labels:
        return PromptUse.text
    return PromptUse.relevance if "passage" in slots else PromptUse.grade
