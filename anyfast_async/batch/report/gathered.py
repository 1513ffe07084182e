"""What a report on a batch says: gathered from the files that it left."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from anyfast_async._core.journal.journal_lines import record_in
from anyfast_async._core.json import codec
from anyfast_async._journal.disk import lines_of
from anyfast_async._limits.spent import Spent
from anyfast_async._values.outcome import ODD
from anyfast_async.batch.counts import Counts
from anyfast_async.batch.report.recorder import BEGUN, ENDED
from anyfast_async.batch.report.stretch import NOTE, Stretch
from anyfast_async.batch.results.results import Results
from anyfast_async.batch.results.row import Row
from anyfast_async.errors import escaped

EXAMPLES: Final = 3
"""Rows that are named for each kind of error."""
_SHOWN: Final = 300
"""Characters of what each says."""
_SLOTS: Final = 400
"""Stretches of time that the dates of answers are sorted into, at most."""
_SEED: Final = 1
"""The same samples are drawn every time."""
_KEYS: Final = tuple(b'{"%b":' % kind.encode() for kind in (NOTE, BEGUN, ENDED))


@attrs.frozen
class Example:
    """A row that did not go well."""

    custom_id: str
    message: str


@attrs.define
class RowKind:
    """Rows that failed in one way, or came back in one."""

    name: str
    rows: int = 0
    examples: list[Example] = attrs.field(factory=list)
    """The first few."""
    billed: str = "yes"
    retryable: bool | None = None
    """None for answers, and where it cannot be told."""

    @property
    def is_answer(self) -> bool:
        """Whether they have an answer, if an odd one."""
        return self.name in ODD


@attrs.frozen
class Sample:
    """A row that is shown with its answer."""

    custom_id: str
    outcome: str
    model: str
    text: str


@attrs.define
class Run:
    """One run of the batch."""

    began: float
    """As Unix time."""
    said: Mapping[str, Any]
    """What its first record says: settings, limits."""
    seconds: float = 0.0
    """It took, or is known to have taken."""
    status: str = "ended without a word: killed, or still at work"


@attrs.define
class Gathered:
    """Everything that a report says of one batch."""

    name: str
    """Of its output."""
    counts: Counts
    missing: int | None
    """Rows of the input without a result; None if nobody knows."""
    maybe_billed: int
    spent: Spent
    header: Mapping[str, Any]
    answers: Counter[str] = attrs.field(factory=Counter)
    """In the file, by the model that was asked."""
    kinds: dict[str, RowKind] = attrs.field(factory=dict)
    samples: list[Sample] = attrs.field(factory=list)
    runs: list[Run] = attrs.field(factory=list)
    stretches: list[Stretch] = attrs.field(factory=list)
    """Of all runs, in their order; of a batch of others, the dates of its answers, in seconds from the first one."""
    is_dated: bool = False
    """Whether the stretches are those of dates."""

    @property
    def whole(self) -> Stretch:
        """All stretches together."""
        found = Stretch()
        for one in self.stretches:
            found.merge(one)
        return found

    @property
    def seconds(self) -> float:
        """How long all runs took, or the span of the dates."""
        if self.is_dated:
            return self.stretches[-1].end
        return sum(run.seconds for run in self.runs)


def gathered(
    found: Results, output: Path, log: Path, *, samples: int = 0, look: Callable[[Row], None] | None = None
) -> Gathered:
    """Return what a report on a batch says.

    Args:
        found: its results, entered.
        output: its file of answers.
        log: that beside it; it need not be there.
        samples: answers that are shown, drawn at random, the same ones every time.
        look: called with every row.

    Raises:
        OSError: a file cannot be read.

    """
    expected = found.expected
    made = Gathered(
        output.name,
        found.counts,
        None if expected is None else expected - found.total,
        found.maybe_billed,
        found.spent,
        found.past.header or {},
    )
    _read_log(made, log)
    dates = None if made.stretches else _Dates()
    drawn = _Sampler(samples)
    for row in found.rows():
        if look is not None:
            look(row)
        model = found.asked(row.model) if row.text is not None else ""
        if row.is_answered:
            made.answers[model] += 1
            drawn.look(row, model)
            if dates is not None:
                dates.look(row, model)
        _keep(made.kinds, row)
    made.samples = drawn.kept
    if dates is not None and (stretches := dates.stretches):
        made.stretches, made.is_dated = stretches, True
    return made


def _read_log(made: Gathered, log: Path) -> None:
    runs: dict[float, Run] = {}
    for _, line in lines_of(log):
        if not line.startswith(_KEYS, 9) or (data := record_in(line)) is None:
            continue
        ((kind, value),) = codec.loads(data).items()
        run = runs.setdefault(value["run"], Run(value["run"], {}))
        if kind == NOTE:
            stretch = Stretch.of_json(value)
            made.stretches.append(stretch)
            run.seconds = max(run.seconds, stretch.end)
        elif kind == BEGUN:
            run.said = value
        else:
            run.seconds, run.status = value["seconds"], value["status"]
    made.runs = list(runs.values())
    made.stretches.sort(key=lambda one: (one.run, one.start))  # of a run by several processes each has its own


def _keep(kinds: dict[str, RowKind], row: Row) -> None:
    failure = row.failure
    if failure is None and row.outcome == "ok":
        return
    name = row.outcome if failure is None else failure.kind
    kind = kinds.get(name)
    if kind is None:
        kind = kinds[name] = RowKind(name)
        if failure is not None:
            kind.billed, kind.retryable = failure.billed, failure.retryable
    kind.rows += 1
    if len(kind.examples) < EXAMPLES:
        message = failure.message if failure is not None else row.diagnosis or ""
        kind.examples.append(Example(row.custom_id, escaped(message, _SHOWN)))


class _Sampler:
    """A sample of rows of which nobody knows how many come."""

    def __init__(self, size: int) -> None:
        self.kept: list[Sample] = []
        self._size = size
        self._seen = 0
        self._chance = random.Random(_SEED)  # noqa: S311 - nothing secret

    def look(self, row: Row, model: str) -> None:
        self._seen += 1
        place = self._seen - 1 if self._seen <= self._size else self._chance.randrange(self._seen)
        if place >= self._size or row.text is None:
            return
        self.kept[place : place + 1] = [Sample(row.custom_id, row.outcome, model, row.text)]


class _Dates:
    """Answers by the date that they bear, in slots of time that grow with the span of all."""

    def __init__(self) -> None:
        self._width = 1
        self._slots: dict[int, Stretch] = {}

    def look(self, row: Row, model: str) -> None:
        if row.created is None or row.created <= 0:
            return
        slot = self._slots.setdefault(row.created // self._width, Stretch())
        figures = slot.model(model)
        figures.answered += 1
        if row.used is not None:
            figures.add_used(row.used)
        while len(self._slots) > _SLOTS:
            self._widen()

    def _widen(self) -> None:
        self._width *= 2
        slots: dict[int, Stretch] = {}
        for number, slot in self._slots.items():
            slots.setdefault(number // 2, Stretch()).merge(slot)
        self._slots = slots

    @property
    def stretches(self) -> list[Stretch]:
        """What came when, from the first to the last; nothing where all bear one date."""
        return list(self._filled()) if len(self._slots) > 1 else []

    def _filled(self) -> Iterator[Stretch]:
        first = min(self._slots)
        for number in sorted(self._slots):
            slot = self._slots[number]
            slot.start, slot.end = (number - first) * self._width, (number - first + 1) * self._width
            yield slot
