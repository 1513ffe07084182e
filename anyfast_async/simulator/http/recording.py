"""What arrived: the record of every request, and the counts that tests look at."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

__all__ = ["Headers", "RecordedRequest", "Recording"]

_SECRET = frozenset({"authorization", "proxy-authorization", "x-api-key", "cookie"})


class Headers(Mapping[str, str]):
    """Request headers by name, in any case (``headers["content-type"]``).

    A header that was sent several times has its values joined by ``", "``. The value of ``Authorization`` can
    be read but does not show in ``repr``.
    """

    __slots__ = ("_values",)

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, tuple[str, str]] = {}
        for name, value in pairs:
            key = name.lower()
            earlier = self._values.get(key)
            self._values[key] = (name, value) if earlier is None else (name, f"{earlier[1]}, {value}")

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._values.values())

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __repr__(self) -> str:
        shown = {name: "***" if key in _SECRET else value for key, (name, value) in self._values.items()}
        return f"Headers({shown!r})"


def _size(raw: bytes) -> str:
    return f"<{len(raw)} bytes>"


@attrs.frozen(kw_only=True)
class RecordedRequest:
    """One request as it arrived, and how it went so far: a snapshot, taken when it was asked for.

    ``repr`` shows neither headers nor the body.
    """

    method: str
    path: str
    """Path and query as sent: ``"/v1/chat/completions"``."""

    headers: Headers = attrs.field(repr=False)
    body: Any = attrs.field(default=None, repr=False)
    """The decoded JSON body; None if there is none, it is not JSON, or it was refused unread."""

    raw: bytes = attrs.field(default=b"", repr=_size)
    """The body as sent."""

    time: float
    """When the head of the request had arrived (``time.monotonic()``, seconds)."""

    connection: int
    """Number of the TCP connection that it came in on, from 1; equal for requests on one connection."""

    status: int | None = None
    """The HTTP status answered; None while there is no answer, or if there never was one."""

    disconnected: bool = False
    """The client went away before the answer was complete."""


class Recording:
    """The records and counts of one simulator. Thread-safe."""

    def __init__(self, keep: int) -> None:
        self._lock = threading.Lock()
        self._keep = keep
        self._records: dict[int, RecordedRequest] = {}
        self._order: deque[int] = deque()
        self._next = 0
        self._connections_before_reset = 0
        self._connections = 0
        self._in_flight = 0
        self._peak = 0

    # -- written by the server -------------------------------------------------------------------------------

    def connected(self) -> int:
        """A TCP connection was accepted; its number."""
        with self._lock:
            self._connections += 1
            return self._connections

    def begin(self, record: RecordedRequest) -> int:
        """The head of a request arrived; the key for what follows."""
        with self._lock:
            self._in_flight += 1
            self._peak = max(self._peak, self._in_flight)
            key = self._next = self._next + 1
            self._records[key] = record
            self._order.append(key)
            if len(self._order) > self._keep:
                del self._records[self._order.popleft()]
            return key

    def update(self, key: int, **changes: Any) -> None:
        """More is known of a request. One that was forgotten since (``clear``) stays forgotten."""
        with self._lock:
            if key in self._records:
                self._records[key] = attrs.evolve(self._records[key], **changes)

    def end(self) -> None:
        """A request is over, whichever way."""
        with self._lock:
            self._in_flight -= 1

    # -- read by tests ---------------------------------------------------------------------------------------

    def records(self) -> list[RecordedRequest]:
        """Snapshots of all records, in order of arrival."""
        with self._lock:
            return list(self._records.values())

    @property
    def in_flight(self) -> int:
        """Requests being read or answered now."""
        return self._in_flight

    @property
    def peak_in_flight(self) -> int:
        """The most there ever were at once."""
        return self._peak

    @property
    def connections(self) -> int:
        """TCP connections accepted."""
        return self._connections - self._connections_before_reset

    def clear(self) -> None:
        """Forget everything but what is in flight."""
        with self._lock:
            self._records.clear()
            self._order.clear()
            self._peak = self._in_flight
            self._connections_before_reset = self._connections
