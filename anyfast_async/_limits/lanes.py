"""Lanes by name: the way in for the calls of one, and what is kept free for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from anyfast_async._core.limits.fair_share import FairShares, Share
from anyfast_async._limits.followed import Nothing
from anyfast_async._limits.lines import LaneState, WaitingLine
from anyfast_async.errors import ClientStateError, ConfigurationError
from anyfast_async.policies import Lane

if TYPE_CHECKING:
    from anyfast_async._limits.gate import Gate
    from anyfast_async._limits.lines import Turns
    from anyfast_async._limits.scope import Permit, Scope


def named(turns: Turns, lane: Any, given: Mapping[str, Any], places: int) -> LaneState:
    """Return the lane of that name, with what is *given* of its settings; *places* are those of all lanes.

    Raises:
        ConfigurationError: a setting cannot be, there is no lane that it could be for, or the lanes would keep all
            places for themselves.

    """
    if lane is None:
        message = f"{next(iter(given))}= is of a lane; give lane= with its name, too"
        raise ConfigurationError(message)
    name = lane.name if isinstance(lane, LaneState) else lane
    found = next((one for one in turns.lanes[1:] if one.name == name), None)
    settings = attrs.evolve(Lane(name or "") if found is None else settings_of(found), **given)
    others = sum(one.reserve for one in turns.lanes if one is not found)
    if settings.reserve and others + settings.reserve >= places:
        message = (
            f"Lane.reserve must leave a place to others: the lane {name!r} would keep {settings.reserve}, and other "
            f"lanes keep {others}, of {places} in all (Limits.concurrency)"
        )
        raise ConfigurationError(message)
    if turns.fair is None:
        turns.fair, turns.lane.share = FairShares(), Share()
    if found is None:
        found = LaneState(name, share=Share())
        turns.lanes.append(found)
    if found.share is not None:
        found.share.weight, found.share.priority = settings.weight, settings.priority
    for line in found.lines.values():
        line.scope.throttle.kept -= line.unused
    found.reserve = settings.reserve
    for line in found.lines.values():
        line.scope.throttle.kept += line.unused
    turns.keep(places)
    return found


def settings_of(lane: LaneState) -> Lane:
    """Return the settings that a lane with a name has now."""
    share = lane.share or Share()
    return Lane(lane.name or "", weight=share.weight, priority=share.priority, reserve=lane.reserve)


class Entrance:
    """Where the calls of one lane are admitted; what the gate is to those that name none."""

    __slots__ = ("_gate", "_lane")

    def __init__(self, gate: Gate, lane: LaneState) -> None:
        self._gate = gate
        self._lane = lane

    def line(self, scope: Scope) -> WaitingLine:
        """Return where calls of the lane wait in front of *scope*."""
        lane = self._lane
        line = lane.lines.get(scope)
        if line is None:
            line = lane.lines[scope] = WaitingLine(scope, lane, self._gate)
            line.nothing = Nothing.of(line)
            scope.lines.append(line)
            scope.throttle.kept += line.unused
        return line

    def admit(self, scope: Scope, tokens: float, now: float) -> Permit | None:
        """Admit a call at loop time *now*; None if it has to :meth:`queue`.

        Raises:
            ClientStateError: the client is closed.

        """
        gate, lane = self._gate, self._lane
        if gate.closed:
            message = "the client is closed"
            raise ClientStateError(message)
        line = lane.lines.get(scope) or self.line(scope)
        free, own = (lane.unused, line.unused) if lane.reserve else (0, 0)
        if gate.in_flight < gate.places + free and not scope.queued and scope.wait(now, tokens, own) == 0:
            gate.in_flight += 1
            permit = scope.take(now, tokens)
            if scope.tokens is not None:
                return permit.follow(line, 0.0)
            permit.taken = line.nothing
            line.took()
            return permit
        return None

    def queue(
        self,
        scope: Scope,
        tokens: float = 0.0,
        estimate: Callable[[], float] | None = None,
        *,
        first: bool = False,
        counts: bool = True,
        within: float | None = None,
    ) -> Coroutine[Any, Any, Permit]:
        """Wait for admission, as :meth:`Gate.queue` does.

        Raises:
            QueueFullError: as there.
            ClientStateError: the client was closed.

        """
        return self._gate.wait_in(self.line(scope), tokens, estimate, first=first, counts=counts, within=within)
