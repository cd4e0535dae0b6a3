"""Chaos with a store of answers: two runs that share one, of which one is killed, and bits that are flipped in it."""

import json
import random
import shutil
import signal
import time
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as ds

from lib.data.joining.keys import KEY
from tests.chaos.driver import SLOW, begin, finish
from tests.chaos.sound import Sound

_ROWS = 30
_INPUTS = {"left": range(20), "right": range(10, 30), "union": range(_ROWS)}


class Stores:
    """Tries below a folder, each with a store of its own."""

    def __init__(self, folder: Path) -> None:
        """Make the inputs, their undisturbed runs without a store, and a store of two segments."""
        self._folder = folder
        folder.mkdir()
        self._sound, begun = {}, time.monotonic()
        for name, numbers in _INPUTS.items():
            rows = "".join(f'{n},"[""question {n}""]","[""answer {n}""]","[""other {n}""]"\n' for n in numbers)
            (folder / f"{name}.csv").write_text("id,prompt,response_a,response_b\n" + rows)
            self._run_well(folder / name, name, SLOW)
            self._sound[name] = Sound(folder / name)
        self._seconds = (time.monotonic() - begun) / len(_INPUTS)
        for name in ("left", "right"):
            self._run_well(folder / f"stored-{name}", name, f"store.dir={folder}/store")

    def two_runs(self, place: Path, moments: random.Random) -> tuple[str, str]:
        """Two runs of overlapping inputs at once, of which one is killed and resumed; then one of all rows, or before.

        Returns what is wrong ("" if nothing), and what was said.
        """
        store, names = f"store.dir={place}/store", ["left", "right"]
        victim, number = moments.choice(names), moments.choice([signal.SIGKILL, signal.SIGTERM])
        after, killed, said = moments.uniform(0, self._seconds), 0, ""
        while killed == 0:  # one that ended before is no try
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            lines = {name: self._line(name, SLOW, store) for name in names}
            runs = [
                begin(place / name, line, number=number if name == victim else None, after=after)
                for name, line in lines.items()
            ]
            codes = {}
            for name, child in zip(names, runs, strict=True):
                codes[name], more = finish(child, place / name)
                said += more
            killed, after = codes.pop(victim), moments.uniform(0, after)
        if any(codes.values()) or killed not in (-number, 128 + number):
            return "other", f"{said}\nexit codes {killed} after {number.name} and {codes}"
        order = [victim, "union"] if moments.random() < 0.5 else ["union", victim]
        for name in order:
            stored = _stored(place / "store")
            code, more = finish(begin(place / name, self._line(name, store)), place / name)
            said += more
            if code:
                return "lost", said
            if name == "union" and (computed := _computed(place / name)) != _ROWS - stored:
                return "other", f"{said}\n{computed} rows computed where {stored} of {_ROWS} were stored"
        if (stored := _stored(place / "store")) != _ROWS:
            return "lost", f"{said}\n{stored} of {_ROWS} rows are in the store"
        return next(filter(None, (self._sound[name].differs(place / name) for name in _INPUTS)), ""), said

    def flip(self, place: Path, moments: random.Random) -> tuple[str, str]:
        """Flip a bit in a segment, and run on that store: the same result; what is lost is computed, and named."""
        shutil.copytree(self._folder / "store", place / "store")
        file = moments.choice(sorted(place.glob("store/*/*.parquet")))
        content = bytearray(file.read_bytes())
        content[moments.randrange(len(content))] ^= 1 << moments.randrange(8)
        file.write_bytes(content)
        code, said = finish(begin(place / "union", self._line("union", f"store.dir={place}/store")), place / "union")
        if code:
            return "lost", said
        if (computed := _computed(place / "union")) and f"{file}: damaged" not in said:
            return "other", f"{said}\n{computed} rows computed, and {file} is not named"
        return self._sound["union"].differs(place / "union"), said

    def _line(self, name: str, *more: str) -> list[str]:
        return [f"data.path={self._folder}/{name}.csv", *more]

    def _run_well(self, run: Path, name: str, *more: str) -> None:
        code, said = finish(begin(run, self._line(name, *more)), run)
        assert code == 0, said


def _computed(run: Path) -> int:
    return int(json.loads((run / "metrics.json").read_text())["computed"])


def _stored(store: Path) -> int:
    """How many different rows a store has answers to."""
    files = sorted(map(str, store.glob("*/*.parquet")))
    return len(pc.unique(ds.dataset(files).to_table([KEY])[KEY])) if files else 0
