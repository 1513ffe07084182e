"""A scope whose number in flight is found by trying: ``Limits(concurrency="auto")``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

import attrs

from anyfast_async._core.limits.adaptive_window import EACH, FIRST, AdaptiveWindow
from anyfast_async._limits.scope import Scope, limits_of

if TYPE_CHECKING:
    from anyfast_async._core.usage import Used
    from anyfast_async._limits.scope import Permit
    from anyfast_async.policies import AutoConcurrency


@attrs.define(eq=False, repr=False)
class AutoScope(Scope):
    """Learns from how long its calls take."""

    window: AdaptiveWindow = attrs.field(kw_only=True)
    tells_tokens: bool = attrs.field(default=False, init=False)
    """Whether any answer has said how many tokens it has; until then each counts as one."""

    is_timed: ClassVar[bool] = True

    @classmethod
    def beginning(cls, auto: AutoConcurrency, requests: int | None, tokens: int | None) -> AutoScope:
        """Return one with a window, and limits per minute, None for none."""
        scope = cls(*limits_of(requests, tokens), window=AdaptiveWindow(auto.start, auto.least, auto.most))
        scope.throttle.adapt(scope.window)
        return scope

    def begun(self, permit: Permit) -> None:
        """Take in the first content of a stream, when nobody knows yet how long it will be."""
        throttle, now = self.throttle, asyncio.get_running_loop().time()
        self.window.answered(throttle.in_flight, FIRST, now - permit.at, 1.0, permit.number, throttle.number)

    def answered(self, permit: Permit, used: Used | None) -> None:
        """Take in that all of an answer is there; None: it does not say what it used."""
        throttle = self.throttle
        if throttle.in_flight < self.window.count:
            return  # a window that is not full says nothing
        tokens = 0 if used is None else used.completion
        if tokens:
            self.tells_tokens = True
        elif self.tells_tokens:
            return
        seconds = asyncio.get_running_loop().time() - permit.at
        self.window.answered(throttle.in_flight, EACH, seconds, tokens or 1, permit.number, throttle.number)
