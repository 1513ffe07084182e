"""What the fixtures of ``pytest_plugin`` do to a client; apart from it, which every run of pytest imports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs

from anyfast_async import _call
from anyfast_async._core.outage import ALONE, Company, Outage
from anyfast_async._core.throttle import Refusal, Suspicion
from anyfast_async._gate import Gate
from anyfast_async._lane import Permit
from anyfast_async._retry import Retries, call_again
from anyfast_async._standing import Standing
from anyfast_async.client import AnyFast
from anyfast_async.errors import AnyFastError, DeadlineExceeded

if TYPE_CHECKING:
    import pytest

CLOSING: Final = 5.0
"""Seconds for closing a client whose loop runs in another thread."""


# -- retries that do not wait ----------------------------------------------------------------------------------------


@attrs.define
class SkippingRetries(Retries):
    """Decides as if the waits that are skipped took place."""

    skipped: float = 0.0
    """Seconds that this call would have waited so far."""

    def delay(
        self,
        error: AnyFastError,
        *,
        now: float,
        held_until: float,
        rand: float,
        company: Company = ALONE,
    ) -> float | None:
        """Return what there would be to wait after *error*, None to give up.

        Raises:
            DeadlineExceeded: ``Timeouts.total`` would have run out meanwhile.

        """
        then = now + self.skipped
        wait = super().delay(error, now=then, held_until=held_until + self.skipped, rand=rand, company=company)
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
    """Skip the waits between attempts, and the hold after throttled ones; wait for no outage to end."""
    hold = Gate.throttled

    def lifted(gate: Gate, permit: Permit, refusal: Refusal, row: Suspicion) -> float:
        until = hold(gate, permit, refusal, row)
        permit.lane.throttle.lift(asyncio.get_running_loop().time())
        return until

    def at_once(
        first: AnyFastError,
        attempt: Callable[[], Awaitable[Any]],
        delay: Callable[[AnyFastError], float | None],
        _: Callable[[float], Awaitable[None]],
    ) -> Awaitable[Any]:
        return call_again(first, attempt, delay, lambda _: asyncio.sleep(0))

    monkeypatch.setattr(Gate, "throttled", lifted)
    monkeypatch.setattr(Standing, "seconds", 0.0)
    monkeypatch.setattr(Outage, "failed", lambda *_, **__: False)
    monkeypatch.setattr(_call, "Retries", SkippingRetries)
    monkeypatch.setattr(_call, "call_again", at_once)


# -- a client that any runner may use --------------------------------------------------------------------------------


@contextmanager
def client_until_loop_ends() -> Iterator[AnyFast]:
    """Make a client from the environment, and close it at the end, without a loop or in the one it was used in.

    Most runners close the loop of a test before a synchronous fixture ends; its connections went with it.
    """
    client = AnyFast()
    yield client
    _run(client.aclose, client._shared.transport.loop)  # noqa: SLF001 - public names know of no loop


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
