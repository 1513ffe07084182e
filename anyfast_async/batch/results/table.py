"""Results as a table: which columns there are, and the cells of a row. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, Literal, TypeAlias

import attrs

from anyfast_async._core.json import codec
from anyfast_async.batch.results.results import Row
from anyfast_async.completions import ChatCompletion

Kind: TypeAlias = Literal["boolean", "integer", "number", "text", "json"]
"""What stands in a column: ``"json"`` is JSON as text, for objects, arrays and mixtures."""

MOST: Final = 200
"""Fields of answers that become columns; with more of them an answer stays one text."""
_AFTER: Final[dict[str, Kind]] = {
    "outcome": "text",
    "finish_reason": "text",
    "model": "text",
    "prompt_tokens": "integer",
    "completion_tokens": "integer",
}
_SELDOM: Final[dict[str, Kind]] = {"refusal": "text", "tool_calls": "json"}
_TOKENS: Final[dict[str, Kind]] = {"cached_tokens": "integer", "reasoning_tokens": "integer"}
_ERRORS: Final[dict[str, Kind]] = {"error_kind": "text", "error": "text"}
_ID: Final[dict[str, Kind]] = {"custom_id": "text"}
_PROMPT: Final[dict[str, Kind]] = {"prompt": "text"}
_CHOICE: Final = "choice_"
_KINDS: Final[dict[type, Kind]] = {bool: "boolean", int: "integer", float: "number", str: "text"}
_LARGEST: Final = 2**63 - 1
_EXACT: Final = 2**53
_SHARE: Final = 9
"""Objects to each good answer that is none, from which on fields are columns."""

CostOf: TypeAlias = Callable[[ChatCompletion], float | None]


@attrs.define
class FieldKinds:
    """The fields of objects, found by looking at each, with what stands in them."""

    _fields: dict[str, Kind | None] = attrs.field(factory=dict)
    """None while only nulls came."""
    _inexact: set[str] = attrs.field(factory=set)
    """Fields with whole numbers that no float is: beside one they stay as they are."""

    def look(self, name: str, value: Any) -> None:
        """Take in the *value* of a field."""
        self._fields[name] = _joined(self._fields.get(name), value)
        if type(value) is int and abs(value) > _EXACT:
            self._inexact.add(name)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    @property
    def kinds(self) -> dict[str, Kind]:
        """Every field, in the order of their first coming."""
        return {
            name: "json" if kind == "number" and name in self._inexact else kind or "text"
            for name, kind in self._fields.items()
        }


@attrs.define
class Columns:
    """The columns of a table, found by looking at every row.

    When the good answers are JSON objects (nine of ten at least), each of their fields is a column, in the order of
    their first coming, and what is no object, such as an answer that was cut, stands in the column ``text`` beside
    them; else the answers are the column ``text``. A field that is called like another column gets ``answer.`` before
    its name, and so does every column that is called like one of the table *beside*.

    Columns for second and later choices, refusals, tool calls, cached and reasoning tokens and cost are there if a row
    has any.
    """

    with_prompt: bool = False
    """Whether there is a column ``prompt``: rows were joined with their input."""
    with_id: bool = True
    """Whether there is a column ``custom_id``."""
    beside: frozenset[str] = frozenset()
    """Names of the columns beside which these stand."""
    cost_of: CostOf | None = None
    """Returns what an answer cost."""
    _fields: FieldKinds = attrs.field(factory=FieldKinds)
    _objects: int = 0
    _others: int = 0
    """Good answers that are none."""
    _has_text: bool = False
    """Whether any answer is none."""
    _too_many: bool = False
    _choices: int = 1
    """The most that an answer has."""
    _found: set[str] = attrs.field(factory=set)
    """Columns of :data:`_SELDOM` and :data:`_TOKENS` that a row has."""
    _names: dict[str | tuple[str], str] | None = None
    _keys: list[tuple[str]] = attrs.field(factory=list)
    """Those of fields in it."""

    def look(self, row: Row) -> None:
        """Take in a row."""
        completion = row.completion
        if completion is None:
            return
        self._names = None
        self._choices = max(self._choices, len(completion.choices))
        if len(self._found) < len(_SELDOM) + len(_TOKENS):
            self._found.update(name for name, value in _seldom(completion).items() if value is not None)
        fields = None if self._too_many else row.fields
        if fields is None:
            self._others += row.outcome == "ok"
            self._has_text |= bool(completion.text)
            return
        self._objects += 1
        if len(self._fields) + sum(name not in self._fields for name in fields) > MOST:
            self._too_many, self._has_text = True, True
            self._fields = FieldKinds()
            return
        for name, value in fields.items():
            self._fields.look(name, value)

    @property
    def _are_objects(self) -> bool:
        return bool(self._fields) and self._objects >= _SHARE * self._others

    @property
    def _fixed(self) -> dict[str, Kind]:
        """The columns behind the fields of answers, as they are called where nothing stands beside them."""
        text: dict[str, Kind] = {"text": "text"} if self._has_text or not self._are_objects else {}
        later: dict[str, Kind] = dict.fromkeys(self._later_choices, "text")
        seldom: dict[str, Kind] = {name: kind for name, kind in _SELDOM.items() if name in self._found}
        tokens: dict[str, Kind] = {name: kind for name, kind in _TOKENS.items() if name in self._found}
        cost: dict[str, Kind] = {} if self.cost_of is None else {"cost": "number"}
        return text | later | seldom | _AFTER | tokens | cost | _ERRORS

    @property
    def _first(self) -> dict[str, Kind]:
        """The columns before them."""
        return (_ID if self.with_id else {}) | (_PROMPT if self.with_prompt else {})

    @property
    def kinds(self) -> dict[str, Kind]:
        """Every column with what stands in it."""
        names = self._named
        fields = self._fields.kinds if self._are_objects else {}
        found: dict[str, Kind] = {names[name]: kind for name, kind in self._first.items()}
        found |= {names[field,]: kind for field, kind in fields.items()}
        found |= {names[name]: kind for name, kind in self._fixed.items()}
        return found

    @property
    def _later_choices(self) -> list[str]:
        return [f"{_CHOICE}{number}" for number in range(2, self._choices + 1)]

    @property
    def _named(self) -> dict[str | tuple[str], str]:
        """How each column is called; those of fields have their keys in a tuple."""
        if self._names is None:
            own = [*self._first, *self._fixed]
            self._names = {name: _free(name, self.beside) for name in own}
            taken = {*self._names.values(), *own, *_ID, *_PROMPT, "text"}
            for field in self._fields.kinds:
                name = _free(f"answer.{field}" if field in taken else field, taken | self.beside)
                taken.add(name)
                self._names[field,] = name
            self._keys = [(field,) for field in self._fields.kinds]
        return self._names

    def cells(self, row: Row, prompt: str | None = None) -> dict[str, Any]:
        """Return the cells of a row by column: JSON values, None for an empty one."""
        completion, failure = row.completion, row.failure
        names = self._named
        text = completion.text if completion is not None else None
        cells: dict[str, Any] = {names["custom_id"]: row.custom_id} if self.with_id else {}
        if self.with_prompt:
            cells[names["prompt"]] = prompt
        if self._are_objects:
            own = row.fields
            text = text if own is None else None
            own = own or {}
            cells |= {names[field]: own.get(field[0]) for field in self._keys}
        if "text" in names:
            cells[names["text"]] = text
        if self._choices > 1 or self._found or self.cost_of is not None:
            cells |= {names[name]: value for name, value in self._more(completion).items()}
        usage = completion.usage if completion is not None else None
        values = {
            "outcome": row.outcome,
            "finish_reason": completion.finish_reason if completion is not None else None,
            "model": completion.model if completion is not None else None,
            "prompt_tokens": usage.prompt_tokens if usage is not None else None,
            "completion_tokens": usage.completion_tokens if usage is not None else None,
            "error_kind": failure.kind if failure is not None else None,
            "error": failure.message if failure is not None else None,
        }
        cells |= {names[name]: value for name, value in values.items()} if self.beside else values
        return cells

    def _more(self, completion: ChatCompletion | None) -> dict[str, Any]:
        """Return the cells that few tables have."""
        seldom = {} if completion is None else _seldom(completion)
        found: dict[str, Any] = dict.fromkeys(self._later_choices)
        if completion is not None and len(completion.choices) > 1:
            inner = sorted(completion.choices, key=lambda choice: choice.index or 0)[1:]
            texts = (None if choice.message is None else choice.message.text or None for choice in inner)
            found |= dict(zip(found, texts, strict=False))
        found |= {name: seldom.get(name) for name in self._found}
        if self.cost_of is not None:
            found["cost"] = None if completion is None else self.cost_of(completion)
        return found


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name = f"answer.{name}"
    return name


def _seldom(completion: ChatCompletion) -> dict[str, Any]:
    """Return what few answers have."""
    usage, message = completion.usage, completion.message
    asked = usage.prompt_tokens_details if usage is not None else None
    answered = usage.completion_tokens_details if usage is not None else None
    calls = completion.tool_calls
    return {
        "refusal": message.refusal or None,
        "tool_calls": [codec.as_dict(call) for call in calls] if calls else None,
        "cached_tokens": asked.cached_tokens if asked is not None else None,
        "reasoning_tokens": answered.reasoning_tokens if answered is not None else None,
    }


def kinds_of(rows: Iterable[dict[str, Any]]) -> dict[str, Kind]:
    """Return the fields of *rows* with what stands in them."""
    found = FieldKinds()
    for row in rows:
        for name, value in row.items():
            found.look(name, value)
    return found.kinds


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
