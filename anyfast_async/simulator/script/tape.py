"""The recorded exchanges of a simulator: which one answers a request, and what the nearest one has different.

Pure apart from counts, which the script's lock guards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, Final

import attrs

from anyfast_async.simulator.http.encoding import json_text
from anyfast_async.simulator.script.exchange import RecordedExchange, is_hashed, same

__all__ = ["Difference", "Tape"]

_ABSENT: Final[Any] = object()
_SHOWN: Final = 48
_DIFFERENCES: Final = 6
_COMPARED: Final = 2000


@attrs.frozen
class Difference:
    """One place in which a request is not the recorded one."""

    place: str
    """``messages[0].content``."""

    recorded: Any
    sent: Any

    def __str__(self) -> str:
        recorded, sent = self.recorded, self.sent
        if isinstance(recorded, str) and isinstance(sent, str) and not is_hashed(recorded):
            start = max(0, _common(recorded, sent) - _SHOWN // 4)
            return f"{self.place}: recorded {_clipped(recorded, start)}, sent {_clipped(sent, start)}"
        return f"{self.place}: recorded {_shown(recorded)}, sent {_shown(sent)}"


@attrs.define
class _Recorded:
    exchange: RecordedExchange
    left: int | None
    """How many more times it is played; None: any number."""


class Tape:
    """Exchanges in the order in which they were recorded."""

    def __init__(self) -> None:
        self._all: list[_Recorded] = []
        self._by_route: dict[tuple[str, str], list[_Recorded]] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    def add(self, exchange: RecordedExchange, times: int | None) -> None:
        """Put an exchange behind the others, to be played so many times; None: any number."""
        recorded = _Recorded(exchange, times)
        self._all.append(recorded)
        self._by_route.setdefault((exchange.method, exchange.path), []).append(recorded)

    def clear(self) -> None:
        """Take off all."""
        self._all.clear()
        self._by_route.clear()

    def repeat(self) -> None:
        """Let the last of equal exchanges answer any number of times."""
        for routes in self._by_route.values():
            for number, one in enumerate(routes):
                later = (other.exchange.request for other in routes[number + 1 :])
                if not any(next(differences(one.exchange.request, other), None) is None for other in later):
                    one.left = None

    def play(
        self, method: str, forms: Sequence[tuple[str, Any]], ignored: Collection[str] = ()
    ) -> RecordedExchange | str:
        """Return the next exchange with this request, or why there is none.

        Args:
            method: of the request.
            forms: the path with the query, and the value; more than one where it may have been recorded in several
                ways. The first is what is told.
            ignored: fields at the top of the request that are not compared.
        """
        alike = [
            one
            for one in self._all
            if any(
                (one.exchange.method, one.exchange.path) == (method, path)
                and next(differences(one.exchange.request, request, ignored), None) is None
                for path, request in forms
            )
        ]
        path, request = forms[0]
        for one in alike:
            if one.left != 0:
                one.left = None if one.left is None else one.left - 1
                return one.exchange
        what = f"{method} {path}"
        if alike:
            again = (
                "this request was recorded once, and this is the second"
                if len(alike) == 1
                else (f"this request was recorded {len(alike)} times, and comes once more")
            )
            return f"{what} is on the cassette, but {again}: record it again, or let the last one repeat"
        return f"{what} is not on the cassette{self._nearest(method, path, request, ignored)}"

    def _nearest(self, method: str, path: str, request: Any, ignored: Collection[str]) -> str:
        routes = self._by_route.get((method, path))
        if not routes:
            known = ", ".join(sorted({" ".join(route) for route in self._by_route}))
            return f"; it has {known}"
        ranked = [
            (sum(_weight(one) for one in found), number, found)
            for number, recorded in enumerate(routes)
            for found in [list(differences(recorded.exchange.request, request, ignored))]
        ]
        _, number, found = min(ranked, key=lambda one: one[:2])
        more = [f"and {len(found) - _DIFFERENCES} more differences"] if len(found) > _DIFFERENCES else []
        told = "".join(f"\n  {line}" for line in [*map(str, found[:_DIFFERENCES]), *more])
        return f"; the nearest of {len(routes)} is number {number + 1}, which differs in{told}"


def differences(recorded: Any, sent: Any, ignored: Collection[str] = (), place: str = "") -> Iterator[Difference]:
    """Every place in which two requests differ, in their order; the order of fields does not matter."""
    if isinstance(recorded, dict) and isinstance(sent, dict):
        for name in [*recorded, *(name for name in sent if name not in recorded)]:
            if place or name not in ignored:
                inner = f"{place}.{name}" if place else name
                yield from differences(recorded.get(name, _ABSENT), sent.get(name, _ABSENT), (), inner)
    elif isinstance(recorded, list) and isinstance(sent, list):
        for number, (one, other) in enumerate(zip_longest(recorded, sent, fillvalue=_ABSENT)):
            yield from differences(one, other, (), f"{place}[{number}]")
    elif not same(recorded, sent):
        yield Difference(place or "the body", recorded, sent)


def _weight(one: Difference) -> float:
    """How far apart two values are: from 0 for texts that hardly differ to 1."""
    if isinstance(one.recorded, str) and isinstance(one.sent, str):
        texts = one.recorded[:_COMPARED], one.sent[:_COMPARED]
        return 1 - SequenceMatcher(None, *texts, autojunk=False).quick_ratio() * 0.9
    return 1.0


def _common(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _clipped(text: str, start: int) -> str:
    before, after = "..." if start else "", "..." if len(text) > start + _SHOWN else ""
    return before + json_text(text[start : start + _SHOWN]) + after


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    if is_hashed(value):
        return "a text of another hash"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = json_text(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
