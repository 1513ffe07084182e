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

    tells_tokens: bool = False
    """Whether any answer has said how many tokens it has; until then each counts as one."""

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
        """Take in an answer, or the first content of a stream, when nobody knows yet how long it will be."""
        taken = permit.taken
        if isinstance(taken, Followed):
            taken.begun = True
            self._took(permit, taken, now)

    def ended(self, permit: Permit, now: float) -> None:
        """Take in the end of a stream."""
        taken = permit.taken
        if isinstance(taken, Followed) and taken.begun and taken.whole:
            self._took(permit, taken, now)

    def _took(self, permit: Permit, taken: Followed, now: float) -> None:
        throttle = self.throttle
        if throttle.window is not None:
            kind, units = FIRST, 1.0
            if taken.whole:
                self.tells_tokens = self.tells_tokens or bool(taken.answer)
                kind, units = EACH, float(taken.answer or not self.tells_tokens)
            throttle.window.answered(throttle.in_flight, kind, now - permit.at, units, permit.number, throttle.number)
