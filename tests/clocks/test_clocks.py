"""The clocks of a part of a task, and what else ends it, in virtual time."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

from anyfast_async import AnyFastError, DeadlineExceeded, FirstTokenTimeout, IdleTimeout, ResponseTimeout
from anyfast_async._clocks.clocks import LOOK, STOOD_STILL, Clocked, Interruptible, Wait, late

pytestmark = pytest.mark.virtual


@pytest.fixture(autouse=True)
async def _nothing_left(no_leaks: None) -> None:
    """No task outlives its test."""


def now() -> float:
    return asyncio.get_running_loop().time()


class Part(Interruptible):
    """A part of a task whose clocks end it: the total the whole, the other one an attempt."""

    def out_of_time(self, wait: Wait | None) -> None:
        if wait is None:
            self.interrupt(DeadlineExceeded("total"))
        else:
            self.interrupt(late(wait, self._limit or 0.0), whole=False)


class Lasting(Clocked):
    """Something that lasts, and notes what its clocks say."""

    LASTS: ClassVar[bool] = True

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.heard: list[tuple[float, Wait | None]] = []

    def out_of_time(self, wait: Wait | None) -> None:
        self.heard.append((now(), wait))


def part() -> Part:
    return Part(asyncio.get_running_loop())


async def ended(made: Part, work: Callable[[], Awaitable[Any]]) -> AnyFastError | None:
    """What *made* ends *work* with, None if it comes to its end."""
    made.begin()
    try:
        await work()
    except asyncio.CancelledError:
        error = made.taken(whole=False) or made.taken(whole=True)
        if error is None:
            raise
        return error
    finally:
        made.end()
    return None


async def test_clock_counts_from_its_last_start() -> None:
    """It ends the work so many seconds after it was last started; unstarted, stopped or without a limit, never."""
    made = part()
    made.wait("response", None, now())
    assert await ended(made, lambda: asyncio.sleep(100)) is None
    assert await ended(part(), lambda: asyncio.sleep(100)) is None
    made = part()
    made.wait("response", 5, now())
    made.stand()
    assert await ended(made, lambda: asyncio.sleep(100)) is None
    made = part()

    async def starts_again() -> None:
        made.wait("response", 5, now())
        await asyncio.sleep(4)
        made.wait("response", 5, now())
        await asyncio.sleep(100)

    error = await ended(made, starts_again)

    assert (now(), str(error)) == (309.0, "no answer within 5 s (Timeouts.response)")


async def test_starting_it_earlier_ends_it_earlier() -> None:
    """A start in the past counts from there, whatever the timer was set to before."""
    made = part()
    made.wait("response", 5, now() + 10)
    made.wait("response", 5, now())

    assert isinstance(await ended(made, lambda: asyncio.sleep(100)), ResponseTimeout)
    assert now() == 5.0


@pytest.mark.parametrize(
    ("total", "limit", "at", "kind"),
    [(10, 5, 5.0, ResponseTimeout), (5, 10, 5.0, DeadlineExceeded), (5, 5, 5.0, DeadlineExceeded)],
)
async def test_the_first_of_the_two_ends_it(total: float, limit: float, at: float, kind: type[AnyFastError]) -> None:
    """The total and what is waited for share a timer; whichever is over first ends the work, both at once the total."""
    loop: Any = asyncio.get_running_loop()
    made = part()
    made.run_total(total, now())
    made.wait("response", limit, now())
    assert len(loop.timers) == 1

    assert isinstance(await ended(made, lambda: asyncio.sleep(100)), kind)
    assert (now(), loop.timers) == (at, [])


async def test_total_that_was_stopped_runs_again() -> None:
    """It stands still in between, as for a row that waits for the gateway."""
    made = part()
    made.run_total(5, now())
    made.run_total(None, now())

    async def work() -> None:
        await asyncio.sleep(60)
        made.run_total(5, now() - 2)
        await asyncio.sleep(100)

    assert isinstance(await ended(made, work), DeadlineExceeded)
    assert now() == 63.0


@pytest.mark.parametrize("which", ["total", "response"])
@pytest.mark.parametrize("limit", [2 * LOOK + 0.1, 3 * LOOK, 600.0])
@pytest.mark.parametrize("first_look", [0.0, 0.1, LOOK])
async def test_long_clock_needs_to_be_looked_at(which: str, limit: float, first_look: float) -> None:
    """It sets no timer when it is started, and rings in time if it is looked at every so often."""
    loop: Any = asyncio.get_running_loop()
    made = part()

    async def look() -> None:
        await asyncio.sleep(first_look)
        while True:
            made.look(now())
            await asyncio.sleep(LOOK)

    if which == "total":
        made.run_total(limit, now())
    else:
        made.wait("response", limit, now())
    assert loop.timers == []
    looking = asyncio.create_task(look())
    error = await ended(made, lambda: asyncio.sleep(1000))
    looking.cancel()
    await asyncio.wait({looking})

    assert now() == limit
    assert isinstance(error, DeadlineExceeded if which == "total" else ResponseTimeout)


async def test_what_lasts_needs_no_looks() -> None:
    """A stream's clock sets its timer at once; content moves it on, and silence ends it."""
    made = Lasting(asyncio.get_running_loop())
    made.wait("first_token", 300, now())
    await asyncio.sleep(200)
    made.wait("idle", 120, now())
    for _ in range(3):
        await asyncio.sleep(100)
        made.go_on(now())
    await asyncio.sleep(1000)
    made.silence()

    assert made.heard == [(620.0, "idle")]


def test_every_wait_has_its_words() -> None:
    """One table says what did not come, and which field allows more."""
    found = [late("response", 1.5), late("first_token", 300.0), late("idle", 0.25)]
    assert [type(error) for error in found] == [ResponseTimeout, FirstTokenTimeout, IdleTimeout]
    assert [str(error) for error in found] == [
        "no answer within 1.5 s (Timeouts.response)",
        "no content within 300 s (Timeouts.first_token)",
        "no content for 0.25 s (Timeouts.idle)",
    ]


async def test_what_is_over_can_be_started_and_interrupted() -> None:
    """What happens after the end starts nothing, ends nothing and leaves no timer."""
    made = part()
    made.wait("response", 5, now())
    assert await ended(made, lambda: asyncio.sleep(1)) is None
    loop: Any = asyncio.get_running_loop()
    assert loop.timers == []
    made.interrupt(ResponseTimeout("late"))

    await asyncio.sleep(10)


async def test_error_does_not_show_what_it_ended() -> None:
    """It does not carry the cancelled frames along: they hold the request's headers."""

    async def inside() -> None:
        secret_local = "sk-" + "hidden"  # noqa: F841 - it is what a traceback with locals would show
        await asyncio.sleep(100)

    async def call() -> None:
        made = part()
        made.wait("response", 5, now())
        error = await ended(made, inside)
        assert error is not None
        raise error

    with pytest.raises(ResponseTimeout) as caught:
        await call()

    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "sk-hidden" not in shown
    assert caught.value.__context__ is None


async def test_errors_go_through() -> None:
    """What fails inside comes out as it is, a ``TimeoutError`` and the task's own cancellation included."""
    own = TimeoutError("the key service")

    async def fails() -> None:
        raise own

    with pytest.raises(TimeoutError) as caught:
        await ended(part(), fails)
    assert caught.value is own

    task = asyncio.create_task(ended(part(), lambda: asyncio.sleep(100)))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_interrupting_is_no_cancellation_of_the_task() -> None:
    """Ended by others, the task goes on after it, and is not left as being cancelled."""
    made, error = part(), ResponseTimeout("late")

    async def call() -> tuple[object, int]:
        asyncio.get_running_loop().call_later(1, made.interrupt, error)
        found = await ended(made, lambda: asyncio.sleep(100))
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(1)
        return found, task.cancelling()

    assert await asyncio.create_task(call()) == (error, 0)


@pytest.mark.parametrize("first", ["clock", "caller"])
@pytest.mark.parametrize("whole", [True, False])
async def test_cancellation_in_the_same_tick_wins(first: str, whole: bool) -> None:
    """Where the caller cancels in the tick in which the clock rings, the cancellation comes out, whoever was first."""
    made = part()
    task = asyncio.create_task(ended(made, lambda: asyncio.sleep(100)))
    await asyncio.sleep(1)
    if first == "clock":
        made.interrupt(ResponseTimeout("late"), whole=whole)
        task.cancel()
    else:
        task.cancel()
        made.interrupt(ResponseTimeout("late"), whole=whole)
    await asyncio.wait({task})

    assert task.cancelled()


@pytest.mark.parametrize("first", [True, False])
async def test_what_ends_the_whole_wins(first: bool) -> None:
    """Where an attempt and the whole are ended in one tick, it is the whole, whichever came first; nothing is left."""
    made = part()

    async def call() -> tuple[str, int]:
        found = await ended(made, lambda: asyncio.sleep(100))
        task = asyncio.current_task()
        assert task is not None
        return str(found), task.cancelling()

    task = asyncio.create_task(call())
    await asyncio.sleep(1)
    for whole in (first, not first):
        made.interrupt(ResponseTimeout("whole" if whole else "attempt"), whole=whole)

    assert await task == ("whole", 0)


async def test_error_that_nobody_took_is_forgotten() -> None:
    """Work that swallows its cancellation and returns goes on: nothing of what was to end it is left."""
    made = part()

    async def swallows() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            return

    async def call() -> int:
        asyncio.get_running_loop().call_later(1, lambda: made.interrupt(ResponseTimeout("late"), whole=False))
        made.begin()
        await swallows()
        made.forget(whole=True)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 1  # it is not one of the whole
        made.forget(whole=False)
        await asyncio.sleep(1)
        made.end()
        return task.cancelling()

    assert await asyncio.create_task(call()) == 0


async def test_time_that_ran_out_while_the_loop_stood_still_is_given_once_more() -> None:
    """A timer that rings far too late shows a stopped process: the limit starts again, once."""
    loop: Any = asyncio.get_running_loop()
    made = part()

    async def stands_still() -> None:
        made.wait("response", 5, now())
        await asyncio.sleep(1)
        loop.now += 5 + STOOD_STILL
        woken.append(now())
        await asyncio.sleep(100)

    async def stands_still_twice() -> None:
        made.wait("response", 5, now())
        for _ in range(2):
            await asyncio.sleep(1)
            loop.now += 5 + STOOD_STILL
        woken.append(now())
        await asyncio.sleep(100)

    woken: list[float] = []
    assert isinstance(await ended(made, stands_still), ResponseTimeout)
    assert now() == woken[0] + 5
    made = part()
    assert isinstance(await ended(made, stands_still_twice), ResponseTimeout)
    assert now() == woken[1]
