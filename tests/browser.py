"""A real browser for tests: Chromium without a window, told by its DevTools protocol to open, press, type and click."""

import asyncio
import json
import subprocess
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0", "about:blank",
]  # fmt: skip
_SECONDS = 60
_CODES = {"/": "Slash", "ArrowRight": "ArrowRight", "ArrowLeft": "ArrowLeft", "Escape": "Escape"}
_Result = TypeVar("_Result")


@contextmanager
def browser(program: str, profile: Path) -> Iterator["Page"]:
    """An empty page of a browser of its own."""
    with subprocess.Popen(
        [program, *OPTIONS, f"--user-data-dir={profile}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        loop = asyncio.new_event_loop()
        try:
            page = Page(loop, _port(process, profile / "DevToolsActivePort"))
            yield page
            page.close()
        finally:
            process.kill()
            loop.close()


class Page:
    """A page as a person has it before them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int) -> None:
        self._loop = loop
        self._asked = 0
        self._session, self._socket = self._wait(self._connect(port))
        for domain in ("Page", "Runtime"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to an address, and wait until it is there."""
        self._call("Page.navigate", url=url)
        self.until(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def press(self, key: str) -> None:
        """Press a key: a letter, or one by its name."""
        given: dict[str, Any] = {"key": key, "code": _CODES.get(key, f"Key{key.upper()}")}
        self._call("Input.dispatchKeyEvent", type="keyDown", **given, **({"text": key} if len(key) == 1 else {}))
        self._call("Input.dispatchKeyEvent", type="keyUp", **given)

    def type(self, text: str) -> None:
        """Write where the focus is, as an input method does."""
        self._call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click in the middle of what a selector finds first."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{found}.scrollIntoView({{block: 'center'}})")
        box = self.run(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({found}.getBoundingClientRect())"
        )
        at = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, **at)

    def run(self, script: str) -> Any:
        """What an expression of JavaScript is."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until an expression holds. A page that goes away meanwhile answers nothing."""
        end = time.monotonic() + _SECONDS
        while self._call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value") is not True:
            assert time.monotonic() < end, (
                f"after {_SECONDS} s still not: {script}\n{self.run('document.body.innerText')}"
            )
            time.sleep(0.05)

    def close(self) -> None:
        """End the connection."""
        self._wait(self._socket.close())
        self._wait(self._session.close())

    def _call(self, method: str, **given: object) -> dict[str, Any]:
        self._asked += 1
        return self._wait(self._ask(self._asked, method, given))

    def _wait(self, answer: Awaitable[_Result]) -> _Result:
        return self._loop.run_until_complete(asyncio.wait_for(answer, _SECONDS))

    async def _connect(self, port: int) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
        session = aiohttp.ClientSession()
        async with session.get(f"http://127.0.0.1:{port}/json/list") as reply:
            (page,) = [target for target in await reply.json() if target["type"] == "page"]
        return session, await session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)

    async def _ask(self, number: int, method: str, given: dict[str, object]) -> dict[str, Any]:
        await self._socket.send_json({"id": number, "method": method, "params": given})
        while (answer := await self._socket.receive_json()).get("id") != number:
            pass  # events
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result


def _port(process: subprocess.Popen[bytes], file: Path) -> int:
    """Where a browser that has just been started listens: it says so in a file of its profile."""
    end = time.monotonic() + _SECONDS
    while not (file.is_file() and len(lines := file.read_text().splitlines()) > 1):
        assert process.poll() is None, f"the browser ended with exit code {process.returncode}"
        assert time.monotonic() < end, "the browser does not listen"
        time.sleep(0.05)
    return int(lines[0])
