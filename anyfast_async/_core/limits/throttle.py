"""What refusals teach of the limiter behind a scope: how long to hold, how fast to go, how many at once.

Nobody says which limiter it is. This gateway's counts over a minute; proxies before it count by the second, in fixed
windows, or how many are in flight. So nothing is believed before it is seen: a first refusal holds the scope for about
a second; one request then tries, and the others follow its success. What is refused next tells the kinds apart, see
:meth:`Throttle.refused`; the numbers by which these rules were chosen stand in ``benchmarks/experiments``.

Arithmetic on a given ``now``; random numbers are arguments.
"""

from __future__ import annotations

import math
from typing import ClassVar, Final

import attrs

from anyfast_async._core.limits.adaptive_window import AdaptiveWindow
from anyfast_async._core.limits.learned_limits import Places, Rate
from anyfast_async._core.limits.rate_limit import PERIOD, Learned, Slot
from anyfast_async._core.limits.refusal import Entry, Refusal
from anyfast_async._core.retry.suspicion import Suspicion, Trial
from anyfast_async._values.bases import Shown

FIRST_HOLD: Final = 1.0
"""Seconds of the first hold, where the server does not say: proxies count over a second."""
LONGEST_HOLD: Final = 60.0
"""Seconds of the longest hold: this gateway counts over minutes (new-api ``middleware/model-rate-limit.go``)."""
LEAST_HOLD: Final = 0.05
"""Seconds of the shortest hold, where the server asks for (next to) none; it doubles up to the next if they go on."""
LONGEST_LEAST: Final = 5.0
MANY: Final = 100
"""Requests granted in a minute, after which the limiter is not one of a second: the first hold is twice as long."""
SHARE: Final = 10
"""Requests whose time at the scope's own recent rate is held, after the refusal of one row alone."""
RECENT: Final = 2.0
"""Seconds over which that rate is taken."""
LONGEST_SCALE: Final = 3.0
"""Seconds in which a rate may double, at most."""
LEAST_RECENT: Final = 0.25
"""The same for a scope that has just begun."""


@attrs.define(eq=False, repr=False)
class Throttle(Shown):
    """What one scope knows of the limiter behind it."""

    learned: Learned = attrs.field(factory=Learned, init=False)
    """The limit per minute."""
    rate: Rate | None = attrs.field(default=None, init=False)
    """The limit over shorter times."""
    places: Places | AdaptiveWindow | None = attrs.field(default=None, init=False)
    """The limit of what is in flight."""
    window: AdaptiveWindow | None = attrs.field(default=None, init=False)
    """What finds it, where nobody has stated one."""
    trial: Trial | None = attrs.field(default=None, init=False)
    held_until: float = attrs.field(default=0.0, init=False)
    streak: int = attrs.field(default=0, init=False)
    """Refusals in a row, each of a request that was sent after the hold before it."""
    holds: int = attrs.field(default=0, init=False)
    """Holds so far."""
    ceiling: int | None = attrs.field(default=None, init=False)
    """After a hold: requests let in since then that may be in flight, growing with every success."""
    since_hold: int = attrs.field(default=0, init=False)
    """Requests in flight that were let in after the last hold began; a long stream from before does not count."""
    in_flight: int = attrs.field(default=0, init=False)
    kept: int = attrs.field(default=0, init=False)
    """Of the places in flight, those that are kept free for lanes with a reserve; they leave one to the others."""
    number: int = attrs.field(default=0, init=False)
    """Requests that were let in."""
    fresh: bool = attrs.field(default=False, init=False)
    """Whether the next one is the first after a hold."""
    watching: bool = attrs.field(default=False, init=False)
    """Whether a success tells anything."""
    _began: float = attrs.field(default=math.inf, init=False)
    """When the first request was let in."""
    _refusals: int = attrs.field(default=0, init=False)
    _mark: tuple[float, int] | None = attrs.field(default=None, init=False)
    """When the streak before this one began, and what was granted by then."""
    _measured: float = attrs.field(default=1.0, init=False)
    """Requests granted a second between the beginnings of the last two streaks."""
    _since: float = attrs.field(default=0.0, init=False)
    """When the streak began."""
    _row: Suspicion | None = attrs.field(default=None, init=False)
    """Of the row whose refusal began the hold."""
    _apart: list[Trial] = attrs.field(factory=list, init=False)
    """Rows that were told to wait while others were answered."""
    _is_silent: bool = attrs.field(default=True, init=False)
    """Whether the last refusal did not say for how long."""
    _alone: bool = attrs.field(default=False, init=False)
    """Whether nobody else was refused."""
    _limited: bool = attrs.field(default=False, init=False)
    """Whether several rows were refused at once or in a row: there is a limiter."""
    _open: bool = attrs.field(default=False, init=False)
    """Whether others followed the request that went first after the last hold."""
    _by_rate: bool = attrs.field(default=False, init=False)
    """Whether the limiter was seen to count over time, not what is in flight."""
    _eased: int = attrs.field(default=0, init=False)
    """Refusals of the streak after which the window got smaller instead."""
    _worked: float = attrs.field(default=0.0, init=False)
    """Seconds after which the limiter took a request again, the last time."""

    SLOWED: ClassVar[int] = 3
    """Refusals in a row that only slow down a scope whose limiter is known; the next one holds it."""
    SLOWED_WINDOW: ClassVar[int] = 8
    """The same where a window gets smaller with each, by one, two, four ... places."""
    PROOF: ClassVar[float] = 10.0
    """Seconds of refusals, with holds between them, that prove a limiter of minutes."""
    MINUTES: ClassVar[float] = 30.0
    """Seconds of them after which the next refusal is taken for one of that limiter at once."""

    def adapt(self, window: AdaptiveWindow) -> None:
        """Have no more in flight than the *window* finds: by refusals as everywhere, and by how long answers take."""
        self.window = self.places = window
        self.watching = True

    # -- before a request --------------------------------------------------------------------------------------------

    def wait(self, now: float, own: int = 0) -> float | None:
        """Return the seconds until the next request may go; None if only the end of another one can tell.

        *own*: of the places that are kept free, those for the request's own lane.
        """
        if self.ceiling is not None and self.since_hold >= self.ceiling:
            return None
        if self.places is not None and self.in_flight >= (count := self.places.count) - (
            min(self.kept - own, count - 1) if self.kept else 0
        ):
            return None
        wait = self.held_until - now
        if self.learned.granted.limit < math.inf and (other := self.learned.wait(now)) > wait:
            wait = other
        if self.rate is not None and (other := self.rate.wait(now)) > wait:
            wait = other
        return wait if wait > 0 else 0.0

    @property
    def ramps(self) -> bool:
        """Whether those that wait follow the one which goes first after a hold."""
        return self.ceiling is not None and self.since_hold >= self.ceiling

    def take(self, now: float) -> Slot:
        """Count a request that is let in; return where it stands among what was granted."""
        if now < self._began:  # noqa: PLR1730 - for every request
            self._began = now
        self.since_hold += 1
        self.in_flight += 1
        self.number += 1
        self.fresh = False
        if self.rate is not None:
            self.rate.take(now)
        return self.learned.granted.take(now, 1)

    def left(self, entry: Entry) -> None:
        """Count a request that has ended."""
        self.in_flight -= 1
        self.since_hold -= entry.hold == self.holds

    def give_back(self, entry: Entry, now: float) -> None:
        """Take in that a request that was let in is not sent."""
        self.learned.granted.settle(now, entry.granted, -1)
        self._refusals += 1  # not among those that were granted
        self.fresh = self.fresh or entry.first

    # -- after it was taken ------------------------------------------------------------------------------------------

    def succeeded(self, entry: Entry, now: float, concurrency: int) -> None:
        """Take in that the gateway took a request; need not be told unless :attr:`watching`."""
        if self.trial is not None or self._apart:
            self._testify(entry)
        if self.places is not self.window and isinstance(self.places, Places):
            self.places.answered(self.in_flight)
            if self.places.sure:
                self.rate = None
        if entry.hold == self.holds:
            if self.streak and self.ceiling is not None:
                self._follow(entry, now)
            self.streak, self._eased, self._open = 0, 0, True
            if self.ceiling is not None:
                self.ceiling += 1
                if self.ceiling >= concurrency or (self._alone and self.trial is None):
                    self.ceiling = None
        self._watch()

    def _testify(self, entry: Entry) -> None:
        if self.trial is not None and self.trial.hear(entry.number):
            self.trial = None
        if self._apart:
            self._apart = [one for one in self._apart if not one.hear(entry.number)]

    def _follow(self, entry: Entry, now: float) -> None:
        """Let the others follow the request that went first, at the rate seen so far to begin with."""
        self._worked = entry.at - self._since
        granted = self.learned.granted.taken - 1
        # Where the server says for how long, or nothing was granted before, nothing of a rate was seen.
        if self._is_silent and self._limited and granted and self._worked < self.PROOF and self._is_unknown:
            seconds = max(1.0, min(PERIOD, now - self._began))
            self.rate = Rate(granted / seconds, self._scale)

    @property
    def _is_unknown(self) -> bool:
        return self.rate is None and self.places is None

    @property
    def _scale(self) -> float:
        return min(max(1.0, self._worked), LONGEST_SCALE)

    # -- after it was refused ----------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Begin anew with one request at a time."""
        self._let_go(1)

    def _let_go(self, ceiling: int | None) -> None:
        self.holds += 1
        self.since_hold, self.ceiling, self.fresh, self.watching = 0, ceiling, True, True

    def pause(self, now: float) -> None:
        """Hold for a moment, after which a row that is under suspicion goes first, and the others at once behind it."""
        self.held_until = max(self.held_until, now + min(FIRST_HOLD, SHARE / self._recent(now)))
        self.fresh = True

    def refused(self, entry: Entry, now: float, row: Suspicion, refusal: Refusal) -> bool:
        """Take in that a request was throttled.

        What came of requests that were sent before the hold began belongs to the same refusal: it counts once. In a
        scope whose limiter is known the next one comes as it should (:meth:`_slow_down`); in others it holds all: after
        that one request goes, and if that is refused too, twice as long. A row with strikes holds nobody.

        A stated delay holds all as soon as a second row is refused; until then one row keeps it, and another tries.

        Args:
            entry: the request.
            now: loop time.
            row: what is held against the row whose request it was.
            refusal: the answer.

        Returns:
            Whether it began a hold.

        """
        self.learned.granted.settle(now, entry.granted, -1)
        self._refusals += 1
        row.goes_first = False
        if entry.first:
            self._accuse(row, entry.number)
        if row.strikes:
            self._watch()
            return False
        is_more = entry.hold == self.holds
        if self.window is not None and self.in_flight > 1:
            self.window.refused(2 ** min(self.streak, 10) if is_more else 1)
        if not is_more:
            self._as_well(now, refusal)
            return False
        row.goes_first = not entry.first
        recent = self._recent(now)
        if self.streak == 0:
            self._begin_streak(now)
        self.streak += 1
        if self.streak > 1 and row is not self._row:
            self._limited = True
        self._row, self._is_silent = row, refusal.asked is None
        most = self.SLOWED if self.window is None else self.SLOWED_WINDOW
        if self._is_silent and self._limited and self._open and self.streak <= most and self._is_known:
            self._slow_down(now)
            self._eased += self.window is not None
            self._let_go(None)
            return True
        self._open, self._alone = False, not self._limited
        self._let_go(1)
        length = self._length(now, recent, refusal)
        if refusal.asked is not None and length < refusal.asked:
            row.apart, row.goes_first = True, False
            self._apart.append(Trial(row, entry.number, is_fair=False))
        self.held_until = max(self.held_until, now + length)
        return True

    def ignored(self, entry: Entry) -> None:
        """Take in that a request was refused for longer than anybody waits: that holds nobody."""
        self.learned.granted.settle(entry.at, entry.granted, -1)
        self._refusals += 1

    def refused_alone(self, row: Suspicion, now: float) -> None:
        """Hold a refusal against a row that went first while there was nobody else, and others were answered before.

        Unless the limiter may be full of what a minute has sent: others were refused, or none answered since.
        """
        is_known = (row.strikes or row.outdone) and not self._limited
        was_granted = self.number > self._refusals
        if row.on_trial and (is_known or (was_granted and not self.learned.granted.since(now - PERIOD))):
            self.trial = None
            row.judge(guilty=True)
            if row is self._row:
                self.held_until = now  # with a strike it holds nobody

    def _accuse(self, row: Suspicion, number: int) -> None:
        before, self.trial = self.trial, Trial(row, number)
        row.on_trial = True
        if before is not None and before.row is not row:
            before.row.judge(guilty=False)  # two were refused, with nobody answered between them

    def _begin_streak(self, now: float) -> None:
        granted = self.number - self._refusals
        if self._mark is not None:
            then, before = self._mark
            self._measured = max(granted - before, 1) / max(now - then, LEAST_HOLD)
        self._since, self._mark = now, (now, granted)

    def _as_well(self, now: float, refusal: Refusal) -> None:
        """Take in another refusal of the same cascade."""
        self._limited = True
        if self._mark is not None:
            self._mark = (self._mark[0], self._mark[1] - 1)
        if refusal.asked is not None:
            self.held_until = max(self.held_until, now + refusal.asked * (1 + 0.1 * refusal.rand))
            return
        self.learned.refused(now, proven=False)
        if self._alone:  # the hold was for one row
            self.held_until = max(self.held_until, now + self._step(self._base(refusal), refusal.rand))
        self._alone = False

    @property
    def _is_known(self) -> bool:
        return self._worked < self.PROOF or self.learned.granted.limit < math.inf

    def _slow_down(self, now: float) -> None:
        """Ask for less, by what the refusal is taken for: too many a minute, too many in flight, or too fast."""
        others = self.in_flight - 1
        if self.learned.granted.limit < math.inf:
            self.learned.refused(now, proven=False)
        elif self.window is not None and others:
            pass  # it has heard of it
        elif self.places is None and not self._by_rate and others:
            self.places = Places(others)
        elif not isinstance(self.places, Places) or not self.places.refused(others):
            self.places, self._by_rate = self.window, True
            self.rate = self.rate or Rate(self._measured, self._scale)
            self.rate.refused(now, self._measured)

    def _length(self, now: float, recent: float, refusal: Refusal) -> float:
        """Return the seconds of a hold."""
        if refusal.asked is not None:
            least = min(LEAST_HOLD * 2.0 ** min(self.streak - 1, 32), LONGEST_LEAST) if refusal.asked < 1 else 0.0
            asked = max(refusal.asked * (1 + 0.1 * refusal.rand), least)
            return min(asked, SHARE / recent) if self._alone else asked
        base = self._base(refusal)
        if refusal.first_hold is None and self._alone:
            base = min(base, SHARE / recent)
        if refusal.first_hold is None and refusal.stated is not None and self.streak == 1:
            # What is refused within a stated limit is refused by a limiter of seconds, which grants more at once; only
            # a second refusal shows that the limit is not what was stated.
            base = min(base, SHARE * refusal.stated)
        length = self._step(base, refusal.rand)
        proven = self._limited and (now - self._since >= self.PROOF or self._worked >= self.MINUTES)
        self.learned.refused(now, proven=proven)
        if known := self.learned.wait(now):
            return min(length, known)
        return (self.learned.oldest(now) if proven else 0.0) or length

    def _step(self, base: float, rand: float) -> float:
        return min(LONGEST_HOLD, base * 2.0 ** min(self.streak - 1 - self._eased, 32)) * (1 + 0.2 * rand)

    def _base(self, refusal: Refusal) -> float:
        """Return the seconds of the first hold of a streak."""
        if refusal.first_hold is not None:
            return refusal.first_hold
        if self.rate is not None:
            return min(FIRST_HOLD, SHARE / self.rate.per_second)
        # Nor is one that refuses several rows in a row: so one of minutes is known after four requests.
        longer = self._limited if self.streak > 1 else self.learned.granted.taken >= MANY
        return max(FIRST_HOLD * (1 + longer), min(self._worked / 3, LONGEST_HOLD))

    def _recent(self, now: float) -> float:
        """Return the requests a second that were granted of late."""
        seconds = max(LEAST_RECENT, min(RECENT, now - self._began))
        return max(self.learned.granted.since(now - RECENT) / seconds, 1.0)

    def _watch(self) -> None:
        self.watching = bool(
            self.places is not self.window
            or self.streak > 0
            or self._apart
            or self.trial is not None
            or self.ceiling is not None
        )

    def lift(self, now: float) -> None:
        """End the hold, and forget what the limiter was taken for."""
        self.held_until, self.learned, self.rate, self.places = now, Learned(), None, self.window

    def renewed(self) -> Throttle:
        """Return one for another loop, the clock of which may start anywhere: it keeps what the minute has granted."""
        other = Throttle()
        other.learned = self.learned
        if self.window is not None:
            other.adapt(self.window)
        return other
