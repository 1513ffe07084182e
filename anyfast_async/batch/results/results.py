"""What a batch left behind, read back: one row per ``custom_id`` from the output, the error file and the log.

Lines of this package, of the batches of OpenAI, Azure, Gemini, vLLM and sglang are understood. An answer wins over a
failure, whichever comes first, and of two lines of one kind the later one counts. Memory: an index of the ids, 8 to 20
bytes each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

import attrs

from anyfast_async._core import answer
from anyfast_async._core.journal import journal_lines
from anyfast_async._core.journal.id_index import Index
from anyfast_async._core.journal.log_replay import LogReplay
from anyfast_async._core.json import codec
from anyfast_async._core.usage import used_by
from anyfast_async._journal.disk import FileReader, lines_of
from anyfast_async._limits.spent import Spent
from anyfast_async._values.outcome import Outcome
from anyfast_async._values.text import unfenced
from anyfast_async.batch.counts import Counts, Standing
from anyfast_async.batch.input.request_lines import exact_value
from anyfast_async.batch.results.other_forms import chat_body, other_line
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import AnyFastError, OutputError, ResponseShapeError, escaped

RowOutcome: TypeAlias = Outcome | Literal["missing"]
"""``"missing"`` rows of the input have no line anywhere."""

NAMED: Final = 5
"""Broken lines that are named."""
_NEVER_RUN: Final = frozenset({"batch_expired", "batch_cancelled"})
"""Codes of OpenAI's lines for rows that were never executed."""


@attrs.frozen
class FailedRow:
    """What a row failed with."""

    kind: str
    """As in ``AnyFastError.kind``; a code of another program that has no kind here stands as it is."""
    message: str
    retryable: bool | None
    """None if that cannot be told."""
    billed: str
    status_code: int | None = None


@attrs.frozen
class Row:
    """What became of one row."""

    custom_id: str
    outcome: RowOutcome
    completion: ChatCompletion | None = None
    """Also with a failure, if that is that it does not fit what was asked for."""
    failure: FailedRow | None = None

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer, and one that fits what was asked for."""
        return self.completion is not None and self.failure is None

    @property
    def fields(self) -> dict[str, Any] | None:
        """The JSON object that the answer is, in a Markdown block or not; None if it is none."""
        if self.completion is None or self.failure is not None:
            return None
        try:
            value = exact_value(unfenced(self.completion.text).encode())
        except codec.InvalidJSONError:
            return None
        return value if isinstance(value, dict) else None


MISSING: Final = FailedRow("missing", "not sent: the run ended before it", retryable=True, billed="no")
IN_DOUBT: Final = FailedRow("in_doubt", "sent, and the run ended before its answer", retryable=True, billed="maybe")


def row_of(line: bytes, known: str | None = None) -> Row | None:
    """Return what a line of an output or error file says, None if it is broken or no such line.

    Args:
        line: with its line end or without.
        known: its id, where it has been found out already, and the line been held against its checksum.

    """
    custom_id = journal_lines.recorded_id(line) if known is None else known
    value = journal_lines.value_of(line) if custom_id is not None else None
    if custom_id is None or value is None or "custom_id" not in value:
        value = other_line(line)
        if value is None:
            return None
        custom_id = str(value["custom_id"])
    response = value.get("response")
    status = response.get("status_code") if isinstance(response, dict) else None
    body = chat_body(response.get("body")) if isinstance(response, dict) else None
    good = status is None or status in answer.SUCCESS
    if good and isinstance(body, dict) and body.get("choices") and not value.get("error"):
        completion = codec.structure(body, ChatCompletion)
        return Row(custom_id, completion.outcome, completion)
    problem = value.get("error")
    if isinstance(problem, str):  # vLLM
        problem = {"message": problem} if problem else None
    if isinstance(response, dict) and not good:
        error = journal_lines.error_in(codec.dumps({"response": response, "error": problem}))
    elif problem is not None:
        error = journal_lines.error_in(codec.dumps({"response": None, "error": problem}))
    elif answer.is_error(body):
        error = answer.inband_error(body, {}, now=0.0)
    else:
        error = ResponseShapeError("the answer is no completion")
    if good and error.kind == OutputError.kind and isinstance(body, dict) and body.get("choices"):
        return Row(custom_id, "failed", codec.structure(body, ChatCompletion), _failure(error, problem, status))
    return Row(custom_id, "failed", failure=_failure(error, problem, status))


def _id_in(line: bytes) -> str | None:
    custom_id = journal_lines.recorded_id(line)
    return custom_id if custom_id is not None else (other_line(line) or {}).get("custom_id")


def _failure(error: AnyFastError, problem: Any, status: Any) -> FailedRow:
    status = status if isinstance(status, int) else None
    if type(error) is not AnyFastError:
        return FailedRow(error.kind, str(error), error.retryable, error.billed, status)
    code = problem.get("code") if isinstance(problem, dict) else None
    kind = escaped(code, 40) if isinstance(code, str) and code else error.kind
    if kind in _NEVER_RUN:
        return FailedRow(kind, str(error), retryable=True, billed="no")
    message = escaped(str(error)) if problem else ""
    return FailedRow(kind, message or "no reason is given", retryable=None, billed="maybe", status_code=status)


# -- files -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Broken:
    """A line that is no result."""

    path: Path
    line: int
    """From 1."""


class _File:
    """One file of results; it need not be there."""

    def __init__(self, path: Path, read: Callable[[bytes], bytes | None]) -> None:
        self.path = path
        self._read = read
        self._reader = FileReader(path)

    def rows(self) -> Iterator[tuple[int, int, Row | None]]:
        """Yield each line that is to be one: its number, where it begins, what it says."""
        for number, (at, data) in enumerate(lines_of(self.path), 1):
            line = self._read(data)
            if line is not None and line.strip():
                yield number, at, row_of(line)

    def line(self, at: int) -> bytes:
        return self._read(self._reader.line(at)) or b""

    def close(self) -> None:
        self._reader.close()


class Results:
    """The results of a batch; a context manager. Entering reads everything once, for its counts.

    Args:
        output: the file of answers; it need not be there, as the next ones.
        errors: that of failed rows.
        log: that beside the output, in which the failures of a run stand until it ends.
        look: called with every row as it is read the first time, those that a later line replaces included.

    Raises:
        OSError: a file cannot be read.

    """

    def __init__(self, output: Path, errors: Path, log: Path, look: Callable[[Row], None] | None = None) -> None:
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
        self._files = (_File(output, _same), _File(log, journal_lines.failure_in), _File(errors, _same))
        # A place is that of the line, and which file it is in.
        self._index = Index(lambda custom_id, place: self._id_at(place) == custom_id)
        self._read: tuple[int, bytes] = (-1, b"")
        """The line that was looked at last, and its place: whoever finds one mostly reads it then."""
        self._look = look
        self._doubtful: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        for _, line in lines_of(self._log):
            self.past.add(line)
        self._doubtful = frozenset((*self.past.open, *self.past.maybe_billed))
        for which, file in enumerate(self._files):
            for number, at, row in file.rows():
                if row is None:
                    self.broken_count += 1
                    if len(self.broken) < NAMED:
                        self.broken.append(Broken(file.path, number))
                elif self._counts(row, at << 2 | which) and self._look is not None:
                    self._look(row)
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
        return None if place is None or place & 3 else self._line(place)

    def asked(self, completion: ChatCompletion) -> str:
        """Return the model that was asked for an answer, as far as the log tells it; else the one that it names."""
        named = completion.model or ""
        asked = self.past.asked_for(named)
        return asked[0] if len(asked) == 1 else named

    def rows(self) -> Iterator[Row]:
        """Yield every row with a result, in the order of the files."""
        for which, file in enumerate(self._files):
            for _, at, row in file.rows():
                if row is not None and self._index.find(row.custom_id) == at << 2 | which:
                    yield row

    def find(self, custom_id: str) -> Row:
        """Return what became of a row of the input."""
        place = self._index.find(custom_id)
        row = None
        if place is not None:
            known, line = self._read
            row = row_of(line, custom_id) if known == place else row_of(self._line(place))
        if row is not None:
            return row
        return Row(custom_id, "missing", failure=IN_DOUBT if custom_id in self._doubtful else MISSING)

    def _id_at(self, place: int) -> str | None:
        line = self._line(place)
        self._read = (place, line)
        return _id_in(line)

    def _line(self, place: int) -> bytes:
        return self._files[place & 3].line(place >> 2)

    def _counts(self, row: Row, place: int) -> bool:
        """Take in a row; return whether it counts, as far as the files are read."""
        if self._index.add(row.custom_id, place):
            self._count(row)
            return True
        there = self._index.find(row.custom_id)
        before = None if there is None else row_of(self._line(there))
        if before is None or there is None:
            return False
        is_failure, was_failure = row.outcome == "failed", before.outcome == "failed"
        is_same_file = place & 3 == there & 3
        self.again += not was_failure and is_same_file
        # Of two failures that of the log is later than that of the file of failures.
        if is_failure > was_failure or (is_failure == was_failure and not is_same_file):
            return False
        self._index.replace(row.custom_id, place)
        self._count(row, before)
        return True

    def _count(self, row: Row, before: Row | None = None) -> None:
        self.counts.add(_standing(row), None if before is None else _standing(before))
        for one, times in ((row, 1), (before, -1)):
            if one is None or one.completion is None:
                continue
            used = used_by(one.completion.usage)
            self.spent.add(self.asked(one.completion), used, times)
            if used is not None:
                self.prompt_tokens += times * used.prompt
                self.completion_tokens += times * used.completion


def _standing(row: Row) -> Standing:
    assert row.outcome != "missing"  # noqa: S101 - it stands in a file
    return Standing(row.outcome, row.failure.kind if row.failure is not None else "")


def _same(line: bytes) -> bytes:
    return line
