"""Forty classes of four families, each from its schema to an answer that is repaired on the second try.

The right answer is accepted by the schema and comes back as the instance; the wrong one is rejected with its path.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, Required, TypedDict, TypeVar

import attrs
import jsonschema
import pydantic
import pytest
from attrs import validators as v
from pydantic.dataclasses import dataclass as checked_dataclass

from anyfast_async import AnyFast, ConfigurationError
from anyfast_async._structured.json_schema import response_format, schema_of
from anyfast_async._structured.parsing import FieldMismatchError, parse
from anyfast_async.simulator import Simulator

T = TypeVar("T")


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


# -- attrs -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class City:
    name: str
    inhabitants: int


@attrs.frozen
class Country:
    capital: City
    cities: list[City] = attrs.field(factory=list)


@attrs.frozen
class Chain:
    value: int
    rest: Chain | None = None


@attrs.frozen
class Rated:
    stars: int = attrs.field(validator=[v.ge(1), v.le(5)])


@attrs.frozen
class Judged:
    mood: Mood
    level: Level = Level.LOW


@attrs.frozen
class Meeting:
    at: dt.datetime
    day: dt.date
    clock: dt.time | None = None


@attrs.frozen
class Circle:
    shape: Literal["circle"]
    radius: float


@attrs.frozen
class Square:
    shape: Literal["square"]
    side: float


@attrs.frozen
class Drawing:
    shapes: list[Circle | Square]


@attrs.frozen
class Renamed:
    _key: int
    other: str = attrs.field(alias="name", default="-")


@attrs.frozen
class Boxed(Generic[T]):
    content: T


@attrs.frozen
class Counted:
    counts: dict[str, int]
    pairs: list[tuple[str, int]]
    unique: frozenset[int] = frozenset()


# -- dataclasses -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Person:
    name: str
    age: int | None = None
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Team:
    lead: Person
    members: tuple[Person, ...] = ()


@dataclasses.dataclass
class Branch:
    name: str
    children: list[Branch] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True, kw_only=True)
class Order:
    state: Literal["open", "paid"]
    mood: Mood
    id: uuid.UUID


@dataclasses.dataclass
class Priced:
    price: decimal.Decimal
    on: dt.date


@dataclasses.dataclass
class Text:
    text: str


@dataclasses.dataclass
class Number:
    number: float


@dataclasses.dataclass
class Mixed:
    value: Text | Number | int | None
    also: int | str = 0


@dataclasses.dataclass
class Checked:
    even: int

    def __post_init__(self) -> None:
        if self.even % 2:
            message = "even is odd"
            raise ValueError(message)


# -- TypedDicts and named tuples -------------------------------------------------------------------------------------


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Sequel(Movie, total=False):
    before: Required[Movie]
    mood: Mood


class Thread(TypedDict):
    text: str
    answers: list[Thread]


class Event(TypedDict):
    day: dt.date
    kind: Literal["start", "end"]


class Odd(TypedDict):
    person: Person
    city: City | None


Dashed = TypedDict("Dashed", {"first-name": Annotated[str, "of the person"], "class": int})


class Point(NamedTuple):
    x: int
    y: int = 0


# -- pydantic --------------------------------------------------------------------------------------------------------


class User(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=0, description="in years")


class Group(pydantic.BaseModel):
    users: list[User]
    lead: User | None = None


class Node(pydantic.BaseModel):
    name: str
    children: list[Node] = []


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    name: str


class Pet(pydantic.BaseModel):
    pet: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]


class Either(pydantic.BaseModel):
    either: Cat | int


class Stamped(pydantic.BaseModel):
    at: dt.datetime
    day: dt.date
    mood: Mood
    level: Level = Level.LOW


class Camel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    full_name: str = pydantic.Field(alias="fullName")


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    count: int
    day: dt.date
    at: tuple[int, str]


class Even(pydantic.BaseModel):
    even: int

    @pydantic.field_validator("even")
    @classmethod
    def check(cls, value: int) -> int:
        if value % 2:
            message = "is odd"
            raise ValueError(message)
        return value


class Wrapped(pydantic.BaseModel, Generic[T]):
    content: T


class Users(pydantic.RootModel[list[User]]):
    pass


@checked_dataclass
class Measured:
    size: int = pydantic.Field(gt=0)
    next: Measured | None = None


@attrs.frozen
class Holder:
    user: User
    others: dict[str, Node] = attrs.field(factory=dict)


# -- the table -------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    kind: Any
    instance: Any
    right: Any
    wrong: Any
    paths: tuple[str, ...]
    """Of everything that is wrong."""
    by_schema: bool = True
    """Whether the schema says so too."""


PARIS = {"name": "Paris", "inhabitants": 2}
ANN = {"name": "Ann", "age": 3}
ID = uuid.UUID(int=7)
NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
DAY = dt.date(2026, 1, 2)
ROWS: dict[str, Row] = {
    "attrs": Row(City, City("Paris", 2), PARIS, {"name": 1}, ("$.name", "$.inhabitants")),
    "attrs nested": Row(
        Country,
        Country(City("Paris", 2), [City("Lyon", 1)]),
        {"capital": PARIS, "cities": [{"name": "Lyon", "inhabitants": 1}]},
        {"capital": PARIS, "cities": [PARIS, {"name": "Lyon"}]},
        ("$.cities[1].inhabitants",),
    ),
    "attrs recursive": Row(
        Chain, Chain(1, Chain(2)), {"value": 1, "rest": {"value": 2}}, {"value": 1, "rest": {}}, ("$.rest.value",)
    ),
    "attrs validators": Row(Rated, Rated(5), {"stars": 5}, {"stars": 6}, ("$.stars",)),
    "attrs enums": Row(Judged, Judged(Mood.BAD, Level.HIGH), {"mood": "bad", "level": 2}, {"mood": "BAD"}, ("$.mood",)),
    "attrs dates": Row(
        Meeting,
        Meeting(NOON, DAY, dt.time(9)),
        {"at": "2026-01-02T12:00:00+00:00", "day": "2026-01-02", "clock": "09:00:00"},
        {"at": "noon", "day": "2026-13-01"},
        ("$.at", "$.day"),
        by_schema=False,  # formats are notes
    ),
    "attrs union of classes": Row(
        Drawing,
        Drawing([Square("square", 1.0), Circle("circle", 2.0)]),
        {"shapes": [{"shape": "square", "side": 1.0}, {"shape": "circle", "radius": 2.0}]},
        {"shapes": [{"shape": "square", "side": "x"}]},
        ("$.shapes[0].side",),
    ),
    "attrs aliases": Row(Renamed, Renamed(1, "x"), {"key": 1, "name": "x"}, {"_key": 1}, ("$.key",)),
    "attrs generic": Row(
        Boxed[list[City]],
        Boxed([City("Paris", 2)]),
        {"content": [PARIS]},
        {"content": [{}]},
        ("$.content[0].name", "$.content[0].inhabitants"),
    ),
    "attrs containers": Row(
        Counted,
        Counted({"a": 1}, [("b", 2)], frozenset({3})),
        {"counts": {"a": 1}, "pairs": [["b", 2]], "unique": [3]},
        {"counts": {"a": "1"}, "pairs": [["b"]]},
        ("$.counts['a']", "$.pairs[0]"),
    ),
    "dataclass": Row(Person, Person("Ann", 3, ["x"]), ANN | {"tags": ["x"]}, {"age": "3"}, ("$.name", "$.age")),
    "dataclass nested": Row(
        Team,
        Team(Person("Ann", 3), (Person("Bob"),)),
        {"lead": ANN, "members": [{"name": "Bob"}]},
        {"lead": ANN, "members": [{"name": None}]},
        ("$.members[0].name",),
    ),
    "dataclass recursive": Row(
        Branch,
        Branch("a", [Branch("b")]),
        {"name": "a", "children": [{"name": "b"}]},
        {"name": "a", "children": [{"name": "b", "children": [{}]}]},
        ("$.children[0].children[0].name",),
    ),
    "dataclass literal, enum, id": Row(
        Order,
        Order(state="paid", mood=Mood.GOOD, id=ID),
        {"state": "paid", "mood": "good", "id": str(ID)},
        {"state": "lost", "mood": "so so", "id": str(ID)},
        ("$.state", "$.mood"),
    ),
    "dataclass decimal and date": Row(
        Priced,
        Priced(decimal.Decimal("1.25"), DAY),
        {"price": "1.25", "on": "2026-01-02"},
        {"price": None, "on": "2026-01-02"},
        ("$.price",),
    ),
    "dataclass unions": Row(
        Mixed,
        Mixed(Number(1.5), "x"),
        {"value": {"number": 1.5}, "also": "x"},
        {"value": {"number": "x"}},
        ("$.value.number",),
    ),
    "dataclass that checks itself": Row(Checked, Checked(2), {"even": 2}, {"even": 3}, ("$",), by_schema=False),
    "TypedDict": Row(Movie, {"title": "t", "year": 1}, {"title": "t", "year": 1}, {"year": "1"}, ("$.title", "$.year")),
    "TypedDict total=False": Row(
        Sequel,
        {"title": "t", "before": {"title": "s"}, "mood": Mood.BAD},
        {"title": "t", "before": {"title": "s"}, "mood": "bad"},
        {"title": "t", "before": {}},
        ("$.before.title",),
    ),
    "TypedDict recursive": Row(
        Thread,
        {"text": "a", "answers": [{"text": "b", "answers": []}]},
        {"text": "a", "answers": [{"text": "b", "answers": []}]},
        {"text": "a", "answers": [{"text": "b"}]},
        ("$.answers[0].answers",),
    ),
    "TypedDict date and literal": Row(
        Event,
        {"day": DAY, "kind": "end"},
        {"day": "2026-01-02", "kind": "end"},
        {"day": "2026-01-02", "kind": "middle"},
        ("$.kind",),
    ),
    "TypedDict of others": Row(
        Odd,
        {"person": Person("Ann", 3), "city": City("Paris", 2)},
        {"person": ANN, "city": PARIS},
        {"person": ANN, "city": {"name": "Paris"}},
        ("$.city.inhabitants",),
    ),
    "TypedDict of odd keys": Row(
        Dashed,
        {"first-name": "Ann", "class": 1},
        {"first-name": "Ann", "class": 1},
        {"first-name": "Ann", "class": []},
        ("$.class",),
    ),
    "named tuple": Row(Point, Point(1, 2), {"x": 1, "y": 2}, {"x": 1, "y": None}, ("$.y",)),
    "pydantic": Row(User, User(name="Ann", age=3), ANN, {"age": -1}, ("$.name", "$.age")),
    "pydantic nested": Row(
        Group,
        Group(users=[User(name="Ann", age=3)]),
        {"users": [ANN]},
        {"users": [ANN, {"name": "Bob"}]},
        ("$.users[1].age",),
    ),
    "pydantic recursive": Row(
        Node,
        Node(name="a", children=[Node(name="b")]),
        {"name": "a", "children": [{"name": "b"}]},
        {"name": "a", "children": [{"name": "b", "children": [{}]}]},
        ("$.children[0].children[0].name",),
    ),
    "pydantic discriminated union": Row(
        Pet,
        Pet(pet=Dog(kind="dog", name="x")),
        {"pet": {"kind": "dog", "name": "x"}},
        {"pet": {"kind": "dog"}},
        ("$.pet.name",),
    ),
    "pydantic union": Row(
        Either,
        Either(either=Cat(kind="cat")),
        {"either": {"kind": "cat"}},
        {"either": {"kind": "cow"}},
        ("$.either.kind", "$.either"),
    ),
    "pydantic dates and enums": Row(
        Stamped,
        Stamped(at=NOON, day=DAY, mood=Mood.GOOD, level=Level.HIGH),
        {"at": "2026-01-02T12:00:00Z", "day": "2026-01-02", "mood": "good", "level": 2},
        {"at": "2026-01-02T12:00:00Z", "day": "2026-01-02", "mood": "GOOD"},
        ("$.mood",),
    ),
    "pydantic alias, no others": Row(
        Camel, Camel(fullName="Ann"), {"fullName": "Ann"}, {"fullName": "Ann", "a-b": 1}, ("$['a-b']",)
    ),
    "pydantic strict": Row(
        Strict,
        Strict(count=1, day=DAY, at=(1, "x")),
        {"count": 1, "day": "2026-01-02", "at": [1, "x"]},
        {"count": "1", "day": "2026-01-02", "at": [1]},
        ("$.count", "$.at[1]"),
    ),
    "pydantic validator": Row(Even, Even(even=2), {"even": 2}, {"even": 3}, ("$.even",), by_schema=False),
    "pydantic generic": Row(
        Wrapped[list[User]],
        Wrapped[list[User]](content=[User(name="Ann", age=3)]),
        {"content": [ANN]},
        {"content": [{"age": 3}]},
        ("$.content[0].name",),
    ),
    "pydantic root": Row(Users, Users([User(name="Ann", age=3)]), [ANN], [{"name": "Ann"}], ("$[0].age",)),
    "pydantic root of a dict": Row(
        pydantic.RootModel[dict[str, int]],
        pydantic.RootModel[dict[str, int]]({"value": 3}),
        {"value": 3},
        {"a": "x"},
        ("$.a",),
    ),
    "pydantic dataclass": Row(
        Measured, Measured(1, Measured(2)), {"size": 1, "next": {"size": 2}}, {"size": 1, "next": {}}, ("$.next.size",)
    ),
    "pydantic within attrs": Row(
        Holder,
        Holder(User(name="Ann", age=3), {"a": Node(name="b")}),
        {"user": ANN, "others": {"a": {"name": "b"}}},
        {"user": ANN, "others": {"a": {}}},
        ("$.others['a'].name",),
    ),
    "union of pydantic": Row(
        Cat | Dog,
        Dog(kind="dog", name="x"),
        {"kind": "dog", "name": "x"},
        {"kind": "dog", "name": 1},
        ("$.name",),
    ),
    "list of attrs": Row(list[City], [City("Paris", 2)], [PARIS], [PARIS, {"name": "x"}], ("$[1].inhabitants",)),
    "list of pydantic": Row(list[User], [User(name="Ann", age=3)], [ANN], [ANN, 5], ("$[1]",)),
    "dict of TypedDict": Row(
        dict[str, Movie], {"a": {"title": "t"}}, {"a": {"title": "t"}}, {"a": {}}, ("$['a'].title",)
    ),
    "literal": Row(Literal["a", "b"], "b", "b", "c", ("$",)),
    "date": Row(dt.date, DAY, "2026-01-02", 5, ("$",)),
}


def test_there_are_forty() -> None:
    """The table is long enough, with something of each family."""
    assert len(ROWS) >= 40


def _asked(row: Row, value: Any, *, write_out: bool) -> tuple[dict[str, Any], Any]:
    """The schema that is asked for, and the answer as it asks for it."""
    schema = response_format(row.kind, write_out=write_out)["json_schema"]["schema"]
    is_wrapped = set(schema["properties"]) == {"value"} if "properties" in schema else False
    return schema, {"value": value} if is_wrapped and not (isinstance(value, dict) and "value" in value) else value


@pytest.mark.parametrize("write_out", [True, False])
@pytest.mark.parametrize("name", ROWS)
def test_schema(name: str, write_out: bool) -> None:
    """The schema is one by draft 2020-12, with an object at the top; it takes the right answer and not the wrong."""
    row = ROWS[name]
    schema, right = _asked(row, row.right, write_out=write_out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert not [
        word for word in ("const", "oneOf", "prefixItems", "discriminator") if f'"{word}":' in json.dumps(schema)
    ]
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(right)
    assert validator.is_valid(_asked(row, row.wrong, write_out=write_out)[1]) is not row.by_schema


@pytest.mark.parametrize("name", ROWS)
def test_round_trip(name: str) -> None:
    """The right answer is the instance, wrapped or not; the wrong one is told by the paths of all that is wrong."""
    row = ROWS[name]
    for value in (row.right, _asked(row, row.right, write_out=True)[1]):
        found = parse(
            f"Here it is:\n```json\n{json.dumps(value)}\n```" if isinstance(value, (dict, list)) else json.dumps(value),
            row.kind,
        )
        assert found == row.instance
        assert type(found) is type(row.instance)
    with pytest.raises(FieldMismatchError) as caught:
        parse(json.dumps(row.wrong), row.kind)
    assert tuple(error.path for error in caught.value.errors) == row.paths


@pytest.fixture
async def sim() -> Any:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> Any:
    async with AnyFast("k" * 20, base_url=sim.base_url, model="gemini-2.5-flash") as one:
        yield one


async def test_repaired(sim: Simulator, client: AnyFast) -> None:
    """Every class is repaired on the second try, which shows the model its answer and every place in it."""
    for row in ROWS.values():
        sim.reset()
        sim.reply(json.dumps(row.wrong))
        sim.reply(json.dumps(row.right), when="does not fit the JSON schema")
        assert await client.parse("What is it?", row.kind, repair=1) == row.instance
        first, second = (request.body for request in sim.requests)
        assert first["response_format"] == second["response_format"]
        question, answer, correction = second["messages"]
        assert question == first["messages"][0]
        assert (answer["role"], answer["content"]) == ("assistant", json.dumps(row.wrong))
        assert [f"- {path}: " in correction["content"] for path in row.paths] == [True] * len(row.paths)
    assert client.stats().requests == 2 * len(ROWS)


def test_own_schema_that_cannot_be() -> None:
    """A model that cannot make its schema is refused by name before anything is sent."""

    class Opaque(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        thing: Simulator

    with pytest.raises(ConfigurationError, match=r"Opaque\]\[\]: its own JSON schema cannot be made: .*Simulator"):
        schema_of(list[Opaque])
