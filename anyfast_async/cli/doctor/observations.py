"""What was seen of a gateway: raw exchanges with their times, and the events of a stream. No judgement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import attrs

from anyfast_async._core.json.jsontext import loads

End = Literal["whole", "cut", "timeout", "unreachable"]
DONE: Final = "[DONE]"
_SSE: Final = "text/event-stream"


@attrs.frozen(kw_only=True)
class RawAnswer:
    """One exchange."""

    status: int | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    """Names in lower case; several of one name joined by a comma."""
    pieces: tuple[tuple[float, bytes], ...] = ()
    """The body as it arrived, with seconds since the request was sent."""
    end: End = "whole"
    problem: str = ""
    """Why there was no answer."""
    head_at: float = 0.0
    ended_at: float = 0.0
    asked: Mapping[str, Any] = attrs.field(factory=dict)
    """The body of the request."""

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(data for _, data in self.pieces)

    @property
    def ok(self) -> bool:
        """Whether the status says that it went well."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004

    @property
    def content_type(self) -> str:
        """Without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_stream(self) -> bool:
        """Whether the body reads as an event stream."""
        start = self.body.lstrip()[:6]
        return start.startswith((b"data:", b"event:", b"id:", b"retry:", b":")) or (
            self.content_type == _SSE and not start.startswith((b"{", b"[", b"<"))
        )

    def json(self) -> Any:
        """Return the value of the body; None if it is no JSON."""
        return value_of(self.body)


@attrs.frozen
class RawEvent:
    """One event of a stream."""

    at: float
    """Seconds after the request was sent at which its last byte was there."""
    fields: tuple[tuple[str, str], ...]
    """Names and values of its lines; a comment has the name ``""``."""
    data: str
    value: Any
    """The JSON of its data; None if it is none."""
    whole: bool
    """A blank line ended it."""
    spaced: bool
    """A space follows the colon of every data line."""

    @property
    def name(self) -> str:
        """What ``event:`` says."""
        return next((value for name, value in self.fields if name == "event"), "")

    @property
    def is_done(self) -> bool:
        """Whether it is ``[DONE]``."""
        return self.data.strip() == DONE

    @property
    def has_data(self) -> bool:
        """Whether there is a data line."""
        return any(name == "data" for name, _ in self.fields)


@attrs.frozen(kw_only=True)
class Limit:
    """How large something may be: what was taken, and what was refused, in bytes."""

    taken: int = 0
    refused: int | None = None
    status: int | None = None
    """With which status."""
    asked: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class Observations:
    """All that was seen."""

    models: RawAnswer
    answers: Mapping[str, RawAnswer]
    """By probe: whole, stream, tools, tools_stream, thoughts."""
    refusals: Mapping[str, RawAnswer]
    """By probe: wrong_key, wrong_model, wrong_field, wrong_path; and malformed, a request that is no HTTP."""
    header_limit: Limit | None = None
    body_limit: Limit | None = None
    left: float | None = None
    """Seconds until the other side stopped after this one had left an awaited answer; None: it answered."""
    left_tried: bool = False
    model: str = ""

    def all(self) -> Iterator[RawAnswer]:
        """Every exchange."""
        yield self.models
        yield from self.answers.values()
        yield from self.refusals.values()


def value_of(data: bytes | str) -> Any:
    """Return the value of a JSON text; None if it is none."""
    try:
        return loads(data.encode("utf-8", "replace") if isinstance(data, str) else data)
    except ValueError:
        return None


def events_of(seen: RawAnswer) -> list[RawEvent]:
    """Return the events of a stream, comments as events of their own included."""
    body, times = seen.body, list(_times(seen))
    events: list[RawEvent] = []
    lines: list[bytes] = []
    place = 0
    while place < len(body):
        end, after = _line_end(body, place)
        line = body[place:end]
        place = after
        if line:
            lines.append(line)
        elif lines:
            events.append(_event(lines, _at(times, place), whole=True))
            lines = []
    if lines:
        events.append(_event(lines, seen.ended_at, whole=False))
    return events


def _line_end(body: bytes, start: int) -> tuple[int, int]:
    """The end of a line and the start of the next (LF, CR or CR LF)."""
    feed, ret = body.find(b"\n", start), body.find(b"\r", start)
    ends = [one for one in (feed, ret) if one >= 0]
    if not ends:
        return len(body), len(body)
    end = min(ends)
    return end, end + (2 if body[end : end + 2] == b"\r\n" else 1)


def _event(lines: list[bytes], at: float, *, whole: bool) -> RawEvent:
    fields: list[tuple[str, str]] = []
    spaced = True
    for line in lines:
        name, _, value = line.decode("utf-8", "replace").partition(":")
        spaced = spaced and (name != "data" or value[:1] in (" ", ""))
        fields.append((name, value.removeprefix(" ")))
    data = "\n".join(value for name, value in fields if name == "data")
    return RawEvent(at, tuple(fields), data, value_of(data) if data.strip() else None, whole, spaced)


def _times(seen: RawAnswer) -> Iterator[tuple[int, float]]:
    size = 0
    for at, data in seen.pieces:
        size += len(data)
        yield size, at


def _at(times: list[tuple[int, float]], size: int) -> float:
    return next((at for reached, at in times if reached >= size), times[-1][1])
