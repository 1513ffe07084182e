"""What the fixtures of ``pytest_plugin`` do to a client; apart from it, which every run of pytest imports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import attrs

from anyfast_async._core.retry.outage import ALONE, Company
from anyfast_async._retry.retries import Retries
from anyfast_async._retry.waits import Waits, using
from anyfast_async.client import AnyFast
from anyfast_async.errors import AnyFastError, DeadlineExceeded

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


class SkippedWaits(Waits):
    """Takes no time."""

    retries = SkippingRetries
    skipped = True

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002 - it is what is skipped
        """Let others run."""
        await asyncio.sleep(0)


def skip_waits() -> AbstractContextManager[None]:
    """Skip the waits between attempts, and the hold after throttled ones; wait for no outage to end."""
    return using(SkippedWaits())


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
