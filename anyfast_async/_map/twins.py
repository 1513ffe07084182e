"""Equal requests of one map are sent once: which were, and what became of them.

Two requests are equal if their bodies are, as JSON values whatever the order of their keys, but for whether the answer
is streamed. What is remembered of a request is a hash, and where its answer is: in the journal, if there is one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar

import attrs

from anyfast_async._core.journal.id_index import Index
from anyfast_async._core.journal.journal_lines import STEM_DIGITS, completion_in, recorded_id, stem_of, twin_in
from anyfast_async._core.json import codec
from anyfast_async._http.request_body import OFF_LOOP

if TYPE_CHECKING:
    from anyfast_async._journal.records import Records
    from anyfast_async._map.result import Result
    from anyfast_async.completions import ChatCompletion
    from anyfast_async.errors import AnyFastError

T = TypeVar("T")

MOST_WAITING: Final = 1000
"""Items that may wait for an equal one that is on its way; with more of them the source waits."""
MOST_KEPT: Final = 256 * 1024 * 1024
"""Characters of answers that are kept in memory where there is no journal; of the oldest none is known any more."""
MOST_FAILURES: Final = 10_000
"""Failures that are kept in memory where there is a journal."""
_OVERHEAD: Final = 2000
"""Bytes that an answer takes beside its text."""
_LOOK: Final = 0.1
"""Seconds after which who waits for room looks whether others stand aside, which need his place."""


async def digest_of(body: bytes) -> str:
    """Return by what equal requests are known."""
    return _digest(body) if len(body) < OFF_LOOP else await asyncio.to_thread(_digest, body)


def _digest(body: bytes) -> str:
    value = codec.loads_exactly(body)
    if isinstance(value, dict):
        value = {name: one for name, one in value.items() if name not in ("stream", "stream_options")}
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:STEM_DIGITS]


class Became(NamedTuple):
    """What became of a request."""

    id: Any
    """Of the item that was sent."""
    completion: ChatCompletion | None
    error: AnyFastError | None = None


class Shelf(Protocol):
    """Where the outcomes of requests are."""

    def find(self, digest: str) -> Became | None:
        """Return what became of a request; None: it was not sent, or nobody knows any more."""
        ...

    def keep(self, digest: str, outcome: Became) -> None:
        """Take in what became of one."""
        ...


class InMemory:
    """Keeps outcomes in memory, bounded: the oldest go first."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._held = 0
        self._outcomes: OrderedDict[str, Became] = OrderedDict()

    def find(self, digest: str) -> Became | None:
        """Return what became of a request."""
        found = self._outcomes.get(digest)
        if found is not None:
            self._outcomes.move_to_end(digest)
        return found

    def keep(self, digest: str, outcome: Became) -> None:
        """Take in what became of one."""
        before = self._outcomes.pop(digest, None)
        self._held += _size(outcome) - (0 if before is None else _size(before))
        self._outcomes[digest] = outcome
        while self._held > self._most:
            self._held -= _size(self._outcomes.popitem(last=False)[1])


def _size(outcome: Became) -> int:
    said = outcome.completion
    texts = () if said is None else (one.message for one in said.choices if one.message is not None)
    return _OVERHEAD + sum(len(one.text) + len(one.reasoning_content or "") for one in texts)


class InJournal:
    """Finds answers in a journal, whose lines tell the hashes of their requests; failures are kept in memory.

    Args:
        records: of the journal, open.
        stays: whether an answer that was there before this run counts; one that is asked for again does not.

    """

    def __init__(self, records: Records, stays: Callable[[ChatCompletion], bool]) -> None:
        self._records = records
        self._stays = stays
        self._failures = InMemory(MOST_FAILURES * _OVERHEAD)
        self._index = Index(lambda digest, at: digest in _names_in(records.answer_at(at)))
        self._earlier = -1
        """Where the last answer before this run begins."""
        for at in records.answered.places():
            for name in _names_in(records.answer_at(at)):
                self._index.add(name, at)
            self._earlier = at

    def find(self, digest: str) -> Became | None:
        """Return what became of a request."""
        at = self._index.find(digest)
        line = b"" if at is None else self._records.answer_at(at)
        completion = completion_in(line) if line else None
        if at is None or completion is None or (at <= self._earlier and not self._stays(completion)):
            return self._failures.find(digest)
        twin = twin_in(line)
        sent = None if twin is None else twin.same_as
        return Became(recorded_id(line) if sent is None else sent, completion)

    def keep(self, digest: str, outcome: Became) -> None:
        """Take in what became of one: an answer stands in the journal by now."""
        at = None if outcome.completion is None else self._records.answered.find(str(outcome.id))
        if at is not None and digest in _names_in(self._records.answer_at(at)):
            self._index.replace(digest, at)
        elif outcome.error is not None:
            self._failures.keep(digest, outcome)


def _names_in(line: bytes) -> set[str]:
    """Return by what the request of a line is known: its hash, and that of a map's journal."""
    twin, stem = twin_in(line), stem_of(line)
    return {name for name in (None if twin is None else twin.request, stem) if name is not None}


@attrs.frozen
class TwinWaiting:
    """An item that waits for an equal one that is on its way."""

    index: int
    item: Any
    id: Any
    model: str | None


class Twins(Generic[T]):
    """What is on its way in one map, and who waits for it."""

    def __init__(self) -> None:
        self.waiting: int = 0
        """Items that wait."""
        self._flying: dict[str, list[TwinWaiting]] = {}
        self._digests: dict[int, str] = {}
        self._copies: dict[int, list[Result[T]]] = {}
        """Results that are given with that of an item, by its place."""
        self._news: asyncio.Future[None] | None = None

    def digest(self, index: int) -> str | None:
        """Return what the request of an item is known by, from when it was made until its result is written down."""
        return self._digests.get(index)

    @property
    def are_many(self) -> bool:
        """Whether so many wait that no more are to."""
        return self.waiting >= MOST_WAITING

    def begin(self, index: int, digest: str) -> None:
        """Take in that an item is sent."""
        self._flying[digest] = []
        self._digests[index] = digest

    def known(self, index: int, digest: str) -> None:
        """Take in that an item is not sent, because the answer is known."""
        self._digests[index] = digest

    def flies(self, digest: str) -> bool:
        """Return whether such a request is on its way."""
        return digest in self._flying

    def wait(self, digest: str, one: TwinWaiting) -> None:
        """Have an item wait for the one that is on its way."""
        self._flying[digest].append(one)
        self._digests[one.index] = digest
        self.waiting += 1

    def landed(self, index: int) -> tuple[str, list[TwinWaiting]] | None:
        """Take in that the result of an item is there; return its hash, and who waited for it."""
        digest = self._digests.get(index)
        if digest is None or digest not in self._flying:
            return None
        waited = self._flying.pop(digest)
        self.waiting -= len(waited)
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
        return digest, waited

    def written(self, index: int) -> None:
        """Take in that the result of an item is written down."""
        self._digests.pop(index, None)

    def give_with(self, index: int, copies: list[Result[T]]) -> None:
        """Have the results of others given with that of an item."""
        self._copies[index] = copies

    def taken(self, index: int) -> list[Result[T]]:
        """Return what is given with the result of an item, once."""
        return self._copies.pop(index, [])

    async def room(self, are_some_aside: Callable[[], bool]) -> None:
        """Wait while too many wait, unless some stand aside: those may need the places of who waits here."""
        while self.are_many and not are_some_aside():
            if self._news is None or self._news.done():
                self._news = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._news}, timeout=_LOOK)
