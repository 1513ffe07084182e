"""One quota for many processes, as a store of limits keeps it: questions in, permits out, on a given ``now``.

A question is answered at once and books what it asks for: a request that cannot go yet gets the time at which it may.
The next one goes after it, unless it fits in before without delaying anybody. Nobody has to ask twice.

All numbers are whole; times are microseconds of the store's clock, which no other clock has to agree with: what goes to
and fro are waits.

What is booked is summed by slots of a tenth of a second. A permit may be used for ``VALID`` after its time, so that in
``WIDTH`` slots as much is booked as can be used in any 60 seconds: never more than the limit.

The same algorithm stands in ``shared_script``, for stores that run it themselves; a test holds both equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs

from anyfast_async._values.bases import Value

SLOT: Final = 100_000
VALID: Final = 500_000
"""Microseconds in which a permit may be used, from its time on."""
WIDTH: Final = 612
"""Slots: 60 s, ``VALID``, one for the cut of the slots, and six for a busy machine and the way to the gateway."""
GRAIN: Final = 250_000
"""Microseconds, shared by all clients, within which further permits of one question lie: nobody books far ahead."""
GRACE: Final = 3_500_000
"""Microseconds in which everybody can say what they took while the store was away, before it grants anything. Nobody
needs longer: a question waits two seconds for its answer, and the next one is asked a second later."""
SILENCE: Final = 900_000
"""Microseconds without any question, after which everybody may have been cut off. Nobody goes on without a store that
was not away for longer."""
BLOCK: Final = 10_000
"""Microseconds after the first one within which they may lie at any time: busy traffic is leased in blocks."""
SEARCH: Final = 2 * WIDTH
"""Slots before the last booking in which room is looked for that was given back."""
POLITE: Final = 8
"""How many with less may go before one that has its part."""
SET_BACK: Final = 10_000_000
"""Microseconds by which a clock goes back only if it was set."""

EVENLY: Final = 1.03
"""As in ``rate_limit.Spacing``: requests of a second arrive within less than a second."""


def interval(per_minute: int | None) -> int:
    """Return the microseconds between two requests: fifty a second go at any limit."""
    return 0 if per_minute is None else int(min(20_000, 60_000_000 / per_minute) * EVENLY)


def fit(slot: int, interval: int) -> int:
    """Return how many requests go in a slot, where *interval* is between two; the rest of one goes to the next."""
    return max(0, (slot + 1) * SLOT // interval - slot * SLOT // interval) if interval else 0


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Question(Value):
    """What one client asks of a store, and tells it, in one go."""

    client: str
    """Who asks; a random name for each client and scope."""
    number: int
    """Of the question. One that is asked again under the same number is answered again, and counts once."""
    requests: int | None
    """That all clients together may send in a minute; None: any number."""
    tokens: int | None
    """That they may use in a minute."""
    places: int
    """That they may have in flight."""
    interval: int = 0
    """Microseconds between two requests, where they are spread over the minute."""
    lease: int = 15_000_000
    """Microseconds after which a client that has said nothing is taken for dead, and its places are free."""
    busy: int = 0
    """Places that the client uses, or needs for permits that it has."""
    want: int = 0
    """Places that it could use now, with those."""
    gives: int = 0
    """Places that it gives to those who wait, though it could use them."""
    wanted: tuple[int, ...] = ()
    """Tokens of each request that it wants a permit for; none where neither requests nor tokens are limited."""
    corrections: tuple[tuple[int, int, int], ...] = ()
    """(slot, requests, tokens) by which what was booked differs from what was used."""
    history: tuple[tuple[int, int, int], ...] = ()
    """(age in microseconds, requests, tokens) that it took without this store."""
    born: int = 0
    """When the store was new, as it said before; 0: nothing is known of it."""
    seen: int = 0
    """When it was asked last, as it said before. One that does not know of that was restored from an older copy."""
    away: bool = False
    """Whether it could not reach the store before."""
    leaving: bool = False
    """Whether it asks for nothing more, and gives everything back."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class StoreReply(Value):
    """What a store answers."""

    born: int
    """When its memory of this scope began. Another one than before: what was taken is forgotten, tell it again."""
    opens: int = 0
    """Microseconds until it grants anything; 0: now."""
    held: int = 0
    """Places that the client has from now on."""
    others: int = 0
    """Other clients that wait for a place."""
    clients: int = 1
    """How many share the quota now, this one with them."""
    expires: int = 0
    """Microseconds until the lease of another client ends, if it is not renewed; 0: there is no other."""
    requests: int = 0
    """Booked within the window of the last permit, by all."""
    tokens: int = 0
    """Booked within it."""
    asked: int = 0
    """When this was said, on its clock."""
    permits: tuple[tuple[int, int], ...] = ()
    """(microseconds to wait, slot) of each permit: the first of what was wanted, as many as there are. A permit is
    good for ``VALID`` microseconds after that; one of a question that is asked again may be over, its wait negative."""


@attrs.define(eq=False, repr=False)
class Track(Value):
    """What is booked of one thing, by slots."""

    top: int = 0
    """The last slot with anything in it, or later."""
    total: int = 0
    """What is in the ``WIDTH`` slots that end there."""
    slots: dict[int, int] = attrs.field(factory=dict)

    def rise(self, top: int) -> None:
        """Have *top* be the last slot, if it is later."""
        for slot in range(self.top - WIDTH + 1, min(self.top, top - WIDTH) + 1):
            if not self.total:
                break
            self.total -= self.slots.get(slot, 0)
        self.top = max(self.top, top)

    def forget(self, before: int) -> None:
        """Drop what no window can hold any more."""
        for slot in [slot for slot in self.slots if slot < before]:
            del self.slots[slot]

    def add(self, slot: int, amount: int) -> None:
        """Count *amount* in *slot*; a slot holds no less than nothing."""
        old = self.slots.get(slot, 0)
        self.slots[slot] = new = max(0, old + amount)
        if self.top - WIDTH < slot <= self.top:
            self.total += new - old

    def find(self, slot: int, amount: int, limit: int) -> int:
        """Return the first slot from *slot* on after which no window lacks room for *amount*.

        What is larger than the limit has room in empty windows.
        """
        total, last = self.total, self.top
        if slot > last or (total and total + amount > limit):
            while total and (last < slot or total + amount > limit):
                total -= self.slots.get(last - WIDTH + 1, 0)
                last += 1
            return max(last, slot)
        while last > max(slot, self.top - SEARCH):
            total += self.slots.get(last - WIDTH, 0) - self.slots.get(last, 0)
            if total and total + amount > limit:
                break
            last -= 1
        return last


@attrs.define(eq=False, repr=False)
class SharedQuota(Value):
    """What a store knows of one scope."""

    born: int = 0
    asked: int = 0
    """When it was asked last."""
    woke: int = 0
    """When it was asked for the first time after a silence."""
    opens: int = 0
    """When it grants again."""
    full: int = 0
    """Slots before this one have as many requests as go in a slot, where they are spread."""
    requests: Track = attrs.field(factory=Track)
    tokens: Track = attrs.field(factory=Track)
    leases: dict[str, int] = attrs.field(factory=dict)
    """When the lease of each client ends."""
    held: dict[str, int] = attrs.field(factory=dict)
    """Places."""
    want: dict[str, int] = attrs.field(factory=dict)
    """Places that those want who wait for some."""
    queue: list[str] = attrs.field(factory=list)
    """Clients that wait for a place, in order."""
    said: dict[str, list[int]] = attrs.field(factory=dict)
    """The last answer to each client: number of the question, then time and slot of each permit."""

    def ask(self, now: int, question: Question) -> tuple[StoreReply, list[str]]:
        """Answer *question* at *now*; the names are those of other clients who were given places."""
        restored = question.born == self.born and question.seen > self.asked
        if now < self.asked - SET_BACK or restored:
            self.__init__()  # type: ignore[misc]
        now = max(now, self.asked)
        if now - max(self.asked, self.opens) > SILENCE:  # nobody asks before it opens
            self.woke = now
        self.born = self.born or now
        known = question.born in {0, self.born}
        if not known:
            self.opens = max(self.opens, self.born + GRACE)
        if question.away and now < self.woke + GRACE:
            # It need not be the first one: what was sent before is still read after a stop of the machine.
            self.opens = self.woke + GRACE
        self.asked = now
        self._forget(now)
        self._reap(now)
        client = question.client
        self.leases[client] = now + question.lease
        told: list[str] = []
        said = self.said.get(client)
        if said is None or said[0] != question.number:
            if known:
                self._correct(now, question)
            told = self._place(question)
            said = [question.number]
            if known and now >= self.opens and not question.leaving:
                said += self._book(now, question)
            self.said[client] = said
        reply = self._reply(now, client, said)
        if question.leaving:
            self._remove(client)
        return reply, told

    def _reply(self, now: int, client: str, said: list[int]) -> StoreReply:
        others = [lease for name, lease in self.leases.items() if name != client]
        return StoreReply(
            born=self.born,
            opens=max(0, self.opens - now),
            held=self.held.get(client, 0),
            others=len(self.queue) - (client in self.queue),
            clients=len(self.leases),
            expires=max(1, min(others) - now) if others else 0,
            requests=self.requests.total,
            tokens=self.tokens.total,
            asked=self.asked,
            permits=tuple((said[at] - now, said[at + 1]) for at in range(1, len(said), 2)),
        )

    # -- requests and tokens -----------------------------------------------------------------------------------------

    def _tracks(self) -> Iterator[Track]:
        yield self.requests
        yield self.tokens

    def _forget(self, now: int) -> None:
        for track in self._tracks():
            track.rise(now // SLOT)
            track.forget(now // SLOT - WIDTH + 1)

    def _correct(self, now: int, question: Question) -> None:
        """Take in what was really used, and what was taken elsewhere."""
        taken = [((now - age) // SLOT, requests, tokens) for age, requests, tokens in question.history]
        for slot, requests, tokens in [*question.corrections, *taken]:
            if slot > now // SLOT - WIDTH:
                self.requests.add(slot, requests)
                self.tokens.add(slot, tokens)
                self.full = min(self.full, slot)

    def _book(self, now: int, question: Question) -> list[int]:
        """Return time and slot of each permit: one wherever that is, and what else is near and fair."""
        booked: list[int] = []
        interval = question.interval
        room = self.held.get(question.client, 0) - question.busy
        fair = ((question.tokens or 0) - self.tokens.total) // (2 * len(self.leases))
        taken = first = 0
        for number, amount in enumerate(question.wanted[: max(0, room)]):
            slot = now // SLOT
            if interval:
                slot = self.full = max(slot, self.full)
                while self.requests.slots.get(slot, 0) >= fit(slot, interval):
                    slot += 1
                self.full = slot
            if question.requests is not None:
                slot = self.requests.find(slot, 1, question.requests)
            if question.tokens is not None:
                slot = self.tokens.find(slot, amount, question.tokens)
            before = self.requests.slots.get(slot, 0)
            while interval and before >= fit(slot, interval):
                slot += 1
                before = self.requests.slots.get(slot, 0)
            at = max(now, slot * SLOT + before * interval)
            first = at if number == 0 else first
            if number and (
                at > max(now + GRAIN // len(self.leases), first + BLOCK)
                or (question.tokens is not None and taken + amount > fair)
            ):
                break
            if question.requests is not None:
                self.requests.rise(slot)
                self.requests.add(slot, 1)
            if question.tokens is not None:
                self.tokens.rise(slot)
                self.tokens.add(slot, amount)
            taken += amount
            booked += at, slot
        return booked

    # -- places in flight --------------------------------------------------------------------------------------------

    def _reap(self, now: int) -> None:
        for client in [client for client, lease in self.leases.items() if lease <= now]:
            self._remove(client)

    def _remove(self, client: str) -> None:
        for book in (self.leases, self.held, self.want, self.said):
            book.pop(client, None)
        if client in self.queue:
            self.queue.remove(client)

    def _place(self, question: Question) -> list[str]:
        """Take places back that the client does not need, or gives to others; put it in line for more."""
        client, want, total = question.client, question.want, sum(self.held.values())
        held = self.held.get(client, 0)
        keep = min(want, max(0, held - question.gives))
        total -= held - keep
        self.held[client] = keep
        if client in self.queue and (want <= keep or keep < held):
            self.queue.remove(client)
        if want > keep:
            self.want[client] = want
            if client not in self.queue:
                self.queue.append(client)
        part = max(1, question.places // len(self.leases))
        told = self._hand_out(client, question.places - total, part)
        if want > self.held[client] < part:  # those who have more, and listen, should know that somebody waits
            told += [name for name in self.queue[:POLITE] if self.held[name] > part and name not in told]
        return told

    def _hand_out(self, client: str, free: int, part: int) -> list[str]:
        """Give *free* places to those in line, one to each in turn; return to whom beside *client*.

        Who has its *part* lets a few go before it that may have less.
        """
        told: list[str] = []
        passed = 0
        while free > 0 and self.queue:
            first = self.queue.pop(0)
            if self.held[first] >= part and passed < min(POLITE, len(self.queue)):
                self.queue.append(first)
                passed += 1
                continue
            passed = 0
            missing = self.want[first] - self.held[first]
            given = 1 if self.queue else min(free, missing)
            self.held[first] += given
            free -= given
            if missing > given:
                self.queue.append(first)
            if first != client and first not in told:
                told.append(first)
        return told

    # -- on disk -----------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Return it as JSON values."""
        values = attrs.asdict(self)
        for name in ("requests", "tokens"):
            values[name]["slots"] = list(values[name]["slots"].items())
        return values

    @classmethod
    def load(cls, values: dict[str, Any]) -> SharedQuota:
        """Return what was dumped."""
        tracks = {
            name: Track(values[name]["top"], values[name]["total"], dict(values[name]["slots"]))
            for name in ("requests", "tokens")
        }
        return cls(**{**values, **tracks})
