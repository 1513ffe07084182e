"""Calls that are answered in one piece: a completion, and the list of models."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from anyfast_async._call.call import Call
from anyfast_async._core.usual_answer import SUCCESS, usual_completion
from anyfast_async.completions import ChatCompletion, Model

if TYPE_CHECKING:
    from anyfast_async._call.call import T
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
        call.spec.hooks.on_attempt_end(content)
    return content


class UnaryCall(Call[ChatCompletion]):
    """A call for a completion."""

    __slots__ = ()

    def told(self, result: ChatCompletion) -> ChatCompletion:
        """Return the completion with its trace."""
        return self.traced(result)

    async def attempt(self, permit: Permit) -> ChatCompletion:
        """Send the request, read the answer."""
        exchange = self.ask(in_one=True)
        if exchange is not None:
            try:
                await exchange.news()
            except BaseException:
                exchange.close()
                raise
        if exchange is None or exchange.whole is None or self.spec.hooks is not None:
            exchange = await self.answered(exchange, in_one=True)
            content = await content_of(self, exchange)
        else:
            content, self.connect, self.status = exchange.whole, None, exchange.status
        completion = usual_completion(exchange.status, exchange.headers, content)
        if completion is None:
            from anyfast_async._core import answer  # noqa: PLC0415 - loaded by `_client/shared`

            completion = answer.completion_of(
                exchange.status, exchange.headers, content, now=time.time(), hide=exchange.hide
            )
        self.settle(permit, completion.usage)
        return completion


class ModelsCall(Call[list[Model]]):
    """A call for the models that a key may use."""

    __slots__ = ()

    async def attempt(self, permit: Permit) -> list[Model]:  # noqa: ARG002 - nothing is reserved
        """Send the request, read the answer."""
        exchange = await self.answered(self.ask())
        content = await content_of(self, exchange)
        from anyfast_async._core import answer  # noqa: PLC0415 - as above

        return answer.models_of(exchange.status, exchange.headers, content, now=time.time(), hide=exchange.hide)
