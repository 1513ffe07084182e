"""What a test told the simulator to do: scripted replies, faults and quirks, matched and counted.

Pure apart from a lock, for tests that script from another thread than the one that serves.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from anyfast_async.simulator.model.prompt import all_text, last_text
from anyfast_async.simulator.quirks.draft import Quirk
from anyfast_async.simulator.script.exchange import target
from anyfast_async.simulator.script.tape import Tape

if TYPE_CHECKING:
    from anyfast_async.simulator.http.rate_limiter import Limiter
    from anyfast_async.simulator.http.refusals import GatewayError
    from anyfast_async.simulator.script.exchange import RecordedExchange

__all__ = ["BreakOff", "Cut", "Drop", "Failure", "Fault", "Reply", "Script", "Stall", "When"]

When = str | re.Pattern[str] | Callable[[dict[str, Any]], bool] | None
"""Which requests a rule is for: text or pattern found in the messages, a function of the body, or all."""


@attrs.frozen(kw_only=True)
class Reply:
    """A scripted answer. What is None is made up as for an unscripted request."""

    text: str | None = None
    chunks: tuple[str, ...] | None = None
    tool_calls: tuple[tuple[str | None, str, str], ...] = ()
    """Id (None: made up), name, arguments as JSON text."""

    reasoning: str | None = None
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    ttft: float | None = None


@attrs.frozen
class Failure:
    """An error instead of the answer; with ``after``, that many events into a stream."""

    error: GatewayError
    after: int | None = None


@attrs.frozen
class Cut:
    """The connection breaks after so many events."""

    after: int
    rst: bool


@attrs.frozen
class BreakOff:
    """The model's provider breaks off after so many events; the gateway ends the stream in good order."""

    after: int


@attrs.frozen
class Stall:
    """Silence after so many events, for so many seconds (None: until the client goes)."""

    after: int
    seconds: float | None


@attrs.frozen
class Drop:
    """The connection breaks before the first byte of an answer."""

    rst: bool


Fault = Failure | Cut | BreakOff | Stall | Drop


_Action = TypeVar("_Action", Reply, Fault, Quirk)


@attrs.define
class _Rule(Generic[_Action]):
    action: _Action
    when: When
    left: int | None
    """How many more requests it is for; None: any number."""

    def rank(self, body: dict[str, Any] | None) -> int:
        return 0 if self.left == 0 else match_rank(self.when, body)

    def use(self) -> _Action:
        if self.left is not None:
            self.left -= 1
        return self.action


def match_rank(when: When, body: dict[str, Any] | None) -> int:
    """How well a condition fits a request: 0 not at all; more is more specific.

    1: no condition. 2: the text is in an earlier message (the history of a conversation). 3: the text is in
    the last message, or a function said yes. A request without a body (``GET``) meets no condition.
    """
    if when is None:
        return 1
    if body is None:
        return 0
    if callable(when):
        return 3 if when(body) else 0
    if _occurs(when, last_text(body)):
        return 3
    return 2 if _occurs(when, all_text(body)) else 0


def _occurs(what: str | re.Pattern[str], text: str) -> bool:
    return what in text if isinstance(what, str) else what.search(text) is not None


def _as_sent(_: Mapping[str, str], path: str, query: str, value: Any) -> Sequence[tuple[str, Any]]:
    return ((target(path, query), value),)


class Script:
    """The rules of one simulator."""

    def __init__(self) -> None:
        # Reentrant: a function given as a condition may look at the simulator, or script it.
        self._lock = threading.RLock()
        self._replies: list[_Rule[Reply]] = []
        self._faults: list[_Rule[Fault]] = []
        self._quirks: list[_Rule[Quirk]] = []
        self.limiter: Limiter | None = None
        """How many requests are admitted; None: all."""
        self._tape = Tape()
        self.forms: Callable[[Mapping[str, str], str, str, Any], Sequence[tuple[str, Any]]] = _as_sent
        """How a request may have been recorded: from headers, path, query and value to paths with query and values."""

    @property
    def recorded(self) -> bool:
        """There are recorded exchanges: nothing else answers."""
        return bool(self._tape)

    def add_exchange(self, exchange: RecordedExchange, times: int | None) -> None:
        """Answer this very request with what was recorded."""
        with self._lock:
            self._tape.add(exchange, times)

    def repeat(self) -> None:
        """Let the last of equal exchanges answer again and again."""
        with self._lock:
            self._tape.repeat()

    def next_exchange(
        self, method: str, forms: Sequence[tuple[str, Any]], ignored: Collection[str]
    ) -> RecordedExchange | str:
        """What was recorded for this request, or why nothing was; it counts as used."""
        with self._lock:
            return self._tape.play(method, forms, ignored)

    def add_reply(self, reply: Reply, when: When, times: int | None) -> None:
        """Answer requests that match with ``reply``."""
        with self._lock:
            self._replies.append(_Rule(reply, when, times))

    def add_fault(self, fault: Fault, when: When, times: int | None) -> None:
        """Let requests that match fail in this way."""
        with self._lock:
            self._faults.append(_Rule(fault, when, times))

    def add_quirk(self, quirk: Quirk, when: When, times: int | None) -> None:
        """Let the answers to requests that match show this quirk."""
        with self._lock:
            self._quirks.append(_Rule(quirk, when, times))

    def next_quirks(self, body: dict[str, Any]) -> list[Quirk]:
        """All quirks that match and are not used up, in the order they were scripted; they count as used."""
        with self._lock:
            return [rule.use() for rule in self._quirks if rule.rank(body)]

    def next_fault(self, body: dict[str, Any] | None) -> Fault | None:
        """The first scripted fault that matches and is not used up; it counts as used."""
        with self._lock:
            rule = next((rule for rule in self._faults if rule.rank(body)), None)
            return None if rule is None else rule.use()

    def next_reply(self, body: dict[str, Any]) -> Reply | None:
        """The most specific reply that matches, among equals the last scripted; it counts as used."""
        with self._lock:
            best, best_rank = None, 0
            for rule in self._replies:
                rank = rule.rank(body)
                if rank and rank >= best_rank:
                    best, best_rank = rule, rank
            return None if best is None else best.use()

    def clear(self) -> None:
        """Forget all rules and limits."""
        with self._lock:
            self.limiter = None
            self._replies.clear()
            self._faults.clear()
            self._quirks.clear()
            self._tape.clear()
