"""The clock of one part of a task, in virtual time."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest

from anyfast_async import ResponseTimeout
from anyfast_async._clock import LOOK, STOOD_STILL, Clock

pytestmark = pytest.mark.virtual


@pytest.fixture(autouse=True)
async def _nothing_left(no_leaks: None) -> None:
    """No task outlives its test."""


def now() -> float:
    return asyncio.get_running_loop().time()


def late() -> ResponseTimeout:
    return ResponseTimeout("late")


async def test_clock_counts_from_its_last_start() -> None:
    """It ends what runs inside *limit* seconds after it was last started; unstarted, stopped or without one, never."""
    with Clock(None, late) as clock:
        clock.start(now())
        await asyncio.sleep(100)
    with Clock(5, late) as clock:
        await asyncio.sleep(100)
    with Clock(5, late) as clock:
        clock.start(now())
        clock.stop()
        await asyncio.sleep(100)
    went_on = False
    with Clock(5, late) as clock:
        clock.start(now())
        await asyncio.sleep(4)
        clock.start(now())
        await asyncio.sleep(100)
        went_on = True

    assert (now(), went_on) == (309.0, False)
    assert str(clock.error) == "late"


async def test_starting_it_earlier_ends_it_earlier() -> None:
    """A start in the past counts from there, whatever the timer was set to before."""
    with Clock(5, late) as clock:
        clock.start(now() + 10)
        clock.start(now())
        await asyncio.sleep(100)

    assert now() == 5.0


@pytest.mark.parametrize("limit", [2 * LOOK + 0.1, 3 * LOOK, 600.0])
@pytest.mark.parametrize("first_look", [0.0, 0.1, LOOK])
async def test_long_clock_needs_to_be_looked_at(limit: float, first_look: float) -> None:
    """It sets no timer when it is started, and rings in time if it is looked at every so often."""
    loop: Any = asyncio.get_running_loop()

    async def look() -> None:
        await asyncio.sleep(first_look)
        while True:
            clock.look(now())
            await asyncio.sleep(LOOK)

    with Clock(limit, late) as clock:
        clock.start(now())
        assert loop.timers == []
        looking = asyncio.create_task(look())
        await asyncio.sleep(1000)
    looking.cancel()
    await asyncio.wait({looking})

    assert now() == limit
    assert str(clock.error) == "late"


async def test_clock_that_is_over_can_be_started_and_interrupted() -> None:
    """What happens to it after its end starts nothing, ends nothing and leaves no timer."""
    with Clock(5, late) as clock:
        clock.start(now())

    clock.start(now())
    clock.interrupt(late())
    loop: Any = asyncio.get_running_loop()

    await asyncio.sleep(10)
    assert (clock.error, loop.timers) == (None, [])


async def test_clock_does_not_show_what_it_ended() -> None:
    """The error does not carry the cancelled frames along: they hold the request's headers."""

    async def inside() -> None:
        secret_local = "sk-" + "hidden"  # noqa: F841 - it is what a traceback with locals would show
        await asyncio.sleep(100)

    async def call() -> None:
        with Clock(5, late) as clock:
            clock.start(now())
            await inside()
        assert clock.error is not None
        raise clock.error

    with pytest.raises(ResponseTimeout) as caught:
        await call()

    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "sk-hidden" not in shown
    assert caught.value.__context__ is None


async def test_clock_lets_errors_through() -> None:
    """What fails inside comes out as it is, a ``TimeoutError`` and the task's own cancellation included."""
    own = TimeoutError("the key service")
    with pytest.raises(TimeoutError) as caught, Clock(5, late) as clock:
        clock.start(now())
        raise own
    assert caught.value is own

    async def inside() -> None:
        with Clock(5, late) as clock:
            clock.start(now())
            await asyncio.sleep(100)

    task = asyncio.create_task(inside())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_interrupting_is_no_cancellation_of_the_task() -> None:
    """Ended from outside, the task goes on after the ``with``, and is not left as being cancelled."""
    error = late()

    async def inside() -> tuple[object, int]:
        with Clock(None, late) as clock:
            asyncio.get_running_loop().call_later(1, clock.interrupt, error)
            await asyncio.sleep(100)
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(1)
        return clock.error, task.cancelling()

    assert await asyncio.create_task(inside()) == (error, 0)


@pytest.mark.parametrize("first", ["clock", "caller"])
async def test_cancellation_in_the_same_tick_wins(first: str) -> None:
    """Where the caller cancels in the tick in which the clock rings, the cancellation comes out, whoever was first."""
    clock = Clock(None, late)

    async def inside() -> None:
        with clock:
            await asyncio.sleep(100)

    task = asyncio.create_task(inside())
    await asyncio.sleep(1)
    if first == "clock":
        clock.interrupt(late())
        task.cancel()
    else:
        task.cancel()
        clock.interrupt(late())
    await asyncio.wait({task})

    assert task.cancelled()


async def test_nested_clocks_end_their_own_part() -> None:
    """The inner one rings first and is caught; the outer one ends the rest."""
    with Clock(10, late) as outer:
        outer.start(now())
        with Clock(5, late) as inner:
            inner.start(now())
            await asyncio.sleep(100)
        assert now() == 5.0
        await asyncio.sleep(100)

    assert (now(), outer.error is not None, inner.error is not None) == (10.0, True, True)


async def test_time_that_ran_out_while_the_loop_stood_still_is_given_once_more() -> None:
    """A timer that rings far too late shows a stopped process: the limit starts again, once."""
    loop: Any = asyncio.get_running_loop()
    with Clock(5, late) as clock:
        clock.start(now())
        await asyncio.sleep(1)
        loop.now += 5 + STOOD_STILL
        woke = now()
        await asyncio.sleep(100)
    assert now() == woke + 5

    with Clock(5, late) as clock:
        clock.start(now())
        await asyncio.sleep(1)
        loop.now += 5 + STOOD_STILL
        await asyncio.sleep(1)
        loop.now += 5 + STOOD_STILL
        second = now()
        await asyncio.sleep(100)
    assert now() == second
