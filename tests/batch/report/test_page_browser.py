"""The page of a report in a browser: headless Chromium, talked to in its DevTools protocol."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from anyfast_async import AssistantMessage, Attempt, ChatCompletion, Choice, Stats, Trace, Usage
from anyfast_async.batch import RowDone, Tally
from anyfast_async.batch.report.page import page
from anyfast_async.batch.report.recorder import Recorder, ReportHead
from anyfast_async.batch.report.svg import svg
from anyfast_async.errors import RateLimitError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0"),
)
HOSTILE = "<script>document.title='owned'</script><img src=http://127.0.0.1:9/x onerror=\"document.title='owned'\">"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium"),
    pytest.mark.skipif(find_spec("vl_convert") is None, reason="extra [report]"),
]


class Tab:
    """A page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.events: list[dict[str, Any]] = []
        self._socket = socket
        self._number = 0

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method, and keep the events that come before its answer."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=20)
            if message.get("id") == self._number:
                result: dict[str, Any] = message["result"]
                return result
            self.events.append(message)

    async def show(self, url: str, *, width: int = 1280, scheme: str = "light", media: str = "") -> None:
        """Open a page on a screen of some width."""
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.events.clear()
        await self.call("Page.navigate", url=url)
        while not self.saw("Page.loadEventFired"):
            self.events.append(await self._socket.receive_json(timeout=20))

    def saw(self, *methods: str) -> list[dict[str, Any]]:
        """Return what came with events."""
        return [event["params"] for event in self.events if event["method"] in methods]

    async def ask(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")


@pytest.fixture
def home() -> Iterator[str]:
    """Where a browser keeps what it likes; its helpers may still write there when it has ended."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield folder


@pytest.fixture
async def tab(home: str) -> AsyncIterator[Tab]:
    """A tab of a browser of its own."""
    process = await asyncio.create_subprocess_exec(
        str(CHROMIUM),
        *OPTIONS,
        f"--user-data-dir={home}",
        "about:blank",
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": home},
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(30):
            while not (found := re.search(r"ws://([\d.]+:\d+)/", (await process.stderr.readline()).decode())):
                pass
        draining = asyncio.create_task(process.stderr.read())
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{found[1]}/json") as answer:
                (one,) = [target for target in await answer.json() if target["type"] == "page"]
            async with session.ws_connect(one["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                opened = Tab(socket)
                for domain in ("Page", "Network", "Log", "Runtime"):
                    await opened.call(f"{domain}.enable")
                yield opened
    finally:
        process.terminate()
        await process.wait()
    await draining


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report on a run of ten minutes in which everything happened."""
    tally = Tally(1000, 100)
    record = Recorder(tally, 64)
    error = RateLimitError(HOSTILE)
    attempts = (Attempt(1, "server", 500, 0.1, "no"), Attempt(2, "ok", 200, 0.2, "yes"))
    choice = Choice(message=AssistantMessage("Hi"), finish_reason="length")
    for second in range(600):
        held = 9.0 if 200 < second < 260 else 0.0
        stats = Stats(
            in_flight=64,
            queued=second % 9,
            limited_by=None,
            held_for=held,
            requests=0,
            tokens_used=0,
            tokens_reserved=0,
        )
        record.tick(stats, second)
        trace = Trace(total=1 + second / 100, first_token=0.1 + second / 1000, attempts=attempts)
        usage = Usage(prompt_tokens=50, completion_tokens=second)
        answer = ChatCompletion(choices=(choice,), usage=usage, trace=trace)
        tally.count_answer(answer)
        record.row(RowDone(f"row-{second}", None, tally, answer, attempts), second)
        if second % 50 == 0:
            tally.count_failure("rate_limit", attempts)
            record.row(RowDone(HOSTILE, error, tally, None, attempts), second)
    tally.seconds = 600.0
    head = ReportHead(
        title=f"in.jsonl {HOSTILE}",
        status="complete",
        settings=(("command", "anyfast batch " + "x" * 300),),
        limits=(("requests per minute", "none"),),
    )
    path = tmp_path_factory.mktemp("report") / "run.html"
    path.write_text(page(head, record, svg), encoding="utf-8")
    return path.as_uri()


WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
COLOURS = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
INK = "getComputedStyle([...document.querySelectorAll('figure svg text')].at(-1)).fill"


async def test_rendered(tab: Tab, report: str) -> None:
    """All charts are drawn, large enough to see; no error or warning in the console, and not one request."""
    await tab.show(report)

    sizes = await tab.ask(
        "[...document.querySelectorAll('figure svg')].map(s => [s.getBoundingClientRect().width, s.getBBox().height])"
    )
    assert 6 == len(sizes)
    assert all(width > 300 and height > 150 for width, height in sizes)
    assert [] == tab.saw("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
    assert [report] == [event["request"]["url"] for event in tab.saw("Network.requestWillBeSent")]
    assert "in.jsonl <script>" in await tab.ask("document.title")
    assert "row" in await tab.ask("document.querySelector('figure title').textContent") or await tab.ask(
        "document.querySelectorAll('figure title').length > 100"
    )


@pytest.mark.parametrize("width", [320, 390, 800])
async def test_phone(width: int, tab: Tab, report: str) -> None:
    """On a narrow screen nothing sticks out, and the labels of charts can be read."""
    await tab.show(report, width=width)

    assert (width, 0) == (await tab.ask("innerWidth"), await tab.ask(WIDE))
    heights = await tab.ask(
        "[...document.querySelectorAll('figure svg text')].map(t => t.getBoundingClientRect().height)"
    )
    assert min(heights) > 9


async def test_dark_and_print(tab: Tab, report: str) -> None:
    """Dark where the system is dark, charts included; on paper light all the same."""
    await tab.show(report)
    light = [*await tab.ask(COLOURS), await tab.ask(INK)]
    await tab.show(report, scheme="dark")
    dark = [*await tab.ask(COLOURS), await tab.ask(INK)]
    await tab.show(report, scheme="dark", media="print")
    paper = await tab.ask(COLOURS)

    brightness = [[sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in one] for one in (light, dark, paper)]
    (page_, ink, label), (dark_page, dark_ink, dark_label), (sheet, print_) = brightness
    assert (True, True) == (page_ > 700, ink < 300)
    assert (True, True) == (dark_page < 100, dark_ink > 600)
    assert (True, True) == (label < 300, dark_label > 450)
    assert (765, 0) == (sheet, print_)


async def test_policy_holds(tab: Tab, report: str) -> None:
    """Where escaping had a hole all the same, the browser runs no script, loads nothing and takes no style."""
    path = Path(report.removeprefix("file://"))
    broken = path.with_name("broken.html")
    text = await asyncio.to_thread(path.read_text)
    holed = text.replace("<h2>Tokens</h2>", f"<h2 style='color:red'>Tokens</h2>{HOSTILE}")
    await asyncio.to_thread(broken.write_text, holed)

    await tab.show(broken.as_uri())

    assert "owned" not in (await tab.ask("document.title")).replace(HOSTILE, "")
    assert [] == [e for e in tab.saw("Network.responseReceived") if not e["response"]["url"].startswith("file:")]
    blocked = [entry["entry"]["text"] for entry in tab.saw("Log.entryAdded")]
    assert any("script" in text for text in blocked)
    assert any("style" in text for text in blocked)
