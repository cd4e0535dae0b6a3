"""How much may be asked: so many requests and tokens a minute, and so much money."""

import math
from collections.abc import Callable
from dataclasses import dataclass

_ROUNDING = 1e-12


class Pace:
    """Spaces requests evenly, so that no minute has more requests or tokens than may be. Times in seconds.

    clock: of a kind that never goes back.
    """

    def __init__(self, requests: float | None, tokens: float | None, clock: Callable[[], float]) -> None:
        """requests, tokens: a minute; None for any number."""
        self._each = 60 / requests if requests else 0.0
        self._token = 60 / tokens if tokens else 0.0
        self._clock = clock
        self._next = 0.0
        self._tokens_next = 0.0
        self._paused = 0.0

    def turn(self, tokens: int) -> float:
        """Take the next turn, for a request of so many tokens; how long it is until then."""
        now = self._clock()
        at = max(now, self._next, self._tokens_next)
        self._next = at + self._each
        self._tokens_next = at + tokens * self._token
        return at - now

    def give_back(self, tokens: int) -> None:
        """Tokens that a turn was taken for, and that weren't used."""
        self._tokens_next -= tokens * self._token

    @property
    def paused(self) -> float:
        """How long nothing is to be sent."""
        return max(self._paused - self._clock(), 0.0)

    def pause(self, seconds: float) -> None:
        """Send nothing for so long: the server has asked for it."""
        self._paused = max(self._paused, self._clock() + seconds)


@dataclass(frozen=True, kw_only=True)
class Prices:
    """For a million tokens, in any currency. cached: of prompts' tokens that the server had read before."""

    prompt: float = 0.0
    completion: float = 0.0
    cached: float | None = None

    def cost(self, prompt: int, completion: int, cached: int = 0) -> float:
        """Of so many tokens; cached: of the prompt's."""
        known = self.prompt if self.cached is None else self.cached
        return ((prompt - cached) * self.prompt + cached * known + completion * self.completion) / 1e6


class Budget:
    """What may be spent, and what is or may be about to be."""

    def __init__(self, most: float | None) -> None:
        self.most = math.inf if most is None else most
        self.spent = 0.0
        self._held = 0.0

    def hold(self, cost: float) -> bool | None:
        """Set aside what a request may cost; False where nothing is left for it, None where that isn't known yet."""
        if self.spent + self._held + cost <= self.most:
            self._held += cost
            return True
        return None if self._held > 0 else False

    def settle(self, held: float, cost: float) -> None:
        """Give back what was set aside, and count what it has cost."""
        self._held -= held
        if self._held < _ROUNDING:  # sums of floats don't come back to nothing
            self._held = 0.0
        self.spent += cost
