"""The keys and groups of a job with the values they take, for completion."""

from collections.abc import Sequence
from importlib import import_module

import conf
from lib.composing import composed_alone
from lib.usage.keys import keys_of
from lib.usage.options import choices


def key_values(job: str, chosen: Sequence[str]) -> dict[str, list[str]]:
    """Each key and group of a job, as it is typed, with its values; with none where they can't be told.

    chosen: the configs that are chosen on the line; the usual ones where these do not compose.
    """
    config = import_module(f"jobs.{job}").JOB.config
    conf.register(job, config)
    found = {choice.key: list(choice.options) for choice in choices(job, config)}
    fit = [word for word in chosen if word.partition("=")[2] in found.get(word.partition("=")[0], ())]
    return found | {key.name: list(key.values) for key in keys_of(job, composed_alone(job, fit))}
