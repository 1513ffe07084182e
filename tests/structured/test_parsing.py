"""Thirty kinds of classes: the schema is one, JSON comes back equal, and what does not fit is told by its path."""

from __future__ import annotations

import base64
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
import sys
import textwrap
import types
import uuid
from collections import namedtuple
from collections.abc import Iterator, Mapping, MutableSequence, Sequence, Set
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    TypedDict,
    TypeVar,
)

import attrs
import jsonschema
import pytest
from attrs import validators as v

from anyfast_async import AnyFast, ConfigurationError, OutputError
from anyfast_async._structured.json_schema import response_format, schema_of
from anyfast_async._structured.parsing import FieldMismatchError, parse
from anyfast_async.simulator import Simulator

T = TypeVar("T")
Key = TypeVar("Key", bound=str)


# -- thirty classes of growing nastiness ------------------------------------------------------------------------------


@attrs.frozen
class Flat:
    """One of each plain type."""

    name: str
    age: int
    height: float
    alive: bool


@attrs.define
class WithDefaults:
    name: str = "nobody"
    age: int | None = None
    tags: list[str] = attrs.field(factory=list)
    made: int = attrs.field(default=attrs.Factory(lambda self: len(self.name), takes_self=True))


@attrs.frozen(kw_only=True)
class Constrained:
    stars: int = attrs.field(validator=[v.ge(1), v.le(5)])
    share: float = attrs.field(validator=v.and_(v.gt(0), v.lt(1)))
    code: str = attrs.field(validator=v.matches_re(r"[A-Z]{2}\d+"))
    word: str = attrs.field(validator=v.in_(["yes", "no"]))
    names: list[str] = attrs.field(validator=[v.min_len(1), v.max_len(3)])
    maybe: int | None = attrs.field(default=None, validator=v.optional(v.ge(10)))
    short: str = attrs.field(default="ab", validator=v.max_len(4))


@attrs.define
class Private:
    _secret: int
    __mangled: str = attrs.field(alias="mangled")
    plain: int = attrs.field(alias="other")
    _late: int = attrs.field(init=False, default=7)


@dataclasses.dataclass
class Data:
    """A dataclass with all that its fields can be."""

    name: str
    scale: dataclasses.InitVar[int]
    kept: ClassVar[int] = 3
    tags: list[str] = dataclasses.field(default_factory=list, metadata={"description": "words"})
    size: int = dataclasses.field(init=False, default=0)
    last: float = dataclasses.field(default=0.5, kw_only=True)

    def __post_init__(self, scale: int) -> None:
        self.size = len(self.name) * scale


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    x: int
    y: int = 0


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Sequel(Movie, total=False):
    number: int
    parent: Movie


class Pair(NamedTuple):
    left: int
    right: str = "r"


Bare = namedtuple("Bare", ["a", "b"])  # noqa: PYI024 - the kind without types


@attrs.frozen
class Line:
    start: Point
    end: Point
    label: Pair | None = None


@attrs.frozen
class Node:
    value: int
    children: list[Node] = attrs.field(factory=list)
    above: Node | None = None


@attrs.frozen
class Folder:
    name: str
    files: dict[str, File]


@dataclasses.dataclass
class File:
    size: int
    inside: Folder | None = None


@attrs.frozen
class Box(Generic[T]):
    content: T
    more: list[T] = attrs.field(factory=list)


@attrs.frozen
class IntBox(Box[int]):
    lid: bool = False


@dataclasses.dataclass
class Tree(Generic[T]):
    value: T
    left: Tree[T] | None = None
    right: Tree[T] | None = None


@attrs.frozen
class Forest:
    numbers: Tree[int]
    words: Tree[str]


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Ratio(float, enum.Enum):
    HALF = 0.5
    ONE = 1.0


class Words(str, enum.Enum):  # noqa: UP042 - programs still have them
    A = "a"
    B = "b"


@attrs.frozen
class Enums:
    color: Color
    size: Size
    ratio: Ratio
    word: Words = Words.A


@attrs.frozen
class Literals:
    mood: Literal["good", "bad"]
    level: Literal[1, 2, "max"]
    on: Literal[True, None]  # noqa: PYI061 - None as a word
    color: Literal[Color.RED] = Color.RED


@attrs.frozen
class Cat:
    kind: Literal["cat"]
    lives: int


@attrs.frozen
class Dog:
    kind: Literal["dog"]
    friends: list[str]


@attrs.frozen
class Pets:
    pets: list[Cat | Dog]
    first: Cat | Dog | None


@attrs.frozen
class Numbers:
    either: int | float
    text: int | str
    many: list[int] | int
    deep: dict[str, int] | list[str] | None


@attrs.frozen
class Times:
    at: dt.datetime
    day: dt.date
    clock: dt.time


@attrs.frozen
class Odd:
    id: uuid.UUID
    price: decimal.Decimal
    data: bytes
    where: pathlib.Path


@attrs.frozen
class Tuples:
    fixed: tuple[int, str]
    same: tuple[float, ...]
    one: tuple[bool]
    nested: tuple[tuple[int, int], ...] = ()


@attrs.frozen
class Collections:
    unique: set[int]
    frozen: frozenset[str]
    some: Sequence[int]
    others: MutableSequence[int]
    abstract: Set[int]
    mapping: Mapping[str, list[int]]
    anything: list[Any]


@attrs.frozen
class Keys:
    by_color: dict[Color, int]
    by_word: dict[Literal["a", "b"], Point]
    by_id: dict[uuid.UUID, dict[str, int]]


@attrs.frozen
class Described:
    """What a field
    is for."""  # noqa: D209, D205 - as people write it

    city: Annotated[str, "its name"]
    area: Annotated[float | None, 5, "in square kilometres"] = None
    mayor: str = attrs.field(default="", metadata={"description": "who governs it"})


UserId = NewType("UserId", int)
Handle = NewType("Handle", Annotated[str, "with an at"])


@attrs.frozen
class Named:
    id: UserId
    handle: Handle
    fixed: Final[int]
    friends: dict[str, UserId] = attrs.field(factory=dict)


@attrs.frozen
class Base:
    a: int


@attrs.frozen
class Middle(Base):
    b: Annotated[int, "the second"] = 2


@attrs.frozen
class Bottom(Middle):
    a: str = "z"  # type: ignore[assignment]
    c: int = 3


def _even(_: Any, attribute: attrs.Attribute[int], value: int) -> None:
    if value % 2:
        message = f"{attribute.name} is odd"
        raise RuntimeError(message)


def _upper(text: str) -> str:
    return text.upper()


@attrs.frozen
class Checked:
    even: int = attrs.field(validator=_even)
    upper: str = attrs.field(converter=_upper)
    either: int | str = attrs.field(validator=v.instance_of((int, str)))

    def __attrs_post_init__(self) -> None:
        if self.upper == "STOP":
            raise KeyError(self.upper)


Made = attrs.make_class("Made", {"a": attrs.field(type=int), "b": attrs.field(default=None)})


def local() -> type[Any]:
    """A class in a function that contains itself."""

    @attrs.frozen
    class Local:
        value: int
        next: Local | None = None

    return Local


Local = local()


@attrs.frozen
class Generics(Generic[Key, T]):
    """Everything at once."""

    items: dict[Key, Box[T]]
    boxes: tuple[Box[Tree[T]], ...]
    choice: Box[Color] | Tree[Pair]
    optional: Annotated[Box[T | None], "or nothing"] | None = None


ALIASES = """
    from __future__ import annotations
    import attrs

    type Json = dict[str, Json] | list[Json] | str | int | None
    type Many[A] = list[A] | A
    type Count = int

    @attrs.frozen
    class Modern[A]:
        data: Json
        many: Many[A]
        count: Count
        own: A
"""


def modern() -> Any:
    """A class written with the type aliases and parameters of Python 3.12, in a module of its own."""
    module = types.ModuleType("modern")
    sys.modules[module.__name__] = module  # where annotations are looked up
    exec(textwrap.dedent(ALIASES), vars(module))  # noqa: S102 - older ones cannot read it
    return vars(module)["Modern"]


class Case(NamedTuple):
    """A class, an instance, and the JSON of it."""

    kind: Any
    instance: Any
    json: Any


ID = uuid.UUID(int=5)
CASES: dict[str, Case] = {
    "flat": Case(Flat, Flat("a", 1, 1.5, alive=True), {"name": "a", "age": 1, "height": 1.5, "alive": True}),
    "defaults": Case(
        WithDefaults, WithDefaults("abc", 4, ["x"], 3), {"name": "abc", "age": 4, "tags": ["x"], "made": 3}
    ),
    "constrained": Case(
        Constrained,
        Constrained(stars=5, share=0.5, code="AB12", word="no", names=["a", "b"], maybe=10, short="abcd"),
        {"stars": 5, "share": 0.5, "code": "AB12", "word": "no", "names": ["a", "b"], "maybe": 10, "short": "abcd"},
    ),
    "private": Case(Private, Private(1, "m", 2), {"secret": 1, "mangled": "m", "other": 2}),
    "dataclass": Case(Data, Data("abc", 2, ["t"], last=1), {"name": "abc", "scale": 2, "tags": ["t"], "last": 1.0}),
    "slots": Case(Point, Point(x=1, y=-1), {"x": 1, "y": -1}),
    "typed dict": Case(Movie, {"title": "t", "year": 1999}, {"title": "t", "year": 1999}),
    "total false": Case(
        Sequel,
        {"title": "t", "number": 2, "parent": {"title": "p"}},
        {"title": "t", "number": 2, "parent": {"title": "p"}},
    ),
    "named tuple": Case(Pair, Pair(1, "x"), {"left": 1, "right": "x"}),
    "bare named tuple": Case(Bare, Bare(1, [None]), {"a": 1, "b": [None]}),
    "nested": Case(
        Line,
        Line(Point(x=1), Point(x=2, y=2), Pair(1)),
        {"start": {"x": 1, "y": 0}, "end": {"x": 2, "y": 2}, "label": {"left": 1, "right": "r"}},
    ),
    "recursive": Case(
        Node,
        Node(1, [Node(2, [Node(3)])], Node(0)),
        {"value": 1, "children": [{"value": 2, "children": [{"value": 3}]}], "above": {"value": 0, "above": None}},
    ),
    "mutually recursive": Case(
        Folder,
        Folder("f", {"a": File(1, Folder("g", {"b": File(2)}))}),
        {
            "name": "f",
            "files": {"a": {"size": 1, "inside": {"name": "g", "files": {"b": {"size": 2, "inside": None}}}}},
        },
    ),
    "generic": Case(Box[Point], Box(Point(x=1), [Point(x=2)]), {"content": {"x": 1}, "more": [{"x": 2, "y": 0}]}),
    "inherits a generic": Case(IntBox, IntBox(1, [2], lid=True), {"content": 1, "more": [2], "lid": True}),
    "recursive generics": Case(
        Forest,
        Forest(Tree(1, Tree(2)), Tree("a", None, Tree("b"))),
        {
            "numbers": {"value": 1, "left": {"value": 2}},
            "words": {"value": "a", "left": None, "right": {"value": "b"}},
        },
    ),
    "enums": Case(
        Enums, Enums(Color.BLUE, Size.LARGE, Ratio.ONE, Words.B), {"color": "blue", "size": 2, "ratio": 1, "word": "b"}
    ),
    "literals": Case(
        Literals, Literals("bad", "max", None), {"mood": "bad", "level": "max", "on": None, "color": "red"}
    ),
    "union of classes": Case(
        Pets,
        Pets([Cat("cat", 9), Dog("dog", ["x"])], Dog("dog", [])),
        {
            "pets": [{"kind": "cat", "lives": 9}, {"kind": "dog", "friends": ["x"]}],
            "first": {"kind": "dog", "friends": []},
        },
    ),
    "unions": Case(
        Numbers, Numbers(5, "5", [1, 2], {"a": 1}), {"either": 5, "text": "5", "many": [1, 2], "deep": {"a": 1}}
    ),
    "times": Case(
        Times,
        Times(dt.datetime(2025, 1, 2, 3, 4, 5, tzinfo=dt.UTC), dt.date(2025, 1, 2), dt.time(3, 4)),
        {"at": "2025-01-02T03:04:05Z", "day": "2025-01-02", "clock": "03:04:00"},
    ),
    "odd values": Case(
        Odd,
        Odd(ID, decimal.Decimal("1.10"), b"\x00\xff", pathlib.Path("a/b")),
        {"id": str(ID), "price": "1.10", "data": base64.b64encode(b"\x00\xff").decode(), "where": "a/b"},
    ),
    "tuples": Case(
        Tuples,
        Tuples((1, "a"), (1.0, 2.5), (True,), ((1, 2), (3, 4))),
        {"fixed": [1, "a"], "same": [1, 2.5], "one": [True], "nested": [[1, 2], [3, 4]]},
    ),
    "collections": Case(
        Collections,
        Collections({1, 2}, frozenset("ab"), (1,), [2], frozenset({3}), {"a": [1]}, [1, "a", None]),
        {
            "unique": [1, 2],
            "frozen": ["a", "b"],
            "some": [1],
            "others": [2],
            "abstract": [3],
            "mapping": {"a": [1]},
            "anything": [1, "a", None],
        },
    ),
    "keys": Case(
        Keys,
        Keys({Color.RED: 1}, {"a": Point(x=1)}, {ID: {"n": 1}}),
        {"by_color": {"red": 1}, "by_word": {"a": {"x": 1}}, "by_id": {str(ID): {"n": 1}}},
    ),
    "described": Case(Described, Described("B", 891.7, "K"), {"city": "B", "area": 891.7, "mayor": "K"}),
    "new types": Case(
        Named,
        Named(UserId(1), Handle("@a"), 3, {"b": UserId(2)}),
        {"id": 1, "handle": "@a", "fixed": 3, "friends": {"b": 2}},
    ),
    "inherited": Case(Bottom, Bottom(b=4, a="x", c=5), {"a": "x", "b": 4, "c": 5}),
    "made": Case(Made, Made(1, "b"), {"a": 1, "b": "b"}),
    "checked": Case(Checked, Checked(2, "ABC", "x"), {"even": 2, "upper": "ABC", "either": "x"}),
    "local": Case(Local, Local(1, Local(2)), {"value": 1, "next": {"value": 2, "next": None}}),
    "a union": Case(Cat | Dog, Dog("dog", []), {"kind": "dog", "friends": []}),
    "a list": Case(list[Node], [Node(1), Node(2, [Node(3)])], [{"value": 1}, {"value": 2, "children": [{"value": 3}]}]),
    "everything": Case(
        Generics[str, int],
        Generics({"a": Box(1, [2])}, (Box(Tree(1)),), Tree(Pair(1), Tree(Pair(2, "x"))), Box(None, [1, None])),
        {
            "items": {"a": {"content": 1, "more": [2]}},
            "boxes": [{"content": {"value": 1}}],
            "choice": {"value": {"left": 1}, "left": {"value": {"left": 2, "right": "x"}}},
            "optional": {"content": None, "more": [1, None]},
        },
    ),
}
Modern: Any = modern() if sys.version_info >= (3, 12) else None
if Modern is not None:
    CASES["aliases"] = Case(
        Modern[float],
        Modern({"a": ["b", {"c": None}]}, [1.5], 3, 0.5),
        {"data": {"a": ["b", {"c": None}]}, "many": [1.5], "count": 3, "own": 0.5},
    )

each = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


# -- wrong answers ----------------------------------------------------------------------------------------------------

FORMATS = jsonschema.FormatChecker(())
for _name, _read in (("date-time", dt.datetime), ("date", dt.date), ("time", dt.time)):
    FORMATS.checks(_name, ValueError)(lambda text, read=_read: not isinstance(text, str) or read.fromisoformat(text))
FORMATS.checks("uuid", ValueError)(lambda text: not isinstance(text, str) or bool(uuid.UUID(text)))

WRONG: tuple[Any, ...] = (
    None,
    True,
    5.5,
    10**12,
    -(10**12),
    10**400,
    "no such word",
    "",
    "x" * 5000,
    [],
    [[]],
    {},
    {"?": 1},
)


class Mutant(NamedTuple):
    """A document with one place changed."""

    path: tuple[str | int, ...]
    json: Any


def places(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a document."""
    yield path
    steps: Any = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for step, inner in steps:
        yield from places(inner, (*path, step))


def mutants(document: Any) -> Iterator[Mutant]:
    """Each place with another value, and each gone."""
    for path in places(document):
        for value in WRONG:
            changed = [copy.deepcopy(document)]
            inner: Any = changed
            for step in (0, *path)[:-1]:
                inner = inner[step]
            inner[(0, *path)[-1]] = value
            yield Mutant(path, changed[0])
        if path:
            changed = copy.deepcopy(document)
            inner = changed
            for step in path[:-1]:
                inner = inner[step]
            del inner[path[-1]]
            yield Mutant(path, changed)


def checker(kind: Any) -> Any:
    """The judge of what is wrong, which is not ours."""
    return jsonschema.Draft202012Validator(schema_of(kind), format_checker=FORMATS)


IN_UNIONS: Final = [
    Pets,
    Cat | Dog,
    Numbers,
    Generics[str, int],
    *([Modern[float]] if sys.version_info >= (3, 12) else []),
]
"""Where several members of a union may have been meant, the mismatch is that of the union around the place."""


def is_right(path: tuple[str | int, ...], mutant: Mutant, *, in_union: bool) -> bool:
    """Whether a mismatch is told where it is: there, below a value put there, or at the list that lost an item."""
    place = mutant.path
    shorter = bool(place) and type(place[-1]) is int and path == place[:-1]
    return path[: len(place)] == place or shorter or (in_union and path == place[: len(path)])


def steps_of(path: str) -> tuple[str | int, ...]:
    """The steps of a path as errors write it, keys of dicts and fields alike."""
    found: list[str | int] = []
    rest = path.removeprefix("$")
    while rest:
        if rest.startswith("."):
            name, *_ = rest[1:].replace("[", ".").split(".")
            found.append(name)
            rest = rest[1 + len(name) :]
        else:
            inner, _, rest = rest[1:].partition("]")
            found.append(inner.strip("'") if inner.startswith("'") else int(inner))
    return tuple(found)


# -- the thirty ------------------------------------------------------------------------------------------------------


@each
def test_schema(case: Case) -> None:
    """The schema is a valid one, JSON itself, and the instance's JSON fits it; so does the one that is sent."""
    schema = json.loads(json.dumps(schema_of(case.kind), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert [] == list(checker(case.kind).iter_errors(case.json))
    asked = response_format(case.kind)["json_schema"]
    jsonschema.Draft202012Validator.check_schema(asked["schema"])
    assert "object" == asked["schema"]["type"]
    wrapped = case.json if isinstance(case.json, dict) and "value" not in asked["schema"]["properties"] else None
    sent = wrapped if wrapped is not None else case.json if "value" in case.json else {"value": case.json}
    jsonschema.validate(sent, asked["schema"])


@each
def test_round_trip(case: Case) -> None:
    """The JSON of an instance is read as an equal instance of the same class, in a Markdown block too."""
    text = json.dumps(case.json)
    for written in (text, f"```json\n{text}\n```"):
        read = parse(written, case.kind)
        assert case.instance == read
        assert type(case.instance) is type(read)


@each
def test_wrong_answers(case: Case) -> None:
    """Whatever one place is changed to, what the schema forbids is a mismatch at that place and nowhere else."""
    judge, tried = checker(case.kind), 0
    for mutant in mutants(case.json):
        if judge.is_valid(mutant.json):
            continue
        tried += 1
        with pytest.raises(FieldMismatchError) as found:
            parse(json.dumps(mutant.json), case.kind)
        paths = [steps_of(error.path) for error in found.value.errors]
        assert paths
        assert [] == [p for p in paths if not is_right(p, mutant, in_union=case.kind in IN_UNIONS)], mutant
    assert tried >= 10


# -- every other way to be wrong --------------------------------------------------------------------------------------


def errors(text: str, kind: Any) -> dict[str, str]:
    """What is wrong with an answer, by path."""
    with pytest.raises(FieldMismatchError) as found:
        parse(text, kind)
    return {error.path: error.problem for error in found.value.errors}


def test_every_place_is_named() -> None:
    """All that does not fit is told at once: types, what is missing, and what attrs' own validators refuse."""
    document = {"stars": 6, "share": "x", "code": "A", "names": ["a", 5], "maybe": 9}
    assert {
        "$.stars": "'stars' must be <= 5: 6",
        "$.share": "must be a number, not str",
        "$.code": "'code' must match regex '[A-Z]{2}\\\\d+' ('A' doesn't)",
        "$.word": "is missing",
        "$.names[1]": "must be a string, not int",
        "$.maybe": "'maybe' must be >= 10: 9",
    } == errors(json.dumps(document), Constrained)


@pytest.mark.parametrize(
    ("change", "path", "problem"),
    [
        ({"even": 3}, "$.even", "even is odd"),
        ({"upper": "stop"}, "$", "STOP"),
        ({"either": 1.5}, "$.either", "fits none of int, str"),
    ],
)
def test_what_a_program_checks(change: dict[str, Any], path: str, problem: str) -> None:
    """A validator of a program may raise anything: it is a mismatch at its field, or at the class if that raised."""
    document = {"even": 2, "upper": "a", "either": 1} | change
    assert {path: problem} == errors(json.dumps(document), Checked)


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("", Flat, {"$": "the answer is empty"}),
        ("Sure!", Flat, {"$": "the answer is no JSON"}),
        ("[" * 100_000, list[Any], {"$": "the answer is no JSON"}),
        ("5", Flat, {"$": "must be an object, not int"}),
        ('"name"', Point, {"$": "must be an object, not str"}),
        ('{"children": "abc", "value": 1}', Node, {"$.children": "must be a list, not str"}),
        ('{"value": 1, "above": {"value": 1, "above": "xy"}}', Node, {"$.above.above": "must be an object, not str"}),
        ('{"a": 5}', dict[str, str], {"$['a']": "must be a string, not int"}),
        ('{"a @ b\\u001b": 5}', dict[str, str], {r"$['a @ b\x1b']": "must be a string, not int"}),
        ('{"green": 1}', dict[Color, int], {"$['green']": "must be one of 'red', 'blue'"}),
        ('{"value": 5}', list[int], {"$": "must be a list, not int"}),
        ("[1, 2, 3]", tuple[int, int], {"$": "must have 2 items, not 3"}),
        ('["@"]', list[bytes], {"$[0]": "must be base64"}),
        ('["x", true]', list[decimal.Decimal], {"$[0]": "must be a number", "$[1]": "must be a number"}),
        ("1" + "0" * 400, float, {"$": "is too large for a number with a decimal point"}),
        ("1.5", int, {"$": "must be an integer, not float"}),
        ("true", Literal[1], {"$": "must be one of 1"}),
        ("5", None | str, {"$": "must be a string, not int"}),
        ('[{"kind": "cow"}]', list[Cat | Dog], {"$[0]": "fits none of Cat, Dog"}),
        ('[{"kind": "cat", "lives": "x"}]', list[Cat | Dog], {"$[0].lives": "must be an integer, not str"}),
        (
            '{"kind": "cow", "lives": 1, "friends": []}',
            Cat | Dog,
            {"$.kind": "must be one of 'cat' or must be one of 'dog'"},
        ),
        ("[[1]]", set[Any], {"$": "unhashable type: 'list'"}),
    ],
)
def test_mismatch(text: str, kind: Any, found: dict[str, str]) -> None:
    """What came instead, and where, in words for a person."""
    assert found == errors(text, kind)


def test_too_deep() -> None:
    """A class that contains itself, nested deeper than Python goes, is a mismatch."""
    depth = 20_000
    text = '{"value": 1, "above": ' * depth + "null" + "}" * depth
    assert list(errors(text, Node)) == ["$"]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3.0", int, 3),
        ("3", float, 3.0),
        ("0.1", decimal.Decimal, decimal.Decimal("0.1")),
        ('{"value": [1]}', list[int], [1]),
        ('{"value": 1}', dict[str, int], {"value": 1}),
        ('{"value": 1}', Any, {"value": 1}),
        ('{"value": null}', int | None, None),
        ("null", None | Cat, None),
        ('{"name": "x", "unknown": {"deep": 1}}', WithDefaults, WithDefaults("x")),
        ("2.5", int | float, 2.5),
        ("1", Annotated[int, []], 1),
        ("[]", tuple, ()),
        ("[1, null]", list, [1, None]),
        ("{}", dict, {}),
    ],
)
def test_value(text: str, kind: Any, value: Any) -> None:
    """JSON has one kind of number; what was wrapped for the gateway is unwrapped; unknown keys are ignored."""
    read = parse(text, kind)
    assert value == read
    assert type(value) is type(read)


def test_a_class_that_cannot_be_read() -> None:
    """It is the program's mistake whatever the answer is, and said with the place."""
    with pytest.raises(
        ConfigurationError, match=r"list\[timedelta\]\[\]: <class 'datetime.timedelta'> has no shape in JSON"
    ):
        parse("not even JSON", list[dt.timedelta])


# -- through the client ----------------------------------------------------------------------------------------------


@pytest.fixture
async def sim() -> Any:
    """A simulator."""
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> Any:
    """A client on it."""
    async with AnyFast("sk-x", base_url=sim.base_url, model="gemini-2.5-flash") as made:
        yield made


@each
async def test_client_parse(case: Case, sim: Simulator, client: AnyFast) -> None:
    """client.parse sends the schema and returns the instance; completion.parse returns it of the same answer."""
    sim.reply(json=case.json)
    assert case.instance == await client.parse("x", case.kind)
    assert response_format(case.kind) == sim.requests[0].body["response_format"]
    sim.reply(json=case.json)
    assert case.instance == (await client.complete("x")).parse(case.kind)


async def test_map_into(sim: Simulator, client: AnyFast) -> None:
    """map(into=) gives instances; an answer that does not fit is the error of its own item, with paths."""
    either: Any = Cat | Dog
    sim.reply(json={"kind": "dog", "friends": [5]}, when="1")
    sim.reply(json={"kind": "cat", "lives": 9})
    good, bad = await client.map(["item 0", "item 1"], into=either)
    assert good.value == Cat("cat", 9)
    assert isinstance(bad.error, OutputError)
    assert [("$.friends[0]", "must be a string, not int")] == [(e.path, e.problem) for e in bad.error.errors]
    assert "yes" == bad.error.billed


async def test_the_simulator_answers_to_the_schema(client: AnyFast) -> None:
    """Without a script the simulator's answers fit the schema that came with the request."""
    for kind in (Flat, WithDefaults, Line, Node, Folder, Box[Point], IntBox, Forest, Enums, Literals, Pets):
        assert isinstance(await client.parse("Tell me.", kind), typing_origin(kind))


def typing_origin(kind: Any) -> Any:
    """The class of a generic class."""
    return getattr(kind, "__origin__", kind)
