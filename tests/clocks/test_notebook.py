"""Cells of a notebook, in a real kernel where there is one: Stop ends what waits, and what is shown is short."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from anyfast_async._clocks.notebook import in_notebook
from anyfast_async.simulator import Simulator

LATE = 30.0


def test_where_cells_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells run where IPython has a kernel; not in its terminal, nor where nothing of it is loaded."""
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert not in_notebook()
    for shell, expected in ((SimpleNamespace(kernel=1), True), (SimpleNamespace(), False), (None, False)):
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
        assert not in_notebook()
        monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
        assert in_notebook() == expected


# -- in a kernel -----------------------------------------------------------------------------------------------------

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def gateway() -> Iterator[Simulator]:
    with Simulator.in_thread() as simulator:
        yield simulator


def take(found: dict[str, Any], kind: str, content: dict[str, Any]) -> None:
    """Take in what a kernel says of a cell."""
    if kind == "status":
        found["status"] = content["execution_state"]
    elif kind == "error":
        found["error"] = content["ename"]
    elif kind == "stream":
        found[content["name"]] = found.get(content["name"], "") + content["text"]
    elif "data" in content:
        found.setdefault(kind, []).append(content["data"])


@pytest.fixture(scope="module")
def run(gateway: Simulator) -> Iterator[Run]:
    """Run a cell in a kernel, and press Stop once the gateway has a request if *stop*; the outputs by their type."""
    pytest.importorskip("ipykernel")
    manager, client = pytest.importorskip("jupyter_client.manager").start_new_kernel(kernel_name="python3")

    def cell(code: str, *, stop: bool = False) -> dict[str, Any]:
        before, found, stopped = len(gateway.requests), dict[str, Any](), 0.0
        sent = client.execute(code)
        if stop:
            while len(gateway.requests) == before:
                time.sleep(0.01)
            time.sleep(0.3)  # the loop waits by now
            stopped = time.monotonic()
            manager.interrupt_kernel()
        while found.get("status") != "idle":
            message = client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") == sent:
                take(found, message["msg_type"], message["content"])
        if stop:
            print(f"{time.monotonic() - stopped:.2f} s: {code}")  # noqa: T201 - `pytest -rP` shows it
        return found

    try:
        made = f"client = AnyFast('any-key', base_url={gateway.base_url!r}, model='gemini-2.5-flash')"
        assert "error" not in cell(f"import asyncio\nfrom anyfast_async import AnyFast, Image\n{made}")
        assert cell("1 / 0")["error"] == "ZeroDivisionError"  # loads what shows tracebacks
        yield cell
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def kernel(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that runs cells."""
    marked: Callable[..., None] = pytest.mark.slow(pytest.mark.timeout(180)(test))
    # warnings are of the libraries around the kernel
    return pytest.mark.filterwarnings("ignore")(marked)  # type: ignore[no-any-return]


@kernel
@pytest.mark.parametrize(
    "code",
    [
        "await client.complete('a')",
        "async with client.stream('a') as stream:\n    async for text in stream: pass",
        "await client.map(['a', 'b'])",
        "await client.map(['a', 'b'], progress=True)",
        "await asyncio.gather(client.complete('a'), client.complete('b'))",
    ],
)
def test_stop_ends_a_waiting_cell(code: str, run: Run, gateway: Simulator) -> None:
    """Stop ends a cell that waits for an answer, and the call with it; the next cell works. The time is printed."""
    gateway.reply("late", ttft=LATE)

    found = run(code, stop=True)

    assert found["error"] == "CancelledError"
    gateway.reply("early")
    assert "early" in run("await client.complete('a')")["execute_result"][0]["text/plain"]


@kernel
def test_a_bar_is_saved(run: Run, gateway: Simulator) -> None:
    """A bar is one output of the cell, which is replaced until it says how the run went; nothing else is written."""
    gateway.reply("early")

    found = run("_ = await client.map([str(i) for i in range(30)], progress=True)")

    assert [*found] == ["status", "display_data"] or [*found] == ["status", "display_data", "update_display_data"]
    last = (found.get("update_display_data") or found["display_data"])[-1]
    assert last["text/plain"].startswith("30 of 30, ")
    assert '<progress style="width: 20em" max="30" value="30">' in last["text/html"]


@kernel
def test_what_a_cell_shows(run: Run, gateway: Simulator) -> None:
    """A completion with a picture is one short line, its picture a picture, and the results of a map are a table."""
    picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB" * 1000
    gateway.reply(f"Here: ![image](data:image/png;base64,{picture})")

    (shown,) = run("last = await client.complete('a'); last")["execute_result"]
    assert [*shown] == ["text/plain"]
    assert len(shown["text/plain"]) < 600
    (shown,) = run("last.images[0]")["execute_result"]
    assert shown["image/png"].strip() == picture
    assert len(shown["text/plain"]) < 200
    (shown,) = run("await client.map(['a', 'b'])")["execute_result"]
    assert shown["text/html"].count("<tr>") == 3
    assert len(shown["text/html"]) < 1500
    assert len(shown["text/plain"]) < 1000
