"""attrs' own validators: into a JSON schema, and onto a single value before there is an instance."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable
from typing import Any, Final

import attrs

_LOWER: Final = {">=": "minimum", ">": "exclusiveMinimum"}
_UPPER: Final = {"<=": "maximum", "<": "exclusiveMaximum"}
_LENGTHS: Final = {"string": "Length", "array": "Items", "object": "Properties"}
_PYTHON_ONLY: Final = re.compile(r"\(\?[^:=!<]|\(\?<[^=!]|\\[AZ]|\\N|[*+?}]\+")
"""What patterns in JSON schemas do not have."""


def json_values(options: Iterable[Any]) -> list[Any] | None:
    """Return the JSON of the words of a Literal or an enum; None if one of them has none."""
    values = [option.value if isinstance(option, enum.Enum) else option for option in options]
    return values if all(_is_plain(value) for value in values) else None


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in (str, bool, int) or (type(value) is float and math.isfinite(value))


def constrain(schema: dict[str, Any], validator: Any) -> None:
    """Put attrs' own validators into a schema, as far as it has words for them; all run when an answer is read."""
    name = type(validator).__name__
    if not is_built_in(validator) or "$ref" in schema:
        return
    if name == "_AndValidator":
        for inner in validator._validators:  # noqa: SLF001 - attrs has no public way to look into a validator
            constrain(schema, inner)
    elif name == "_OptionalValidator":
        constrain(schema, validator.validator)
    elif "anyOf" in schema:
        for branch in schema["anyOf"]:
            if branch.get("type") != "null":
                constrain(branch, validator)
    elif name == "_NumberValidator":
        _constrain_number(schema, validator.compare_op, validator.bound)
    elif name in ("_MinLengthValidator", "_MaxLengthValidator"):
        low = name == "_MinLengthValidator"
        if schema.get("type") in _LENGTHS and "contentEncoding" not in schema:
            key = ("min" if low else "max") + _LENGTHS[schema["type"]]
            value = validator.min_length if low else validator.max_length
            schema[key] = (max if low else min)(value, schema.get(key, value))
    elif name == "_MatchesReValidator":
        _constrain_text(schema, validator)
    elif name == "_InValidator":
        _constrain_to_words(schema, validator.options)


def _constrain_number(schema: dict[str, Any], operator: str, bound: Any) -> None:
    if schema.get("type") in ("integer", "number") and type(bound) in (int, float) and math.isfinite(bound):
        key = _LOWER.get(operator) or _UPPER[operator]
        schema[key] = (max if operator in _LOWER else min)(bound, schema.get(key, bound))


def _constrain_text(schema: dict[str, Any], validator: Any) -> None:
    pattern = validator.pattern
    if schema.get("type") != "string" or pattern.flags != re.UNICODE or _PYTHON_ONLY.search(pattern.pattern):
        return
    whole = {"fullmatch": "^(?:{})$", "match": "^(?:{})"}.get(validator.match_func.__name__, "{}")
    schema["pattern"] = whole.format(pattern.pattern) if "{}" != whole else pattern.pattern


def _constrain_to_words(schema: dict[str, Any], options: Any) -> None:
    listed = isinstance(options, list | tuple | set | frozenset | dict) or isinstance(options, enum.EnumMeta)
    values = json_values(options) if listed else None
    if values and "contentEncoding" not in schema:
        ordered = sorted(values, key=repr) if isinstance(options, set | frozenset) else values
        schema["enum"] = [v for v in ordered if v in schema.get("enum", ordered)] or ordered


def is_built_in(validator: Any) -> bool:
    """Tell attrs' own validators, those around one of attrs' own included."""
    if not type(validator).__module__.startswith("attr"):
        return False
    inner = (getattr(validator, "validator", None), *getattr(validator, "_validators", ()))
    return all(one is None or is_built_in(one) for one in inner)


def problem_of(value: Any, attribute: attrs.Attribute[Any]) -> str | None:
    """Return what attrs' own validators say of a value; those of a program may need the instance, and run with it."""
    validator = attribute.validator
    if validator is None or attribute.converter is not None or not is_built_in(validator):
        return None
    try:
        validator(None, attribute, value)
    except (ValueError, TypeError) as error:
        return str(error.args[0]) if error.args else type(error).__name__
    return None
