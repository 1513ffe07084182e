"""A plausible value for a JSON schema, the same for the same random generator.

Covers what schemas of tools and structured output use: types, ``properties``, ``required``, ``enum``,
``const``, ``items``, ``prefixItems``, ``anyOf``, ``oneOf``, ``allOf``, local ``$ref``, bounds, lengths,
common formats (JSON Schema 2020-12). Patterns and conditionals are not solved.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

__all__ = ["SchemaError", "example"]

# Below this depth a recursive schema is ended: optional properties and array items are left out.
_DEEP = 5
_TOO_DEEP = 20
# The same once a value has got so large, for schemas that refer to themselves in many places.
_LARGE = 1000
_TOO_LARGE = 10_000
_FORMATS = {
    "date-time": "2026-04-27T11:15:05Z",
    "date": "2026-04-27",
    "time": "11:15:05Z",
    "duration": "PT30M",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}


class SchemaError(ValueError):
    """It is no JSON schema: the provider would refuse the request."""


def example(schema: object, random: Random, words: Sequence[str]) -> Any:
    """A value that satisfies ``schema``; strings are taken from ``words`` where nothing else is asked.

    Raises:
        SchemaError: the schema is malformed.
    """
    try:
        return _PlausibleValue(schema, random, words or ("example",)).value(schema, "", 0)
    except (AttributeError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        # Checking the form of every keyword beforehand would take a second module like this one.
        raise SchemaError(str(error)) from error


class _PlausibleValue:
    """What stays the same while one value is made."""

    def __init__(self, root: object, random: Random, words: Sequence[str]) -> None:
        self._root = root
        self._random = random
        self._words = words
        self._size = 0

    def _is_deep(self, depth: int) -> bool:
        return depth >= _DEEP or self._size > _LARGE

    def value(self, schema: object, name: str, depth: int) -> Any:
        self._size += 1
        if depth > _TOO_DEEP or self._size > _TOO_LARGE or schema is False:
            return None
        if not isinstance(schema, dict):
            return self._string({}, name)
        schema = self._resolved(schema, depth)
        if schema.get("enum"):
            return self._random.choice(schema["enum"])
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        return self._typed(schema, name, depth)

    def _typed(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        kind = _kind(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("integer", "number"):
            return _number(schema, self._random, whole=kind == "integer")
        if kind == "boolean":
            return self._random.getrandbits(1) == 1
        return None if kind == "null" else self._string(schema, name)

    def _resolved(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Follow references and choices until there is one plain schema."""
        for _ in range(_TOO_DEEP):
            if isinstance(schema.get("$ref"), str):
                target = _lookup(self._root, schema["$ref"])
                schema = _merged({key: value for key, value in schema.items() if key != "$ref"}, target)
            elif schema.get("allOf"):
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                for part in schema["allOf"]:
                    rest = _merged(rest, part)
                schema = rest
            elif schema.get("anyOf") or schema.get("oneOf"):
                key = "anyOf" if schema.get("anyOf") else "oneOf"
                rest = {name: value for name, value in schema.items() if name != key}
                schema = _merged(rest, _choice(schema[key], deep=self._is_deep(depth)))
            else:
                break
        return schema

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or ()
        names = [*properties, *(name for name in required if name not in properties)]
        if self._is_deep(depth):
            names = [name for name in names if name in required]
        return {name: self.value(properties.get(name, {}), name, depth + 1) for name in names}

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> list[Any]:
        least = _bounded(schema.get("minItems", 0))
        size = max(least, 0 if self._is_deep(depth) else min(2, schema.get("maxItems", 2)))
        leading = schema.get("prefixItems") or []
        rest = schema.get("items", {})
        size = max(size, len(leading)) if rest is not False else len(leading)
        items = [self.value(leading[i] if i < len(leading) else rest, name, depth + 1) for i in range(size)]
        return _distinct(items) if schema.get("uniqueItems") else items

    def _string(self, schema: dict[str, Any], name: str) -> str:
        text = _FORMATS.get(schema.get("format", "")) or self._random.choice(self._words)
        least = _bounded(schema.get("minLength", 0))
        if len(text) < least:
            text = (f"{text} {name or 'text'} " * least)[:least]
        return text[: schema.get("maxLength", len(text))]


def _bounded(least: int) -> int:
    if least > _TOO_LARGE:
        message = f"more than {_TOO_LARGE} items or characters are asked for"
        raise ValueError(message)
    return least


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()  # Gemini's own schemas spell types in capitals
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def _choice(options: Sequence[Any], *, deep: bool) -> object:
    """The first alternative that is not null; in the depth null, or what does not refer further."""
    plain = [one for one in options if isinstance(one, dict)]
    if deep:
        ends = [one for one in plain if one.get("type") == "null"] or [one for one in plain if "$ref" not in one]
        plain = ends or plain
    return next((one for one in plain if one.get("type") != "null"), plain[0] if plain else {})


def _merged(first: dict[str, Any], second: object) -> dict[str, Any]:
    if not isinstance(second, dict):
        return first
    both = {**second, **first}
    if "properties" in first and "properties" in second:
        both["properties"] = {**second["properties"], **first["properties"]}
    if "required" in first and "required" in second:
        both["required"] = [*second["required"], *first["required"]]
    return both


def _lookup(root: object, reference: str) -> object:
    """The target of a local reference (RFC 6901); an empty schema where there is none."""
    target = root
    for step in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
        key = step.replace("~1", "/").replace("~0", "~")
        target = target.get(key, {}) if isinstance(target, dict) else {}
    return target


def _number(schema: dict[str, Any], random: Random, *, whole: bool) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None:
        low = 0 if high is None or high > 0 else high - 100
    if high is None:
        high = low + 100
    step = schema.get("multipleOf") or (1 if whole else None)
    if step is None:
        # Strictly between the bounds, so that it does not matter whether they are exclusive.
        return round(low + (high - low) * random.uniform(0.25, 0.75), 4)
    first = math.ceil(low / step)
    last = math.floor(high / step)
    if "exclusiveMinimum" in schema and first * step <= schema["exclusiveMinimum"]:
        first += 1
    if "exclusiveMaximum" in schema and last * step >= schema["exclusiveMaximum"]:
        last -= 1
    value = random.randint(first, max(first, last)) * step
    return int(value) if whole else float(value)


def _distinct(items: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        if item not in kept:
            kept.append(item)
    return kept
