"""When a stream that is late is worth a second attempt beside the first: what the first tokens of others say.

A late stream is one straggler, or everything is slow; asking twice helps against the first and harms in the second. So
a second attempt needs a witness that others are quick: a stream that was sent no earlier and was answered in time, or,
where no other one is on its way, that the one before was. Arithmetic on a given ``now``.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from anyfast_async.policies import Hedge

GENERATION: Final = 500
"""First tokens that are counted before the older half of what is known is forgotten."""
LIFETIME: Final = 600.0
"""Seconds after which it is forgotten in any case."""
RECENT: Final = 32
"""Streams of which it is known one by one whether they were late."""
SLOW: Final = 0.25
"""The share of late ones among those, from which on everything counts as slow."""
SAVED: Final = 10.0
"""Second attempts that may be saved up: an hour of quick answers must not buy a storm."""
_EACH: Final = 16
"""First tokens after which the quantile is found anew."""
_ABOVE: Final = 2
"""Values that are to lie above a quantile before it is known."""
_LEAST: Final = 20
_STEP: Final = math.log(1.03)
_SHORTEST: Final = 1e-4
_LONGEST: Final = 1e5


class FirstTokens:
    """How long the first tokens of the last few hundred streams took, to within 3 %.

    Args:
        share: of them, which the quantile is not to exceed.

    """

    __slots__ = ("_before", "_begun", "_count", "_generation", "_needed", "_now", "_share")

    def __init__(self, share: float) -> None:
        self._share = share
        self._needed = max(_LEAST, math.ceil(round(_ABOVE / (1 - share), 6)))
        self._generation = max(GENERATION, self._needed)
        self._now = Counter[int]()
        self._count = 0
        self._before = Counter[int]()
        self._begun = -math.inf

    def begin_anew(self) -> None:
        """Go on with a clock that may start anywhere."""
        self._begun = -math.inf

    def add(self, seconds: float, now: float) -> None:
        """Take one in."""
        if self._count >= self._generation or now - self._begun >= LIFETIME:
            self._before, self._now, self._count, self._begun = self._now, Counter(), 0, now
        self._count += 1
        self._now[math.floor(math.log(min(max(seconds, _SHORTEST), _LONGEST)) / _STEP)] += 1

    def quantile(self) -> float | None:
        """Return what their share did not exceed, None before enough of them are known."""
        known = self._now + self._before
        count = known.total()
        if count < self._needed:
            return None
        left = math.ceil(round(count * self._share, 6))
        for bucket in sorted(known):
            left -= known[bucket]
            if left <= 0:
                return math.exp((bucket + 1) * _STEP)
        return None


class Unanswered:
    """A stream that was sent and has no content yet.

    Args:
        sent_at: when.
        go: makes a second attempt, and returns whether it could.

    """

    __slots__ = ("follows_quick", "go", "is_late", "sent_at")

    def __init__(self, sent_at: float, go: Callable[[], bool]) -> None:
        self.sent_at: float = sent_at
        self.go: Callable[[], bool] = go
        self.is_late: bool = False
        self.follows_quick: bool = False
        """Whether the stream of which it was known last, when this one was late, was not."""


class Hedging:
    """What is known of the streams of one scope, and what second attempts may still cost."""

    def __init__(self, hedge: Hedge) -> None:
        self.after: float | None = None if isinstance(hedge.after, str) else float(hedge.after)
        """Seconds without content after which a stream is late; None while that is not known."""
        self.sent: int = 0
        """Second attempts."""
        self.won: int = 0
        """Those that had content first."""
        self.tokens: float = 0.0
        """What the losers are taken to have cost."""
        self.unsafe_tools: tuple[str, ...] | str = hedge.unsafe_tools
        self._budget = hedge.budget
        self._saved = 0.0
        self._firsts = FirstTokens(float(hedge.after[1:]) / 100) if isinstance(hedge.after, str) else None
        self._since = 0
        self._recent: deque[bool] = deque(maxlen=RECENT)
        self._newest = -math.inf
        """When the newest of those was sent that were answered in time."""
        self._pending: set[Unanswered] = set()
        self._late: dict[Unanswered, None] = {}
        """Those of them that are late, and wait for a witness."""
        self._answers = self._known = 0
        self._used = 0.0
        """Tokens of the answers that tell them."""

    def begin_anew(self) -> None:
        """Go on in another loop, where nothing is on its way, and the clock may start anywhere."""
        self._pending.clear()
        self._late.clear()
        self._newest = -math.inf
        if self._firsts is not None:
            self._firsts.begin_anew()

    # -- one stream --------------------------------------------------------------------------------------------------

    def begin(self, now: float, go: Callable[[], bool]) -> Unanswered:
        """Take in that a stream was sent."""
        self._saved = min(SAVED, self._saved + self._budget)
        pending = Unanswered(now, go)
        self._pending.add(pending)
        return pending

    def late(self, pending: Unanswered) -> None:
        """Take in that a stream is late; have it asked for twice now, or as soon as others show that it is alone."""
        if pending.is_late or pending not in self._pending:
            return
        pending.is_late, pending.follows_quick = True, bool(self._recent) and not self._recent[-1]
        self._recent.append(True)
        self._late[pending] = None
        self._look(pending)

    def answered(self, pending: Unanswered, now: float, seconds: float) -> None:
        """Take in that a stream has content, or would have had it later than after so many *seconds*."""
        self._leave(pending)
        if not pending.is_late:
            self._recent.append(False)
            self._newest = max(self._newest, pending.sent_at)
        if self._firsts is not None:
            self._firsts.add(seconds, now)
            self._since += 1
            if self._since >= _EACH or self.after is None:
                self._since, self.after = 0, self._firsts.quantile()
        self._look_at_all()

    def gone(self, pending: Unanswered) -> None:
        """Take in that a stream has ended without content: that says nothing of the others."""
        self._leave(pending)
        self._look_at_all()

    def _leave(self, pending: Unanswered) -> None:
        self._pending.discard(pending)
        self._late.pop(pending, None)

    def _look_at_all(self) -> None:
        for pending in tuple(self._late):
            self._look(pending)

    def _look(self, pending: Unanswered) -> None:
        if pending in self._late and self._saved >= 1 and self._is_straggler(pending) and pending.go():
            self._late.pop(pending, None)

    def _is_straggler(self, pending: Unanswered) -> bool:
        if sum(self._recent) > SLOW * len(self._recent):
            return False
        return self._newest >= pending.sent_at or (pending.follows_quick and len(self._pending) == 1)

    # -- what it costs -----------------------------------------------------------------------------------------------

    def afford(self, prompt: float) -> float | None:
        """Return the tokens that a second attempt with such a *prompt* may cost, None if they are not to be had."""
        cost = max(prompt, self._used / self._known) if self._known else prompt
        if not self._known:
            return cost  # nobody tells: the number of attempts bounds it
        # Answers that do not tell are taken for average ones.
        total = self._used * self._answers / self._known
        return cost if self.tokens + cost <= self._budget * total else None

    def take(self, cost: float) -> None:
        """Take in that a second attempt goes out that may cost so many tokens."""
        self._saved -= 1
        self.sent += 1
        self.tokens += cost

    def give_back(self, cost: float) -> None:
        """Take in that it was not sent."""
        self._saved += 1
        self.sent -= 1
        self.tokens -= cost

    def settle(self, cost: float, actual: float) -> None:
        """Put what it is taken to have cost in place of what it might."""
        self.tokens += actual - cost

    def used(self, tokens: float | None) -> None:
        """Take in what an answer used; None: it does not tell."""
        self._answers += 1
        if tokens is not None:
            self._known += 1
            self._used += tokens
