"""Example values of JSON schemas."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async.simulator.model.schema_values import SchemaError, example

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS = ["Paris", "London"]


@pytest.mark.parametrize(
    ("schema", "allowed"),
    [
        ({"type": "string"}, WORDS),
        ({"type": "STRING"}, WORDS),
        ({}, WORDS),
        (True, WORDS),
        ({"type": "string", "minLength": 30, "maxLength": 30}, None),
        ({"type": "string", "format": "date"}, ["2026-04-27"]),
        ({"type": "string", "format": "color"}, WORDS),
        ({"type": "boolean"}, [True, False]),
        ({"type": "null"}, [None]),
        ({"type": ["null", "integer"], "minimum": 5, "maximum": 6}, [5, 6]),
        ({"const": 7}, [7]),
        ({"enum": ["a", None]}, ["a", None]),
        ({"default": "x", "type": "string"}, ["x"]),
        ({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 3}, [2]),
        ({"type": "integer", "multipleOf": 5, "minimum": 1, "maximum": 9}, [5]),
        ({"type": "integer", "exclusiveMinimum": 0, "maximum": 1}, [1]),
        ({"type": "integer", "minimum": 0, "exclusiveMaximum": 1}, [0]),
        ({"type": "integer", "maximum": -100}, range(-200, -99)),
        ({"type": "number", "multipleOf": 0.5, "minimum": 0.4, "maximum": 0.6}, [0.5]),
        ({"items": {"const": 1}}, [[1, 1]]),
        ({"type": "integer", "maximum": -5, "minimum": -6}, [-5, -6]),
        ({"type": "number", "minimum": 1, "maximum": 1}, [1]),
        ({"anyOf": [{"type": "null"}, {"const": 1}]}, [1]),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, [1]),
        ({"allOf": [{"type": "integer"}, {"minimum": 4, "maximum": 4}]}, [4]),
        ({"type": "array", "items": {"const": 1}}, [[1, 1]]),
        ({"type": "array", "items": {"const": 1}, "maxItems": 1}, [[1]]),
        ({"type": "array", "items": {"const": 1}, "minItems": 3}, [[1, 1, 1]]),
        ({"type": "array", "items": {"const": 1}, "uniqueItems": True}, [[1]]),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": "a"}, {"const": 2}]}, [[1, "a", 2]]),
        ({"type": "array", "prefixItems": [{"const": 1}], "items": False}, [[1]]),
        ({"type": "object"}, [{}]),
        (
            {"properties": {"a": {"const": 1}}, "required": ["a", "b"]},
            [{"a": 1, "b": word} for word in WORDS],
        ),
    ],
)
def test_example(schema: object, allowed: Sequence[Any] | None) -> None:
    """The value is one that the schema allows, whatever is drawn."""
    values = [example(schema, Random(seed), WORDS) for seed in range(30)]
    if allowed is None:
        assert {len(value) for value in values} == {30}
    else:
        assert all(value in allowed for value in values)


def test_references() -> None:
    """Local references are followed, with escapes, and what stands beside them counts."""
    schema = {
        "$defs": {"a/b": {"type": "object", "properties": {"x": {"const": 1}}}, "n": {"type": "integer"}},
        "properties": {
            "one": {"$ref": "#/$defs/a~1b"},
            "two": {"$ref": "#/$defs/n", "minimum": 3, "maximum": 3},
        },
    }
    assert example(schema, Random(0), WORDS) == {"one": {"x": 1}, "two": 3}


def test_recursion_ends() -> None:
    """A schema that refers to itself gives a finite value."""
    node: dict[str, Any] = {
        "type": "object",
        "properties": {
            "name": {"const": "n"},
            "children": {"type": "array", "items": {"$ref": "#"}},
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        },
        "required": ["name", "children", "next"],
    }
    value = example(node, Random(0), WORDS)
    assert value["children"][0]["children"][0]["name"] == "n"


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}, {"$ref": "#/nowhere"}])
def test_hopeless(schema: dict[str, Any]) -> None:
    """A schema that says nothing but itself ends, too."""
    example(schema, Random(0), WORDS)


def test_bushy_recursion_ends() -> None:
    """A schema that refers to itself in many places gives a value of bounded size."""
    many = {f"p{number}": {"$ref": "#"} for number in range(20)}
    for required in ([], list(many)):
        value = example({"type": "object", "properties": many, "required": required}, Random(0), WORDS)
        assert len(repr(value)) < 1_000_000


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": [1]},
        {"enum": 5},
        {"enum": {"a": 1, "b": 2}},
        {"type": "array", "minItems": "x"},
        {"type": "array", "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        {"type": "integer", "minimum": "x"},
        {"type": "integer", "multipleOf": 1e-320, "minimum": 1e308},
    ],
)
def test_malformed(schema: dict[str, Any]) -> None:
    """What is no schema, or asks for too much, is an error of one kind."""
    with pytest.raises(SchemaError):
        [example(schema, Random(seed), WORDS) for seed in range(5)]


def test_endless_object() -> None:
    """An object that requires itself is cut off at some depth."""
    schema = {"type": "object", "properties": {"self": {"$ref": "#"}}, "required": ["self"]}
    assert "self" in example(schema, Random(0), WORDS)
