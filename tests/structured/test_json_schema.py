"""The schema of a class: what is inlined, what is a reference, what it says, and what has none."""

from __future__ import annotations

import datetime as dt
import enum
import gc
import json
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional

import attrs
import jsonschema
import pytest

from anyfast_async import AnyFastError, ChatRequest, ConfigurationError
from anyfast_async._structured import schema_references
from anyfast_async._structured.json_schema import response_format, schema_of, writes_out

if TYPE_CHECKING:
    from anyfast_async import AnyFast
    from anyfast_async.simulator import Simulator


@attrs.frozen
class City:
    """A place
    with people."""  # noqa: D205, D209 - as people write it

    name: Annotated[str, "in English"]
    people: int = attrs.field(default=0, metadata={"description": "at the last count"})
    mood: Literal["gay", "grim"] | None = None


class Level(enum.Enum):
    LOW = 1
    HIGH = "high"


class Unwritable(enum.Enum):
    TUPLE = (1, 2)


@attrs.frozen
class Item:
    inner: Item | None = None


def untyped(annotation: str) -> Any:
    """An annotation in a string."""
    return annotation


Outer = attrs.make_class("Item", {"one": attrs.field(type=Item), "same": attrs.field(type=untyped("list[Outer]"))})


@attrs.frozen
class Defaults:
    level: Level = Level.HIGH
    ratio: float = float("inf")
    at: dt.date = dt.date(2025, 1, 1)
    none: int | None = None


def test_the_whole_of_one() -> None:
    """Types, descriptions, defaults, what is required: as a model is told."""
    assert {
        "type": "object",
        "description": "A place with people.",
        "properties": {
            "name": {"type": "string", "description": "in English"},
            "people": {"type": "integer", "description": "at the last count", "default": 0},
            "mood": {"anyOf": [{"type": "string", "enum": ["gay", "grim"]}, {"type": "null"}], "default": None},
        },
        "required": ["name"],
    } == schema_of(City)


def test_only_what_contains_itself_is_a_reference() -> None:
    """Two classes of one name that both contain themselves do not take each other's place."""
    assert "$ref" not in str(schema_of(list[City] | dict[str, City]))
    schema = schema_of(Outer)
    assert ["Item", "Item.2"] == sorted(schema["$defs"])
    jsonschema.Draft202012Validator.check_schema(schema)
    judge = jsonschema.Draft202012Validator(schema)
    assert judge.is_valid({"one": {"inner": {"inner": None}}, "same": [{"one": {}, "same": []}]})
    assert not judge.is_valid({"one": {"inner": {"one": {}, "inner": 5}}, "same": []})
    assert not judge.is_valid({"one": {}, "same": [{"one": {}}]})


def test_defaults_that_json_can_show() -> None:
    """An enum's default is its word; infinity and dates are not shown."""
    shown = {name: field.get("default", "none") for name, field in schema_of(Defaults)["properties"].items()}
    assert {"level": "high", "ratio": "none", "at": "none", "none": None} == shown


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (City, "City"),
        (list[City], "list_City_"),
        (
            Optional[City],  # noqa: UP045 - as it used to be written
            "Optional_City_",
        ),
        (NewType("Years", int), "Years"),
    ],
)
def test_response_format(kind: Any, asked: str) -> None:
    """What is no object is wrapped into one; the name is letters, digits, dashes and underscores."""
    made = response_format(kind)
    assert ("json_schema", asked) == (made["type"], made["json_schema"]["name"])
    wrapped = ["value"] == list(made["json_schema"]["schema"]["properties"])
    assert wrapped == (kind is not City)


def test_anything() -> None:
    """For Any there is no schema: any JSON object is asked for."""
    assert {"type": "json_object"} == response_format(Any)


def test_recursion_below_a_wrapper() -> None:
    """References stay right where the schema is wrapped."""
    schema = response_format(list[Item])["json_schema"]["schema"]
    assert jsonschema.Draft202012Validator(schema).is_valid({"value": [{"inner": {"inner": {}}}]})
    assert not jsonschema.Draft202012Validator(schema).is_valid({"value": [{"inner": {"inner": {"inner": 5}}}]})


def lost() -> Any:
    """A class whose annotation names what only the function knew."""

    @attrs.frozen
    class Other:
        a: int

    @attrs.frozen
    class Lost:
        other: Other

    return Lost


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (dt.timedelta, "timedelta: <class 'datetime.timedelta'> has no shape in JSON"),
        (Callable[[int], int], "has no shape in JSON"),
        (dict[int, str], "'int' is no key of a JSON object"),
        (dict[str, complex], r"{}: <class 'complex'> has no shape"),
        (Unwritable, "has no shape in JSON"),
        (Literal[b"x"], "has no shape in JSON"),
        (attrs.make_class("Deep", {"a": attrs.field(type=list[tuple[int, complex]])}), r"Deep\.a\[\]\[1\]: <class"),
        (dict[str, list[Annotated[int, []]]], r"unhashable type: 'list'; what stands in Annotated"),
        (lost(), "Lost: name 'Other' is not defined; classes for parse must be defined where"),
    ],
)
def test_no_shape(kind: Any, words: str) -> None:
    """A type that JSON has no shape for is refused with the place where it stands."""
    with pytest.raises(ConfigurationError, match=words):
        schema_of(kind)


def chain(levels: int, refs: int) -> Any:
    """A class with so many classes inside of each other, each with so many fields of the next one."""
    kind: Any = attrs.make_class("N0", {"x": attrs.field(type=int)})
    for n in range(1, levels):
        fields = {f"child{k}": attrs.field(type=kind) for k in range(refs)}
        kind = attrs.make_class(f"N{n}", {"x": attrs.field(type=int), **fields})
    return kind


@pytest.mark.parametrize(("levels", "refs"), [(19, 1), (400, 1), (10, 2), (60, 2), (300, 3)])
@pytest.mark.parametrize("write_out", [False, True])
def test_the_size_grows_with_the_classes(levels: int, refs: int, write_out: bool) -> None:
    """Classes within classes make a schema of their own size, however often and however deep they stand in each other.

    Written out there is a bound, beyond which what repeats is a reference again.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema_references, "MOST", 0)
        made = response_format(chain(levels, refs), write_out=write_out)
    assert len(json.dumps(made)) < 200 * levels * refs
    ChatRequest("q", response_format=made)


def test_what_repeats_is_a_reference_except_where_it_is_written_out() -> None:
    """A class that is used once stands in its place; one that repeats is under $defs, unless all is written out."""
    kind = chain(3, 2)
    whole, short = schema_of(kind), schema_of(kind, write_out=False)
    assert "$ref" not in str(whole)
    assert {"N0", "N1"} == short["$defs"].keys()
    assert short["properties"]["child0"] == short["properties"]["child1"] == {"$ref": "#/$defs/N1"}
    assert "$ref" not in str(schema_of(chain(5, 1), write_out=False))
    for model, wanted in (("gemini-2.5-pro", True), ("google/Gemini-3-pro", True), (None, True), ("gpt-5", False)):
        assert wanted == writes_out(model)


def test_nothing_stands_beside_a_reference() -> None:
    """A description or default of a field whose class is a reference stands around it, where all models read it."""
    city = attrs.make_class("City", {"name": attrs.field(type=str)})
    described = attrs.field(type=city, metadata={"description": "where from"})
    kind = attrs.make_class("Trip", {"a": described, "b": attrs.field(type=city)})
    fields = schema_of(kind, write_out=False)["properties"]
    assert {"anyOf": [{"$ref": "#/$defs/City"}], "description": "where from"} == fields["a"]
    assert "where from" == schema_of(kind)["properties"]["a"]["description"]


def test_a_schema_is_kept_as_long_as_its_class() -> None:
    """The same class has its schema made once, and nothing keeps the class from being freed."""
    kind = chain(3, 2)
    assert schema_of(kind) is schema_of(kind)
    assert response_format(kind, write_out=False) is response_format(kind, write_out=False)
    assert schema_of(City | Level) is schema_of(City | Level)
    assert schema_of(City | Level) != schema_of(Level | City)
    gone = weakref.ref(kind)
    del kind
    gc.collect()
    assert gone() is None


async def test_a_model_gets_the_form_that_it_reads(sim: Simulator, client: AnyFast) -> None:
    """parse, and each row of a map, asks in the form for its own model."""
    kind = chain(3, 2)
    sim.reply(json={})
    for model in ("gemini-2.5-pro", "gpt-5"):
        with pytest.raises(AnyFastError):
            await client.parse("q", kind, model=model)
    await client.map(["gemini-2.5-pro", "gpt-5"], request=lambda m: ChatRequest("q", model=m), into=kind, concurrency=1)
    assert [False, True] * 2 == ["$ref" in str(request.body["response_format"]) for request in sim.requests]
