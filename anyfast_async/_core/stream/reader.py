"""Bytes of an answer, cut anywhere, to the chunks that they hold: the one reader of the format.

Every way to an answer goes through :class:`AnswerReader` and then through
:class:`~anyfast_async._core.stream.fold.Fold`: whole answers, streams, and what of them is handed on as text, chunks,
event-stream bytes or the vendor SDK's events. The reader tells chunks from errors, from what says nothing, and from
what comes behind the end; the fold puts chunks together.

Rules:

- An event is a chunk, an error, or says nothing. Of the last kind are scalars and events of a type that is none of ours
  (WHATWG HTML 9.2.6); they are counted. Anything else is damage, which might be a piece of the answer: an error.
- The end is ``[DONE]``, or an orderly end of the body when every choice has its finish reason. What comes behind a
  finish reason of every choice and is no chunk takes nothing away any more.
- A last event without its blank line counts if it is whole JSON and the body ended in order.
- JSON without ``data:`` counts, too: gin appends an error object to a stream that it has begun, and some gateways send
  a whole answer, or one chunk a line, as an event stream.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, repeat
from typing import Any, Final

from anyfast_async._core.errors.error_bodies import is_error
from anyfast_async._core.errors.exceptions import inband_error, shape_error
from anyfast_async._core.errors.request_id import Hide, as_is
from anyfast_async._core.json import codec
from anyfast_async._core.sse import Bare, Decoder, type_of
from anyfast_async._core.stream.choice import says
from anyfast_async._core.stream.chunk_template import ChunkTemplate, Item, payload_of
from anyfast_async._core.stream.fold import choices_of
from anyfast_async.errors import AnyFastError, APIError, ResponseShapeError

DONE: Final = b"[DONE]"
_DONE: Final = re.compile(rb"(?i)[\s\"']*\[?done\]?[\s\"';.!]*")
"""What some send in its place."""
_BROKEN: Final[Any] = object()
"""Stands for what is no JSON. What is raised while that error is handled carries it along, and it holds the text."""
TRIALS: Final = 4
"""Templates that are made of a stream's chunks before it counts as one whose chunks have nothing in common."""


class AnswerReader:
    """Reads one answer.

    Args:
        headers: the answer's, with lower-case names.
        clock: tells the time in Unix seconds, for errors that name a date.
        hide: takes the key out of the text of errors.

    """

    __slots__ = (
        *(
            "_clock",
            "_decoder",
            "_ends",
            "_headers",
            "_hide",
            "_reasons",
            "_said",
            "_template",
            "_trials",
            "_useful",
            "done",
        ),
        *("error", "ignored", "items", "whole"),
    )

    def __init__(self, headers: Mapping[str, str], *, clock: Callable[[], float], hide: Hide = as_is) -> None:
        self._headers = headers
        self._clock = clock
        self._hide = hide
        self._decoder = Decoder()
        self._template: ChunkTemplate | None = None
        self._trials = TRIALS  # templates that may still be made
        self._useful = False  # whether the last one was used
        self._ends: dict[int, bool] = {}  # by choice, whether it has ended
        self._reasons: set[int] = set()  # choices that had a finish reason
        self._said = False  # whether there was content in what was fed last
        self.items: deque[Item] = deque()
        """The chunks. Who takes them takes from the left."""
        self.done = False
        """Whether ``[DONE]`` has come."""
        self.whole = False
        """Whether the answer was not streamed, but one JSON object."""
        self.error: AnyFastError | None = None
        """What the answer says went wrong, once it does; nothing is read after it."""
        self.ignored = 0
        """Events that said nothing."""

    def feed(self, data: bytes) -> bool:
        """Take the next bytes of the body; return whether there was content in them."""
        self._said = False
        try:
            self._take(self._decoder.feed(data))
        except (APIError, ResponseShapeError) as error:
            self.error = error.with_traceback(None)
        return self._said

    @property
    def expects(self) -> bool:
        """Whether an event that differs in its text alone may come next, so that :meth:`take` may be tried."""
        going_on = self._ends.get(0) is False and not self.done and self.error is None
        return self._template is not None and going_on and self._decoder.between

    def take(self, data: bytes) -> str | None:
        """Take what comes if it is one event that differs from an earlier one in its text alone; return that text."""
        template = self._template
        if template is None or (text := template.alone(data)) is None:
            return None
        self._useful = True
        self.items.append((template, text))
        return text

    def close(self) -> bool:
        """Take in that the body ended in order; return whether there was content in what had no end yet."""
        self._said = False
        try:
            rest = self._decoder.close()
            if not self.done:
                if rest.bare:
                    self._alone(rest.bare)
                self._last(rest.data)
        except (APIError, ResponseShapeError) as error:
            self.error = error.with_traceback(None)
        return self._said

    def give(self, payload: dict[str, Any]) -> bool:
        """Take a whole answer as one chunk and the end; return whether there is content in it."""
        self.done = self.whole = True
        self._said = False
        self._chunk(payload)
        return self._said

    @property
    def ended(self) -> bool:
        """Whether every choice has ended, so that what comes now and is no chunk says nothing.

        A finish reason behind which content came is not believed again: some upstreams put one on every chunk.
        """
        return bool(self._ends) and all(self._ends.values())

    # -- events ------------------------------------------------------------------------------------------------------

    def _take(self, events: Sequence[bytes]) -> None:
        at = 0
        while not self.done:
            template = self._template
            if template is not None and (texts := template.texts(events, at)):
                self.items.extend(zip(repeat(template), texts))
                at += len(texts)
                self._useful = True
                if any(texts):
                    self._said, self._ends[0] = True, False
                continue
            if at == len(events):
                return
            event = events[at]
            at += 1
            if event.strip() == DONE:
                self.done = True
            else:
                self._event(event)

    def _event(self, event: bytes) -> None:
        kind = type_of(event)
        try:
            payload = codec.loads(event, mend=False)
        except codec.InvalidJSONError:
            payload = _BROKEN
        if type(payload) is dict and payload.get("choices") and "error" not in payload and kind == "message":
            if self._chunk(payload):  # nearly every one
                self._learn(event, payload)
            return
        try:
            self._odd(event, payload, kind)
        except (APIError, ResponseShapeError):
            if not self.ended:
                raise
            self.ignored += 1

    def _odd(self, event: bytes, payload: Any, kind: str) -> None:
        """Take an event that is not simply a chunk."""
        if payload is _BROKEN and kind == "message":
            if _DONE.fullmatch(event):
                self.done = True
            elif event.strip():
                self._damaged(event)
            return
        if kind == "error":
            said = event.decode("utf-8", "replace") if payload is _BROKEN else payload
            raise self._failure(said if is_error(said) else {"error": said or "the stream was ended by an error event"})
        if kind != "message" and not (isinstance(payload, dict) and (payload.get("choices") or payload.get("error"))):
            payload = None  # of a type that is none of ours: Anthropic's "ping", "heartbeat", "metrics"
        if isinstance(payload, str) and _DONE.fullmatch(payload.encode("utf-8", "replace")):
            self.done = True
        elif is_error(payload):
            raise self._failure(payload)
        elif isinstance(payload, dict):
            self._chunk(payload)
        else:
            self.ignored += 1

    def _chunk(self, payload: dict[str, Any]) -> bool:
        """Take a chunk; return whether there is content in it."""
        said, failed = False, None
        late: list[Any] = []  # choices that name an error behind their end
        for index, choice in choices_of(payload):
            delta, message, reason = choice.get("delta"), choice.get("message"), choice.get("finish_reason")
            speaks = (isinstance(delta, dict) and says(delta)) or (isinstance(message, dict) and says(message))
            said = said or speaks
            if reason == "error" or choice.get("error"):
                problem = _problem_of_choice(choice)
                if problem is not None and not speaks and self._ends.get(index):
                    late.append(choice)
                    continue
                failed = failed or problem
            if reason:
                # One that came before, and more content now: it is on every chunk, and does not tell the end.
                self._ends[index] = not (speaks and index in self._reasons and isinstance(delta, dict))
                self._reasons.add(index)
            elif speaks or index not in self._ends:
                self._ends[index] = False
        if late:
            payload = {**payload, "choices": [choice for _, choice in choices_of(payload) if choice not in late]}
        if said or failed is None:
            self.items.append(payload)
        self._said = self._said or said
        if failed is not None:
            raise self._failure(failed)
        return said

    def _failure(self, payload: Any) -> APIError:
        return inband_error(payload, self._headers, now=self._clock(), hide=self._hide)

    def _learn(self, event: bytes, payload: dict[str, Any]) -> None:
        """Make a template of *event* for what comes, unless the last few were of no use."""
        if self._useful:
            self._trials = TRIALS
        if self._trials:
            self._trials -= 1
            self._useful = False
            self._template = ChunkTemplate.of(event, payload) or self._template

    # -- what is no event as it should be ----------------------------------------------------------------------------

    def _damaged(self, event: bytes) -> None:
        """Take what is no JSON as a whole: several values of it, or one that the next event is glued to."""
        values, rest = codec.documents(event)
        tail = rest.strip()
        if type(event) is not Bare and (tail or not values):
            what = "an event of the stream is no JSON"
            raise shape_error(self._headers, event, what, status=200, hide=self._hide)
        for value in values:
            self._odd(event, value, "message")
        if tail and values:
            self._take(Decoder().feed(tail + b"\n\n"))
        elif tail:
            self.ignored += 1

    def _alone(self, data: bytes) -> None:
        """Take JSON that no event came behind: often a whole answer under another label."""
        is_first, before = not self._ends, len(self.items)
        self._take([Bare(data)])
        found = [payload_of(item) for item in islice(self.items, before, None)]
        self.whole = is_first and len(found) == 1 and is_whole(found[0])

    def _last(self, event: bytes) -> None:
        """Take an event that no blank line ended; the standard discards it, because a connection may break there."""
        values, rest = codec.documents(event)
        if (values and not rest.strip()) or type_of(event) == "error" or _DONE.fullmatch(event):
            self._take([event])


def is_whole(payload: Mapping[str, Any]) -> bool:
    """Return whether a chunk is none, but a whole answer: there is a message in each choice, and no delta."""
    found = [choice for _, choice in choices_of(payload)]
    return bool(found) and all(isinstance(one.get("message"), dict) and not one.get("delta") for one in found)


def _problem_of_choice(choice: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the error that a choice names (OpenRouter), None if that says that there is none."""
    problem = {"error": choice.get("error")}
    if is_error(problem):
        return problem
    if choice.get("finish_reason") == "error":
        return {"error": {"message": "the upstream ended the answer with an error (finish_reason 'error')"}}
    return None
