"""What a map does with an item: makes its request, sends for the answer, parses it. Bodies are bounded in bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

import attrs

from anyfast_async._core.journal.row_ids import IdOf
from anyfast_async._core.usage import used_by
from anyfast_async._http.request_body import encoded
from anyfast_async._limits.budget import Need
from anyfast_async._map.early_end import Ending
from anyfast_async._map.result import Result, result_of
from anyfast_async._structured.repair import asked_again, can_be_repaired, joined, judged
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import AnyFastError, OutputError
from anyfast_async.requests import ChatRequest

if TYPE_CHECKING:
    from anyfast_async._call.plan import CallPlan
    from anyfast_async._limits.budget import Spending
    from anyfast_async._limits.reservation import Witness

T = TypeVar("T")
RequestOf: TypeAlias = Callable[[Any], ChatRequest]
SendText: TypeAlias = Callable[["CallPlan", str, bytes, "Witness | None", Ending], Coroutine[Any, Any, ChatCompletion]]
Send: TypeAlias = Callable[[ChatRequest, bytes, "Witness | None"], Awaitable[ChatCompletion]]

BODY_BYTES: Final = 256 * 1024 * 1024
"""Encoded requests that a map holds at once, all in all; a larger one goes alone."""


class Room:
    """Bounds the bytes of encoded requests: encoding waits while too many are held, first come, first served.

    How large a request is shows only when it is encoded, so one at a time is; the bound is exceeded by one at most.
    """

    def __init__(self, limit: int = BODY_BYTES) -> None:
        self.held = 0
        self._limit = limit
        self._encoding = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def takes(self, body: bytes) -> bool:
        """Count *body*, which is there already, if nobody waits and there is room; return whether it counts."""
        if self._encoding or self._waiting or self.held >= self._limit:
            return False
        self.held += len(body)
        return True

    async def encoded(self, request: ChatRequest, *, stream: bool) -> bytes:
        """Return the body of *request*, which counts from here on until it is given to :meth:`leave`."""
        if self._encoding or self.held >= self._limit:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # given and cancelled in one tick: pass it on
                    self._end_turn()
                raise
        self._encoding = True
        try:
            body = await encoded(request, stream=stream)
            self.held += len(body)
        finally:
            self._end_turn()
        return body

    def add(self, body: bytes) -> None:
        """Count *body*, which an item needs that has its place already: waiting for another could be for itself."""
        self.held += len(body)

    def leave(self, body: bytes) -> None:
        """Count *body* no more."""
        self.held -= len(body)
        if self._waiting:
            self._next_turn()

    def _end_turn(self) -> None:
        self._encoding = False
        self._next_turn()

    def _next_turn(self) -> None:
        while self._waiting and not self._encoding and self.held < self._limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._encoding = True
                turn.set_result(None)


def _nothing() -> None:
    pass


@attrs.frozen
class Texts:
    """How plain texts are sent, of which nothing has to be looked at but the text."""

    plan: CallPlan
    """What they have in common."""
    send: SendText
    """Sends one, with its body."""


@attrs.frozen
class RunPlan(Generic[T]):
    """What is done with each item of one map."""

    request_of: RequestOf
    """Makes the request of a prompt; raises ``AnyFastError`` for a bad one."""
    send: Send
    """Sends a request, the body of which is given; who is told of it, too."""
    spending: Spending
    """Of the client, for its budget and prices."""
    scope_of: Callable[[ChatRequest], Hashable]
    """Where a request is counted: what the gateway says of a model concerns the items of one scope."""
    id_of: IdOf
    """Gives an item's id, None where there is none; raises ``AnyFastError`` for a bad one."""
    ending: Ending
    """What ends the map early."""
    stream: bool
    """Whether bodies are those of streams."""
    into: type[T] | None
    """What answers are parsed into."""
    prompt_of: Callable[[Any], Any] | None = None
    """Makes the prompt of an item; raises ``AnyFastError`` for a bad one. None: an item is its prompt."""
    texts: Callable[[], Texts | None] = _nothing
    """Returns how prompts are sent that are plain texts, asked with the first item; None: as all others."""
    repair: int = 0
    """How often an answer that does not fit is sent back."""


class Items(Generic[T]):
    """The items of one map.

    Args:
        plan: what is done with them.
        witness_of: returns who is told of the requests of an item; None: nobody is.

    """

    def __init__(self, plan: RunPlan[T], witness_of: Callable[[Any], Witness] | None = None) -> None:
        self._plan = plan
        self._witness_of = witness_of
        self._prices = plan.spending.prices
        self._room = Room()
        self._texts: Texts | None = None
        """How plain texts are sent, known from the first item on."""
        self._is_new = True

    async def call(self, index: int, item: Any) -> Result[T]:
        """Return what becomes of an item."""
        plan, room, name = self._plan, self._room, None
        try:
            name = plan.id_of(item)
            prompt = item if plan.prompt_of is None else plan.prompt_of(item)
            if self._is_new:
                self._is_new, self._texts = False, plan.texts()
            texts = self._texts
            body = None if texts is None else texts.plan.body(prompt)
            request = None
            if texts is None or body is None or not room.takes(body):
                request = plan.request_of(prompt)
                body = await room.encoded(request, stream=plan.stream)
        except AnyFastError as error:
            return Result(index, item, name, error=error.with_traceback(None))
        try:
            if request is not None:
                return await self._result(index, item, name, request, body)
            assert texts is not None  # noqa: S101 - else there is a request
            ending, spec = plan.ending, texts.plan.spec
            if not ending.is_open and (refused := ending.refused(spec.scope)) is not None:
                return self._unsent(index, item, name, spec.model, refused)
            witness = None if self._witness_of is None else self._witness_of(item)
            try:
                completion = await texts.send(texts.plan, prompt, body, witness, ending)
            except AnyFastError as error:
                return self._failed(index, item, name, spec.scope, spec.model, error)
            result = self._answered(index, item, name, spec.scope, spec.model, completion)
            if plan.repair and result.error is not None:
                return await self._repaired(result, texts.plan.request(prompt), spec.scope, witness)
            return result
        finally:
            room.leave(body)

    async def unsent(self, index: int, item: Any, error: AnyFastError, in_time: bool) -> Result[T]:  # noqa: ARG002 - for those with a journal
        """Return what an item carries that comes after the end of the run: *error*."""
        try:
            return Result(index, item, self._plan.id_of(item), error=error)
        except AnyFastError as bad:
            return Result(index, item, error=bad.with_traceback(None))

    async def _result(  # noqa: PLR0917 - an item with all that is known of it
        self, index: int, item: Any, name: Any, request: ChatRequest, body: bytes, witness: Witness | None = None
    ) -> Result[T]:
        plan, model = self._plan, request.model
        scope = plan.scope_of(request)
        if (refused := plan.ending.refused(scope)) is not None:
            return self._unsent(index, item, name, model, refused)
        if witness is None and self._witness_of is not None:
            witness = self._witness_of(item)
        try:
            completion = await plan.send(request, body, witness)
        except AnyFastError as error:
            return self._failed(index, item, name, scope, model, error)
        result = self._answered(index, item, name, scope, model, completion)
        if plan.repair and result.error is not None:
            return await self._repaired(result, request, scope, witness)
        return result

    async def _repaired(
        self, result: Result[T], request: ChatRequest, scope: Hashable, witness: Witness | None
    ) -> Result[T]:
        """Return what becomes of an answer that does not fit once it was sent back; *request* is what it answers.

        If that fails, it stays the result: it is paid.
        """
        plan, misfit = self._plan, result.error
        while isinstance(misfit, OutputError):
            result = attrs.evolve(result, attempts=judged(result.attempts))
            misfit.attempts, misfit.rejected = result.attempts, result.rejected
            before = result.completion
            is_over = len(result.rejected) == plan.repair or plan.ending.refused(scope) is not None
            if before is None or is_over or not can_be_repaired(misfit):
                break
            if witness is not None and (used := used_by(before.usage)) is not None:
                price = None if self._prices is None else self._prices.price(result.model or "")
                witness.unknown(Need(used.tokens, 0.0 if price is None else price.cost(used)), answered=False)
            request = asked_again(request, misfit)
            body = await encoded(request, stream=plan.stream)
            self._room.add(body)
            try:
                completion = await plan.send(request, body, witness)
            except AnyFastError as error:
                plan.ending.failed(scope, error, result.model)
                misfit.attempts = joined(result.attempts, error.attempts)
                misfit.add_note(f"it could not be repaired: {error}")
                return attrs.evolve(result, attempts=misfit.attempts)
            finally:
                self._room.leave(body)
            found = self._answered(result.index, result.item, result.id, scope, result.model, completion)
            attempts = joined(result.attempts, found.attempts)
            result = attrs.evolve(found, attempts=attempts, rejected=(*result.rejected, before))
            misfit = result.error
        return result

    def _unsent(self, index: int, item: Any, name: Any, model: str | None, error: AnyFastError) -> Result[T]:
        return Result(index, item, name, error=error, model=model, prices=self._prices)

    def _failed(  # noqa: PLR0917 - as above
        self, index: int, item: Any, name: Any, scope: Hashable, model: str | None, error: AnyFastError
    ) -> Result[T]:
        self._plan.ending.failed(scope, error, model)
        error = error.with_traceback(None)
        return Result(index, item, name, error=error, attempts=error.attempts, model=model, prices=self._prices)

    def _answered(  # noqa: PLR0917 - as above
        self, index: int, item: Any, name: Any, scope: Hashable, model: str | None, completion: ChatCompletion
    ) -> Result[T]:
        plan, trace = self._plan, completion.trace
        plan.ending.answered(scope)
        value, misfit = (None, None) if plan.into is None else self._parsed(completion, plan.into)
        attempts = () if trace is None else trace.attempts
        return result_of(index, item, name, completion, value, misfit, attempts, model, self._prices)

    @staticmethod
    def _parsed(completion: ChatCompletion, into: type[T]) -> tuple[T | None, OutputError | None]:
        try:
            return completion.parse(into), None
        except OutputError as error:
            return None, error.with_traceback(None)
