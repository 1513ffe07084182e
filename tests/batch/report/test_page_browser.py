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

from anyfast_async.batch.report.page import page
from anyfast_async.batch.report.svg import svg

from .written import HOSTILE, RIGHT_TO_LEFT, Rows, answer, busy, gather, leave, refused

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0"),
)
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
    """The address of a report on a run of two minutes in which everything happened, and all of it is hostile."""
    folder = tmp_path_factory.mktemp("report")
    rows: Rows = [
        *((f"bad-{n}{HOSTILE}", refused(400, f"{HOSTILE} {'W' * 200}")) for n in range(9)),
        *((f"ok-{n}", answer(f"{HOSTILE} {'x' * 500}\n{RIGHT_TO_LEFT}\nline", model="m" * 300)) for n in range(9)),
    ]
    output = leave(folder, rows, busy(), "out.jsonl", settings=[["command", "anyfast batch " + "x" * 300]])
    path = folder / "run.html"
    path.write_text(page(gather(output, samples=5), None, svg), encoding="utf-8")
    return path.as_uri()


OVERPRINTED = """[...document.querySelectorAll('figure svg')].flatMap(svg => {
  const boxes = [...svg.querySelectorAll('text')].filter(t => t.textContent && getComputedStyle(t).opacity !== '0')
    .map(t => [t.textContent, t.getBoundingClientRect()]);
  return boxes.flatMap(([a, one], at) => boxes.slice(at + 1).filter(([, other]) =>
    one.left < other.right - 1 && other.left < one.right - 1 && one.top < other.bottom - 4 && other.top < one.bottom - 4
  ).map(([b]) => a + ' / ' + b));
})"""
"""Labels of charts that cover each other."""
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
COLOURS = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
INK = "getComputedStyle([...document.querySelectorAll('figure svg text')].at(-1)).fill"


async def test_rendered(tab: Tab, report: str) -> None:
    """All charts are drawn, large enough to see; no error or warning in the console, and not one request."""
    await tab.show(report)

    sizes = await tab.ask(
        "[...document.querySelectorAll('figure svg')].map(s => [s.getBoundingClientRect().width, s.getBBox().height])"
    )
    assert 7 == len(sizes)
    assert all(width > 300 and height > 80 for width, height in sizes)
    assert [] == tab.saw("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
    assert [report] == [event["request"]["url"] for event in tab.saw("Network.requestWillBeSent")]
    assert "out.jsonl" == await tab.ask("document.title")
    assert "row" in await tab.ask("document.querySelector('figure title').textContent") or await tab.ask(
        "document.querySelectorAll('figure title').length > 100"
    )


@pytest.mark.parametrize("width", [320, 390, 800])
async def test_phone(width: int, tab: Tab, report: str) -> None:
    """On a narrow screen nothing sticks out, and the labels of charts can be read."""
    await tab.show(report, width=width)

    assert (width, 0) == (await tab.ask("innerWidth"), await tab.ask(WIDE))
    heights = await tab.ask(
        "[...document.querySelectorAll('figure svg text')].filter(t => t.textContent)"
        ".map(t => t.getBoundingClientRect().height)"
    )
    assert min(heights) > 9
    assert [] == await tab.ask(OVERPRINTED)


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
    assert (True, True) == (label < 320, dark_label > 450)
    assert (765, 0) == (sheet, print_)


async def test_policy_holds(tab: Tab, report: str) -> None:
    """Where escaping had a hole all the same, the browser runs no script, loads nothing and takes no style."""
    path = Path(report.removeprefix("file://"))
    broken = path.with_name("broken.html")
    text = await asyncio.to_thread(path.read_text)
    holed = text.replace("<h2>Models</h2>", f"<h2 style='color:red'>Models</h2>{HOSTILE}")
    await asyncio.to_thread(broken.write_text, holed)

    await tab.show(broken.as_uri())

    assert "out.jsonl" == await tab.ask("document.title")
    assert [] == [e for e in tab.saw("Network.responseReceived") if not e["response"]["url"].startswith("file:")]
    blocked = [entry["entry"]["text"] for entry in tab.saw("Log.entryAdded")]
    assert any("script" in text for text in blocked)
    assert any("style" in text for text in blocked)
