"""What became of one row of a batch, as tables tell it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import attrs

from anyfast_async._core.json import codec
from anyfast_async._core.json.jsontext import loads_strictly
from anyfast_async._core.usage import Used, used_by
from anyfast_async._values.outcome import Outcome
from anyfast_async._values.text import unfenced
from anyfast_async.batch.input.request_lines import exact_value, has_long_number
from anyfast_async.completions import ChatCompletion, Usage

RowOutcome: TypeAlias = Outcome | Literal["missing"]
"""``"missing"`` rows of the input have no line anywhere."""

LARGEST: Final = 2**63 - 1
"""Of the whole numbers that a column of numbers holds."""
Told: TypeAlias = Mapping[str, Sequence[Any]]
"""What some rows are: a list for each field of :class:`Row`, by its name."""

_MARK: Final = 271828182845904
_BETWEEN: Final = f",{_MARK},"
"""Stands between texts that are read in one go."""
_BEGINNINGS: Final = ("{", "`", "~", "\ufeff")
"""How a JSON object begins, a Markdown block, and a text that says how it is encoded."""


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


class Row(NamedTuple):
    """What became of one row. What is called like a column of a table stands in it."""

    custom_id: str
    outcome: RowOutcome
    text: str | None = None
    """None if there is no answer; there may be one with a failure, if that is that it does not fit."""
    fields: dict[str, Any] | None = None
    """The JSON object that the answer is, in a Markdown block or not; None if it is none, or failed."""
    finish_reason: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    later: tuple[str | None, ...] = ()
    """The texts of the second choice and those behind it."""
    used: Used | None = None
    """What is paid for, as far as the answer says it."""
    diagnosis: str | None = None
    """What is wrong with the answer, in words."""
    error_kind: str | None = None
    error: str | None = None
    retryable: bool | None = None
    billed: str = "yes"
    status_code: int | None = None
    created: int | None = None
    """When the answer was made, in Unix seconds, if it says so."""

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer, and one that fits what was asked for."""
        return self.text is not None and self.error_kind is None

    @property
    def failure(self) -> FailedRow | None:
        """What it failed with, if it did."""
        if self.error_kind is None:
            return None
        return FailedRow(self.error_kind, self.error or "", self.retryable, self.billed, self.status_code)


class UsedTokens(NamedTuple):
    """What an answer used, in the order of :class:`Row`, and what of it is paid for."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    reasoning: int | None = None
    used: Used | None = None


def failed_row(custom_id: str, failure: FailedRow, outcome: RowOutcome = "failed") -> Row:
    """Return the row of which no answer came."""
    return Row(custom_id, outcome)._replace(**_failed(failure))


def answered_row(custom_id: str, completion: ChatCompletion, failure: FailedRow | None = None) -> Row:
    """Return the row of which an answer came; *failure* says that it does not fit."""
    tokens, message, text = tokens_of(completion.usage), completion.message, completion.text
    calls = completion.tool_calls
    later = sorted(completion.choices, key=lambda choice: choice.index or 0)[1:]
    outcome = completion.outcome if failure is None else "failed"
    row = Row(
        custom_id,
        outcome,
        text,
        None if failure is not None else object_in_text(text),
        completion.finish_reason,
        completion.model,
        tokens.prompt,
        tokens.completion,
        tokens.cached,
        tokens.reasoning,
        message.refusal or None,
        [codec.as_dict(call) for call in calls] or None,
        tuple(None if choice.message is None else choice.message.text or None for choice in later),
        tokens.used,
        None if outcome == "ok" else completion.diagnosis,
    )
    row = row._replace(created=completion.created)
    return row if failure is None else row._replace(**_failed(failure))


def _failed(failure: FailedRow) -> dict[str, Any]:
    return {
        "error_kind": failure.kind,
        "error": failure.message,
        "retryable": failure.retryable,
        "billed": failure.billed,
        "status_code": failure.status_code,
    }


def tokens_of(usage: Usage | None) -> UsedTokens:
    """Return what *usage* says."""
    if usage is None:
        return UsedTokens()
    asked, answered = usage.prompt_tokens_details, usage.completion_tokens_details
    numbers = (
        usage.prompt_tokens,
        usage.completion_tokens,
        None if asked is None else asked.cached_tokens,
        None if answered is None else answered.reasoning_tokens,
    )
    prompt, completion, cached, reasoning = (None if one is None or abs(one) > LARGEST else one for one in numbers)
    return UsedTokens(prompt, completion, cached, reasoning, used_by(usage))


def object_in_text(text: str) -> dict[str, Any] | None:
    """Return the JSON object that *text* is, in a Markdown block or not, None if it is none."""
    if not text.startswith("{"):
        if not text.lstrip().startswith(_BEGINNINGS):
            return None
        text = unfenced(text)
    try:
        value = exact_value(text.encode())
    except codec.InvalidJSONError:
        return None
    return value if isinstance(value, dict) else None


def objects_in_texts(texts: Sequence[str]) -> list[dict[str, Any] | None]:
    """Return what :func:`object_in_text` does of each, in one go where all of them look like objects."""
    joined = _BETWEEN.join(texts)
    marks = len(texts) - 1
    if (
        joined.startswith("{")
        and joined.endswith("}")
        and joined.count(f"}}{_BETWEEN}{{") == marks == joined.count(str(_MARK))
        and not has_long_number("".join(texts))
    ):
        try:
            values = loads_strictly(f"[{joined}]")
        except ValueError:
            values = []
        # Each number that stands there is one that was put there, and all of them stand between two values: so every
        # text is one value, and none is a part of one.
        found = values[1::2]
        if len(values) == 2 * marks + 1 and found == [_MARK] * marks and set(map(type, found)) <= {int}:
            objects: list[dict[str, Any] | None] = values[::2]
            return objects
    return [*map(object_in_text, texts)]


def told_of(rows: Sequence[Row]) -> Told:
    """Return what *rows* are, field by field."""
    cells = zip(*rows, strict=True) if rows else ((),) * len(Row._fields)
    return dict(zip(Row._fields, cells, strict=True))


MISSING: Final = FailedRow("missing", "not sent: the run ended before it", retryable=True, billed="no")
IN_DOUBT: Final = FailedRow("in_doubt", "sent, and the run ended before its answer", retryable=True, billed="maybe")
