"""One answer just before it goes out, in both forms, for quirks to change; and the changes that they are made of.

Pure. A :class:`AnswerDraft` belongs to one request: nothing else refers to what is in it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import attrs

from anyfast_async.simulator.http.encoding import DONE, encode, event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["AnswerDraft", "Piece", "Quirk", "ToolDeltas"]


@attrs.define(eq=False)
class Piece:
    """A piece of a stream."""

    due: float
    """Seconds after the request was read."""

    data: dict[str, Any] | bytes
    """A JSON object that is framed as an event, or bytes that go out as they are."""


ToolDeltas = tuple[list[dict[str, Any]], str | None]
"""The tool calls in one delta, and the finish reason beside it."""


@attrs.define(kw_only=True)
class AnswerDraft:
    """An answer in both forms; ``streamed`` says which of them goes out."""

    request: dict[str, Any]
    """The decoded body of the request."""

    streamed: bool
    whole: Any
    """The answer in one: a JSON value, or bytes that go out as they are."""

    pieces: list[Piece]
    """The answer as a stream, its end included."""

    status: int = 200
    content_type: str | None = None
    """None: the usual one of the form."""

    headers: dict[str, str] | None = None
    """What stands in place of the gateway's own headers, where it is not the gateway that answers."""

    cut: bool = False
    """Whether the connection breaks at the end of the stream."""

    frame: Callable[[Any], bytes] = event
    """Makes an event of a JSON object."""

    line_end: bytes = b"\n"

    # -- looking ---------------------------------------------------------------------------------------------

    def chunks(self) -> Iterator[dict[str, Any]]:
        """The JSON objects of the stream."""
        return (piece.data for piece in self.pieces if isinstance(piece.data, dict))

    def choices(self) -> Iterator[dict[str, Any]]:
        """Every choice of every chunk."""
        for chunk in self.chunks():
            yield from chunk.get("choices") or ()

    def deltas(self) -> Iterator[dict[str, Any]]:
        """Every delta of the stream."""
        return (choice["delta"] for choice in self.choices() if isinstance(choice.get("delta"), dict))

    def messages(self) -> Iterator[dict[str, Any]]:
        """Every message of the answer in one."""
        choices = self.whole.get("choices") if isinstance(self.whole, dict) else ()
        return (choice["message"] for choice in choices or ())

    def parts(self) -> Iterator[dict[str, Any]]:
        """Messages and deltas: what a change to both forms is made to."""
        yield from self.messages()
        yield from self.deltas()

    def usage(self) -> dict[str, Any] | None:
        """The token counts that the stream ends with, None if the client declined them."""
        return next((chunk["usage"] for chunk in self.chunks() if chunk.get("usage")), None)

    def first_content(self) -> int:
        """The place in the stream right behind its first content, or behind its beginning if there is none."""
        for place, piece in enumerate(self.pieces):
            if isinstance(piece.data, dict) and _has_content(piece.data):
                return place + 1
        return 1

    def blank_chunk(self) -> dict[str, Any]:
        """A chunk of this stream that says nothing."""
        first = next(self.chunks(), {})
        return {**copy.deepcopy(first), "choices": [], "usage": None}

    def encoded(self) -> list[tuple[float, bytes]]:
        """The bytes of the stream and when they are due."""
        return [
            (piece.due, self._ended(self.frame(piece.data) if isinstance(piece.data, dict) else piece.data))
            for piece in self.pieces
        ]

    def body(self) -> bytes:
        """The bytes of the answer in one."""
        return self.whole if isinstance(self.whole, bytes) else encode(self.whole)

    def _ended(self, data: bytes) -> bytes:
        return data if self.line_end == b"\n" else data.replace(b"\n", self.line_end)

    # -- changing --------------------------------------------------------------------------------------------

    def insert(self, place: int, *data: dict[str, Any] | bytes) -> None:
        """Send more at some place of the stream, at the time of what stood there."""
        due = self.pieces[min(place, len(self.pieces) - 1)].due if self.pieces else 0.0
        self.pieces[place:place] = [Piece(due, one) for one in data]

    def break_off(self, *data: dict[str, Any] | bytes) -> None:
        """End the stream after its first content, with ``data``."""
        del self.pieces[self.first_content() :]
        self.insert(len(self.pieces), *data)

    def remove(self, unwanted: Callable[[dict[str, Any]], object]) -> None:
        """Take JSON objects out of the stream."""
        self.pieces = [one for one in self.pieces if not (isinstance(one.data, dict) and unwanted(one.data))]

    def remove_done(self) -> None:
        """Take the end marker out of the stream."""
        self.pieces = [one for one in self.pieces if one.data != DONE]

    def refuse(self, status: int, body: Any, content_type: str | None = None) -> None:
        """Answer with this body instead, in one."""
        self.streamed, self.status, self.whole, self.content_type = False, status, body, content_type

    def retell_calls(
        self, tell: Callable[[Sequence[dict[str, Any]]], Iterable[ToolDeltas]], last: str = "tool_calls"
    ) -> None:
        """Send the tool calls of every choice in other deltas, between its text and its end.

        Args:
            tell: from the calls of one choice, as in the answer in one, to the deltas.
            last: the finish reason at the end of a choice that has tool calls.
        """
        for index, message in enumerate(self.messages()):
            calls = message.get("tool_calls")
            if calls:
                self._retell(index, list(tell(calls)), last)

    def _retell(self, index: int, told: list[ToolDeltas], last: str) -> None:
        mine = [one for one in self.pieces if isinstance(one.data, dict) and _index(one.data) == index]
        if not mine or _choice_of(mine[-1]).get("finish_reason") is None:
            return  # there is no such choice, or it does not come to its end
        end = mine[-1]
        for piece in mine:
            _choice_of(piece)["finish_reason"] = None
            delta = _choice_of(piece)["delta"]
            told_before = delta.pop("tool_calls", None) is not None
            if told_before and piece is not end and not delta.get("role") and not delta.get("content"):
                self.pieces.remove(piece)
        _choice_of(end)["finish_reason"] = last
        place = self.pieces.index(end)
        for tool_calls, reason in told:
            chunk: dict[str, Any] = copy.deepcopy(end.data)  # type: ignore[arg-type]  # a chunk of this choice
            chunk["choices"][0] |= {"delta": {"content": "", "tool_calls": tool_calls}, "finish_reason": reason}
            self.pieces.insert(place, Piece(end.due, chunk))
            place += 1


@attrs.frozen
class Quirk:
    """Something that gateways or the providers behind them do to the format of an answer."""

    name: str
    """What :meth:`Simulator.quirk` takes."""

    description: str
    """What the client sees."""

    source: str
    """Where that is known from: files and issues of public projects, reference pages of providers."""

    forms: Literal["streamed", "whole", "both"]
    """Which answers show it: streamed ones, those in one, or both. The others are left alone."""

    change: Callable[[AnswerDraft], None] = attrs.field(repr=False)
    """Does it to an answer on its way out. An answer that has none of what the quirk is about stays as it is."""


def _has_content(chunk: dict[str, Any]) -> bool:
    """Whether a chunk says something."""
    deltas = [choice.get("delta") or choice.get("message") or {} for choice in chunk.get("choices") or ()]
    return any(value for delta in deltas for name, value in delta.items() if name not in ("role", "extra_content"))


def _index(chunk: dict[str, Any]) -> int | None:
    """The index of a chunk with one choice that has a delta."""
    choices = chunk.get("choices")
    return choices[0].get("index") if choices and isinstance(choices[0].get("delta"), dict) else None


def _choice_of(piece: Piece) -> dict[str, Any]:
    choice: dict[str, Any] = piece.data["choices"][0]  # type: ignore[call-overload]  # only pieces with a choice are asked
    return choice
