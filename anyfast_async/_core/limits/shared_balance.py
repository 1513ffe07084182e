"""What one client has of a quota that it shares: permits that a store has booked for it, and what it has to tell that.

Arithmetic on a given ``now``; the store is asked by others. A permit is used within a fixed time or goes back, so the
store's count of any 60 seconds is never below what was really sent, wherever the clocks of the machines stand.

While the store is away, each client may go on with a share of its own. The shares of ``1 / clients`` add up to the
limit, and what everybody had taken before counts: nobody takes more than its share within 60 seconds, nor, in the
first minute, more than its part of what was still free.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Literal

import attrs

from anyfast_async._core.limits.rate_limit import PERIOD, SLOT
from anyfast_async._core.limits.shared_permit import AT_ONCE, BEAT, FAR, LEASE, MICRO, PAUSE, PREFETCH, Booked, OwnSlot
from anyfast_async._core.limits.shared_quota import VALID, Question, StoreReply, interval
from anyfast_async._values.bases import Shown


@attrs.define(eq=False, repr=False)
class SharedBalance(Shown):
    """What one client has, and owes, of the quota of one scope."""

    requests: int | None
    tokens: int | None
    places: int
    client: str
    state: Literal["near", "away", "back"] = "near"
    """Whether the store is there, or away, or there again and not told of everything yet."""
    used: int = 0
    """Places in use."""
    held: int = 0
    others: int = 0
    """Other clients that wait for a place."""
    in_line: bool = False
    """Whether the store knows that more places are wanted, and will say so when there are some."""
    clients: int = 1
    gives: int = 0
    """Places that are free, and the store does not know it."""
    born: int = 0
    seen: int = 0
    """When the store was asked last, on its clock."""
    expires: float | None = None
    """When the lease of another client ends, as it looks."""
    opens: float = 0.0
    """When the store grants something again."""
    renew: float = 0.0
    """When the store should hear from the client again, for its lease."""
    contact: float | None = None
    """When the store last answered."""
    permits: deque[Booked] = attrs.field(factory=deque)
    pending: Question | None = None
    """A question of which nobody knows whether it arrived."""
    alone: bool = True
    """Whether calls go on while the store is away."""
    lost: float = 0.0
    """When the store was first seen to be away."""
    listed: bool = False
    """Whether the store counts it among its clients, as far as it knows."""
    share: float = 1.0
    """Of the limits, while the store is away."""
    number: int = 0
    owes: bool = False
    """Whether there is something to tell the store."""
    _corrections: dict[int, list[int]] = attrs.field(factory=dict)
    _own: deque[OwnSlot] = attrs.field(factory=deque)
    _sent: int = 0
    """Requests in ``_own``."""
    _spent: float = 0.0
    """Tokens in it."""
    _free: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Until when only so many requests and tokens may be in ``_own``, while the store is away."""
    _total: int = 0
    """Requests that all have booked, as the store last said."""
    _put: float = 0.0
    """When ``pending`` was asked first."""
    _rate: float = 0.0
    _rated: float = 0.0
    _most: int = 16
    """Permits that are asked for at once, and places for them: twice what there was the last time."""
    _usual: float = 0.0
    """Tokens of a permit that was taken lately."""

    @property
    def is_rated(self) -> bool:
        """Whether requests or tokens are limited, and not only how many are in flight."""
        return self.requests is not None or self.tokens is not None

    # -- taking ------------------------------------------------------------------------------------------------------

    def wait(self, now: float, tokens: float) -> float | None:
        """Return the seconds until a call of *tokens* may go; None if only news from the store can tell."""
        if self.state == "away":
            return self._wait_alone(now, tokens) if self.alone else None
        if self.state == "back" or self.used >= self.held:
            return None
        if not self.permits:
            return None if self.is_rated else 0.0
        booked = self._fitting(now, tokens)
        return None if booked is None else max(0.0, booked.since - now)

    def _fitting(self, now: float, tokens: float) -> Booked | None:
        self._drop(now)
        for booked in self.permits:
            # Estimates change while a call waits; what was booked for it will do unless it is something else.
            if self.tokens is None or tokens <= booked.amount * 1.25 + 16:
                return booked
        return None

    def _drop(self, now: float) -> None:
        """Give permits back that may not be used any more."""
        permits = self.permits
        while permits and permits[0].end <= now:
            self.undo(permits.popleft())

    def take(self, now: float, tokens: float) -> Booked:
        """Take what :meth:`wait` said may go now."""
        self.used += 1
        known = self.state != "away"
        booked = self._fitting(now, tokens) if known and self.is_rated else None
        if booked is None:
            booked = Booked(now, math.inf, None, tokens)
        else:
            self.permits.remove(booked)
        self._forget(now)
        if not self._own or self._own[-1].end <= now or self._own[-1].known != known:
            self._own.append(OwnSlot(now + SLOT, known))
        own = booked.own = self._own[-1]
        own.requests += 1
        own.amount += booked.amount
        self._sent += 1
        self._spent += booked.amount
        self._rate = self._rate * math.exp((self._rated - now) / 0.5) + 2.0
        self._rated = now
        self._usual += 0.2 * (booked.amount - self._usual)
        return booked

    def left(self) -> None:
        """Count a call that has ended; its place goes to others who wait, if the client has more than its part."""
        self.used -= 1
        if self.others > 0 and self.held > self.places // self.clients and self.state == "near":
            self.held -= 1
            self.gives += 1

    def undo(self, booked: Booked) -> None:
        """Count a permit as never used."""
        self.correct(booked, -1, -booked.amount)

    def correct(self, booked: Booked, requests: int, tokens: float) -> None:
        """Count *requests* and *tokens* more with a permit than was taken with it."""
        own = booked.own
        if own is not None and self._own and own.end >= self._own[0].end:
            own.requests += requests
            own.amount += tokens
            self._sent += requests
            self._spent += tokens
        if booked.number is not None:
            entry = self._corrections.setdefault(booked.number, [0, 0])
            entry[0] += 0 if self.requests is None else requests
            entry[1] += 0 if self.tokens is None else math.ceil(tokens)
            self.owes = self.owes or entry != [0, 0]

    # -- asking ------------------------------------------------------------------------------------------------------

    def rate(self, now: float) -> float:
        """Return how many calls go in a second, lately."""
        return self._rate * math.exp((self._rated - now) / 0.5)

    def reconsider(self, now: float) -> None:
        """Give permits back that are far off, to ask anew: the store is told of something that nobody used."""
        if self.permits and self.permits[0].since > now + FAR and self.owes:
            while self.permits:
                self.undo(self.permits.popleft())

    @property
    def lacks_permits(self) -> bool:
        """Whether a call that waits lacks nothing but a permit, so that there is something to ask for."""
        return not self.permits and self.is_rated and self.used < self.held

    def plan(self, now: float, waiting: Iterable[float], queued: int) -> tuple[int, int, tuple[int, ...]] | None:
        """Return places needed, places wanted and tokens of permits wanted, None if there is nothing to ask for.

        *waiting*: tokens of the first calls that wait, *queued* of them.
        """
        self._drop(now)
        permits = len(self.permits)
        if not queued and self._rate * PREFETCH < 1 and not self.gives and self.used + permits <= self.held:
            return None  # what was rated is less by now
        is_rated = self.is_rated
        ahead = int(self.rate(now) * PREFETCH) if is_rated and self._rate * PREFETCH >= 1 else 0
        busy = self.used + permits
        more = max(0, max(queued, ahead) - permits)
        want = busy + (min(more, self._most) if is_rated else more)  # more than there are: who waits, listens
        wanted: list[int] = []
        if is_rated:
            # Whose last one is for later waits for the limit: if the faster ones held more in line, they would stay so.
            later = self.clients > 1 and permits > 0 and self.permits[-1].since > now + PREFETCH / 5
            amounts, enough = [*waiting], later or permits > ahead // 2
            if amounts and permits and self._fitting(now, amounts[0]) is None:
                permits, enough = 0, False  # what there is was booked for others, whom the first one comes before
            if not enough:
                wanted = [math.ceil(amount) for amount in amounts[permits:]]
                if ahead > permits + len(wanted):
                    wanted += [math.ceil(self._usual)] * (ahead - permits - len(wanted))
        lacks_places = want > self.held and self.used + permits >= self.held and not self.in_line
        if not (wanted and self.held > busy) and not lacks_places and not self.gives:
            return None
        return busy, want, tuple(wanted[: self._most])

    def question(self, now: float, waiting: Iterable[float], queued: int) -> Question | None:
        """Return what to ask, None for nothing; the arguments are those of :meth:`plan`."""
        planned = self.plan(now, waiting, queued)
        return None if planned is None else self._ask(now, *planned)

    def news(self, now: float, *, waits: bool = False, leaving: bool = False) -> Question:
        """Return a question that asks for nothing: the lease goes on, and what is owed is told."""
        busy = self.used + len(self.permits)
        if leaving:
            while self.permits:
                self.undo(self.permits.popleft())
            busy = 0
        return self._ask(now, busy, max(busy, self.held) if waits else busy, (), leaving=leaving)

    def _ask(self, now: float, busy: int, want: int, wanted: tuple[int, ...], *, leaving: bool = False) -> Question:
        self.number += 1
        gives, self.gives = self.gives, 0
        self.held = min(self.held, want)  # others get the rest before the answer is here
        corrections: tuple[tuple[int, ...], ...] = ()
        if self._corrections:
            corrections = tuple((slot, *both) for slot, both in self._corrections.items() if any(both))
            self._corrections.clear()
        self.owes = False
        self.pending = Question(
            client=self.client,
            number=self.number,
            requests=self.requests,
            tokens=self.tokens,
            places=self.places,
            lease=int((LEASE + self._quiet(now)) * MICRO),
            interval=interval(self.requests),
            busy=busy,
            want=want,
            gives=gives,
            wanted=wanted,
            corrections=corrections,  # type: ignore[arg-type]
            born=self.born,
            seen=self.seen,
            leaving=leaving,
        )
        self._put = now
        return self.pending

    def _quiet(self, now: float) -> float:
        """Return the seconds until a permit can be used, where nothing is in flight: nobody need hear of it before."""
        return max(0.0, self.permits[-1].since - now) if self.permits and not self.used else 0.0

    def hello(self, now: float) -> Question:
        """Return what to say to a store that was away: first what may not have arrived, then what was taken since."""
        if self.pending is not None and not self.pending.leaving:
            corrections = self.pending.corrections
            if now > self._put + LEASE - BEAT:  # the store may have forgotten the number: nothing goes back twice
                corrections = tuple(one for one in corrections if min(one[1:]) >= 0)
            self.pending = attrs.evolve(self.pending, wanted=(), away=True, corrections=corrections)
            return self.pending
        self._forget(now)
        history = tuple(
            (max(0, int((now - own.end) * MICRO)), own.requests, math.ceil(own.amount))
            for own in self._own
            if not own.known
        )
        for own in self._own:
            own.known = True
        self.pending = attrs.evolve(
            self._ask(now, self.used, self.used, ()),
            away=True,
            history=tuple(
                (age, 0 if self.requests is None else requests, 0 if self.tokens is None else tokens)
                for age, requests, tokens in history
            ),
        )
        return self.pending

    def take_in(self, sent: float, received: float, question: Question, reply: StoreReply) -> None:
        """Take in what the store answered to *question*, which went out at *sent*."""
        self.pending = None
        if question.born not in {0, reply.born}:  # it has forgotten everything
            self.state = "back"
            for own in self._own:
                own.known = False
            self._corrections.clear()
            self.permits.clear()  # they are booked nowhere any more
        elif self.state == "away":
            self.state = "back"
        elif self.state == "back" and not reply.opens and self.told:
            self.state = "near"
        self.born, self.others, self.clients = reply.born, reply.others, reply.clients
        self.held = max(0, reply.held - self.gives)  # those it has not heard of yet
        self.in_line = reply.held < question.want
        if question.leaving:
            self.held = 0
        self.opens = received + reply.opens / MICRO
        self.expires = received + reply.expires / MICRO if reply.expires else None
        self.renew = received + question.lease / MICRO - LEASE + BEAT
        self.contact, self.seen, self.listed = received, reply.asked, not question.leaving
        # Until everybody has told it what was taken, the store does not know.
        self._total = reply.requests if self.state == "near" else self.requests or 0
        if question.wanted:
            got, most = len(reply.permits), self._most
            self._most = min(AT_ONCE, max(most, 2 * got)) if got == len(question.wanted) else max(2, 2 * got)
        for (wait, number), tokens in zip(reply.permits, question.wanted, strict=False):
            seconds = wait / MICRO
            self.permits.append(Booked(received + seconds, sent + seconds + VALID / MICRO, number, tokens))

    @property
    def told(self) -> bool:
        """Whether the store was told of everything that was sent without it."""
        return all(own.known for own in self._own)

    # -- without the store -------------------------------------------------------------------------------------------

    def lose(self, now: float, asked: float, share: float | None, at_first: float, *, alone: bool = True) -> None:
        """Take in that the store is away: a question *asked* then has no answer.

        If it is away for a while, calls go on with *share* of the limits; None: one of as many as there were, at most
        *at_first* where that is not known. Unless *alone*, nothing is taken meanwhile.
        """
        if self.state != "away":
            self.lost = now
            unseen = math.inf if self.contact is None else now - self.contact
            listed = self.listed and unseen < LEASE
            self.share = share or (1 / self.clients if listed else min(1 / self.clients, at_first))
            self._forget(now)
            self._free = (now + PERIOD + SLOT, *self._allowed(unseen))
        self.state, self.alone = "away", alone and asked >= self.lost + PAUSE
        while self.permits:
            self.undo(self.permits.popleft())

    def _allowed(self, unseen: float) -> tuple[float, float]:
        """Return the requests and tokens that the client may have taken in a minute, in the first one.

        Where nothing is known of others it is its share: somebody must begin. Else it is what it has taken, and its
        part of what is free for certain: the others book as fast as requests may, and tokens without any bound.
        """
        requests = math.inf if self.requests is None else max(1.0, self.requests * self.share)
        tokens = math.inf if self.tokens is None else self.tokens * self.share
        if unseen < PERIOD:
            if self.requests is not None:
                booked = (unseen + 1) * MICRO / interval(self.requests)
                free = max(0.0, self.requests - booked - max(self._total, self._sent))
                requests = min(requests, self._sent + free * self.share)
            tokens = tokens if self.tokens is None else min(tokens, self._spent)
        return requests, tokens

    def _wait_alone(self, now: float, tokens: float) -> float | None:
        if self.used >= max(1, int(self.places * self.share)):
            return None
        self._forget(now)
        until, requests, spent = self._free
        if now >= until:
            requests = math.inf if self.requests is None else max(1.0, self.requests * self.share)
            spent = math.inf if self.tokens is None else self.tokens * self.share
        sent, used = self._sent, self._spent
        if sent + 1 <= requests and (used + tokens <= spent or not used):
            return 0.0
        for own in self._own:
            sent -= own.requests
            used -= own.amount
            if sent + 1 <= requests and (used + tokens <= spent or used <= 0):
                return own.end + PERIOD - now
        return max(SLOT, until - now)

    def _forget(self, now: float) -> None:
        own = self._own
        while own and own[0].end + PERIOD <= now:
            gone = own.popleft()
            self._sent -= gone.requests
            self._spent -= gone.amount
        if not own:
            self._sent, self._spent = 0, 0.0

    def begin_anew(self, client: str | None) -> None:
        """Go on in another loop, where nothing is in flight, or in another process, there under the name *client*."""
        while self.permits:
            self.undo(self.permits.popleft())
        if client is not None:  # what the parent has is its own affair
            self.client, self.number, self.others = client, 0, 0
            self._corrections.clear()
            self.owes = False
        self.pending = None
        self.used = self.held = 0  # under the same name the next question gives back what the store thinks is held
        self.in_line, self.gives = False, 0
        self._rate = 0.0  # of the clock of that loop
