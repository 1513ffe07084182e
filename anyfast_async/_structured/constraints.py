"""attrs' own validators: into a JSON schema, and onto a single value before there is an instance."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Iterable, Mapping
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
    if not is_built_in(validator):
        return
    if type(validator).__name__ in ("_AndValidator", "_OptionalValidator"):
        for one in _inner(validator):
            constrain(schema, one)
    elif (put := _PUT.get(type(validator).__name__)) is not None:
        for branch in schema.get("anyOf", [schema]):
            if branch.get("type") != "null" and not {"$ref", "contentEncoding"} & branch.keys():
                put(branch, validator)


def _inner(validator: Any) -> tuple[Any, ...]:
    """Return the validators in one of attrs' own, which has no public way to look into it."""
    found = (getattr(validator, "validator", None), *getattr(validator, "_validators", ()))
    return tuple(one for one in found if one is not None)


def _put_number(schema: dict[str, Any], validator: Any) -> None:
    operator, bound = validator.compare_op, validator.bound
    if schema.get("type") in ("integer", "number") and type(bound) in (int, float) and math.isfinite(bound):
        key = _LOWER.get(operator) or _UPPER[operator]
        schema[key] = (max if operator in _LOWER else min)(bound, schema.get(key, bound))


def _put_length(schema: dict[str, Any], validator: Any) -> None:
    low = type(validator).__name__ == "_MinLengthValidator"
    if schema.get("type") in _LENGTHS:
        key = ("min" if low else "max") + _LENGTHS[schema["type"]]
        value = validator.min_length if low else validator.max_length
        schema[key] = (max if low else min)(value, schema.get(key, value))


def _put_pattern(schema: dict[str, Any], validator: Any) -> None:
    pattern, how = validator.pattern, validator.match_func.__name__
    if schema.get("type") == "string" and pattern.flags == re.UNICODE and not _PYTHON_ONLY.search(pattern.pattern):
        before, after = {"fullmatch": ("^(?:", ")$"), "match": ("^(?:", ")")}.get(how, ("", ""))
        schema["pattern"] = before + pattern.pattern + after


def _put_words(schema: dict[str, Any], validator: Any) -> None:
    options = getattr(validator, "_original_options", validator.options)  # .options is a tuple of a set
    listed = isinstance(options, (list, tuple, set, frozenset, dict, enum.EnumMeta))
    values = json_values(options) if listed else None
    if values:
        schema["enum"] = sorted(values, key=repr) if isinstance(options, (set, frozenset)) else values


_PUT: Final[Mapping[str, Callable[[dict[str, Any], Any], None]]] = {
    "_NumberValidator": _put_number,
    "_MinLengthValidator": _put_length,
    "_MaxLengthValidator": _put_length,
    "_MatchesReValidator": _put_pattern,
    "_InValidator": _put_words,
}


def is_built_in(validator: Any) -> bool:
    """Tell attrs' own validators, those around one of attrs' own included."""
    if not type(validator).__module__.startswith("attr"):
        return False
    return all(is_built_in(one) for one in _inner(validator))


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
