"""One load, offered and measured: starts requests when they are due, waits for them, and looks at itself meanwhile."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, TypeAlias

import attrs

from anyfast_async.cli.bench.arrivals import Load, due
from anyfast_async.cli.bench.measurement import LoadRequest, Measurement, Said
from anyfast_async.errors import AnyFastError, escaped

Ask: TypeAlias = Callable[[int, Callable[[], None]], Awaitable[Said]]
"""Makes request number so and so, calls what it is given at each piece with content, and returns at the end."""
_STEP: Final = 0.01
"""Seconds between two looks at the loop."""
_SHOWN: Final = 200
"""Characters of an error that are kept."""
_CLOSING: Final = 5.0
"""Seconds that requests get to end once they are cancelled."""


@attrs.frozen(kw_only=True)
class LoadSpan:
    """How long a load is offered."""

    seconds: float
    """That count."""
    warm_up: float = 0.0
    """Seconds before those, which do not."""
    requests: int | None = None
    """At most so many that count."""


class LoadRun:
    """One load.

    Args:
        load: what is offered.
        span: how long.
        ask: makes a request.
        random: for the arrivals.
        first: the number of the first request.
        cpu: tells the CPU time of this process.

    """

    def __init__(
        self,
        load: Load,
        span: LoadSpan,
        ask: Ask,
        random: Random,
        *,
        first: int = 0,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._load = load
        self._span = span
        self._ask = ask
        self._random = random
        self._cpu = cpu
        self._began = self._loop.time()
        self._over = asyncio.Event()
        self._flying: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._counting = 0
        self._cpu_before: float | None = None
        self.number: int = first
        """Of the next request."""
        self.measurement: Measurement = Measurement(
            load, self._began + span.warm_up, self._began + span.warm_up + span.seconds
        )

    @property
    def in_flight(self) -> int:
        """Requests on their way."""
        return len(self._flying)

    def stop(self) -> None:
        """Start nothing more, and leave what is on its way."""
        self._over.set()

    async def run(self) -> Measurement:
        """Offer the load, wait for the answers, and return what was measured."""
        watch = asyncio.ensure_future(self._watch())
        try:
            await (self._open() if self._load.rate is not None else self._closed())
            if self._over.is_set() or self._counting > (self._span.requests or math.inf):
                self.measurement.until = min(self.measurement.until, self._loop.time())
            await self._drained()
        finally:
            watch.cancel()
            self.measurement.left = len(self._flying)
            for task in self._flying:
                task.cancel()
            if self._flying:
                await asyncio.wait(self._flying, timeout=_CLOSING)
            await asyncio.wait({watch})
            self._measure_cpu()
        if self._failure is not None:
            raise self._failure
        return self.measurement

    # -- requests ----------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Start requests when they are due, whatever became of those before."""
        for offset in due(self._load, self._random):
            at = self._began + offset
            if not self._goes_on(at):
                return
            if (wait := at - self._loop.time()) > 0:
                await self._pause(wait)
            elif self.number % _BREATH == 0:
                await asyncio.sleep(0)  # the loop is behind: let it do something else, too
            if self._over.is_set():
                return
            _ = self._start(at)

    async def _closed(self) -> None:
        """Keep so many requests on their way."""

        async def work() -> None:
            while self._goes_on(self._loop.time()) and not self._over.is_set():
                task = self._start(self._loop.time())
                await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)

        over = asyncio.ensure_future(self._over.wait())
        workers = [asyncio.ensure_future(work()) for _ in range(self._load.concurrency or 1)]
        try:
            await asyncio.gather(*workers)
        finally:
            for one in (*workers, over):
                one.cancel()
            await asyncio.wait({*workers, over})

    def _goes_on(self, at: float) -> bool:
        """Tell whether a request that is due then is part of the test, and count it."""
        span, begins = self._span, self.measurement.begins
        if at >= begins + span.seconds:
            return False
        if at < begins:
            return True
        self._counting += 1
        return span.requests is None or self._counting <= span.requests

    def _start(self, at: float) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self._one(self.number, at))
        self.number += 1
        self._flying.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and self._failure is None:
            self._failure = error
            self._over.set()

    async def _one(self, number: int, at: float) -> None:
        now = self._loop.time
        asked = LoadRequest(at, now())
        measurement = self.measurement
        measurement.begun(asked)
        try:
            said = await self._ask(number, lambda: asked.arrived(now()))
        except AnyFastError as error:
            measurement.failure(asked, error.kind, escaped(str(error), _SHOWN))
            held = not error.attempts
        else:
            measurement.ended(asked, now(), said)
            held = said.held
        if held and measurement.counts(asked):
            measurement.checks.held_back += 1

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            pass

    async def _drained(self) -> None:
        """Wait for what is on its way, unless the test is stopped."""
        over = asyncio.ensure_future(self._over.wait())
        while self._flying and not over.done():
            await asyncio.wait({over, *self._flying}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()

    # -- what this process does --------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """See how late the loop is, from the end of the warm-up on."""
        loop, checks = self._loop, self.measurement.checks
        if (wait := self.measurement.begins - loop.time()) > 0:
            await asyncio.sleep(wait)
        self._cpu_before = self._cpu()
        while True:
            at = loop.time() + _STEP
            await asyncio.sleep(_STEP)
            checks.loop_delay.add(max(0.0, loop.time() - at))

    def _measure_cpu(self) -> None:
        checks = self.measurement.checks
        if self._cpu_before is not None:
            checks.cpu_seconds = self._cpu() - self._cpu_before
            checks.wall_seconds = self._loop.time() - self.measurement.begins


_BREATH: Final = 16
"""Requests that are overdue and started in one go."""
