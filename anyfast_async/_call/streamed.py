"""Calls that are streamed: from the head of the answer to its first content, or to its end if it is handed on whole.

What fails in here is part of an attempt, so that it may be tried again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from anyfast_async._call.call import Call
from anyfast_async._core import answer
from anyfast_async._core.json import codec
from anyfast_async._core.stream.chunk_template import payload_of
from anyfast_async._core.stream.completeness import verdict
from anyfast_async._core.stream.fold import Fold
from anyfast_async._core.usage import worst
from anyfast_async._observers import telling
from anyfast_async._observers.log import DEBUG, LOGGER
from anyfast_async._stream.receiver import Receiver
from anyfast_async.completions import ChatCompletion, Trace
from anyfast_async.errors import AnyFastError

if TYPE_CHECKING:
    from anyfast_async._call.call import T
    from anyfast_async._call.spec import Spec
    from anyfast_async._client.shared import Shared
    from anyfast_async._clocks.clocks import Wait
    from anyfast_async._http.exchange import Exchange
    from anyfast_async._limits.reservation import Account
    from anyfast_async._limits.scope import Permit
    from anyfast_async._map.early_end import Ending


class StreamCall(Call[Receiver]):
    """A call for a stream, which a reader takes over with its first content."""

    __slots__ = ("is_dropped",)

    waits_for: ClassVar[Wait] = "first_token"
    keeps_permit: ClassVar[bool] = True
    streams: ClassVar[bool] = True

    def __init__(
        self,
        shared: Shared,
        spec: Spec,
        account: Account,
        ending: Ending | None = None,
        content: bytes | None = None,
    ) -> None:
        super().__init__(shared, spec, account, ending, content)
        self.is_dropped = False
        """Whether its reader is gone, and tells nobody of its end."""

    async def attempt(self, permit: Permit, asked: Exchange | None) -> Receiver:
        """Send the request if it was not *asked* yet; return the receiver with the first content in it."""
        exchange = await self.answered(asked)
        receiver = Receiver(exchange, permit, self.spec.timeouts, self.began if self.deadline else None, self)
        try:
            await _start(self, exchange, receiver)
            await receiver.opened()
            if receiver.first_content is None:
                _check_empty(receiver, accept_missing_finish=self.spec.accept_missing_finish)
        except BaseException:
            receiver.close()
            raise
        self.first_token = receiver.first_content
        if self.scope.is_timed:
            self.scope.begun(permit)
        if self.spec.hooks is not None and receiver.first_content is not None:
            telling.has_content(self, receiver.first_content)
        self.shared.in_flight.add(receiver)
        receiver.hand_over()
        return receiver

    def received(self, receiver: Receiver) -> None:
        """Hear from a receiver that was handed over that it has ended: give the permit back, write the attempt down."""
        self.shared.in_flight.discard(receiver)
        permit, error, left = receiver.permit, receiver.error, receiver.left
        if permit.released:
            return
        self.shared.gate.release(permit)
        self.shared.gate.maybe_billed += left or error is not None
        if error is None:
            self._done(permit, "left" if left else "ok", "maybe" if left else "yes")
        else:
            error.billed = worst((error.billed, "maybe"))  # some of it has come
            self._write(permit, error.kind, self.status, error.billed)
            self._told(error)
        if self.is_dropped:
            telling.over(self, None, error)

    def found_wanting(self, error: AnyFastError) -> None:
        """Take in that a stream that ended in order is no complete answer: its line was written when it ended."""
        last = self.ledger[-1]
        if last.outcome in ("ok", "left"):
            self.shared.gate.maybe_billed += last.outcome == "ok"
            self.rewrite_last(outcome=error.kind, billed=error.billed)
        self._told(error)

    def was_read(self, completion: ChatCompletion, error: AnyFastError | None) -> None:
        """Hear from the reader that it has come to the end: what it has read, and what was wrong with it."""
        if self.spec.hooks is not None or error is not None or len(self.ledger) > 1 or LOGGER.isEnabledFor(DEBUG):
            telling.over(self, completion, error)


async def _start(call: Call[T], exchange: Exchange, receiver: Receiver) -> None:
    now = time.time()
    if exchange.status not in answer.SUCCESS:
        call.stand()
        body = await exchange.read_error(receiver.timeouts.first_token)
        raise answer.error_of(exchange.status, exchange.headers, body, now=now, hide=exchange.hide)
    kind = answer.content_type(exchange.headers)
    if "json" in kind or "html" in kind:
        body = await exchange.read()
        completion: ChatCompletion = call.spec.endpoint.decode(exchange.status, exchange.headers, body, exchange.hide)
        receiver.give(codec.as_dict(completion))
    else:
        call.stand()  # the receiver keeps the clock from here on
        receiver.start()


def _check_empty(receiver: Receiver, *, accept_missing_finish: bool) -> None:
    """Raise if a stream ended without content and without saying why: it will not be another time, and costs money."""
    fold = Fold()
    for item in receiver.items:
        fold.take(item)
    error = verdict(fold, accept_missing_finish=accept_missing_finish, whole=receiver.whole)
    if error is not None:
        error.partial = fold.completion()
        raise error


class DrainCall(Call[ChatCompletion]):
    """A call that is streamed and answered whole: until then each attempt may be followed by another."""

    __slots__ = ("_fold", "_request_id")

    waits_for: ClassVar[Wait] = "first_token"
    streams: ClassVar[bool] = True
    told = Call.traced

    def __init__(
        self,
        shared: Shared,
        spec: Spec,
        account: Account,
        ending: Ending | None = None,
        content: bytes | None = None,
    ) -> None:
        super().__init__(shared, spec, account, ending, content)
        self._fold = Fold()
        """What came in the last attempt."""
        self._request_id: str | None = None

    async def run(self) -> ChatCompletion:
        """Make the call; its error holds what came in the last attempt."""
        try:
            return await super().run()
        except AnyFastError as error:
            error.partial = self._partial() or error.partial
            raise

    async def attempt(self, permit: Permit, asked: Exchange | None) -> ChatCompletion:
        """Send the request if it was not *asked* yet, read the stream to its end."""
        self._fold = Fold()
        exchange = await self.answered(asked)
        self._request_id = answer.request_id(exchange.headers)
        receiver = Receiver(exchange, permit, self.spec.timeouts)  # the call keeps the time of the whole
        try:
            await _start(self, exchange, receiver)
            if self.spec.hooks is not None:
                await receiver.opened()
                if receiver.first_content is not None:
                    telling.has_content(self, receiver.first_content)
            await self._drain(receiver)
            self.first_token = receiver.first_content
            lenient, whole = self.spec.accept_missing_finish, receiver.whole
            error = receiver.error or verdict(self._fold, accept_missing_finish=lenient, whole=whole)
            await receiver.aclose()
        finally:
            receiver.close()
        if error is not None:
            raise answer.paid(error, self._fold)
        completion = codec.filled(self._fold.completion(), request_id=self._request_id, headers=exchange.headers)
        codec.filled(completion, trace=Trace(ignored=receiver.ignored))
        return completion

    async def _drain(self, receiver: Receiver) -> None:
        while True:
            while receiver.items:
                item = receiver.items.popleft()
                if receiver.paused:
                    receiver.relieve()
                if self._fold.restarts(payload_of(item)):
                    self._fold = Fold()  # the gateway began a second answer, after its upstream broke off
                self._fold.take(item)
            if receiver.ended:
                return
            await receiver.news()

    def _partial(self) -> ChatCompletion | None:
        """Return what came in the last attempt, None if nothing did; without headers, for an exception."""
        if not self._fold.begun:
            return None
        return codec.filled(self.traced(self._fold.completion()), request_id=self._request_id)
