"""The schema of a class: what is inlined, what is a reference, what it says, and what has none."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable
from typing import Annotated, Any, Literal, NewType, Optional

import attrs
import jsonschema
import pytest

from anyfast_async import ConfigurationError
from anyfast_async._schema import response_format, schema_of


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
