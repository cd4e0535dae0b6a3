"""Asks a server: many requests at once, each until it is answered or given up, and none that was answered before."""

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from lib.engines.endpoint.asks import Ask
from lib.engines.endpoint.limits import Budget, Pace, Prices
from lib.engines.endpoint.reply_reading import BadReply, Reply, counts
from lib.engines.endpoint.tries import Busy, Faulty, Good, Outcome, Over, Refused, outcome, wait_seconds
from lib.errors import Unfinished
from lib.types import Replies
from lib.urls import is_here

if TYPE_CHECKING:
    import httpx

_PATIENCE_WITH_ONE = 4  # times engine.patience: a request that alone is told to wait
_CONNECTING = 20.0  # seconds; and for as long as that a connection may be waited for

Read = TypeVar("Read")


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How a server is asked. key: sent as a bearer token; key_variable: where it comes from, for messages.

    timeout: seconds of a try; tries: of a request, at most; patience: seconds without any answer from the server.
    """

    url: str
    key: str | None
    key_variable: str | None
    max_in_flight: int
    requests_per_minute: float | None
    tokens_per_minute: float | None
    timeout: float
    tries: int
    patience: float
    max_cost: float | None
    prices: Prices


class Client:
    """A thread with the connections to a server. `ask` may be called from several threads: they share all limits."""

    def __init__(self, manners: Manners) -> None:
        self._manners = manners
        self._pace = Pace(manners.requests_per_minute, manners.tokens_per_minute, time.monotonic)
        self.budget = Budget(manners.max_cost)
        self._rng = random.Random()
        self._over: str | None = None
        self._in_flight = self._sent = self._load = 0
        self._last_good = time.monotonic()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="endpoint", daemon=True).start()
        self._room = asyncio.Semaphore(manners.max_in_flight)
        self._changed = asyncio.Condition()
        self._http = self._wait_for(self._connect())

    @property
    def load(self) -> tuple[int, int]:
        """Requests sent so far, and those that were in flight with each of them, summed."""
        return self._sent, self._load

    def ask(
        self, asks: Sequence[Ask], read: Callable[[Reply], Read | Refused], replies: Replies | None
    ) -> list[tuple[Read | Refused, Reply]]:
        """What is read out of the answer to each request, and the answer; what a request came to otherwise.

        read: raises BadReply for an answer of another shape. replies: where answers are kept, and looked for first.
        Raises Unfinished where nothing more can be asked; what is in flight then is waited for, and kept.
        """
        return self._wait_for(self._ask_all(asks, read, replies))

    def _wait_for(self, doing: Coroutine[Any, Any, Read]) -> Read:
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result()

    async def _connect(self) -> "httpx.AsyncClient":
        import httpx

        key = self._manners.key
        return httpx.AsyncClient(
            headers={} if key is None else {"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(self._manners.timeout, connect=_CONNECTING),
            limits=httpx.Limits(max_connections=self._manners.max_in_flight, max_keepalive_connections=None),
            follow_redirects=False,
            trust_env=not is_here(self._manners.url),
        )

    async def _ask_all(
        self, asks: Sequence[Ask], read: Callable[[Reply], Read | Refused], replies: Replies | None
    ) -> list[tuple[Read | Refused, Reply]]:
        found = await asyncio.gather(*(self._ask(ask, read, replies) for ask in asks), return_exceptions=True)
        raised = [each for each in found if isinstance(each, BaseException)]
        if raised:
            if self._over is not None:  # of other callers, too: what is paid for is not thrown away
                async with self._changed:
                    await self._changed.wait_for(lambda: self._in_flight == 0)
            raise next((error for error in raised if not isinstance(error, Unfinished)), raised[0])
        return [each for each in found if not isinstance(each, BaseException)]

    async def _ask(
        self, ask: Ask, read: Callable[[Reply], Read | Refused], replies: Replies | None
    ) -> tuple[Read | Refused, Reply]:
        key = ask.key

        def keep(text: str, cost: float) -> None:
            if replies is None:
                return
            try:
                replies.put(key, text, cost)
            except OSError as error:
                self._end(f"answers can't be kept ({error})")
                raise

        async with self._room:
            if replies is not None and (kept := replies.get(key)) is not None:  # perhaps since a moment ago
                return _kept(kept, read)
            return await self._until_answered(ask, read, keep)

    async def _until_answered(
        self, ask: Ask, read: Callable[[Reply], Read | Refused], keep: Callable[[str, float], object]
    ) -> tuple[Read | Refused, Reply]:
        manners, faults, waits, since = self._manners, 0, 0, time.monotonic()
        while True:
            await self._turn(ask)
            cost = 0.0
            try:
                came = await self._try(ask)
                if isinstance(came, Good):
                    took = counts(came.reply)
                    cost = manners.prices.cost(took.prompt or ask.tokens, took.completion, took.cached)
                    if took.prompt:
                        self._pace.give_back(ask.tokens + ask.output - took.prompt - took.completion)
                    try:
                        found = read(came.reply)
                    except BadReply as error:
                        came = Faulty(f"the server's answer is not what was asked for: {error}")
                    else:
                        self._last_good = time.monotonic()
                        keep(json.dumps(came.reply), cost)
                        return found, came.reply
                if isinstance(came, Refused):
                    self._last_good = time.monotonic()
                    keep(json.dumps({"refused": came.why}), 0.0)
                    return came, {}
            finally:
                await self._settle(ask, cost)
            if isinstance(came, Over):
                self._end(came.why)
            elif isinstance(came, Busy):
                waits += 1
                silent = time.monotonic() - max(self._last_good, since)
                if silent + (came.after or 0) > manners.patience:
                    self._end(
                        f"{came.why}. The server has answered nobody for {silent:.0f} s"
                        + (f" and asks to wait {came.after:.0f} s more" if came.after else "")
                        + f" (engine.patience={manners.patience:g})"
                    )
                if time.monotonic() - since > _PATIENCE_WITH_ONE * manners.patience:
                    return Refused(f"given up after {waits} waits, while others were answered: {came.why}"), {}
                if came.after:
                    self._pace.pause(came.after)
            elif isinstance(came, Faulty):
                faults += 1
                if faults >= manners.tries:
                    return Refused(f"given up after {faults} tries (engine.tries): {came.why}"), {}
            after = came.after if isinstance(came, Busy | Faulty) else None
            await self._sleep(wait_seconds(faults + waits, after and min(after, manners.patience), self._rng))

    async def _turn(self, ask: Ask) -> None:
        """Wait until the request may be sent: for its turn, and for the money that it may cost."""
        self._require_going_on()
        held = self._manners.prices.cost(ask.tokens, ask.output)
        async with self._changed:
            while (enough := self.budget.hold(held)) is None:
                await self._changed.wait()
                self._require_going_on()
        if not enough:
            self._end(
                f"engine.max_cost: {self.budget.spent:.4g} of {self.budget.most:.4g} are spent, and the next request "
                f"may cost {held:.4g}; raise engine.max_cost"
            )
            self._require_going_on()
        try:
            await self._sleep(self._pace.turn(ask.tokens + ask.output))
            await self._sleep(self._pace.paused)
        except BaseException:
            await self._settle(ask, 0.0, sent=False)
            raise
        self._in_flight += 1
        self._sent += 1
        self._load += self._in_flight

    async def _settle(self, ask: Ask, cost: float, *, sent: bool = True) -> None:
        async with self._changed:
            self.budget.settle(self._manners.prices.cost(ask.tokens, ask.output), cost)
            self._in_flight -= sent
            self._changed.notify_all()

    async def _try(self, ask: Ask) -> Outcome:
        import httpx

        manners = self._manners
        try:
            async with asyncio.timeout(manners.timeout):
                response = await self._http.post(f"{manners.url}/{ask.path}", json=ask.body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Busy(f"no connection to engine.url={manners.url} ({_gist(error)})")
        except (httpx.TimeoutException, TimeoutError):
            return Faulty(f"no answer within engine.timeout={manners.timeout:g} s")
        except (httpx.TransportError, httpx.DecodingError) as error:
            return Faulty(f"the connection broke before the answer was whole ({_gist(error)})")
        text = response.text
        if manners.key:
            text = text.replace(manners.key, "…")  # whatever a server says of it, it gets into no file and no log
        return outcome(response.status_code, response.headers, text, key_variable=manners.key_variable, now=time.time())

    async def _sleep(self, seconds: float) -> None:
        """Wait, unless nothing more can be asked: then raise Unfinished, soon."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._require_going_on()
            await asyncio.sleep(min(left, 0.2))
        self._require_going_on()

    def close(self) -> None:
        """Ask nothing more: who waits for an answer gets Unfinished soon, or when the connection that has it breaks."""
        self._end("nothing more is to be asked")

    def _end(self, why: str) -> None:
        self._over = self._over or why

    def _require_going_on(self) -> None:
        if self._over is not None:
            raise Unfinished(
                f"{self._over}. All answers so far are kept: the same line goes on from there, and asks nothing twice"
            )


def _kept(text: str, read: Callable[[Reply], Read | Refused]) -> tuple[Read | Refused, Reply]:
    """What was answered before."""
    reply: Reply = json.loads(text)
    return (Refused(str(reply["refused"])), {}) if "refused" in reply else (read(reply), reply)


def _gist(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
