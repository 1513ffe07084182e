"""Results as a table: which columns there are, and the cells of a row. Pure."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import attrs

from anyfast_async.batch.results.results import Row

Kind: TypeAlias = Literal["boolean", "integer", "number", "text", "json"]
"""What stands in a column: ``"json"`` is JSON as text, for objects, arrays and mixtures."""

MOST: Final = 200
"""Fields of answers that become columns; with more of them an answer stays one text."""
_BEFORE: Final[dict[str, Kind]] = {"custom_id": "text"}
_AFTER: Final[dict[str, Kind]] = {
    "outcome": "text",
    "finish_reason": "text",
    "model": "text",
    "prompt_tokens": "integer",
    "completion_tokens": "integer",
    "error_kind": "text",
    "error": "text",
}
_KINDS: Final[dict[type, Kind]] = {bool: "boolean", int: "integer", float: "number", str: "text"}
_LARGEST: Final = 2**63 - 1
_EXACT: Final = 2**53
_SHARE: Final = 9
"""Objects to each good answer that is none, from which on fields are columns."""


@attrs.define
class Columns:
    """The columns of a table, found by looking at every row.

    When the good answers are JSON objects (nine of ten at least), each of their fields is a column, in the order of
    their first coming, and what is no object, such as an answer that was cut, stands in the column ``text`` beside
    them; else the answers are the column ``text``. A field that is called like another column gets ``answer.`` before
    its name.
    """

    with_prompt: bool = False
    """Whether there is a column ``prompt``: rows were joined with their input."""
    _fields: dict[str, Kind | None] = attrs.field(factory=dict)
    """None while only nulls came."""
    _inexact: set[str] = attrs.field(factory=set)
    """Fields with whole numbers that no float is: beside one they stay as they are."""
    _objects: int = 0
    _others: int = 0
    """Good answers that are none."""
    _has_text: bool = False
    """Whether any answer is none."""
    _too_many: bool = False

    def look(self, row: Row) -> None:
        """Take in a row."""
        if self._too_many or row.completion is None:
            return
        fields = row.fields
        if fields is None:
            self._others += row.outcome == "ok"
            self._has_text |= bool(row.completion.text)
            return
        self._objects += 1
        if len(self._fields.keys() | fields.keys()) > MOST:
            self._too_many = True
            self._fields.clear()
            return
        for name, value in fields.items():
            self._fields[name] = _joined(self._fields.get(name), value)
            if type(value) is int and abs(value) > _EXACT:
                self._inexact.add(name)

    @property
    def _are_objects(self) -> bool:
        return bool(self._fields) and self._objects >= _SHARE * self._others

    @property
    def kinds(self) -> dict[str, Kind]:
        """Every column with what stands in it."""
        own: dict[str, Kind] = {}
        if self._are_objects:
            own = {_name(field): self._kind(field, kind) for field, kind in self._fields.items()}
        text: dict[str, Kind] = {"text": "text"} if self._has_text or not own else {}
        prompt: dict[str, Kind] = {"prompt": "text"} if self.with_prompt else {}
        return _BEFORE | prompt | own | text | _AFTER

    def _kind(self, field: str, kind: Kind | None) -> Kind:
        return "json" if kind == "number" and field in self._inexact else kind or "text"

    def cells(self, row: Row, prompt: str | None = None) -> dict[str, Any]:
        """Return the cells of a row by column: JSON values, None for an empty one."""
        completion, failure = row.completion, row.failure
        usage = completion.usage if completion is not None else None
        answered: dict[str, Any] = {"text": completion.text if completion is not None else None}
        if self._are_objects:
            found = row.fields
            rest = {} if not self._has_text else {"text": None} if found is not None else answered
            answered = {_name(field): (found or {}).get(field) for field in self._fields} | rest
        return {
            "custom_id": row.custom_id,
            **({"prompt": prompt} if self.with_prompt else {}),
            **answered,
            "outcome": row.outcome,
            "finish_reason": completion.finish_reason if completion is not None else None,
            "model": completion.model if completion is not None else None,
            "prompt_tokens": usage.prompt_tokens if usage is not None else None,
            "completion_tokens": usage.completion_tokens if usage is not None else None,
            "error_kind": failure.kind if failure is not None else None,
            "error": failure.message if failure is not None else None,
        }


def _name(field: str) -> str:
    return f"answer.{field}" if field in _BEFORE or field in _AFTER or field in ("prompt", "text") else field


def _joined(before: Kind | None, value: Any) -> Kind | None:
    """Return the kind of a column that was *before* and now holds *value* too."""
    if value is None:
        return before
    kind = _KINDS.get(type(value), "json")
    if kind == "integer" and not -_LARGEST <= value <= _LARGEST:
        kind = "json"
    if before is None or before == kind:
        return kind
    return "number" if {before, kind} == {"integer", "number"} else "json"
