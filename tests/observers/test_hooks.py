"""Observers: who is one, who hears what, and that none of them breaks a call."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from anyfast_async import AnyFast, ConfigurationError
from anyfast_async._observers.hooks import HOOKS, PUBLIC, Hooks
from anyfast_async.simulator import Simulator

KEY = "sk-test-0123456789-abcdefgh"
MODEL = "gemini-2.5-pro"


class Ends:
    """Hears of ends of calls alone."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_call_end(self, end: Any) -> None:
        self.heard.append(end)


class Async:
    async def on_call_end(self, end: Any) -> None: ...


class Misspelled:
    def on_atempt_start(self, start: Any) -> None: ...


class NoFunction:
    on_hold = 3


@pytest.mark.parametrize(
    ("observers", "said"),
    [
        ([Misspelled()], "did you mean 'on_attempt_start'?"),
        ([Ends(), object()], r"observers\[1\] \(object\) has none of the hooks on_attempt_start, "),
        ([Async()], r"observers\[0\].on_call_end must be a plain function, not async"),
        ([AsyncMock()], "must be a plain function, not async"),
        ([NoFunction()], "must be a plain function, not int"),
        ([Ends], r"is the class Ends; give an object of it"),
        (Ends(), "observers must be a list of objects, not Ends"),
    ],
)
def test_what_is_no_observer_is_named(observers: Any, said: str) -> None:
    """A client is not built with an object that would hear nothing; the message names what is wrong."""
    with pytest.raises(ConfigurationError, match=said):
        AnyFast(KEY, observers=observers)


def test_each_hears_what_it_has_hooks_for() -> None:
    """An observer has any of the hooks, and is asked for no other."""
    one = Ends()

    hooks = Hooks([one])

    assert (one.on_call_end,) == hooks.call_end
    assert () == hooks.attempt_end == hooks.attempt_start == hooks.head == hooks.request_headers


def test_a_mock_hears_the_public_hooks_alone() -> None:
    """An object that has every attribute is not given what is for the house alone."""
    hooks = Hooks([Mock()])

    assert {1} == {len(getattr(hooks, f)) for hook, f in HOOKS.items() if hook in PUBLIC}
    assert {0} == {len(getattr(hooks, f)) for hook, f in HOOKS.items() if hook not in PUBLIC}


@pytest.mark.parametrize("raised", [ValueError("no"), asyncio.CancelledError()])
async def test_what_an_observer_raises_is_logged_once(raised: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever an observer raises, calls, streams and maps go on, the others hear all, and the log has it once."""
    broken = Mock(**{f"{name}.side_effect": raised for name in PUBLIC})
    sound = Ends()
    async with (
        Simulator() as sim,
        AnyFast(KEY, base_url=sim.base_url, model=MODEL, observers=[broken, sound]) as client,
    ):
        await client.complete("Hello")
        async with client.stream("Hello") as stream:
            assert "".join([text async for text in stream])
        assert all(one.ok for one in await client.map(["a", "b"]))

    assert [True] * 4 == [end.ok for end in sound.heard]
    said = [r for r in caplog.records if r.name == "anyfast_async" and "an observer failed" in r.getMessage()]
    assert len(said) == 4  # one for each of its hooks that was called
    assert {logging.ERROR} == {one.levelno for one in said}
    assert all(one.exc_info for one in said)


async def test_headers_of_an_observer_are_checked() -> None:
    """A header that could be read as two is not sent; the call goes on without it."""

    class Headers(Ends):
        def _request_headers(self, start: Any) -> dict[str, str]:
            return {"X-One": "a"} if start.call.operation == "models" else {"X-One": "a\r\nX-Two: b"}

    async with (
        Simulator() as sim,
        AnyFast(KEY, base_url=sim.base_url, model=MODEL, observers=[Headers()]) as client,
    ):
        await client.complete("Hello")
        await client.models()

        chat, models = sim.requests
    assert "x-one" not in {name.lower() for name in chat.headers}
    assert "x-two" not in {name.lower() for name in chat.headers}
    assert "a" == {name.lower(): value for name, value in models.headers.items()}["x-one"]
