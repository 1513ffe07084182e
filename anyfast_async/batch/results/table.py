"""Results as a table: which columns there are, and the cells of rows, column by column. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, Final, Literal, TypeAlias

import attrs

from anyfast_async._core.usage import Used
from anyfast_async.batch.results.row import LARGEST, Row, Told, told_of

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
_SOMETIMES: Final = {*_SELDOM, *_TOKENS}
_ERRORS: Final[dict[str, Kind]] = {"error_kind": "text", "error": "text"}
_ID: Final[dict[str, Kind]] = {"custom_id": "text"}
_PROMPT: Final[dict[str, Kind]] = {"prompt": "text"}
CHOICE: Final = "choice_"
"""How the columns of second and later choices begin."""
OTHER: Final = "other text"
"""What is told of rows: their texts, but for those that are objects."""
_KINDS: Final[dict[type, Kind]] = {bool: "boolean", int: "integer", float: "number", str: "text"}
_EXACT: Final = 2**53
_SHARE: Final = 9
"""Objects to each good answer that is none, from which on fields are columns."""
_SOME: Final = 4096

CostOf: TypeAlias = Callable[[str | None, Used | None], float | None]
"""Returns what an answer cost: of the model that it names, and of what it used."""
Key: TypeAlias = str | tuple[str]
"""Of a column, whatever it is called: what is called so in :class:`Row`, or a field of answers, in a tuple."""
Cells: TypeAlias = Sequence[Any]


@attrs.define
class FieldKinds:
    """The fields of objects, found by looking at each, with what stands in them."""

    _fields: dict[str, Kind | None] = attrs.field(factory=dict)
    """None while only nulls came."""
    _inexact: set[str] = attrs.field(factory=set)
    """Fields with whole numbers that no float is: beside one they stay as they are."""

    def look(self, objects: Sequence[Mapping[str, Any]]) -> None:
        """Take in the fields of some objects."""
        self.add(FieldColumns.of(objects))

    def add(self, columns: FieldColumns) -> None:
        """Take in the fields of the objects of *columns*."""
        for name, kind in columns.own_kinds.items():
            self._fields[name] = _joint(self._fields.get(name), kind)
        self._inexact |= columns.inexact

    def __len__(self) -> int:
        return len(self._fields)

    @property
    def kinds(self) -> dict[str, Kind]:
        """Every field, in the order of their first coming."""
        return {
            name: "json" if kind == "number" and name in self._inexact else kind or "text"
            for name, kind in self._fields.items()
        }


@attrs.frozen
class FieldColumns:
    """The fields of some objects as columns, with what stands in them."""

    rows: Sequence[Mapping[str, Any] | None]
    """The objects, and None where there is none."""
    values: Mapping[str, Sequence[Any]]
    """What stands in each field, in the order of their first coming; of a row that lacks it nothing."""
    own_kinds: dict[str, Kind | None]
    """What stands in each: None if only nulls."""
    inexact: set[str]
    """Fields with whole numbers that no float is."""

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any] | None]) -> FieldColumns:
        """Return the columns of *rows*, objects or None."""
        inexact: set[str] = set()
        values = _by_field([one for one in rows if one is not None])
        return cls(rows, values, {name: _kind_of(name, cells, inexact) for name, cells in values.items()}, inexact)

    @property
    def kinds(self) -> dict[str, Kind]:
        """What stands in each in which there is more than nulls."""
        return {
            name: "json" if kind == "number" and name in self.inexact else kind
            for name, kind in self.own_kinds.items()
            if kind is not None
        }

    def aligned(self, name: str) -> Sequence[Any]:
        """Return a cell for each row, None where it lacks the field."""
        values = self.values[name]
        if len(values) == len(self.rows):
            return values
        return [None if one is None else one.get(name) for one in self.rows]


def _by_field(objects: Sequence[Mapping[str, Any]]) -> Mapping[str, Sequence[Any]]:
    names = [*objects[0]] if objects else []
    if sum(map(len, objects)) == len(names) * len(objects):
        try:
            return {name: [*map(itemgetter(name), objects)] for name in names}
        except KeyError:
            pass
    columns: dict[str, list[Any]] = {}  # they differ in their fields
    for one in objects:
        for name, value in one.items():
            columns.setdefault(name, []).append(value)
    return columns


def _kind_of(name: str, values: Sequence[Any], inexact: set[str]) -> Kind | None:
    """Return what stands in a field; its name is added if there is a whole number in it that no float is."""
    found: Kind | None = None
    types = set(map(type, values)) - {type(None)}
    for one in types:
        kind = _KINDS.get(one, "json")
        if kind == "integer":
            whole = values if types == {int} and None not in values else [v for v in values if type(v) is int]
            low, high = min(whole), max(whole)
            most = max(high, -low)
            if most > _EXACT:
                inexact.add(name)
            if most > LARGEST:
                kind = "json"
        found = _joint(found, kind)
    return found


def _joint(one: Kind | None, other: Kind | None) -> Kind | None:
    """Return what stands in a column in which both do."""
    if one is None or other is None or one == other:
        return one or other
    return "number" if {one, other} == {"integer", "number"} else "json"


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
    _names: dict[Key, str] | None = None

    def look(self, told: Told, columns: FieldColumns | None = None) -> None:
        """Take in some rows; *columns* are those of their fields, if they are there already."""
        self._names = None
        fields = told["fields"]
        self._choices = max(self._choices, 1 + max(map(len, told["later"]), default=0))
        self._found |= {name for name in _SOMETIMES - self._found if told[name].count(None) < len(fields)}
        objects = [one for one in fields if one is not None and not self._too_many]
        if len(objects) < len(fields):
            for text, one, outcome in zip(told["text"], fields, told["outcome"], strict=True):
                if text is not None and (one is None or self._too_many):
                    self._others += outcome == "ok"
                    self._has_text |= bool(text)
        self._objects += len(objects)
        if not self._too_many:
            self._fields.add(columns or FieldColumns.of(fields))
        if len(self._fields) > MOST:
            self._too_many, self._has_text = True, True
            self._fields = FieldKinds()

    @property
    def _are_objects(self) -> bool:
        return bool(self._fields) and self._objects >= _SHARE * self._others

    @property
    def _fixed(self) -> dict[str, Kind]:
        """The columns behind the fields of answers, as they are called where nothing stands beside them."""
        text: dict[str, Kind] = {"text": "text"} if self._has_text or not self._are_objects else {}
        later: dict[str, Kind] = {f"{CHOICE}{number}": "text" for number in range(2, self._choices + 1)}
        seldom: dict[str, Kind] = {name: kind for name, kind in _SELDOM.items() if name in self._found}
        tokens: dict[str, Kind] = {name: kind for name, kind in _TOKENS.items() if name in self._found}
        cost: dict[str, Kind] = {} if self.cost_of is None else {"cost": "number"}
        return text | later | seldom | _AFTER | tokens | cost | _ERRORS

    @property
    def _first(self) -> dict[str, Kind]:
        """The columns before them."""
        return (_ID if self.with_id else {}) | (_PROMPT if self.with_prompt else {})

    @property
    def keys(self) -> dict[Key, Kind]:
        """Every column in its order, by its key, with what stands in it."""
        fields = self._fields.kinds if self._are_objects else {}
        keys: dict[Key, Kind] = {}
        keys.update(self._first)
        keys.update(((field,), kind) for field, kind in fields.items())
        keys.update(self._fixed)
        return keys

    @property
    def kinds(self) -> dict[str, Kind]:
        """Every column by its name, with what stands in it."""
        names = self._named
        return {names[key]: kind for key, kind in self.keys.items()}

    @property
    def _named(self) -> dict[Key, str]:
        """How each column is called."""
        if self._names is None:
            own = [*self._first, *self._fixed]
            self._names = {name: _free(name, self.beside) for name in own}
            taken = {*self._names.values(), *own, *_ID, *_PROMPT, "text"}
            for field in self._fields.kinds:
                name = _free(f"answer.{field}" if field in taken else field, taken | self.beside)
                taken.add(name)
                self._names[field,] = name
        return self._names

    def table(self, rows: Sequence[Row], prompts: Cells = ()) -> dict[str, Cells]:
        """Return the cells of some rows by the names of the columns: JSON values, None for an empty one."""
        return self.named_cells({**told_of(rows), "prompt": prompts})

    def named_cells(self, told: Mapping[Any, Cells]) -> dict[str, Cells]:
        """Return the cells of some rows by the names of the columns.

        Args:
            told: what the rows are by the names of :class:`Row`, one list for each, of whatever kind. ``text``,
                ``fields`` and ``later`` are looked at, and, unless there is a ``cost``, ``model`` and ``used``; the
                others are passed on. In place of ``fields`` there may be the :attr:`keys` of those that are columns,
                and :data:`OTHER`.

        """
        names = self._named
        return {names[key]: self._cells(key, told) for key in self.keys}

    def _cells(self, key: Key, told: Mapping[Any, Cells]) -> Cells:
        if isinstance(key, tuple):
            if key in told:
                return told[key]
            (field,) = key
            return [None if one is None else one.get(field) for one in told["fields"]]
        if key == "text" and self._are_objects:
            if OTHER in told:
                return told[OTHER]
            return [text if own is None else None for text, own in zip(told["text"], told["fields"], strict=True)]
        if key == "cost" and self.cost_of is not None and key not in told:
            return [self.cost_of(model, used) for model, used in zip(told["model"], told["used"], strict=True)]
        if key.startswith(CHOICE):
            place = int(key.removeprefix(CHOICE)) - 2
            return [next(islice(later or (), place, None), None) for later in told["later"]]
        return told[key]


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name = f"answer.{name}"
    return name


def kinds_of(rows: Iterable[dict[str, Any]]) -> dict[str, Kind]:
    """Return the fields of *rows* with what stands in them."""
    found = FieldKinds()
    given = iter(rows)
    while some := list(islice(given, _SOME)):
        found.look(some)
    return found.kinds
