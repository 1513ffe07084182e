"""What the fixtures of ``pytest_plugin`` do to a client; apart from it, which every run of pytest imports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import attrs

from anyfast_async import _call
from anyfast_async._gate import Gate, Permit
from anyfast_async._retry import Retries, call_again
from anyfast_async.client import AnyFast
from anyfast_async.errors import AnyFastError, DeadlineExceeded

if TYPE_CHECKING:
    import pytest

    from anyfast_async.client import _Shared

CLOSING: Final = 5.0
"""Seconds for closing a client whose loop runs in another thread."""


# -- retries that do not wait ----------------------------------------------------------------------------------------


@attrs.define
class SkippingRetries(Retries):
    """Decides as if the waits that are skipped took place."""

    skipped: float = 0.0
    """Seconds that this call would have waited so far."""

    def delay(self, error: AnyFastError, *, now: float, held_until: float, rand: float) -> float | None:
        """Return what there would be to wait after *error*, None to give up.

        Raises:
            DeadlineExceeded: ``Timeouts.total`` would have run out meanwhile.

        """
        then = now + self.skipped
        wait = super().delay(error, now=then, held_until=held_until + self.skipped, rand=rand)
        if wait is None:
            return None
        self.skipped += max(wait, held_until - now) if error.retry_class == "throttled" else wait
        if self.deadline is not None and now + self.skipped >= self.deadline:
            message = f"Timeouts.total would have run out in the {self.skipped:.1f} s of waiting that were skipped"
            overdue = DeadlineExceeded(f"{message}; last attempt ended with: {error}")
            overdue.billed = error.billed
            raise overdue
        return wait


def skip_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the waits between attempts, and the hold after throttled ones."""
    hold = Gate.throttled

    def lifted(gate: Gate, permit: Permit, asked: float | None, rand: float) -> float:
        until = hold(gate, permit, asked, rand)
        permit.lane.held_until = asyncio.get_running_loop().time()
        return until

    def at_once(
        first: AnyFastError,
        attempt: Callable[[], Awaitable[Any]],
        delay: Callable[[AnyFastError], float | None],
        _: Callable[[float], Awaitable[None]],
    ) -> Awaitable[Any]:
        return call_again(first, attempt, delay, lambda _: asyncio.sleep(0))

    monkeypatch.setattr(Gate, "throttled", lifted)
    monkeypatch.setattr(_call, "Retries", SkippingRetries)
    monkeypatch.setattr(_call, "call_again", at_once)


# -- a client that any runner may use --------------------------------------------------------------------------------


@contextmanager
def client_until_loop_ends() -> Iterator[AnyFast]:
    """Make a client from the environment whose connections end with the loop they were made in; close it at the end.

    Connections that outlive their loop can no longer be closed, and warn when they are collected; most runners close
    the loop of a test before a synchronous fixture ends. What all of them do before is ``loop.shutdown_asyncgens()``:
    an async generator that was started in the loop and stays at its ``yield`` is told of the end.
    """
    client = AnyFast()
    shared = client._shared  # noqa: SLF001 - public names know of no loop
    transport = shared.transport
    guards: list[AsyncGenerator[None, None]] = []
    bind = transport._session_here  # noqa: SLF001

    def bind_guarded() -> Any:
        if transport.loop is None:
            guards.append(_started(_leaving_at_end(shared)))
        return bind()

    transport._session_here = bind_guarded  # type: ignore[method-assign]  # noqa: SLF001
    yield client
    _run(lambda: _closed(client, guards), transport.loop)


async def _leaving_at_end(shared: _Shared) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        shared.gate.reset()
        await shared.transport.leave_loop()


def _started(generator: AsyncGenerator[None, None]) -> AsyncGenerator[None, None]:
    """Return *generator* at its first ``yield``, which it must reach without waiting."""
    with suppress(StopIteration):
        generator.asend(None).send(None)
    return generator


async def _closed(client: AnyFast, guards: list[AsyncGenerator[None, None]]) -> None:
    await client.aclose()
    for guard in guards:
        await guard.aclose()


def _run(close: Callable[[], Any], loop: asyncio.AbstractEventLoop | None) -> None:
    """Run *close* in *loop*, whatever state that is in; None stands for none."""
    if loop is not None and loop.is_running():
        if asyncio._get_running_loop() is not loop:  # noqa: SLF001 - the public one raises where there is none
            asyncio.run_coroutine_threadsafe(close(), loop).result(CLOSING)
        return  # this very loop cannot be waited for; its end closes the connections
    runner = asyncio.new_event_loop() if loop is None or loop.is_closed() else loop
    try:
        runner.run_until_complete(close())
    finally:
        if runner is not loop:
            runner.close()
