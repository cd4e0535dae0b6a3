"""The loop that keeps a vLLM engine full: shards that are asked at the same time share its batches.

vLLM's own `LLM.generate` answers one call before it takes the next, so that the engine runs empty at the end of each
shard; its AsyncLLM always needs a process of its own. This is the loop of `LLM.generate`, fed by several callers.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lib.errors import EngineError, OvernightError
from lib.images import ImagePrompt
from lib.types import TokenIds

if TYPE_CHECKING:
    from vllm import PoolingParams, RequestOutput, SamplingParams
    from vllm.inputs import EngineInput
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.llm_engine import LLMEngine


@dataclass(frozen=True)
class Request:
    """Token ids, of an `ImagePrompt` with its images, and vLLM's SamplingParams or PoolingParams."""

    tokens: TokenIds
    params: "SamplingParams | PoolingParams"


@dataclass
class _Call:
    """Requests that are answered together: those not yet given to the engine, and the answers that are there."""

    waiting: deque[tuple[int, Request]]
    answers: "list[RequestOutput | None]"
    left: int
    done: Future[None] = field(default_factory=Future)

    def take(self, index: int, answer: "RequestOutput") -> None:
        self.answers[index] = answer
        self.left -= 1
        if self.left == 0:
            self.done.set_result(None)


class VllmLoop:
    """A vLLM engine and the thread that runs it, step by step. `answer` may be called from several threads.

    load: steps so far, and the requests inside the engine (running or next in line) in each of them, summed.
    """

    def __init__(self, make: Callable[[], "LLMEngine"], lora: "LoRARequest | None" = None) -> None:
        """Make the engine in the thread that runs it. make: returns a vllm LLMEngine. Raises what `make` raises.

        lora: the adapter of all requests.
        """
        self._lora = lora
        self._calls: deque[_Call] = deque()
        self._running: dict[str, tuple[_Call, int]] = {}
        self._changed = threading.Condition()
        self._dead: str | None = None
        self.load = (0, 0)
        made: Future[LLMEngine] = Future()
        threading.Thread(target=self._live, args=(make, made), name="vllm-loop", daemon=True).start()
        self.engine = made.result()

    def answer(self, requests: Sequence[Request]) -> "list[RequestOutput]":
        """vLLM's outputs for the requests, in their order; for one that it refused, the exception.

        The engine takes them in that order too. Raises EngineError where the engine died.
        """
        if not requests:
            return []
        call = _Call(deque(enumerate(requests)), [None] * len(requests), len(requests))
        with self._changed:
            if self._dead is not None:
                raise EngineError(self._dead)
            self._calls.append(call)
            self._changed.notify()
        call.done.result()
        return call.answers

    def _live(self, make: Callable[[], "LLMEngine"], made: "Future[LLMEngine]") -> None:
        try:
            engine = make()
        except BaseException as error:  # raised again in the thread that waits for the engine
            made.set_exception(error)
            return
        # Twice what runs at once: a step that ends all running requests finds the next ones there.
        most = 2 * engine.vllm_config.scheduler_config.max_num_seqs
        made.set_result(engine)
        try:
            self._step(engine, most)
        except Exception as error:  # whatever it is, those who wait for answers must hear of it
            why = str(error) if isinstance(error, OvernightError) else f"{type(error).__name__}: {error}"
            self._bury(f"the vLLM engine died ({why}); its log above says more")

    def _step(self, engine: "LLMEngine", most: int) -> None:
        from vllm.exceptions import VLLMValidationError

        numbers = itertools.count()
        while True:
            with self._changed:
                while not self._calls and not self._running:
                    self._changed.wait()
            while len(self._running) < most and (taken := self._next()):
                call, index, request = taken
                name = str(next(numbers))
                self._running[name] = (call, index)  # before it is, so that whatever is raised reaches its caller
                try:
                    engine.add_request(name, _input(engine, request.tokens), request.params, lora_request=self._lora)
                except (ValueError, VLLMValidationError) as refused:
                    del self._running[name]
                    call.take(index, refused)
            if not self._running:  # all refused
                continue
            self.load = (self.load[0] + 1, self.load[1] + len(self._running))
            for output in engine.step():
                if output.finished:
                    call, index = self._running.pop(output.request_id)
                    call.take(index, output)

    def _next(self) -> tuple[_Call, int, Request] | None:
        """The next request of the oldest call that has any left."""
        with self._changed:
            if not self._calls:
                return None
            call = self._calls[0]
            index, request = call.waiting.popleft()
            if not call.waiting:
                self._calls.popleft()
            return call, index, request

    def _bury(self, why: str) -> None:
        """Let every caller know that the engine is dead."""
        with self._changed:
            self._dead = why
            calls = {id(call): call for call in [*self._calls, *(call for call, _ in self._running.values())]}
        for call in calls.values():
            call.done.set_exception(EngineError(why))


def _input(engine: "LLMEngine", tokens: TokenIds) -> "EngineInput":
    """A prompt as the engine takes it. Images are decoded now, so that few are in memory at once.

    Raises ValueError for one that can't be.
    """
    from vllm.inputs import tokens_input

    if not isinstance(tokens, ImagePrompt):
        return tokens_input(list(tokens))
    from vllm.multimodal.media import ImageMediaIO

    try:
        seen = [ImageMediaIO("RGB").load_bytes(image.content) for image in tokens.images]
        (found,) = engine.renderer.render_cmpl(
            [{"prompt_token_ids": tokens.written, "multi_modal_data": {"image": seen}}]
        )
    except Exception as error:  # decoders and processors may raise anything for an image; the engine has not seen it
        raise ValueError(f"images: {error}") from error
    return found
