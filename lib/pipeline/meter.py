"""How well a run uses its engines: what a worker reads after each shard, and what the shards of a run add up to."""

import math
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields

from lib.data.shards import Footer
from lib.engines.base import EngineConfig
from lib.engines.sizing import hardware
from lib.types import Served, TokenIds, Usage


@dataclass
class ShardUsage:
    """What some rows asked of an engine. lengths: tokens of requests; spelled: as of Footer; the rest as of Usage."""

    lengths: list[int] = field(default_factory=list)
    cached_tokens: int = 0
    queued: float = 0.0
    spelled: int = 0
    served: Served = field(default_factory=Served)

    def add(self, requests: Iterable[TokenIds], usage: Usage) -> None:
        """Count a call of the engine; of several, the fullest tells how full it was."""
        self.lengths += map(len, requests)
        self.cached_tokens += usage.cached_tokens
        self.queued = max(self.queued, usage.queued)
        self.served += usage.served


class Meter:
    """Reads what one worker takes of its GPUs and of time. Thread-safe: its shards overlap."""

    def __init__(self, config: EngineConfig) -> None:
        """Start the clock; find the worker's GPUs, if any."""
        self._gpus = hardware.visible()
        self._model = config.sizing() if self._gpus else None
        self._peak = None
        if self._model is None or self._model.device == "cpu":
            self._gpus = self._gpus[: math.ceil(config.num_gpus)]
        else:
            first = int(self._model.device.partition(":")[2] or 0)
            self._gpus = self._gpus[first : first + self._model.gpus]
            kind = hardware.detect()
            self._peak = kind.flops * self._model.gpus if kind else None
        self._turn = threading.Lock()
        self._last = time.monotonic()

    def read(self, work: ShardUsage) -> tuple[float, float | None, float | None]:
        """Seconds since the reading before (or the start), the GPUs' utilisation now, and the work's peak_seconds.

        Call it when the work is done. The last two are None without a GPU, peak_seconds also for one we don't know.
        """
        with self._turn:
            now = time.monotonic()
            seconds, self._last = now - self._last, now
        busy = hardware.utilization(self._gpus) if self._gpus else None
        if self._model is None or self._peak is None:
            return seconds, busy, None
        return seconds, busy, peak_seconds(self._model.flops(work.lengths), work, self._peak)


def peak_seconds(flops: float, work: ShardUsage, peak: float) -> float:
    """Seconds that some work takes at the peak of the hardware.

    flops: to read all of the work's tokens; those that the cache spared are taken off in proportion. peak: operations
    a second of all GPUs of the worker.
    """
    tokens = sum(work.lengths)
    return flops * (1 - work.cached_tokens / tokens) / peak if tokens else 0.0


class RunUsage:
    """What the shards of a run say of their engines together. Means are over time, so a long shard counts more."""

    def __init__(self, footers: Iterable[Footer] = ()) -> None:
        self.tokens = self.cached_tokens = 0
        self._seconds = self._queued = 0.0
        self.served = Served()
        self._gpu_seconds = self._busy = self._known_seconds = self._peak_seconds = 0.0
        for footer in footers:
            self.add(footer)

    def add(self, footer: Footer) -> None:
        """Count a finished shard."""
        self.tokens += footer.tokens
        self.cached_tokens += footer.cached_tokens
        self._seconds += footer.seconds
        self._queued += footer.queued * footer.seconds
        self.served += Served(**{each.name: getattr(footer, each.name) for each in fields(Served)})
        if footer.gpu_utilization is not None:
            self._gpu_seconds += footer.seconds
            self._busy += footer.gpu_utilization * footer.seconds
        if footer.peak_seconds is not None:
            self._known_seconds += footer.seconds
            self._peak_seconds += footer.peak_seconds

    def content(self) -> dict[str, float | int | None]:
        """For JSON: `seconds` and tokens a second are of one worker, of which a run may have several.

        cached_share: of the tokens, those that prefix caches spared. queued: requests inside an engine. gpu_utilization
        and mfu are in [0, 1], None without GPUs: mfu is Model FLOPs Utilisation, the model's arithmetic as a share of
        what the hardware could do in that time (Chowdhery et al. 2022, "PaLM", appendix B). Of a server also what
        `lib.types.Served` says.
        """
        return {
            "tokens": self.tokens,
            "seconds": round(self._seconds, 3),
            "tokens_per_s": _share(self.tokens, self._seconds, 1),
            "cached_share": _share(self.cached_tokens, self.tokens),
            "queued": _share(self._queued, self._seconds, 1),
            "gpu_utilization": _share(self._busy, self._gpu_seconds),
            "mfu": _share(self._peak_seconds, self._known_seconds),
            **(asdict(self.served) if self.served != Served() else {}),
        }

    def line(self) -> str:
        """What is known and not zero, for a log: starts with a comma where there is any."""
        content = self.content()
        shown = [("{:.0%} cached", "cached_share"), ("{:.0f} queued", "queued")]
        shown += [("GPU {:.0%}", "gpu_utilization"), ("MFU {:.0%}", "mfu"), ("cost {:.4g}", "cost")]
        return "".join(", " + text.format(content[key]) for text, key in shown if content.get(key))


def _share(part: float, whole: float, digits: int = 4) -> float | None:
    return round(part / whole, digits) if whole else None
