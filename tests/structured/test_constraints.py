"""Validators as constraints: what the schema says of them, and what they say of a value."""

from __future__ import annotations

import datetime as dt
import enum
import re
from typing import Any

import attrs
import pytest
from attrs import validators as v

from anyfast_async._structured.constraints import constrain, is_built_in, problem_of

INTEGER, TEXT, LIST = {"type": "integer"}, {"type": "string"}, {"type": "array", "items": {}}


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


@pytest.mark.parametrize(
    ("schema", "validator", "added"),
    [
        (INTEGER, v.ge(1), {"minimum": 1}),
        (INTEGER, v.lt(9), {"exclusiveMaximum": 9}),
        (INTEGER, v.and_(v.ge(1), v.ge(5), v.le(9), v.le(7)), {"minimum": 5, "maximum": 7}),
        (INTEGER, v.gt(float("-inf")), {}),
        (INTEGER, v.optional(v.gt(2)), {"exclusiveMinimum": 2}),
        (TEXT, v.min_len(2), {"minLength": 2}),
        (TEXT, v.and_(v.max_len(9), v.max_len(3)), {"maxLength": 3}),
        (LIST, v.min_len(2), {"minItems": 2}),
        ({"type": "object"}, v.max_len(2), {"maxProperties": 2}),
        (TEXT | {"contentEncoding": "base64"}, v.max_len(2), {}),
        (TEXT, v.ge("a"), {}),
        (TEXT | {"format": "date"}, v.ge(dt.date(2025, 1, 1)), {}),
        (TEXT, v.matches_re("a|b"), {"pattern": "^(?:a|b)$"}),
        (TEXT, v.matches_re("a|b", func=re.match), {"pattern": "^(?:a|b)"}),
        (TEXT, v.matches_re("a|b", func=re.search), {"pattern": "a|b"}),
        (TEXT, v.matches_re("a", flags=re.IGNORECASE), {}),
        (TEXT, v.matches_re(r"(?P<name>a)\Z"), {}),
        (TEXT, v.in_(["b", "a"]), {"enum": ["b", "a"]}),
        (TEXT, v.in_({"b", "a"}), {"enum": ["a", "b"]}),
        (INTEGER, v.in_(list(Level)), {"enum": [1, 2]}),
        (INTEGER, v.in_(range(10**9)), {}),
        (TEXT, v.in_("abc"), {}),
        (TEXT, v.in_([b"a"]), {}),
        (TEXT, v.instance_of(str), {}),
        (TEXT, lambda *_: None, {}),
        ({"$ref": "#/$defs/A"}, v.min_len(1), {}),
    ],
)
def test_constrain(schema: dict[str, Any], validator: Any, added: dict[str, Any]) -> None:
    """What a JSON schema has words for goes into it, the stricter of two, and nothing else does."""
    found = dict(schema)
    constrain(found, validator)
    assert schema | added == found


def test_constrain_a_union() -> None:
    """In a union the constraint stands at the members that it is about, not at null."""
    schema: dict[str, Any] = {"anyOf": [dict(INTEGER), dict(LIST), {"type": "null"}]}
    constrain(schema, v.optional(v.and_(v.ge(1), v.max_len(2))))
    assert {"anyOf": [INTEGER | {"minimum": 1}, LIST | {"maxItems": 2}, {"type": "null"}]} == schema


def test_built_in() -> None:
    """A program's own validator within one of attrs' own is not attrs' own."""

    def own(*_: object) -> None:
        """Allow everything."""

    validators = (v.ge(1), v.and_(v.ge(1), v.le(2)), v.optional(v.ge(1)), own, v.and_(v.ge(1), own), v.optional(own))
    assert [True, True, True, False, False, False] == [is_built_in(one) for one in validators]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        (attrs.field(validator=v.ge(1)), 1, None),
        (attrs.field(validator=v.ge(1)), 0, "'a' must be >= 1: 0"),
        (attrs.field(validator=v.ge(1)), None, "'>=' not supported between instances of 'NoneType' and 'int'"),
        (attrs.field(validator=v.instance_of(str)), 1, "'a' must be <class 'str'> (got 1 that is a <class 'int'>)."),
        (attrs.field(validator=v.ge(1), converter=int), 0, None),
        (attrs.field(validator=lambda *_: 1 / 0), 0, None),
        (attrs.field(), 0, None),
    ],
)
def test_problem_of(field: Any, value: Any, problem: str | None) -> None:
    """The validators of attrs are asked of a value alone; those of a program, and after a converter, are not."""
    (attribute,) = attrs.fields(attrs.make_class("A", {"a": field}))
    found = problem_of(value, attribute)
    assert (
        problem == found
        if problem is None or "instance" in problem
        else found is not None and found.startswith(problem)
    )
