"""From the head of a streamed answer to its first content, or to its end where nothing is handed on before.

:func:`receive` is for streams that a reader takes over, :class:`Draining` for ``complete(via_stream=True)``. What fails
in here is part of an attempt, so that it may be tried again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from anyfast_async._core import answer, codec
from anyfast_async._core.fold import Fold
from anyfast_async._core.template import payload_of
from anyfast_async._reception import Reception
from anyfast_async.completions import Trace

if TYPE_CHECKING:
    from anyfast_async._call import Call
    from anyfast_async._clock import Clock
    from anyfast_async._lane import Permit
    from anyfast_async._transport import Exchange
    from anyfast_async.completions import ChatCompletion


async def receive(
    exchange: Exchange,
    call: Call[Reception],
    permit: Permit,
    clock: Clock,
    *,
    accept_missing_finish: bool,
) -> Reception:
    """Turn an exchange whose head arrived into a reception with its first content.

    *clock* runs for the first token; once a stream arrives the reception keeps it itself.

    Raises:
        AnyFastError: there was none; the exchange is closed.

    """
    reception = Reception(exchange, permit, call.timeouts, call.deadline)
    try:
        await _start(exchange, reception, clock)
        await reception.opened()
        if reception.first_content is None:
            _check_empty(reception, accept_missing_finish=accept_missing_finish)
    except BaseException:
        reception.close()
        raise
    call.first_token = reception.first_content
    reception.overdue = call.overdue
    call.shared.running.add(reception)

    def ended() -> None:
        call.shared.running.discard(reception)
        call.end(permit, reception.error, left=reception.left)

    reception.on_end = ended
    if reception.ended:
        ended()
    return reception


async def _start(exchange: Exchange, reception: Reception, clock: Clock) -> None:
    now = time.time()
    if exchange.status not in answer.SUCCESS:
        clock.stop()
        body = await exchange.read_error(reception.timeouts.first_token)
        raise answer.error_of(exchange.status, exchange.headers, body, now=now, hide=exchange.hide)
    kind = answer.content_type(exchange.headers)
    if "json" in kind or "html" in kind:
        body = await exchange.read()
        completion = answer.completion_of(exchange.status, exchange.headers, body, now=now, hide=exchange.hide)
        reception.give(codec.as_dict(completion))
    else:
        clock.stop()
        reception.start()


def _check_empty(reception: Reception, *, accept_missing_finish: bool) -> None:
    """Raise if a stream ended without content and without saying why: it will not be another time, and costs money."""
    fold = Fold()
    for item in reception.items:
        fold.take(item)
    error = answer.verdict(fold, accept_missing_finish=accept_missing_finish, whole=reception.whole)
    if error is not None:
        error.partial = fold.completion()
        raise error


class Draining:
    """An answer that is streamed and handed on whole: until then each attempt may be followed by another."""

    def __init__(self, *, accept_missing_finish: bool) -> None:
        self._accept_missing_finish = accept_missing_finish
        self._fold = Fold()
        self._request_id: str | None = None

    def begin(self) -> None:
        """Begin another attempt."""
        self._fold = Fold()

    async def read(
        self, exchange: Exchange, call: Call[ChatCompletion], permit: Permit, clock: Clock
    ) -> ChatCompletion:
        """Turn an exchange whose head arrived into the completion.

        *clock* runs for the first token; *call* keeps the time of the whole.

        Raises:
            AnyFastError: there is none; the exchange is closed.

        """
        self._request_id = answer.request_id(exchange.headers)
        reception = Reception(exchange, permit, call.timeouts, None)
        try:
            await _start(exchange, reception, clock)
            await self._drain(reception)
            call.first_token = reception.first_content
            accepted = self._accept_missing_finish
            error = reception.error or answer.verdict(self._fold, accept_missing_finish=accepted, whole=reception.whole)
            await reception.aclose()
        finally:
            reception.close()
        if error is not None:
            raise answer.paid(error, self._fold)
        completion = codec.filled(self._fold.completion(), request_id=self._request_id, headers=exchange.headers)
        return codec.filled(completion, trace=Trace(ignored=reception.ignored))

    async def _drain(self, reception: Reception) -> None:
        while True:
            while reception.items:
                item = reception.items.popleft()
                if reception.paused:
                    reception.relieve()
                if self._fold.restarts(payload_of(item)):
                    self._fold = Fold()  # the gateway began a second answer, after its upstream broke off
                self._fold.take(item)
            if reception.ended:
                return
            await reception.news()

    def partial(self, call: Call[ChatCompletion]) -> ChatCompletion | None:
        """Return what came in the last attempt, None if nothing did; without headers, for an exception."""
        if not self._fold.begun:
            return None
        return codec.filled(call.traced(self._fold.completion()), request_id=self._request_id)
