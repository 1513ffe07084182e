"""A scope whose number in flight is found by trying: ``Limits(concurrency="auto")``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from anyfast_async._core.limits.adaptive_window import EACH, FIRST, AdaptiveWindow
from anyfast_async._limits.followed import Followed
from anyfast_async._limits.scope import Permit, Scope, limits_of

if TYPE_CHECKING:
    from anyfast_async.policies import AutoConcurrency


@attrs.define(eq=False, repr=False)
class AutoScope(Scope):
    """Follows its calls, to learn from how long they take."""

    @classmethod
    def beginning(cls, auto: AutoConcurrency, requests: int | None, tokens: int | None) -> AutoScope:
        """Return one with a window, and limits per minute, None for none."""
        scope = cls(*limits_of(requests, tokens))
        scope.throttle.adapt(AdaptiveWindow(auto.start, auto.least, auto.most))
        return scope

    def take(self, now: float, tokens: float) -> Permit:
        """Count a call that is admitted."""
        permit = Scope.take(self, now, tokens)
        permit.taken = Followed.of(permit.taken, permit.at)
        return permit

    def answered(self, permit: Permit, now: float) -> None:
        """Take in an answer: a stream by its first content, when nobody knows yet how long it will be."""
        window, taken = self.throttle.window, permit.taken
        if window is None or not isinstance(taken, Followed):
            return
        seconds = now - permit.at
        if taken.whole:
            window.answered(self.throttle.in_flight, EACH, seconds, taken.answer or 0)
        else:
            window.answered(self.throttle.in_flight, FIRST, seconds, 1.0)
