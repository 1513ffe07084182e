"""The clock of an attempt, in virtual time: when it rings, and what it lets through."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from anyfast_async import ResponseTimeout
from anyfast_async._clock import Clock

pytestmark = pytest.mark.virtual


@pytest.fixture(autouse=True)
async def _nothing_left(no_leaks: None) -> None:
    """No task outlives its test."""


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_clock_counts_from_its_last_start() -> None:
    """A clock that is started again runs from there; one that was never started, or was stopped, never rings."""
    async with Clock(5, ResponseTimeout, "response"):
        await asyncio.sleep(100)
    async with Clock(5, ResponseTimeout, "response") as clock:
        clock.start(now())
        clock.stop()
        await asyncio.sleep(100)
    went_on = False
    async with Clock(5, ResponseTimeout, "response") as clock:
        clock.start(now())
        await asyncio.sleep(4)
        clock.start(now())
        await asyncio.sleep(100)
        went_on = True

    assert (now(), went_on) == (209.0, False)
    assert str(clock.overdue()) == "no answer within 5 s (Timeouts.response)"
    assert type(clock.overdue()) is ResponseTimeout


async def test_clock_that_is_over_can_be_started() -> None:
    """A piece of the request that is sent after the answer has begun starts nothing and breaks nothing."""
    async with Clock(5, ResponseTimeout, "response") as clock:
        clock.start(now())

    clock.start(now())

    await asyncio.sleep(10)


async def test_clock_does_not_show_what_it_ended() -> None:
    """The timeout does not carry the cancelled frames along: they hold the request's headers."""

    async def inside() -> None:
        secret_local = "sk-" + "hidden"  # noqa: F841 - it is what a traceback with locals would show
        await asyncio.sleep(100)

    async def call() -> None:
        async with Clock(5, ResponseTimeout, "response") as clock:
            clock.start(now())
            await inside()
        raise clock.overdue()

    with pytest.raises(ResponseTimeout) as caught:
        await call()

    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "sk-hidden" not in shown
    assert caught.value.__context__ is None


async def test_clock_lets_errors_through() -> None:
    """What fails inside comes out as it is, another ``TimeoutError`` and the task's own cancellation included."""
    own = TimeoutError("the key service")
    with pytest.raises(TimeoutError) as caught:
        async with Clock(5, ResponseTimeout, "response") as clock:
            clock.start(now())
            raise own
    assert caught.value is own

    async def inside() -> None:
        async with Clock(5, ResponseTimeout, "response") as clock:
            clock.start(now())
            await asyncio.sleep(100)

    task = asyncio.create_task(inside())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
