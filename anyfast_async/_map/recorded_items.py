"""What a map with a journal does with an item: finds its result there, or sends for it and writes it down."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import attrs

from anyfast_async._core.errors.failures import STOPPERS
from anyfast_async._core.journal.id_index import Seen
from anyfast_async._core.journal.journal_lines import STEM_DIGITS, completion_in, error_in, stem_of
from anyfast_async._core.journal.row_ids import recorded_as
from anyfast_async._core.journal.send_again import SendAgain
from anyfast_async._core.json.codec import unsaid
from anyfast_async._http.request_body import OFF_LOOP, encoded
from anyfast_async._journal.bill import charge
from anyfast_async._journal.journal import open_journal
from anyfast_async._journal.keeper import Keeper
from anyfast_async._map.items import Items, RunPlan
from anyfast_async._map.result import Result
from anyfast_async.errors import AnyFastError, FieldError, RequestValidationError, ResponseShapeError, escaped
from anyfast_async.requests import ChatRequest

if TYPE_CHECKING:
    from types import TracebackType

    from anyfast_async._limits.reservation import Witness

T = TypeVar("T")

HEADER: Final = {"written by": "map"}


class RecordedItems(Items[T]):
    """The items of one map with a journal: what is recorded there is not sent again. An async context manager.

    An item is known by its id, or by a hash of its request and how often that has come before.

    Args:
        plan: what is done with them.
        path: the journal.
        stop_on: kinds of errors that end the run. They are not recorded, nor are others that are no item's fault.
        again: which items are sent again that have a result; None: those that failed and may succeed.
        changed: whether what is recorded for an id may be for another request.

    """

    def __init__(
        self, plan: RunPlan[T], *, path: Path, stop_on: frozenset[str], again: SendAgain | None, changed: bool
    ) -> None:
        super().__init__(plan)
        self._again = again
        self._changed = changed
        self._path = path
        self._stop_on = stop_on
        self._seen = Seen()
        self._keeper: Keeper | None = None
        """While the map runs."""
        self._sent: dict[int, tuple[str, str]] = {}

    async def __aenter__(self) -> Self:
        opening = asyncio.ensure_future(asyncio.to_thread(open_journal, self._path, header=HEADER))
        try:
            journal = await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])  # a thread cannot be stopped, and what it opens must be closed
            if opening.exception() is None:
                await asyncio.to_thread(opening.result().close)
            raise
        try:
            await asyncio.to_thread(charge, journal, self._plan.spending)
        except BaseException:
            await asyncio.to_thread(journal.close)
            raise
        self._keeper = Keeper(journal, self._plan.ending, self._stop_on)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        keeper, journal = self._open, self._open.journal
        for kept in keeper.again():
            with suppress(OSError):
                keeper.write(kept.custom_id, kept.result, kept.stem, kept.request)
        try:
            await asyncio.to_thread(journal.close)
        finally:
            self._keeper = None
            if keeper.unsaved and journal.error is not None:
                journal.error.add_note(f"{keeper.unsaved} results could not be saved; run again, they are sent again")

    @property
    def _open(self) -> Keeper:
        assert self._keeper is not None  # noqa: S101 - a map is entered before its items are
        return self._keeper

    async def unsent(self, index: int, item: Any, error: AnyFastError, in_time: bool) -> Result[T]:
        """Return what is recorded of an item that comes after the end, if there is time to look, or *error*."""
        return await (self.call(index, item) if in_time else super().unsent(index, item, error, in_time))

    async def record(self, result: Result[T]) -> None:
        """Write down what became of an item that was sent, before anybody hears of it.

        Raises:
            OSError: the journal cannot be written.

        """
        sent = self._sent.pop(result.index, None)
        if sent is not None:
            key, stem = sent
            self._open.write(key, result, stem)
            await self._open.journal.saved()

    async def _result(  # noqa: PLR0917 - as in Items
        self, index: int, item: Any, name: Any, request: ChatRequest, body: bytes, witness: Witness | None = None
    ) -> Result[T]:
        try:
            stem = await self._stem(request, body)
            key = self._key(name, stem)
        except AnyFastError as error:
            return Result(index, item, name, error=error.with_traceback(None))
        recorded = self._recorded(self._blank(index, item, name, request), key, stem)
        scope = self._plan.scope_of(request)
        if recorded is not None and recorded.completion is not None:
            self._plan.ending.known(scope)
        if recorded is not None and not self._is_asked_again(recorded):
            return recorded
        if self._plan.ending.refused(scope) is None:
            self._sent[index] = key, stem
        witness = witness or self._open.witness(key)
        result = await super()._result(index, item, name, request, body, witness)
        if recorded is None or recorded.completion is None or result is None or result.completion is not None:
            return result  # None: it waits for another one
        return attrs.evolve(recorded, attempts=result.attempts)  # an answer is worth more than a later failure

    def _blank(self, index: int, item: Any, name: Any, request: ChatRequest) -> Result[T]:
        prices = self._plan.spending.prices
        return Result(index, item, name, recorded=True, model=request.model, prices=prices)

    async def _stem(self, request: ChatRequest, body: bytes) -> str:
        """Return what tells a request from others: a hash of it as it is without streaming."""
        if self._plan.stream:
            body = await encoded(request, stream=False)
        body = unsaid(body)
        digest = hashlib.sha256(body) if len(body) < OFF_LOOP else await asyncio.to_thread(hashlib.sha256, body)
        return digest.hexdigest()[:STEM_DIGITS]

    def _key(self, name: Any, stem: str) -> str:
        """Return what an item is known by.

        Raises:
            RequestValidationError: its id came before, or cannot be written down.

        """
        if name is None:
            return f"{stem}-{self._seen.count(int(stem[:16], 16))}"
        key = recorded_as(name)
        if self._seen.count(hash(key)) > 1:
            problem = f"{escaped(repr(name), 80)} came before in this map; with a journal each id may come once"
            raise RequestValidationError.of([FieldError("id", problem)])
        return key

    def _recorded(self, found: Result[T], key: str, stem: str) -> Result[T] | None:
        """Return what the journal has for the item of *found*, None if it is to be sent."""
        records = self._open.journal.records
        line = records.answer(key)
        if line is None:
            failure = records.failure(key)
            is_same = failure is not None and (self._changed or stem_of(failure) == stem)
            return attrs.evolve(found, error=error_in(failure)) if failure is not None and is_same else None
        if stem_of(line) not in (stem, None) and not self._changed:
            problem = (
                f"{escaped(key, 80)!r} was recorded for another request; take another id or another journal, or say "
                "changed=True if that is meant"
            )
            other = RequestValidationError.of([FieldError("id", problem)])
            return attrs.evolve(found, error=other, recorded=False)
        completion = completion_in(line)
        if completion is None:
            shape = ResponseShapeError(f"the journal's line for {escaped(key, 80)!r} holds no completion")
            return attrs.evolve(found, error=shape)
        into = self._plan.into
        value, misfit = (None, None) if into is None else self._parsed(completion, into)
        return attrs.evolve(found, completion=completion, value=value, error=misfit)

    def _is_asked_again(self, found: Result[T]) -> bool:
        """Return whether an item is sent that has a result."""
        error = found.error
        if found.completion is not None:
            again = self._again
            is_odd = again is not None and again.answered(found.completion.outcome)
            return is_odd or (again is not None and error is not None and again.failed(error.kind))
        if error is None or not found.recorded:
            return False
        if error.kind in STOPPERS | self._stop_on:
            return True
        return error.retryable if self._again is None else self._again.failed(error.kind)
