"""Starting, stopping, strictness, threads."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async.simulator import Latency, Simulator, SimulatorOptions

from .raw_client import MODEL, Http

if TYPE_CHECKING:
    import aiohttp


def ask(sim: Simulator, prompt: str = "Hello!") -> str:
    """The raw answer, by a client that is not async."""
    body = f'{{"model": "{MODEL}", "messages": [{{"role": "user", "content": "{prompt}"}}]}}'
    request = urllib.request.Request(  # noqa: S310  # http, always
        sim.base_url + "/chat/completions",
        data=body.encode(),
        headers={"Authorization": "Bearer k", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
        text: str = response.read().decode()
        return text


def ask_in_vain(sim: Simulator) -> None:
    with pytest.raises(OSError, match=r".*"):
        ask(sim)


async def test_base_url() -> None:
    """The base URL ends in /v1; before the start there is none, after the end it is still known."""
    sim = Simulator()
    assert "not started" in repr(sim)
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = sim.base_url
    async with sim as entered:
        assert entered is sim
        assert sim.base_url == f"http://127.0.0.1:{sim.port}/v1"
        assert sim.base_url in repr(sim)
        with pytest.raises(RuntimeError, match="already running"):
            await sim.__aenter__()
    assert sim.base_url.endswith("/v1")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", sim.port)


async def test_given_port(session: aiohttp.ClientSession) -> None:
    """A port can be given, a simulator started again, and a taken port is an error."""
    async with Simulator() as sim:
        port = sim.port
        with pytest.raises(OSError, match="in use"):
            await Simulator(port=port).__aenter__()
    again = Simulator(port=port)
    for _ in range(2):
        async with again:
            assert (await Http(session, again.base_url).chat()).status == 200
    assert len(again.requests) == 2


def test_taken_port_in_a_thread() -> None:
    """A thread that cannot start its server says why, where it was asked to."""
    with (
        Simulator.in_thread() as sim,
        pytest.raises(OSError, match="in use"),
        Simulator.in_thread(port=sim.port),
    ):
        pass


def test_in_thread() -> None:
    """From a thread it is the same object, scripted and looked at from outside."""
    with Simulator.in_thread(seed=3) as sim:
        sim.reply("Paris", when="capital")
        assert '"content":"Paris"' in ask(sim, "the capital?")
        assert len(sim.requests) == 1
        assert "anyfast-simulator" in {thread.name for thread in threading.enumerate()}
    assert "anyfast-simulator" not in {thread.name for thread in threading.enumerate()}


def test_thread_ends_with_open_requests() -> None:
    """Leaving the context ends the thread at once, a stalled request or not."""
    with Simulator.in_thread() as sim:
        sim.stall()
        client = threading.Thread(target=ask_in_vain, args=(sim,))
        client.start()
        while not sim.in_flight:
            time.sleep(0.001)
        before = time.monotonic()
    assert time.monotonic() - before < 0.2
    client.join(2)
    assert not client.is_alive()


def test_scripting_from_many_threads() -> None:
    """Threads that script and ask at the same time lose nothing."""
    with Simulator.in_thread() as sim:

        def work(number: int) -> None:
            for step in range(10):
                name = f"<{number}/{step}>"
                sim.reply(name, when=name, times=1)
                seen[name] = f'"content":"\\u003c{number}/{step}\\u003e"' in ask(sim, name)

        seen: dict[str, bool] = {}
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(seen.values()) == [True] * 80
        assert len(sim.requests) == 80


def test_options_match() -> None:
    """``in_thread`` takes what ``Simulator`` takes."""
    parameters = inspect.signature(Simulator).parameters
    assert set(SimulatorOptions.__annotations__) == set(parameters)
    assert all(one.kind is one.KEYWORD_ONLY for one in parameters.values())


async def test_strict(session: aiohttp.ClientSession) -> None:
    """A strict simulator refuses what is not scripted, and fails the test without showing the text."""
    with pytest.raises(AssertionError) as caught:
        async with Simulator(strict=True) as sim:
            sim.reply("Paris", when="capital")
            http = Http(session, sim.base_url)
            assert (await http.chat("the capital?")).status == 200
            response = await http.chat("a private matter")
            assert (response.status, response.error["code"]) == (501, "unscripted_request")
    assert str(caught.value) == (
        "no scripted reply for POST /v1/chat/completions (gemini-2.5-pro; user: 16 characters)"
    )


async def test_strict_is_content(session: aiohttp.ClientSession) -> None:
    """Faults count as scripted, the gateway's own refusals and the list of models need no script."""
    async with Simulator(strict=True) as sim:
        http = Http(session, sim.base_url)
        sim.fail(500)
        assert (await http.chat()).status == 500
        assert (await http.chat(max_tokens="x")).status == 500
        assert (await http.send("GET", "/models")).status == 200
        assert (await http.send("POST", "/x")).status == 404


async def test_strict_does_not_hide_errors(session: aiohttp.ClientSession) -> None:
    """An error of the test itself is what comes out."""
    with pytest.raises(KeyError):
        async with Simulator(strict=True) as sim:
            await Http(session, sim.base_url).chat()
            raise KeyError


def test_strict_in_a_thread() -> None:
    """Strictness is checked for a simulator in a thread as well, in the thread of the test."""
    with (
        pytest.raises(AssertionError, match="6 characters"),
        Simulator.in_thread(strict=True) as sim,
        pytest.raises(OSError, match="501"),
    ):
        ask(sim)


async def test_broken_condition(session: aiohttp.ClientSession) -> None:
    """An error in a condition is a 500 for the client, and comes out where the context is left."""

    def broken(body: dict[str, Any]) -> bool:
        raise LookupError(len(body))

    with pytest.raises(LookupError):
        async with Simulator() as sim:
            sim.reply("x", when=broken)
            assert (await Http(session, sim.base_url).chat()).status == 500


async def test_conditions_may_use_the_simulator(session: aiohttp.ClientSession) -> None:
    """A condition can look at the simulator and script it."""
    async with Simulator() as sim:

        def third(_: dict[str, Any]) -> bool:
            sim.reply("scripted meanwhile", when="next")
            return len(sim.requests) == 3

        sim.reply("the third", when=third)
        http = Http(session, sim.base_url)
        texts = [(await http.chat(text)).text for text in ("a", "b", "c", "next")]
        assert [text == "the third" for text in texts] == [False, False, True, False]
        assert texts[3] == "scripted meanwhile"


async def test_resends_draw_new_delays(session: aiohttp.ClientSession) -> None:
    """The same request sent again may be fast where it was slow, and a rerun has the same delays."""
    rows = []
    for _ in range(2):
        async with Simulator(latency=Latency(slow_share=0.5, slow=0.05), seed=1) as sim:
            http = Http(session, sim.base_url)
            rows.append([(await http.timed_chat())[1] >= 0.05 for _ in range(8)])
    assert rows[0] == rows[1]
    assert set(rows[0]) == {True, False}
