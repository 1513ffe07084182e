"""Bytes, cut anywhere, to server-sent events.

Contract of :class:`Decoder`: ``feed`` takes the next bytes of the body and returns the events that they complete;
``close`` says that the body has ended and returns what was left over. It knows nothing of JSON or chat completions.
Time is linear in the input, however it is cut; memory is bounded by the limits below.

Rules: WHATWG HTML, 9.2.5 and 9.2.6, https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from typing import Final, NamedTuple, Self, TypeAlias

from anyfast_async._size_limits import MAX_EVENT, MAX_LINE
from anyfast_async.errors import ResponseShapeError

Data: TypeAlias = bytes | bytearray | memoryview


_BOM: Final = b"\xef\xbb\xbf"
_LF: Final = 10
_KEPT_RETRIES: Final = 15
_MAX_RETRY_DIGITS: Final = 1000  # Python refuses to convert more than 4300


class Event(bytes):
    """The data of an event that has a type or an id; that of any other event is plain ``bytes``."""

    def __new__(cls, data: bytes, type: str = "message", id: str = "") -> Self:  # noqa: A002 - the standard's words
        """Return an event; *data* holds its ``data:`` lines joined by LF, not yet decoded."""
        event = super().__new__(cls, data)
        event.type = type
        event.id = id
        return event

    type: str
    id: str


def type_of(event: bytes) -> str:
    """Return the type of an event."""
    return event.type if isinstance(event, Event) else "message"


class Bare(bytes):
    """Lines that look like JSON and are no field.

    This gateway appends an error object to a stream that it has begun, without ``data:`` (gin writes it to the open
    response); some send a whole answer so.
    """


class Rest(NamedTuple):
    """What stood at the end of the body outside of any dispatched event."""

    data: bytes
    """The data of an event that no blank line ended. The standard discards it; some servers end so."""
    unfinished: bool
    """Whether the last line had no line end."""
    bare: bytes
    """As :class:`Bare`."""


class Decoder:
    """Decode one event stream."""

    __slots__ = (
        *(
            "_bare",
            "_bare_size",
            "_closed",
            "_data",
            "_data_size",
            "_failure",
            "_head",
            "_id",
            "_largest",
            "_max_event",
        ),
        *("_max_line", "_partial", "_partial_size", "_plain", "_skip_lf", "_type", "last_event_id", "retry"),
    )

    def __init__(self, *, max_line: int = MAX_LINE, max_event: int = MAX_EVENT) -> None:
        self._max_line = max_line
        self._max_event = max_event
        self._largest = min(max_line, max_event)
        self._plain = True  # nothing but a piece of a line has been read since the last event
        self._head: bytes | None = b""  # the first bytes, until it is known whether they are a BOM
        self._skip_lf = False  # a CR ended the last line; a LF right after it belongs to it
        self._partial: list[bytes] = []  # pieces of the line that has not ended yet
        self._partial_size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._type = ""
        self._id = ""  # buffered until a blank line commits it
        self._bare: list[bytes] = []
        self._bare_size = 0
        self._closed = False
        self._failure: ResponseShapeError | None = None
        self.last_event_id = ""
        """The last committed event id."""
        self.retry: list[int] = []
        """The last accepted ``retry:`` values in milliseconds."""

    def feed(self, data: Data) -> list[bytes]:
        """Return the data of the events that *data* completes; each is an :class:`Event` if it has a type or an id.

        JSON that stands before them without ``data:`` is returned as :class:`Bare`.

        Raises:
            ResponseShapeError: a line or an event is longer than its limit; what *data* completed before it is returned
                first, and the error comes with the next call.
            ValueError: called after :meth:`close`.

        """
        if self._closed:
            message = "feed() after close()"
            raise ValueError(message)
        if self._failure is not None:
            raise self._failure
        if type(data) is not bytes:
            data = bytes(data)
        if self._plain and (found := self._plain_events(data)) is not None:
            return found
        events: list[bytes] = []
        try:
            self._feed(data, events)
        except ResponseShapeError as error:
            if not events:
                raise
            self._failure = error
        self._plain = not (self._data or self._type or self._id or self.last_event_id or self._skip_lf or self._head)
        return events

    @property
    def between(self) -> bool:
        """Whether an event has ended and nothing of another has come: then one that is whole may go past it."""
        return self._plain and not self._partial and not self._bare

    def _plain_events(self, data: bytes) -> list[bytes] | None:
        """Return the events of *data* if it goes on as nearly every stream does, None if it is to be read line by line.

        That is: events of one line each that starts with "data: ", and LF for every line end. They are cut out at once.
        """
        end = data.rfind(b"\n") + 1
        if end < 2 or data[end - 2] != _LF or b"\r" in data:  # noqa: PLR2004 - two line ends
            return None
        size = len(data)
        whole = data if end == size else data[:end]
        if self._partial:
            whole = b"".join((*self._partial, whole))
        if not whole.startswith(b"data: ") or len(whole) > self._largest or size - end > self._max_line:
            return None
        events = whole[6:-2].split(b"\n\ndata: ")
        if whole.count(b"\n") != 2 * len(events):
            return None
        self._head = None
        self._partial = [data[end:]] if end < size else []
        self._partial_size = size - end
        if self._bare:
            self._end_bare(events, 0)
        return events

    def _feed(self, data: bytes, events: list[bytes]) -> None:
        lines = self._lines(data)
        last = lines.pop()
        if lines and self._partial:
            self._partial.append(lines.pop(0))
            self._end_partial(events)
        for line in lines:
            if line:
                self._line(line)
            else:
                self._dispatch(events)
        if last:
            self._partial.append(last)
            self._partial_size += len(last)
            self._check(self._partial_size, self._max_line, "line")

    def _lines(self, piece: bytes) -> list[bytes]:
        """Return *piece* cut at its line ends; the last item has none yet."""
        if self._head is not None:
            piece = self._head + piece
            if len(piece) < len(_BOM) and _BOM.startswith(piece):
                self._head = piece
                return [b""]
            self._head = None
            piece = piece.removeprefix(_BOM)
        if self._skip_lf and piece:
            self._skip_lf = False
            piece = piece.removeprefix(b"\n")
        if b"\r" in piece:
            self._skip_lf = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return piece.split(b"\n")

    def _end_partial(self, events: list[bytes]) -> None:
        """Take the line that came in several pieces; it may be megabytes long, so it is put together only once."""
        pieces, size = self._partial, self._partial_size + len(self._partial[-1])
        self._partial, self._partial_size = [], 0
        self._check(size, self._max_line, "line")
        if pieces[0].startswith(b"data: "):
            pieces[0] = pieces[0][6:]
            self._append(b"".join(pieces))
        elif size:
            self._line(b"".join(pieces))
        else:
            self._dispatch(events)

    def close(self) -> Rest:
        """Say that the body has ended; return what is left.

        Raises:
            ResponseShapeError: as :meth:`feed`.

        """
        self._closed = True
        if self._failure is not None:
            raise self._failure
        if self._head:
            self._partial.append(self._head)
        unfinished = b"".join(self._partial)
        self._partial.clear()
        if unfinished:
            self._line(unfinished)
        data = b"\n".join(self._data)
        if data and self._type:
            data = Event(data, self._type, self._id)
        return Rest(data, bool(unfinished), b"\n".join(self._bare))

    def _line(self, line: bytes) -> None:
        self._check(len(line), self._max_line, "line")
        if line.startswith(b"data:"):  # nearly every line
            self._append(line[6:] if line[5:6] == b" " else line[5:])
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"":
                pass  # a comment
            case b"data":
                self._append(value)
            case b"event":
                self._type = value.decode("utf-8", "replace")
            case b"id":
                if b"\0" not in value:
                    self._id = value.decode("utf-8", "replace")
            case b"retry":
                # int() would take signs, underscores and other scripts' digits; the standard takes ASCII digits only.
                if value and not value.strip(b"0123456789") and len(value) <= _MAX_RETRY_DIGITS:
                    self.retry = [*self.retry[-_KEPT_RETRIES:], int(value)]
            case _:
                self._keep_bare(line)

    def _append(self, value: bytes) -> None:
        self._data.append(value)
        self._data_size += len(value) + 1
        self._check(self._data_size, self._max_event, "event")

    def _end_bare(self, events: list[bytes], at: int) -> None:
        events.insert(at, Bare(b"\n".join(self._bare)))
        self._bare.clear()
        self._bare_size = 0

    def _keep_bare(self, line: bytes) -> None:
        if self._bare or line.lstrip()[:1] in (b"{", b"["):
            self._bare.append(line)
            self._bare_size += len(line) + 1
            self._check(self._bare_size, self._max_event, "event")

    def _dispatch(self, events: list[bytes]) -> None:
        self.last_event_id = self._id
        if self._data:
            if self._bare:
                self._end_bare(events, len(events))
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append(Event(data, self._type or "message", self._id) if self._type or self._id else data)
            self._data = []
            self._data_size = 0
        self._type = ""

    @staticmethod
    def _check(size: int, limit: int, what: str) -> None:
        if size > limit:
            message = f"the stream holds a {what} of more than {limit} bytes"
            raise ResponseShapeError(message)
