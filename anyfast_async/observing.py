"""What a client tells its observers: frozen values, one kind for each hook.

An observer is any object with one or more of these methods, given to the client as ``AnyFast(observers=[...])``:

* ``on_attempt_start(start: AttemptStart)``: a request is about to be sent;
* ``on_first_content(first: FirstContent)``: a stream has its first text, reasoning, tool call or image;
* ``on_attempt_end(end: AttemptEnd)``: an attempt is over, and whether there is to be another one is decided;
* ``on_hold(hold: Hold)``: the calls of a lane are held back, or go on;
* ``on_call_end(end: CallEnd)``: a call is over, once for each call.

They are plain functions, called where the thing happens: in the event loop, so they must not block. What they raise is
logged once for each of them, and breaks no call. None of the values holds a prompt, an answer or a key.
"""

from __future__ import annotations

from typing import Literal, Protocol

import attrs

from anyfast_async._values.bases import Value
from anyfast_async.completions import Trace, Usage
from anyfast_async.errors import Attempt, Billed


@attrs.frozen(eq=False, repr=False)
class Destination(Value):
    """What many calls have in common: what is asked, and where."""

    operation: str
    """``"chat"``, or ``"models"`` for the list of models."""
    model: str
    """The model that is asked; ``""`` where none is."""
    lane: str
    """What is limited and held together, in words: model, gateway, and which of the client's keys."""
    address: str
    """The gateway's host."""
    port: int | None
    streamed: bool
    """Whether the answer is streamed on the wire."""


@attrs.frozen(eq=False, repr=False)
class CallInfo(Value):
    """What stays the same during one call; every value that is told of the call has it as ``.call``."""

    id: str
    """32 hexadecimal digits, made for this call; also its ``Idempotency-Key`` on the wire."""
    destination: Destination
    """What it asks, and where."""
    in_map: bool
    """Whether it is an item of a ``map`` or a batch."""

    @property
    def operation(self) -> str:
        """``"chat"``, or ``"models"`` for the list of models."""
        return self.destination.operation

    @property
    def model(self) -> str:
        """The model that is asked; ``""`` where none is."""
        return self.destination.model

    @property
    def lane(self) -> str:
        """What is limited and held together, in words."""
        return self.destination.lane

    @property
    def address(self) -> str:
        """The gateway's host."""
        return self.destination.address

    @property
    def port(self) -> int | None:
        """The gateway's port."""
        return self.destination.port

    @property
    def streamed(self) -> bool:
        """Whether the answer is streamed on the wire."""
        return self.destination.streamed


@attrs.frozen(eq=False, repr=False)
class AttemptStart(Value):
    """A request is about to be sent."""

    call: CallInfo
    number: int
    """1 for the first attempt of the call."""
    seconds: float
    """Since the call began: in the queue, in earlier attempts and in the waits between them."""
    queued: float
    """Of these, in the queue of the client's own limits, where holds are waited for, too."""


@attrs.frozen(eq=False, repr=False)
class FirstContent(Value):
    """The first content of a stream is there."""

    call: CallInfo
    number: int
    """The attempt."""
    seconds: float
    """From sending the request."""


@attrs.frozen(eq=False, repr=False)
class AttemptEnd(Value):
    """An attempt is over. Of a stream, this is told when it has been read to its end, or left."""

    call: CallInfo
    attempt: Attempt
    """As it stands in the call's ledger: number, outcome, status, seconds, whether it may be billed."""
    request_id: str | None
    """The gateway's id of the request."""
    why: str | None
    """What it failed with, in words that hold nothing of the server's own text; None if it did not."""
    retry_in: float | None
    """The seconds after which there is to be another attempt, at the earliest; None if there is to be none."""


@attrs.frozen(eq=False, repr=False)
class Hold(Value):
    """The calls of a lane are held back, held for longer, or go on."""

    lane: str
    model: str
    address: str
    port: int | None
    reason: Literal["throttling", "outage"]
    """``"throttling"``: the gateway wants fewer requests. ``"outage"``: it seems to be away; only the items of maps and
    batches wait for it, one of which tries now and then."""
    state: Literal["began", "extended", "over"]
    seconds: float | None
    """For how long, from now; None where nobody knows. Of one that is over: how long it lasted."""
    why: str | None
    """What brought it about."""
    call_id: str
    """The call whose attempt brought it about."""
    attempt: int
    """The number of that attempt."""
    request_id: str | None
    """The gateway's id of that attempt's request."""


@attrs.frozen(eq=False, repr=False)
class CallEnd(Value):
    """A call is over."""

    call: CallInfo
    outcome: str
    """``"ok"``, ``"left"`` (a stream that was not read to its end), ``"cancelled"``, or the ``kind`` of its error."""
    why: str | None
    """What it failed with, as in ``AttemptEnd``; None if it did not."""
    status_code: int | None
    """Of its last answer."""
    request_id: str | None
    """The gateway's id of the last request."""
    trace: Trace
    """How it went: seconds, and all attempts."""
    billed: Billed
    """Whether any of its attempts may have cost money."""
    usage: Usage | None
    """The tokens that it used, as far as they are known."""
    response_id: str | None
    """The ``id`` of the answer."""
    response_model: str | None
    """The model that the answer names."""
    finish_reasons: tuple[str | None, ...]
    """Of each choice."""

    @property
    def ok(self) -> bool:
        """Whether nothing went wrong: it has its answer, or the reader of a stream had enough."""
        return self.outcome in ("ok", "left")


class Observer(Protocol):
    """An observer with all of the hooks, for type checkers; a real one may have any of them."""

    def on_attempt_start(self, start: AttemptStart, /) -> None:
        """Hear that a request is about to be sent."""

    def on_first_content(self, first: FirstContent, /) -> None:
        """Hear that a stream has its first content."""

    def on_attempt_end(self, end: AttemptEnd, /) -> None:
        """Hear that an attempt is over."""

    def on_hold(self, hold: Hold, /) -> None:
        """Hear that a lane is held, or goes on."""

    def on_call_end(self, end: CallEnd, /) -> None:
        """Hear that a call is over."""


__all__ = ["AttemptEnd", "AttemptStart", "CallEnd", "CallInfo", "Destination", "FirstContent", "Hold", "Observer"]
