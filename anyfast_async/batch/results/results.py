"""What a batch left behind, read back: one row per ``custom_id`` from the output, the error file and the log.

Lines of this package, of the batches of OpenAI, Azure, Gemini, vLLM and sglang are understood. An answer wins over a
failure, whichever comes first, and of two lines of one kind the later one counts. Memory: an index of the ids, 8 to 20
bytes each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from typing import Final, Self, TypeAlias

import attrs

from anyfast_async._core.journal import journal_lines
from anyfast_async._core.journal.id_index import LateIndex
from anyfast_async._core.journal.log_replay import LogReplay
from anyfast_async._core.usage import Used
from anyfast_async._journal.disk import FileReader, lines_of
from anyfast_async._limits.spent import Spent
from anyfast_async.batch.counts import Counts, Standing
from anyfast_async.batch.results.line_shapes import LineShape, shape_of
from anyfast_async.batch.results.result_lines import row_of, usual_row
from anyfast_async.batch.results.row import IN_DOUBT, MISSING, Row, Told, failed_row, told_of

NAMED: Final = 5
"""Broken lines that are named."""
_BYTES: Final = 2 * 1024 * 1024
"""Of the lines that are looked at together, about."""
_FEW: Final = 4
"""Of how many lines one may be of another shape before the shape is learned anew."""
_TRIED: Final = 8
"""Lines of which it is learned."""
_PROMPT: Final = itemgetter(Used._fields.index("prompt"))
_COMPLETION: Final = itemgetter(Used._fields.index("completion"))


@attrs.frozen
class Broken:
    """A line that is no result."""

    path: Path
    line: int
    """From 1."""


@attrs.define
class _Block:
    """What some lines say."""

    parts: list[tuple[list[int], Told]] = attrs.field(factory=list)
    """Rows, and where their lines begin; within a part in their order."""
    broken: list[int] = attrs.field(factory=list)
    """The numbers of lines that are no results."""

    def add(self, begins: list[int], told: Told) -> None:
        if begins:
            self.parts.append((begins, told))


class _File:
    """One file of results; it need not be there."""

    def __init__(self, path: Path, read: Callable[[bytes], Row | None]) -> None:
        self.path = path
        self.begin: int = 0
        """Before this byte nothing counts."""
        self.first: int = 1
        """The number of the line there."""
        self._read = read
        self._reader = FileReader(path)

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Yield each row, and where its line begins."""
        for at, line in lines_of(self.path):
            row = self._read(line) if at >= self.begin else None
            if row is not None:
                yield at, row

    def blocks(self) -> Iterator[_Block]:
        """Yield what the lines say, some at a time."""
        shape: LineShape | None = None
        first = self.first
        for begins, lines in _some_lines(self.path, self.begin):
            block = _Block()
            shaped, told = (shape and shape.read(lines)) or ((), {})
            if shaped:
                block.add(begins if len(shaped) == len(lines) else [begins[place] for place in shaped], told)
            others: Sequence[int] = ()
            if len(shaped) < len(lines):
                done = set(shaped)
                others = [place for place in range(len(lines)) if place not in done]
            rows = [(begins[place], self._read(lines[place])) for place in others]
            good = [(begin, row) for begin, row in rows if row is not None]
            block.add([begin for begin, _ in good], told_of([row for _, row in good]))
            block.broken = [
                first + place
                for place, (_, row) in zip(others, rows, strict=True)
                if row is None and self._is_meant(lines[place])
            ]
            if len(others) * _FEW > len(lines) and self._read is _read:
                shape = next(filter(None, map(shape_of, map(lines.__getitem__, others[:_TRIED]))), shape)
            yield block
            first += len(lines)

    def _is_meant(self, line: bytes) -> bool:
        """Return whether a line that cannot be read should be a row."""
        return bool(line.strip()) and (self._read is _read or journal_lines.failure_in(line) is not None)

    def line(self, at: int) -> bytes:
        return self._reader.line(at)

    def row(self, at: int) -> Row | None:
        return self._read(self._reader.line(at))

    def close(self) -> None:
        self._reader.close()


def _some_lines(path: Path, at: int = 0) -> Iterator[tuple[list[int], list[bytes]]]:
    """Yield the lines from byte *at* on, some at a time, and where they begin; the last has a line end, too."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(at)
        while lines := file.readlines(_BYTES):
            begins = [*accumulate(map(len, lines), initial=at)]
            at = begins.pop()
            if not lines[-1].endswith(b"\n"):
                lines[-1] += b"\n"
            yield begins, lines


def _read(line: bytes) -> Row | None:
    return usual_row(line) or row_of(line)


def _failure_in(line: bytes) -> Row | None:
    """Read a line of the log, in which the failures of a run stand."""
    kept = journal_lines.failure_in(line)
    return None if kept is None else row_of(kept)


Look: TypeAlias = Callable[[Told], None]


class Results:
    """The results of a batch; a context manager. Entering reads everything once, for its counts.

    Args:
        output: the file of answers; it need not be there, as the next ones.
        errors: that of failed rows.
        log: that beside the output, in which the failures of a run stand until it ends.
        look: see there.

    Raises:
        OSError: a file cannot be read.

    """

    def __init__(self, output: Path, errors: Path, log: Path, look: Look | None = None) -> None:
        self.counts: Counts = Counts()
        """What the rows with a result came to."""
        self.prompt_tokens: int = 0
        self.completion_tokens: int = 0
        self.spent: Spent = Spent()
        """By the model that was asked, as far as the log tells it; else by the one that the answer names."""
        self.broken: list[Broken] = []
        """The first few lines that are no results."""
        self.broken_count: int = 0
        self.again: int = 0
        """Answers that a later line of the same id replaces."""
        self.past: LogReplay = LogReplay()
        """What the log says."""
        self._log = log
        self._files = (_File(output, _read), _File(log, _failure_in), _File(errors, _read))
        # A place is that of the line, and which file it is in.
        self._index = LateIndex(self._is_at)
        self._last: tuple[int, Row | None] = (-1, None)
        """What was looked at last, and its place: whoever finds one mostly reads it then."""
        self._asked: dict[str, str] = {}
        self.look: Look | None = look
        """Called with the rows as they are read the first time, some at a time, those that a later line replaces
        included: of two with one id the later one counts."""
        self._doubtful: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        for number, (at, line) in enumerate(lines_of(self._log), 1):
            settled = self.past.settled
            self.past.add(line)
            if (
                self.past.settled > settled
            ):  # what had failed before stands in the file of failures, or nowhere any more
                self._files[1].begin, self._files[1].first = at, number
        self._doubtful = frozenset((*self.past.open, *self.past.maybe_billed))
        for which, file in enumerate(self._files):
            for block in file.blocks():
                self.broken_count += len(block.broken)
                self.broken += [Broken(file.path, number) for number in block.broken[: NAMED - len(self.broken)]]
                for begins, told in block.parts:
                    self._take([at << 2 | which for at in begins], told)
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    @property
    def total(self) -> int:
        """Rows with a result."""
        return self.counts.results

    @property
    def expected(self) -> int | None:
        """Rows of the batch's input as its log has them; None where that cannot be told from the log alone."""
        begun = self.past.header.get("input") if self.past.header is not None else None
        if not isinstance(begun, Mapping) or "rows" not in begun or self.past.foreign:
            return None
        rows: int = begun["rows"] + begun.get("bad", 0)
        return rows if rows >= self.total else None

    @property
    def doubtful(self) -> frozenset[str]:
        """Ids that may have been sent, by the log; those that have a result are among them."""
        return self._doubtful

    @property
    def in_doubt(self) -> int:
        """Rows without a result that may have been sent."""
        return sum(self._index.find(custom_id) is None for custom_id in self._doubtful)

    @property
    def maybe_billed(self) -> int:
        """Rows of which a request went out and no answer to it is recorded, or not yet."""
        past = self.past
        return sum(one in past.maybe_billed or not past.is_answered(one, self._answer(one)) for one in self._doubtful)

    def _answer(self, custom_id: str) -> bytes | None:
        place = self._index.find(custom_id)
        return None if place is None or place & 3 else self._files[0].line(place >> 2)

    def asked(self, named: str | None) -> str:
        """Return the model that was asked where an answer names this one, as far as the log tells it; else itself."""
        name = named or ""
        if name not in self._asked:
            asked = self.past.asked_for(name)
            self._asked[name] = asked[0] if len(asked) == 1 else name
        return self._asked[name]

    def rows(self) -> Iterator[Row]:
        """Yield every row with a result, in the order of the files."""
        for which, file in enumerate(self._files):
            for at, row in file.rows():
                place = at << 2 | which
                self._last = (place, row)
                if self._index.find(row.custom_id) == place:
                    yield row

    def find(self, custom_id: str) -> Row:
        """Return what became of a row of the input."""
        place = self._index.find(custom_id)
        row = None if place is None else self._row_at(place)
        if row is not None:
            return row
        return failed_row(custom_id, IN_DOUBT if custom_id in self._doubtful else MISSING, "missing")

    def _is_at(self, custom_id: str, place: int) -> bool:
        row = self._row_at(place)
        return row is not None and row.custom_id == custom_id

    def _row_at(self, place: int) -> Row | None:
        if self._last[0] != place:
            self._last = (place, self._files[place & 3].row(place >> 2))
        return self._last[1]

    # -- counting ----------------------------------------------------------------------------------------------------

    def _take(self, places: Sequence[int], told: Told) -> None:
        """Take in rows that were read."""
        again = self._index.add_many(told["custom_id"], places)
        if again:
            rows = [*map(Row._make, zip(*told.values(), strict=True))]
            known = set(again)
            self._count_and_look(told_of([row for n, row in enumerate(rows) if n not in known]))
            self._count_and_look(told_of([rows[n] for n in again if self._counts(rows[n], places[n])]))
        else:
            self._count_and_look(told)

    def _count_and_look(self, told: Told) -> None:
        if told["custom_id"]:
            self._count(told)
            if self.look is not None:
                self.look(told)

    def _counts(self, row: Row, place: int) -> bool:
        """Return whether a row counts whose id was there before, as far as the files are read."""
        there = self._index.find(row.custom_id)
        before = None if there is None else self._row_at(there)
        if before is None or there is None:
            return False
        is_failure, was_failure = row.outcome == "failed", before.outcome == "failed"
        is_same_file, is_later = place & 3 == there & 3, place > there
        self.again += is_same_file and not (was_failure if is_later else is_failure)
        # Of two failures that of the log is later than that of the file of failures.
        if is_failure > was_failure or (is_failure == was_failure and not (is_same_file and is_later)):
            return False
        self._index.replace(row.custom_id, place)
        self._count(told_of((before,)), -1)
        return True

    def _count(self, told: Told, times: int = 1) -> None:
        rows = len(told["outcome"])
        if told["outcome"].count("ok") == rows == told["error_kind"].count(None):
            self.counts.add(Standing("ok", ""), times=times * rows)
        else:
            for (outcome, kind), count in Counter(zip(told["outcome"], told["error_kind"], strict=True)).items():
                self.counts.add(Standing(outcome, kind or ""), times=times * count)
        used_by_model: dict[str | None, Sequence[Used]] = {}
        if len(set(told["model"])) == 1 and None not in told["used"]:
            used_by_model[told["model"][0]] = told["used"]
        else:
            many: dict[str | None, list[Used]] = {}
            for model, used, text in zip(told["model"], told["used"], told["text"], strict=True):
                if used is not None:
                    many.setdefault(model, []).append(used)
                elif text is not None:
                    self.spent.add(self.asked(model), None, times)
            used_by_model.update(many)
        for model, calls in used_by_model.items():
            if times > 0:
                self.spent.extend(self.asked(model), calls)
            else:
                for used in calls:
                    self.spent.add(self.asked(model), used, times)
            self.prompt_tokens += times * sum(map(_PROMPT, calls))
            self.completion_tokens += times * sum(map(_COMPLETION, calls))
