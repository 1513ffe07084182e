"""A map that sends equal requests once, and gives the answer to all of them."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import attrs

from anyfast_async._core.journal.journal_lines import twin_in
from anyfast_async._core.usage import SAME_AS
from anyfast_async._map.items import Items, RunPlan
from anyfast_async._map.map_run import MapRun
from anyfast_async._map.recorded_items import RecordedItems
from anyfast_async._map.result import Result, SameResult
from anyfast_async._map.twins import Became, InJournal, InMemory, Shelf, Twins, TwinWaiting, digest_of
from anyfast_async.completions import Usage
from anyfast_async.errors import AnyFastError

if TYPE_CHECKING:
    from anyfast_async._limits.reservation import Witness
    from anyfast_async.completions import ChatCompletion
    from anyfast_async.requests import ChatRequest

T = TypeVar("T")
_LATER: Final[Any] = None
"""In place of the result of an item that waits: it is given with that of the one it waits for."""


class DedupedItems(Items[T]):
    """The items of a map, of which equal ones are sent once.

    Args:
        plan: what is done with them.
        witness_of: as for any items.
        shelf: where the outcomes of requests are.
        record: writes a result down before anybody hears of it; None: nobody does.

    """

    def __init__(
        self,
        plan: RunPlan[T],
        witness_of: Callable[[Any], Witness] | None = None,
        *,
        shelf: Shelf | None = None,
        record: Callable[[Result[T]], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(plan, witness_of)
        self.twins: Twins[T] = Twins()
        self._shelf: Shelf = InMemory() if shelf is None else shelf
        self._record_one = record

    async def _result(  # noqa: PLR0917 - as in Items
        self, index: int, item: Any, name: Any, request: ChatRequest, body: bytes, witness: Witness | None = None
    ) -> Result[T]:
        twins, aside = self.twins, self._plan.ending.aside
        if self._plan.ending.refused(self._plan.scope_of(request)) is not None:
            return await super()._result(index, item, name, request, body, witness)
        digest = await digest_of(body)
        while True:
            if not twins.flies(digest):
                known = self._known(digest, index)
                if known is not None:
                    twins.known(index, digest)
                    return self._copy(TwinWaiting(index, item, name, request.model), known)
                twins.begin(index, digest)
                return await super()._result(index, item, name, request, body, witness)
            if not twins.are_many or aside.count:
                twins.wait(digest, TwinWaiting(index, item, name, request.model))
                return _LATER  # type: ignore[no-any-return]
            await twins.room(lambda: aside.count > 0)

    def _known(self, digest: str, index: int) -> Became | None:  # noqa: ARG002 - for those with a journal
        """Return what became of such a request."""
        return self._shelf.find(digest)

    async def record(self, result: Result[T] | None) -> None:
        """Write down what became of an item, and of those that waited for it."""
        if result is None:
            return
        outcome = Became(self._name_of(result), result.completion, result.error)
        await self._write(result)
        landed = self.twins.landed(result.index)
        if landed is None:
            self.twins.written(result.index)
            return
        digest, waiting = landed
        self.twins.written(result.index)
        if result.completion is not None or (result.error is not None and result.error.attempts):
            self._shelf.keep(digest, outcome)
        copies = [self._copy(one, outcome) for one in waiting]
        self.twins.give_with(result.index, copies)
        for one in copies:
            await self._write(one)
            self.twins.written(one.index)

    async def _write(self, result: Result[T]) -> None:
        if self._record_one is not None:
            await self._record_one(result)

    def _name_of(self, result: Result[T]) -> Any:
        """Return what others are told that an item is called."""
        return result.index if result.id is None else result.id

    def _copy(self, one: TwinWaiting, outcome: Became) -> Result[T]:
        """Return the result of an item that was not sent: it used nothing."""
        completion, error, value = outcome.completion, outcome.error, None
        if completion is not None:
            error = None
            used = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0, extra={SAME_AS: str(outcome.id)})
            completion = attrs.evolve(completion, usage=used, trace=None)
            if self._plan.into is not None:  # an answer that does not fit is in its error, too
                value, error = self._parsed(completion, self._plan.into)
        elif error is not None:
            error = _unsent(error)
        return SameResult(
            one.index,
            one.item,
            one.id,
            completion,
            value,
            error,
            model=one.model,
            prices=self._prices,
            same_as=outcome.id,
        )


class DedupedRecordedItems(RecordedItems[T], DedupedItems[T]):
    """The items of a map with a journal, of which equal ones are sent once; what is recorded counts as sent."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._shelf = InJournal(self._open.journal.records, self._stays)
        self._record_one = self._write_down
        return self

    def _stays(self, completion: ChatCompletion) -> bool:
        found: Result[T] = Result(0, None, completion=completion, recorded=True)
        if self._plan.into is not None:
            found = attrs.evolve(found, error=self._parsed(completion, self._plan.into)[1])
        return not self._is_asked_again(found)

    def _recorded(self, found: Result[T], key: str, stem: str) -> Result[T] | None:
        recorded = super()._recorded(found, key, stem)
        line = None if recorded is None or not recorded.recorded else self._open.journal.records.answer(key)
        twin = None if line is None else twin_in(line)
        if recorded is None or twin is None or twin.same_as is None:
            return recorded
        fields: dict[str, Any] = {str(one.alias): getattr(recorded, one.name) for one in attrs.fields(Result)}
        return SameResult(**fields, same_as=twin.same_as)

    async def record(self, result: Result[T] | None) -> None:
        """Write down what became of an item, and of those that waited for it."""
        await DedupedItems.record(self, result)

    def _known(self, digest: str, index: int) -> Became | None:
        sent = self._sent.get(index)
        # What was written without `dedupe=` is known by its bytes.
        return self._shelf.find(digest) or (None if sent is None else self._shelf.find(sent[1]))

    async def _write_down(self, result: Result[T]) -> None:
        sent = self._sent.pop(result.index, None)
        if sent is not None:
            self._open.write(sent[0], result, sent[1], self.twins.digest(result.index))
            await self._open.journal.saved()

    def _name_of(self, result: Result[T]) -> Any:
        """Return what an item is called in the journal."""
        sent = self._sent.get(result.index)
        return super()._name_of(result) if sent is None else sent[0]


class DedupedRun(MapRun[T]):
    """A run that gives the results of those that have waited with that of the one they waited for."""

    def __init__(self, twins: Twins[T], *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.twins: Twins[T] = twins
        """What is on its way, and who waits for it."""

    def _give(self, result: Result[T]) -> None:
        if result is _LATER:
            return
        super()._give(result)
        for one in self.twins.taken(result.index):
            super()._give(one)


def _unsent(error: AnyFastError) -> AnyFastError:
    """Return *error* as it is for who was not sent."""
    own = copy.copy(error)
    own.__cause__, own.attempts, own.billed = error.__cause__, (), "no"
    return own
