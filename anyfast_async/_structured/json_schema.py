"""A class to a JSON schema, and to the ``response_format`` that asks a model for it."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import enum
import pathlib
import re
import types
import typing
import uuid
import weakref
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final, Union, get_args, get_origin

from anyfast_async._structured.constraints import constrain, json_values
from anyfast_async._structured.own_schema import has_own, in_plain_words, own_schema
from anyfast_async._structured.schema_references import arranged
from anyfast_async._structured.type_hints import (
    LISTS,
    NO_DEFAULT,
    OBJECTS,
    SETS,
    is_alias,
    is_class,
    is_object,
    members_of,
    name_of,
    origin_of,
    peeled,
)
from anyfast_async.errors import ConfigurationError

_PLAIN: Final[dict[Any, dict[str, Any]]] = {
    Any: {},
    object: {},
    type(None): {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    dt.datetime: {"type": "string", "format": "date-time"},
    dt.date: {"type": "string", "format": "date"},
    dt.time: {"type": "string", "format": "time"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    decimal.Decimal: {"anyOf": [{"type": "number"}, {"type": "string"}]},
    pathlib.Path: {"type": "string"},
}


def writes_out(model: str | None) -> bool:
    """Return whether a schema for *model* has every class written out.

    The gateway's Gemini translation knows no references (new-api ``relay/channel/gemini``); a model that is not known
    yet may be one of them.
    """
    return model is None or "gemini" in model.lower()


_known: Final[weakref.WeakKeyDictionary[Any, dict[Hashable, dict[str, Any]]]] = weakref.WeakKeyDictionary()


def kept(kind: Any, what: tuple[Any, ...], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what *make* made for *kind* when it was first asked for, as long as there is that type."""
    # What ``A | B`` makes has no weak references.
    holder = Union[get_args(kind)] if isinstance(kind, types.UnionType) else kind  # noqa: UP007
    try:
        known = _known.setdefault(holder, {})
    except TypeError:  # it has no hash, or no weak references
        return make()
    exactly = what if isinstance(kind, type) else (*what, repr(kind))  # ``A | B`` is equal to ``B | A``
    if exactly not in known:
        known[exactly] = make()
    return known[exactly]


def schema_of(kind: Any, *, write_out: bool = True) -> dict[str, Any]:
    """Return the JSON schema of a class; it is kept, so nobody may change it.

    A class that contains itself becomes a ``$ref``; with *write_out* everything else stands where it is used, up to
    :data:`~anyfast_async._structured.schema_references.MOST` parts, without it a class that repeats is a ``$ref``, too.

    Raises:
        ConfigurationError: it holds a type that JSON has no shape for; the message names where.

    """
    return kept(kind, ("schema", write_out), lambda: arranged(_ClassWalk().whole(kind), write_out=write_out))


def response_format(kind: Any, *, write_out: bool = True) -> dict[str, Any]:
    """Return the ``response_format`` that asks for a *kind*; what is no object is wrapped into ``{"value": ...}``.

    It is kept, so nobody may change it.

    Raises:
        ConfigurationError: as :func:`schema_of`.

    """
    return kept(kind, ("format", write_out), lambda: _response_format(kind, write_out=write_out))


def _response_format(kind: Any, *, write_out: bool) -> dict[str, Any]:
    schema = schema_of(kind, write_out=write_out)
    if origin_of(kind) in (Any, object):
        return {"type": "json_object"}
    if not is_object(kind):
        inner = {keyword: value for keyword, value in schema.items() if keyword != "$defs"}
        definitions = {keyword: value for keyword, value in schema.items() if keyword == "$defs"}
        schema = {"type": "object", "properties": {"value": inner}, "required": ["value"]} | definitions
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", name_of(kind))[:64] or "answer"
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}


class _ClassWalk:
    """One walk over the types that a class is made of; every class becomes a definition, looked at once."""

    def __init__(self) -> None:
        self._definitions: dict[str, Any] = {}
        self._names: dict[Any, str] = {}
        self._taken: Counter[str] = Counter()
        self._left: deque[tuple[Any, str, str]] = deque()
        """Classes that were met and not looked at yet, with their names and where they were met."""
        self._aliases: dict[Any, dict[str, Any] | None] = {}
        """None while the walk is inside of it."""

    def whole(self, kind: Any) -> dict[str, Any]:
        """Return the schema of *kind* with its definitions."""
        schema = self.schema(kind, name_of(kind))
        while self._left:
            inner, name, where = self._left.popleft()
            self._definitions[name] = self._class(inner, where)
        return schema | ({"$defs": self._definitions} if self._definitions else {})

    def schema(self, kind: Any, where: str) -> dict[str, Any]:
        layer = peeled(kind)
        if layer is None:
            return self._schema(kind, where)
        inner, notes = layer
        found = self._alias(kind, inner, where) if is_alias(kind) else self.schema(inner, where)
        return found | {"description": notes} if notes else found

    def _schema(self, kind: Any, where: str) -> dict[str, Any]:
        _check_hash(kind, where)
        origin, arguments = get_origin(kind) or kind, get_args(kind)
        if origin is typing.Literal:
            return _enumeration(arguments, kind, where)
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.schema(member, where) for member in arguments]}
        if isinstance(origin, type) and issubclass(origin, enum.Enum):
            return _enumeration(list(origin), kind, where)
        if has_own(origin):
            return self._own(kind, where)
        if is_class(origin):
            return self._named(kind, where)
        if origin in OBJECTS:
            return self._object(arguments, where)
        if origin is tuple or origin in LISTS or origin in SETS:
            return self._array(origin, arguments, where)
        if origin in _PLAIN:
            return copy.deepcopy(_PLAIN[origin])
        raise _no_shape(kind, where)

    def _object(self, arguments: tuple[Any, ...], where: str) -> dict[str, Any]:
        if not arguments:
            return {"type": "object", "additionalProperties": True}
        keys, values = arguments
        named = self.schema(keys, f"{where}{{}}")
        if named.get("type", "string") != "string" or "$ref" in named:
            message = f"{where}: {name_of(keys)!r} is no key of a JSON object, those are strings"
            raise ConfigurationError(message)
        return {"type": "object", "additionalProperties": self.schema(values, f"{where}{{}}") or True}

    def _array(self, origin: Any, arguments: tuple[Any, ...], where: str) -> dict[str, Any]:
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            members = [self.schema(a, f"{where}[{i}]") for i, a in enumerate(arguments)]
            items = {"anyOf": members} if len(members) > 1 else members[0]
            return {"type": "array", "items": items, "minItems": len(members), "maxItems": len(members)}
        items = self.schema(arguments[0], f"{where}[]") if arguments else {}
        return {"type": "array", "items": items} | ({"uniqueItems": True} if origin in SETS else {})

    def _named(self, kind: Any, where: str) -> dict[str, Any]:
        """Return a reference to a class."""
        if kind not in self._names:
            self._left.append((kind, self._name(kind), where))
        return {"$ref": f"#/$defs/{self._names[kind]}"}

    def _own(self, kind: Any, where: str) -> dict[str, Any]:
        """Return a reference to a class that makes its own schema, whose definitions become some of this whole."""
        if kind not in self._names:
            schema, name = own_schema(kind, where), self._name(kind)
            inner = schema.pop("$defs", {})
            names = {str(schema["$ref"]).rpartition("/")[2]: name} if schema.keys() == {"$ref"} else {}
            names |= {other: self._fresh(other) for other in inner if other not in names}

            def reference(old: str) -> str:
                return f"#/$defs/{names.get(old.rpartition('/')[2], name)}"

            self._definitions[name] = in_plain_words(schema, reference)
            self._definitions |= {names[other]: in_plain_words(found, reference) for other, found in inner.items()}
        return {"$ref": f"#/$defs/{self._names[kind]}"}

    def _alias(self, kind: Any, value: Any, where: str) -> dict[str, Any]:
        """Return the schema of a ``type X = ...``, by reference where it is inside of itself."""
        _check_hash(kind, where)
        if kind not in self._aliases:
            self._aliases[kind] = None
            self._aliases[kind] = self.schema(value, where)
            if kind in self._names:
                self._definitions[self._names[kind]] = self._aliases[kind]
        elif self._aliases[kind] is None and kind not in self._names:
            self._name(kind)
        found = self._aliases[kind]
        return {"$ref": f"#/$defs/{self._names[kind]}"} if found is None or kind in self._names else dict(found)

    def _name(self, kind: Any) -> str:
        self._names[kind] = name = self._fresh(name_of(kind))
        return name

    def _fresh(self, name: str) -> str:
        plain = re.sub(r"\W+", "_", name).strip("_")
        self._taken[plain] += 1
        return f"{plain}.{self._taken[plain]}" if self._taken[plain] > 1 else plain

    def _class(self, kind: Any, where: str) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        members = members_of(kind)
        for member in members:
            found = self.schema(member.kind, f"{where}.{member.name}")
            if member.validator is not None:
                found = copy.deepcopy(found)  # what an alias stands for is shared
                constrain(found, member.validator)
            if member.description:
                found["description"] = member.description
            if member.default is not NO_DEFAULT:
                found["default"] = member.default
            properties[member.name] = found
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        schema["required"] = [member.name for member in members if member.required]
        origin = get_origin(kind) or kind
        text = vars(origin).get("__doc__")
        if text and not text.startswith(f"{name_of(origin)}("):
            schema["description"] = " ".join(text.split())
        return schema


def _check_hash(kind: Any, where: str) -> None:
    try:
        hash(kind)
    except TypeError as error:  # what reads a type is remembered by it
        message = f"{where}: {kind!r}: {error}; what stands in Annotated inside of other types must be hashable"
        raise ConfigurationError(message) from None


def _no_shape(kind: Any, where: str) -> ConfigurationError:
    return ConfigurationError(
        f"{where}: {kind!r} has no shape in JSON; use attrs classes, dataclasses, models of pydantic 2, lists, dicts "
        "and plain values"
    )


def _enumeration(options: Iterable[Any], kind: Any, where: str) -> dict[str, Any]:
    values = json_values(options)
    if not values:
        raise _no_shape(kind, where)
    kinds = {type(v) for v in values}
    return {**(_PLAIN[kinds.pop()] if len(kinds) == 1 else {}), "enum": values}
