"""One scope of the gate: what is counted per origin, key and model, and what the gateway's answers say of it.

Arithmetic on a given ``now``; the waiting is the gate's.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, ClassVar, Final

import attrs

from anyfast_async._core.limits.rate_limit import PERIOD, Slot, Spacing, Window
from anyfast_async._core.limits.refusal import Refusal
from anyfast_async._core.limits.throttle import Throttle
from anyfast_async._core.limits.token_estimate import Expected
from anyfast_async._core.retry.outage import Outage
from anyfast_async._values.bases import Shown

if TYPE_CHECKING:
    from anyfast_async._core.limits.tokens_per_minute import Taken, Tokens
    from anyfast_async._core.retry.suspicion import Suspicion
    from anyfast_async._core.usage import Used
    from anyfast_async._limits.lines import WaitingLine
    from anyfast_async.observing import Hold


PACE: Final = 32
"""Turns over which it is taken how fast those who wait get on."""


@attrs.define(eq=False, repr=False)
class Scope(Shown):
    """What is counted per origin, key and model."""

    requests: Window | None
    tokens: Tokens | None
    pace: Spacing | None
    expected: Expected = attrs.field(factory=Expected)
    throttle: Throttle = attrs.field(factory=Throttle)
    outage: Outage = attrs.field(factory=Outage)
    outage_news: asyncio.Future[None] | None = None
    """What those who wait for the end of an outage wait for: it is done when they should look again."""
    told: dict[str, tuple[Hold, float]] = attrs.field(factory=dict)
    """What observers were told of holds that are not over, by their reasons, and when those began."""
    overlong: int | None = None
    """The successes when a request was last refused for longer than anybody waits."""
    quickest: float = math.inf
    """Seconds of the quickest answer so far."""
    _bounced: tuple[float, int] = (-math.inf, 0)
    """When an answer was last found to have come too soon, and the scope's successes by then."""
    reserved: float = 0.0
    """Tokens that are estimated for calls in flight."""
    queued: int = 0
    """Calls that wait in front of it."""
    lines: list[WaitingLine] = attrs.field(factory=list)
    """Where they wait: a line for each lane, first that of the calls without one."""

    served: deque[float] = attrs.field(factory=lambda: deque(maxlen=PACE), init=False)
    """When the last of those who waited went, where there are lanes, since anybody waits."""

    is_timed: ClassVar[bool] = False
    """Whether it learns from how long answers take."""

    @classmethod
    def within(cls, requests: int | None, tokens: int | None) -> Scope:
        """Return a scope with limits per minute, None for none."""
        return cls(*limits_of(requests, tokens))

    def remember(self, now: float, age: float, requests: float, tokens: float) -> None:
        """Count what another process has sent *age* seconds ago; the oldest first, before anything is taken."""
        for window, amount in ((self.requests, requests), (self.tokens, tokens)):
            if window is not None and age < PERIOD:
                window.remember(now, age, amount)

    def begin_anew(self) -> None:
        """Go on in another loop, where nothing is in flight: what the limits have counted is kept."""
        self.reserved, self.outage_news = 0.0, None
        if self.tokens is not None:
            self.tokens.disband()
        # The clock of another loop may start anywhere; a hold must not outlive it by more than its own length.
        self.throttle, self.outage = self.throttle.renewed(), Outage()
        for line in self.lines:
            line.in_flight = 0
            self.throttle.kept += line.unused
        self.told.clear()

    def send_away(self) -> None:
        """Let nobody wait any more."""
        self.queued = 0
        for line in self.lines:
            line.waiters.clear()
            line.queued, line.listed = 0, None

    def freed(self, reason: str, now: float) -> Hold | None:
        """Return what to tell of the end of a hold, None if nothing was told of its beginning."""
        if reason not in self.told:
            return None
        hold, since = self.told.pop(reason)
        return attrs.evolve(hold, state="over", seconds=now - since)

    def wait(self, now: float, tokens: float, own: int = 0) -> float | None:
        """Return the seconds until the next call may go; None if only the end of another one can tell.

        *own*: of the places that are kept free, those for the call's own lane.
        """
        wait = self.throttle.wait(now, own)
        if wait is None:
            return None
        if self.requests is not None:
            # What was taken by the last call is no less than now: where that leaves room nobody need be asked.
            requests, pace = self.requests, self.pace
            if requests.taken + 1 > requests.limit and (other := requests.wait(now, 1)) > wait:
                wait = other
            if pace is not None and (other := pace.wait(now)) > wait:
                wait = other
        if self.tokens is not None:
            counted, window = self.tokens, self.tokens.window
            if (counted.line or window.taken + tokens > window.limit) and (other := counted.wait(now, tokens)) > wait:
                wait = other
        return wait

    def limit(self, tokens: Tokens) -> None:
        """Have tokens counted, too."""
        self.tokens = tokens

    def expect(self, tokens: float) -> None:
        """Count what is estimated for a call that is admitted."""
        self.reserved += tokens

    @property
    def held_until(self) -> float:
        """The loop time until which throttling holds it."""
        return self.throttle.held_until

    def _for_requests(self, now: float) -> float:
        if self.requests is None or self.pace is None:
            return 0.0
        return max(self.pace.wait(now), self.requests.wait(now, 1))

    def _for_tokens(self, now: float, tokens: float) -> float:
        return 0.0 if self.tokens is None else self.tokens.wait(now, tokens)

    def limited_by(self, now: float, tokens: float) -> str:
        """Return what makes the next call wait longest."""
        throttled = self.throttle.wait(now)
        if throttled is None:
            return "throttling"
        waits = {
            "requests_per_minute": self._for_requests(now),
            "tokens_per_minute": self._for_tokens(now, tokens),
            "throttling": throttled,  # if all are over, not this one
        }
        return max(waits, key=lambda name: waits[name])

    def shared(self) -> tuple[str, str]:
        """Return how its limits are shared with other clients, and what would help; empty if they are not."""
        return "", ""

    def take(self, now: float, tokens: float) -> Permit:
        """Count a call that is admitted."""
        self.reserved += tokens
        counted = self.requests.take(now, 1) if self.requests is not None else None
        if self.pace is not None:
            self.pace.take(now)
        taken = self.tokens.take(now, tokens) if self.tokens is not None else None
        throttle, first = self.throttle, self.throttle.fresh
        granted = throttle.take(now)
        return Permit(self, now, tokens, counted, taken, granted, throttle.holds, throttle.number, first)

    def throttled(self, permit: Permit, now: float, row: Suspicion, refusal: Refusal) -> None:
        """Take in a throttled answer to a request of *row*."""
        if self.pace is not None:
            refusal = attrs.evolve(refusal, stated=self.pace.interval)
        held = self.throttle.refused(permit, now, row, refusal)
        if held and self.pace is not None and refusal.asked is None:
            self.pace.tighten()

    def bounced(self, permit: Permit, now: float) -> bool:
        """Return whether a refusal came too soon to be about the request, while others are answered.

        So limiters in front of a gateway speak (nginx' ``limit_req``, uvicorn's ``--limit-concurrency``): at once, in a
        page. An outage can look the same, so unless another was answered since, it is believed only for the time that
        an answer takes, and of what was on its way.
        """
        if now - permit.at >= self.quickest:
            return False
        at, successes = self._bounced
        if permit.at > at and now - at >= self.quickest:
            if self.outage.successes == successes:
                return False
            self._bounced = now, self.outage.successes
        return True

    def is_new(self, permit: Permit) -> bool:
        """Return whether nothing was answered yet, and nothing held before this request."""
        return permit.hold == 0 and self.quickest == math.inf

    def left(self, permit: Permit) -> None:
        """Count a call that has ended."""
        self.throttle.left(permit)
        if not permit.settled:
            self.known(permit)
        taken = permit.taken
        if taken is not None:
            taken.ended = True
            if taken.line is not None:
                taken.line.left()

    def begun(self, permit: Permit) -> None:
        """Take in the first content of a stream, where it is timed."""

    def answered(self, permit: Permit, used: Used | None) -> None:
        """Take in that all of an answer is there, where it is timed; None: it does not say what it used."""

    def give_back(self, permit: Permit, now: float) -> None:
        """Count a call that was admitted, and is not sent, as if it had never been; then it is over."""
        if self.requests is not None and permit.counted is not None:
            self.requests.settle(now, permit.counted, -1)
        if self.tokens is not None and permit.taken is not None:
            self.tokens.settle(now, permit.taken, 0)
        if permit.taken is not None:
            permit.taken.end(0.0)
        if self.pace is not None:
            self.pace.give_back()
        self.throttle.give_back(permit, now)

    def known(self, permit: Permit) -> None:
        """Count that what a call has used needs no estimate any more."""
        if not permit.settled:
            permit.settled = True
            self.reserved -= permit.tokens


@attrs.define(eq=False, repr=False)
class Permit(Shown):
    """A call that was admitted; it must be released."""

    scope: Scope
    at: float
    tokens: float
    counted: Slot | None
    """Where the request is counted, where those are limited."""
    taken: Taken | None
    """Its tokens, where those are limited."""
    granted: Slot
    """Where the request is among those that were granted."""
    hold: int
    """Number of the hold before it."""
    number: int
    """Its place among those of the scope."""
    first: bool
    """Whether it was the first after a hold."""
    settled: bool = False
    released: bool = False

    def follow(self, line: WaitingLine, charged: float) -> Permit:
        """Return the permit itself, of a call from *line* that is followed to its end; *charged*: to its lane."""
        from anyfast_async._limits.followed import Followed  # noqa: PLC0415 - with the first lane

        self.taken = followed = Followed.of(self.taken, self.at)
        followed.come(line, charged)
        return self


def limits_of(requests: int | None, tokens: int | None) -> tuple[Window | None, Tokens | None, Spacing | None]:
    """Return what counts within limits per minute, None for none."""
    window, pace = (None, None) if requests is None else (Window(requests), Spacing(requests))
    if tokens is None:
        return window, None, pace
    from anyfast_async._core.limits.tokens_per_minute import Tokens  # noqa: PLC0415 - with the first limit of tokens

    return window, Tokens(tokens), pace
