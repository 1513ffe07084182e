"""What a map does with an item: makes its request, sends for the answer, parses it. Bodies are bounded in bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

import attrs

from anyfast_async._core.rows import IdOf
from anyfast_async._ending import Ending
from anyfast_async._outgoing import encoded
from anyfast_async._result import Result
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import AnyFastError, OutputError
from anyfast_async.requests import ChatRequest

if TYPE_CHECKING:
    from anyfast_async._account import Witness
    from anyfast_async._budget import Spending
    from anyfast_async._plan import CallPlan

T = TypeVar("T")
RequestOf: TypeAlias = Callable[[Any], ChatRequest]
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

    @property
    def is_free(self) -> bool:
        """Whether nobody waits, and there is room for another one."""
        return not self._encoding and not self._waiting and self.held < self._limit

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


def _same(item: Any) -> Any:
    return item


def _nothing() -> None:
    pass


@attrs.frozen
class Texts:
    """How plain texts are sent, of which nothing has to be looked at but the text."""

    plan: CallPlan
    send: Callable[[str, bytes, Witness | None], Awaitable[ChatCompletion]]
    """Sends one, with its body."""


@attrs.frozen
class Plan(Generic[T]):
    """What is done with each item of one map."""

    request_of: RequestOf
    """Makes the request of a prompt; raises ``AnyFastError`` for a bad one."""
    send: Send
    """Sends a request, the body of which is given; who is told of it, too."""
    spending: Spending
    """Of the client, for its budget and prices."""
    lane_of: Callable[[ChatRequest], Hashable]
    """Where a request is counted: what the gateway says of a model concerns the items of one lane."""
    id_of: IdOf
    """Gives an item's id, None where there is none; raises ``AnyFastError`` for a bad one."""
    ending: Ending
    """What ends the map early."""
    stream: bool
    """Whether bodies are those of streams."""
    into: type[T] | None
    """What answers are parsed into."""
    prompt_of: Callable[[Any], Any] = _same
    """Makes the prompt of an item; raises ``AnyFastError`` for a bad one."""
    texts: Callable[[], Texts | None] = _nothing
    """Returns how prompts are sent that are plain texts, asked with the first item; None: as all others."""


class Items(Generic[T]):
    """The items of one map."""

    def __init__(self, plan: Plan[T]) -> None:
        self._plan = plan
        self._room = Room()
        self._texts: Texts | None = None
        """How plain texts are sent, known from the first item on."""
        self._is_new = True
        self.witness_of: Callable[[Any], Witness] | None = None
        """Returns who is told of the requests of an item, if somebody is."""

    async def call(self, index: int, item: Any) -> Result[T]:
        """Return what becomes of an item."""
        plan, name, room = self._plan, None, self._room
        try:
            name = plan.id_of(item)
            prompt = plan.prompt_of(item)
            if self._is_new:
                self._is_new, self._texts = False, plan.texts()
            texts = self._texts
            if texts is not None and room.is_free and (body := texts.plan.body(prompt)) is not None:
                room.held += len(body)
                try:
                    return await self._of_text(texts, index, item, name, prompt, body)
                finally:
                    room.leave(body)
            request = plan.request_of(prompt)
            body = await self._room.encoded(request, stream=plan.stream)
        except AnyFastError as error:
            return Result(index, item, name, error=error.with_traceback(None))
        try:
            return await self._result(index, item, name, request, body)
        finally:
            self._room.leave(body)

    async def unsent(self, index: int, item: Any, error: AnyFastError, in_time: bool) -> Result[T]:  # noqa: ARG002 - for those with a journal
        """Return what an item carries that comes after the end of the run: *error*."""
        try:
            return Result(index, item, self._plan.id_of(item), error=error)
        except AnyFastError as bad:
            return Result(index, item, error=bad.with_traceback(None))

    async def _result(  # noqa: PLR0917 - an item with all that is known of it
        self, index: int, item: Any, name: Any, request: ChatRequest, body: bytes, witness: Witness | None = None
    ) -> Result[T]:
        plan = self._plan
        model, prices = request.model, plan.spending.prices
        lane = plan.lane_of(request)
        refused = plan.ending.refused(lane)
        if refused is not None:
            return Result(index, item, name, error=refused, model=model, prices=prices)
        if witness is None and self.witness_of is not None:
            witness = self.witness_of(item)
        return await self._answer(index, item, name, lane, model, plan.send(request, body, witness))

    async def _of_text(  # noqa: PLR0917 - an item with all that is known of it
        self, texts: Texts, index: int, item: Any, name: Any, prompt: str, body: bytes
    ) -> Result[T]:
        plan, spec = self._plan, texts.plan.spec
        refused = plan.ending.refused(spec.lane)
        if refused is not None:
            return Result(index, item, name, error=refused, model=spec.model, prices=plan.spending.prices)
        witness = None if self.witness_of is None else self.witness_of(item)
        return await self._answer(index, item, name, spec.lane, spec.model, texts.send(prompt, body, witness))

    async def _answer(  # noqa: PLR0917 - as above
        self, index: int, item: Any, name: Any, lane: Hashable, model: str | None, sent: Awaitable[ChatCompletion]
    ) -> Result[T]:
        plan, prices = self._plan, self._plan.spending.prices
        try:
            completion = await sent
        except AnyFastError as error:
            plan.ending.failed(lane, error, model)
            error = error.with_traceback(None)
            return Result(index, item, name, error=error, attempts=error.attempts, model=model, prices=prices)
        plan.ending.answered(lane)
        value, misfit = self._parsed(completion)
        attempts = completion.trace.attempts if completion.trace is not None else ()
        return Result(index, item, name, completion, value, misfit, attempts, model=model, prices=prices)

    def _parsed(self, completion: ChatCompletion) -> tuple[T | None, OutputError | None]:
        if self._plan.into is None:
            return None, None
        try:
            return completion.parse(self._plan.into), None
        except OutputError as error:
            return None, error.with_traceback(None)
