"""Waiting for input files that somebody may still be writing."""

import time

from lib.data.reading.sources import Source, Stat, resolve, stat
from lib.errors import InputError
from lib.log import log

_PATIENCE = 600.0  # seconds, or ten times what was asked for
_LOOK_EVERY = 1.0


def settled(path: str, seconds: float) -> list[Source]:
    """The files that a path means, as `resolve` finds them, once all of them have stayed as they are for so long.

    How long ago a file was changed is told by its time of change, unless that lies in the future; from then on our own
    clock counts, which never jumps. Files that come while others are waited for are waited for as well.

    Raises InputError as `resolve` does, and where files are still being changed when patience ends.
    """
    if not seconds:
        return resolve(path)
    start, patience = time.monotonic(), max(_PATIENCE, 10 * seconds)
    known: dict[Source, tuple[Stat, float]] = {}  # as it is, and since when
    while True:
        found, now = resolve(path), time.monotonic()
        for source in found:
            state = stat(source)
            if source not in known:
                age = _age(state)
                known[source] = (state, now - (age or 0.0))
                if age is None:
                    log.info("waiting for %s, whose time of change does not tell whether it is finished", source.url)
                elif age < seconds:
                    log.info("waiting for %s, which was changed %.0f s ago", source.url, age)
            elif known[source][0] != state:
                known[source] = (state, now)
        youngest = max(found, key=lambda source: known[source][1])
        left = seconds - (now - known[youngest][1])
        if left <= 0:
            return found
        if now - start > patience:
            raise InputError(
                f"{youngest.url}: is still being changed after {now - start:.0f} s (data.settle={seconds:g}); run the "
                "same line again when it is finished, or give a data.path without it"
            )
        time.sleep(min(left, _LOOK_EVERY))


def _age(state: Stat) -> float | None:
    """Seconds since a file was changed; None where that is unknown or lies in the future."""
    age = None if state.mtime_ns is None else time.time() - state.mtime_ns / 1e9
    return None if age is None or age < 0 else age
