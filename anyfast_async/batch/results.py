"""What a batch left behind, read back: one row per ``custom_id`` from the output, the error file and the log.

Lines of this package, of the OpenAI Batch API and of vLLM's ``run-batch`` are understood. An answer wins over a
failure, and of two lines of one kind the later one counts. Memory: an index of the ids, 8 to 20 bytes each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

import attrs

from anyfast_async._core import answer, codec, journal
from anyfast_async._core.index import Index
from anyfast_async._core.usage import used_by
from anyfast_async._disk import Reader, lines_of
from anyfast_async.batch.tally import oddity
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import AnyFastError, ResponseShapeError, escaped
from anyfast_async.prices import Spent

Outcome: TypeAlias = Literal["ok", "empty", "length", "failed", "missing"]
"""``"ok"``, ``"empty"`` and ``"length"`` are answers; ``"missing"`` rows of the input have no line anywhere."""

NAMED: Final = 5
"""Broken lines that are named."""
_FENCE: Final = re.compile(r"\A\s*```[\w-]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_NEVER_RUN: Final = frozenset({"batch_expired", "batch_cancelled"})
"""Codes of OpenAI's lines for rows that were never executed."""


@attrs.frozen
class Failure:
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
    outcome: Outcome
    completion: ChatCompletion | None = None
    failure: Failure | None = None

    @property
    def fields(self) -> dict[str, Any] | None:
        """The JSON object that the answer is, in a Markdown block or not; None if it is none."""
        if self.completion is None:
            return None
        text = self.completion.text
        fenced = _FENCE.match(text)
        try:
            value = codec.loads((fenced[1] if fenced else text).encode())
        except codec.InvalidJSONError:
            return None
        return value if isinstance(value, dict) else None


MISSING: Final = Failure("missing", "neither answered nor failed: the run ended before it", True, "maybe")


def row_of(line: bytes) -> Row | None:
    """Return what a line of an output or error file says, None if it is broken or no such line."""
    custom_id = journal.recorded_id(line)
    value = journal.value_of(line) if custom_id is not None else None
    if custom_id is None or value is None:
        return None
    response = value.get("response")
    status = response.get("status_code") if isinstance(response, dict) else None
    body = response.get("body") if isinstance(response, dict) else None
    good = status is None or status in answer.SUCCESS
    if good and isinstance(body, dict) and body.get("choices") and not value.get("error"):
        completion = codec.structure(body, ChatCompletion)
        return Row(custom_id, oddity(completion) or "ok", completion)
    problem = value.get("error")
    if isinstance(problem, str):  # vLLM
        problem = {"message": problem} if problem else None
    if isinstance(response, dict) and not good:
        error = journal.error_in(codec.dumps({"response": response, "error": problem}))
    elif problem is not None:
        error = journal.error_in(codec.dumps({"response": None, "error": problem}))
    elif answer.is_error(body):
        error = answer.inband_error(body, {}, now=0.0)
    else:
        error = ResponseShapeError("the answer is no completion")
    return Row(custom_id, "failed", failure=_failure(error, problem, status))


def _failure(error: AnyFastError, problem: Any, status: Any) -> Failure:
    status = status if isinstance(status, int) else None
    if type(error) is not AnyFastError:
        return Failure(error.kind, str(error), error.retryable, error.billed, status)
    code = problem.get("code") if isinstance(problem, dict) else None
    kind = escaped(code, 40) if isinstance(code, str) and code else error.kind
    if kind in _NEVER_RUN:
        return Failure(kind, str(error), retryable=True, billed="no")
    message = escaped(str(error)) if problem else ""
    return Failure(kind, message or "no reason is given", retryable=None, billed="maybe", status_code=status)


# -- files -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Broken:
    """A line that is no result."""

    path: Path
    line: int
    """From 1."""


class _File:
    """One file of results: where the latest line of each id begins."""

    def __init__(self, path: Path, read: Callable[[bytes], bytes | None]) -> None:
        self.path = path
        self._read = read
        self._index = Index(self._is_it)
        self._reader = Reader(path)
        self.again = 0
        """Lines whose id has a later one."""

    def rows(self) -> Iterator[tuple[int, int, Row | None]]:
        """Yield each line that is to be one: its number, where it begins, what it says."""
        for number, (at, data) in enumerate(lines_of(self.path), 1):
            line = self._read(data)
            if line is not None and line.strip():
                yield number, at, row_of(line)

    def add(self, row: Row, at: int) -> Row | None:
        """Note where a row stands; return what an earlier line said of it."""
        if self._index.add(row.custom_id, at):
            return None
        before = self.find(row.custom_id)
        self._index.replace(row.custom_id, at)
        self.again += 1
        return None if before is None else self.row_at(before)

    def find(self, custom_id: str) -> int | None:
        return self._index.find(custom_id)

    def row_at(self, at: int) -> Row | None:
        line = self._read(self._reader.line(at))
        return None if line is None else row_of(line)

    def _is_it(self, custom_id: str, at: int) -> bool:
        line = self._read(self._reader.line(at))
        return line is not None and journal.recorded_id(line) == custom_id

    def close(self) -> None:
        self._reader.close()


class Results:
    """The results of a batch; a context manager. Entering reads everything once, for its counts.

    Args:
        output: the file of answers.
        errors: that of failed rows; it need not be there.
        log: that beside the output, in which the failures of a run stand until it ends; it need not be there.
        look: called with every row as it is read the first time, those that a later line replaces included.

    Raises:
        OSError: a file cannot be read.

    """

    def __init__(self, output: Path, errors: Path, log: Path, look: Callable[[Row], None] | None = None) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.prompt_tokens: int = 0
        self.completion_tokens: int = 0
        self.spent: Spent = Spent()
        """By the model that each answer names."""
        self.broken: list[Broken] = []
        """The first few lines that are no results."""
        self.broken_count: int = 0
        self._answers = _File(output, _same)
        self._failures = (_File(log, journal.failure_in), _File(errors, _same))
        self._look = look

    def __enter__(self) -> Self:
        for file in (self._answers, *self._failures):
            for number, at, row in file.rows():
                if row is None:
                    self.broken_count += 1
                    if len(self.broken) < NAMED:
                        self.broken.append(Broken(file.path, number))
                    continue
                before = file.add(row, at)
                if self._stands(file, row):
                    self._count(row, 1)
                    if before is not None:
                        self._count(before, -1)
                    if self._look is not None:
                        self._look(row)
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._answers, *self._failures):
            file.close()

    @property
    def total(self) -> int:
        """Rows with a result."""
        return self.outcomes.total()

    @property
    def again(self) -> int:
        """Lines that another line of the same id replaces."""
        return sum(file.again for file in (self._answers, *self._failures))

    def rows(self) -> Iterator[Row]:
        """Yield every row with a result, in the order of the files."""
        for file in (self._answers, *self._failures):
            for _, at, row in file.rows():
                if row is not None and self._stands(file, row) and (not file.again or file.find(row.custom_id) == at):
                    yield row

    def find(self, custom_id: str) -> Row:
        """Return what became of a row of the input."""
        for file in (self._answers, *self._failures):
            at = file.find(custom_id)
            row = None if at is None else file.row_at(at)
            if row is not None:
                return row
        return Row(custom_id, "missing", failure=MISSING)

    def _stands(self, file: _File, row: Row) -> bool:
        """Return whether no file before *file* has the row."""
        if file is self._answers:
            return True
        before = (self._answers, *self._failures[: self._failures.index(file)])
        return all(one.find(row.custom_id) is None for one in before)

    def _count(self, row: Row, times: int) -> None:
        self.outcomes[row.outcome] += times
        if row.completion is None:
            return
        used = used_by(row.completion.usage)
        self.spent.add(row.completion.model or "", used, times)
        if used is not None:
            self.prompt_tokens += times * used.prompt
            self.completion_tokens += times * used.completion


def _same(line: bytes) -> bytes:
    return line
