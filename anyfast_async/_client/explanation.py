"""What limits a client now, for each model and lane, and what would help: in fields and in words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import attrs

from anyfast_async._values.bases import Shown

if TYPE_CHECKING:
    from anyfast_async._limits.budget import Spending
    from anyfast_async._limits.gate import Gate
    from anyfast_async._limits.lines import WaitingLine
    from anyfast_async.policies import Limits


@attrs.frozen(kw_only=True, repr=False)
class Waiting(Shown):
    """How the calls of one lane for one model stand."""

    model: str
    """That is asked; empty for calls that ask none."""
    lane: str | None
    """Its name, None for calls that name none."""
    in_flight: int
    """Calls for that model on their way, of all lanes."""
    queued: int
    """Calls of this lane that wait for admission."""
    limited_by: str | None
    """What the first of them waits for: a word of ``Stats.limited_by``; None if none waits, and none would have to."""
    wait: float
    """Seconds that one more would wait, as far as is known; 0 also where nobody can tell."""
    window: int | None
    """How many the gateway was found to take at once; None while nothing was found."""
    slowed: float | None
    """With a window: how many times as long as with few in flight answers took of late."""
    held_for: float
    """Seconds for which throttling still holds its calls back."""
    reserve: int
    """Places in flight that are kept free for the lane."""
    text: str
    """Why they wait, in a sentence."""
    advice: str
    """What would help, in a sentence; empty where nothing has to."""

    def __str__(self) -> str:
        return f"{self.text} {self.advice}".strip()


@attrs.frozen(kw_only=True, repr=False)
class Explanation(Shown):
    """What limits a client now; ``str()`` of it says it in words, a line for each model and lane."""

    in_flight: int
    """Calls on their way."""
    most_in_flight: int
    """How many there may be, by ``Limits.concurrency``."""
    queued: int
    """Calls that wait for admission, for room in a budget, or for a gateway that is away."""
    limited_by: str | None
    """What most of them wait for: a word of ``Stats.limited_by``, or ``"budget"``; None if none waits."""
    waiting: tuple[Waiting, ...]
    """For each model and lane that was asked since the client was made, the longest queue first."""
    waiting_for_budget: int
    """Rows of maps that wait until calls in flight give back what they do not use of a ``Budget``."""

    def __str__(self) -> str:
        free = "" if self.queued else ", none waits"
        lines = [f"{self.in_flight} of {self.most_in_flight} calls in flight{free}."]
        if self.waiting_for_budget:
            lines.append(f"{self.waiting_for_budget} rows wait for room in the Budget. {_ADVICE['budget']}")
        lines += [str(one) for one in self.waiting if one.limited_by is not None]
        if not self.queued and len(lines) == 1:
            lines.append("Nothing here holds calls back: what they take is the time of the answers.")
        return "\n".join(lines)


_ADVICE: Final = {
    "concurrency": 'Raise Limits(concurrency=...), or let concurrency="auto" find what the gateway takes.',
    "window": "Only the gateway can take more at once; more calls here would wait there.",
    "reserve": "The free places are kept for other lanes; a smaller reserve= of theirs gives them up.",
    "requests_per_minute": "Raise Limits(requests_per_minute=...) if the key is granted more.",
    "tokens_per_minute": "Raise Limits(tokens_per_minute=...) if the key is granted more, or lower max_tokens.",
    "throttling": "Ask the gateway for a higher limit, or stay within it with Limits.",
    "outage": "Nothing here helps: it is tried again by itself.",
    "budget": "A higher Budget lets them go.",
}


def _reason(gate: Gate, line: WaitingLine, now: float) -> str | None:
    """Return what the first waiter of a line waits for, or one more would, if any has to."""
    scope = line.scope
    if scope.outage.since is not None:
        return "outage"
    first = next((waiter for waiter in line.waiters if not waiter.granted.done()), None)
    is_free = gate.in_flight < gate.places + line.lane.unused and scope.wait(now, 0.0, line.unused) == 0
    if first is None and is_free:
        return None
    return gate.reason(line, 0.0 if first is None else first.tokens)


def _said(line: WaitingLine, reason: str | None, wait: float, now: float) -> str:
    """Return why the calls of a line wait."""
    scope, lane = line.scope, line.lane
    throttle = scope.throttle
    held, window = max(0.0, scope.held_until - now), throttle.window
    away = 0.0 if scope.outage.since is None else now - scope.outage.since
    soon = f", about {wait:.3g} s" if wait else ""
    found: dict[str, Callable[[], str]] = {
        "concurrency": lambda: f"for a free place{soon}: Limits.concurrency",
        "window": lambda: (
            f"for a free place{soon}: the gateway takes about {0 if window is None else window.count} at once"
        ),
        "reserve": lambda: f"for a free place{soon}: the others are kept free",
        "requests_per_minute": lambda: f"for room in the minute{soon}: Limits.requests_per_minute",
        "tokens_per_minute": lambda: f"for room in the minute{soon}: Limits.tokens_per_minute",
        "throttling": lambda: (
            f"for the gateway's limiter, which holds them for {held:.3g} s more"
            if held
            else "for the gateway's limiter: after a refusal calls follow one by one"
        ),
        "outage": lambda: f"for the gateway, which is away for {away:.3g} s",
    }
    what = found[reason]() if reason in found else f"for their turn{soon}"
    who = f"in lane {lane.name!r}" if lane.name is not None else "without a lane"
    if line.queued:
        return f"{line.queued} calls {who} wait {what}."
    return f"Calls {who} would wait {what}."


def _lines(gate: Gate) -> Iterator[tuple[str, WaitingLine]]:
    for model, scope in gate.by_model():
        for line in scope.lines:
            yield model, line


def explain(gate: Gate, limits: Limits, spending: Spending) -> Explanation:
    """Return what limits a client now."""
    now = asyncio.get_running_loop().time()
    found: list[Waiting] = []
    for model, line in _lines(gate):
        scope, throttle = line.scope, line.scope.throttle
        reason = _reason(gate, line, now)
        wait = max(0.0, line.expected(now, 0.0)) if line.queued or reason is not None else 0.0
        window = throttle.window
        where = f"{model}: " if model else ""
        shared, helps = scope.shared() if reason is not None else ("", "")
        advice = helps or ("" if reason is None else _ADVICE.get(reason, ""))
        found.append(
            Waiting(
                model=model,
                lane=line.lane.name,
                in_flight=throttle.in_flight,
                queued=line.queued,
                limited_by=reason,
                wait=wait,
                window=None if throttle.places is None else throttle.places.count,
                slowed=None if window is None else window.slowed,
                held_for=max(0.0, scope.held_until - now),
                reserve=line.lane.reserve,
                text=f"{where}{_said(line, reason, wait, now)} {shared}".rstrip(),
                advice=advice,
            )
        )
    found.sort(key=lambda one: -one.queued)
    longest = next((one.limited_by for one in found if one.queued), None)
    rows = spending.rows_waiting
    if gate.holding_off and not any(one.queued for one in found):
        longest = "outage"
    if longest is None and rows:
        longest = "budget"
    return Explanation(
        in_flight=gate.in_flight,
        most_in_flight=limits.most_in_flight,
        queued=gate.queued + gate.holding_off + rows,
        limited_by=longest,
        waiting=tuple(found),
        waiting_for_budget=rows,
    )
