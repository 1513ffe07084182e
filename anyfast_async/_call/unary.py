"""Calls that are answered in one piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyfast_async._call.call import Call, T
from anyfast_async._core.usual_answer import SUCCESS
from anyfast_async.completions import ChatCompletion

if TYPE_CHECKING:
    from anyfast_async._call.endpoint import Endpoint
    from anyfast_async._http.exchange import Exchange
    from anyfast_async._limits.scope import Permit


async def content_of(call: Call[T], exchange: Exchange) -> bytes:
    """Read the body of an answer to *call*, the head of which is there."""
    try:
        if exchange.status in SUCCESS:
            content = exchange.whole if exchange.whole is not None else await exchange.read()
        else:
            call.stand()
            content = await exchange.read_error(call.spec.timeouts.response)
    except BaseException:
        exchange.close()
        raise
    if call.spec.hooks is not None:
        call.spec.hooks.tell(call.spec.hooks.body, content)
    return content


class UnaryCall(Call[T]):
    """A call that is answered in one piece."""

    __slots__ = ()

    async def attempt(self, permit: Permit, asked: Exchange | None) -> T:  # noqa: ARG002 - streams keep it
        """Send the request if it was not *asked* yet, read the answer."""
        endpoint: Endpoint[T] = self.spec.endpoint
        exchange = await self.answered(asked)
        content = await content_of(self, exchange)
        return endpoint.decode(exchange.status, exchange.headers, content, exchange.hide)


class CompletionCall(UnaryCall[ChatCompletion]):
    """A call for a completion, which carries the trace of the call."""

    __slots__ = ()

    told = Call.traced
