"""Structured output: a class to a JSON schema, and an answer's text to an instance of it.

attrs classes, dataclasses, TypedDicts and named tuples, and what they are made of. Reading is strict (no ``"5"`` for an
``int``), unknown keys are ignored, and every mismatch is reported with its path.
"""

from __future__ import annotations

import base64
import binascii
import collections.abc
import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
import re
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, Union, get_args, get_origin

import attrs
import cattrs
from cattrs.cols import is_namedtuple, namedtuple_dict_structure_factory
from cattrs.preconf.json import make_converter

from anyfast_async.errors import ConfigurationError, FieldError, escaped

T = TypeVar("T")

_FENCE: Final = re.compile(r"\A\s*```[\w-]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
"""Models like to put JSON into a Markdown block, even in JSON mode."""


class MismatchError(Exception):
    """A text does not fit a class; ``.errors`` says where."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


# -- class -> schema -------------------------------------------------------------------------------------------------

_ARRAYS: Final = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Set, collections.abc.Iterable)
_OBJECTS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
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
_BOUNDS: Final = {">=": "minimum", ">": "exclusiveMinimum", "<=": "maximum", "<": "exclusiveMaximum"}


def schema_of(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of a class.

    A class that contains itself becomes a ``$ref``; everything else is inlined, because the gateway's Gemini
    translation does not follow references.

    Raises:
        ConfigurationError: it holds a type that JSON has no shape for; the message names where.

    """
    walk = _Walk()
    schema = walk.schema(kind, _name(kind))
    return schema | ({"$defs": walk.definitions} if walk.definitions else {})


def response_format(kind: Any) -> dict[str, Any]:
    """Return the ``response_format`` that asks for a *kind*; what is no object is wrapped into ``{"value": ...}``."""
    schema = schema_of(kind)
    if schema.get("type") != "object":
        definitions = schema.pop("$defs", None)
        schema = {"type": "object", "properties": {"value": schema}, "required": ["value"]}
        schema |= {"$defs": definitions} if definitions else {}
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", _name(kind))[:64] or "answer"
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}


def _name(kind: Any) -> str:
    name = getattr(kind, "__name__", None)
    return name if isinstance(name, str) and not get_args(kind) else re.sub(r"\w+\.", "", str(kind))


@dataclasses.dataclass
class _Member:
    """A field of a class."""

    name: str
    kind: Any
    required: bool
    default: Any
    validator: Any
    description: str | None


_NO_DEFAULT: Final = object()


class _Walk:
    """One walk over the types that a class is made of."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self._open: list[Any] = []

    def schema(self, kind: Any, where: str) -> dict[str, Any]:
        kind, notes = _unwrapped(kind)
        found = self._schema(kind, where)
        return found | {"description": notes} if notes else found

    def _schema(self, kind: Any, where: str) -> dict[str, Any]:
        if isinstance(kind, collections.abc.Hashable) and kind in _PLAIN:
            return dict(_PLAIN[kind])
        origin, arguments = get_origin(kind) or kind, get_args(kind)
        if origin is typing.Literal:
            return _enumeration(list(arguments))
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.schema(member, where) for member in arguments]}
        if isinstance(origin, type) and issubclass(origin, enum.Enum):
            return _enumeration([member.value for member in origin])
        if _is_class(origin):
            return self._class(kind, origin, where)
        if origin in _OBJECTS:
            values = self.schema(arguments[1], f"{where}{{}}") if len(arguments) == 2 else {}  # noqa: PLR2004
            return {"type": "object", "additionalProperties": values or True}
        if origin in _ARRAYS:
            return self._array(origin, arguments, where)
        message = (
            f"{where}: {kind!r} has no shape in JSON; use attrs classes, dataclasses, lists, dicts and plain values"
        )
        raise ConfigurationError(message)

    def _array(self, origin: Any, arguments: tuple[Any, ...], where: str) -> dict[str, Any]:
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            members = [self.schema(a, f"{where}[{i}]") for i, a in enumerate(arguments)]
            items = {"anyOf": members} if len(members) > 1 else members[0]
            return {"type": "array", "items": items, "minItems": len(members), "maxItems": len(members)}
        items = self.schema(arguments[0], f"{where}[]") if arguments else {}
        unique = {"uniqueItems": True} if origin in (set, frozenset, collections.abc.Set) else {}
        return {"type": "array", "items": items} | unique

    def _class(self, kind: Any, origin: Any, where: str) -> dict[str, Any]:
        name = _name(origin)
        if kind in self._open:
            self.definitions.setdefault(name, None)
            return {"$ref": f"#/$defs/{name}"}
        self._open.append(kind)
        properties: dict[str, Any] = {}
        members = _members(kind, origin)
        for member in members:
            found = self.schema(member.kind, f"{where}.{member.name}")
            _constrain(found, member.validator)
            if member.description:
                found["description"] = member.description
            if member.default is not _NO_DEFAULT:
                found["default"] = member.default
            properties[member.name] = found
        self._open.pop()
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        schema["required"] = [member.name for member in members if member.required]
        text = origin.__doc__
        if text and not text.startswith(f"{name}(") and origin.__doc__ is not dict.__doc__:
            schema["description"] = " ".join(text.split())
        if name in self.definitions:
            self.definitions[name] = schema
            return {"$ref": f"#/$defs/{name}"} if self._open else dict(schema)
        return schema


def _unwrapped(kind: Any) -> tuple[Any, str | None]:
    """Take Annotated, NewType and type aliases off; a text in Annotated is a description."""
    notes = None
    while True:
        if get_origin(kind) is typing.Annotated:
            notes = notes or next((n for n in kind.__metadata__ if isinstance(n, str)), None)
            kind = kind.__origin__
        elif hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        elif type(kind).__name__ == "TypeAliasType":
            kind = kind.__value__
        elif get_origin(kind) in (typing.Required, typing.NotRequired, typing.Final, typing.ClassVar):
            (kind,) = get_args(kind)
        else:
            return kind, notes


def _is_class(kind: Any) -> bool:
    if not isinstance(kind, type):
        return False
    named_tuple = issubclass(kind, tuple) and hasattr(kind, "_fields")
    return attrs.has(kind) or dataclasses.is_dataclass(kind) or typing.is_typeddict(kind) or named_tuple


def _members(kind: Any, origin: Any) -> list[_Member]:
    try:
        hints = typing.get_type_hints(origin, include_extras=True)
    except NameError as error:
        message = f"{_name(origin)}: {error}; classes for parse must be defined where their names can be found"
        raise ConfigurationError(message) from None
    given = dict(zip(getattr(origin, "__parameters__", ()), get_args(kind), strict=False))
    hints = {name: _substituted(hint, given) for name, hint in hints.items()}
    if attrs.has(origin):
        return [_attrs_member(a, hints.get(a.name, Any)) for a in attrs.fields(origin) if a.init]
    if dataclasses.is_dataclass(origin):
        return [_dataclass_member(f, hints.get(f.name, Any)) for f in dataclasses.fields(origin) if f.init]
    if typing.is_typeddict(origin):
        return [
            _Member(name, hint, name in origin.__required_keys__, _NO_DEFAULT, None, None)
            for name, hint in hints.items()
        ]
    defaults = getattr(origin, "_field_defaults", {})
    return [
        _Member(
            name,
            hints.get(name, Any),
            name not in defaults,
            _plain_default(defaults.get(name, _NO_DEFAULT)),
            None,
            None,
        )
        for name in origin._fields
    ]


def _substituted(hint: Any, given: Mapping[Any, Any]) -> Any:
    if isinstance(hint, TypeVar):
        return given.get(hint, hint.__bound__ or Any)
    parameters = getattr(hint, "__parameters__", ())
    return hint[tuple(given.get(p, Any) for p in parameters)] if parameters and not isinstance(hint, type) else hint


def _plain_default(value: Any) -> Any:
    return value if value is None or isinstance(value, (str, bool, int, float)) else _NO_DEFAULT


def _attrs_member(a: attrs.Attribute[Any], hint: Any) -> _Member:
    required = a.default is attrs.NOTHING
    default = _NO_DEFAULT if required else _plain_default(a.default)
    return _Member(a.alias or a.name, hint, required, default, a.validator, a.metadata.get("description"))


def _dataclass_member(f: dataclasses.Field[Any], hint: Any) -> _Member:
    required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    default = _NO_DEFAULT if f.default is dataclasses.MISSING else _plain_default(f.default)
    return _Member(f.name, hint, required, default, None, f.metadata.get("description"))


def _enumeration(values: list[Any]) -> dict[str, Any]:
    kinds = {type(v) for v in values}
    kind = _PLAIN.get(kinds.pop(), {}) if len(kinds) == 1 else {}
    return {**kind, "enum": values}


def _constrain(schema: dict[str, Any], validator: Any) -> None:
    """Put attrs' own validators into the schema; others only run when an answer is read."""
    match type(validator).__name__:
        case "_AndValidator":
            for inner in validator._validators:  # noqa: SLF001 - attrs has no public way to look into a validator
                _constrain(schema, inner)
        case "_OptionalValidator":
            _constrain(schema, validator.validator)
        case "_NumberValidator":
            schema[_BOUNDS[validator.compare_op]] = validator.bound
        case "_MinLengthValidator" | "_MaxLengthValidator":
            low = type(validator).__name__ == "_MinLengthValidator"
            of_items = schema.get("type") == "array"
            name = ("min" if low else "max") + ("Items" if of_items else "Length")
            schema[name] = validator.min_length if low else validator.max_length
        case "_MatchesReValidator":
            schema["pattern"] = validator.pattern.pattern
        case "_InValidator":
            options = [o.value if isinstance(o, enum.Enum) else o for o in validator.options]
            schema["enum"] = options


# -- text -> instance ------------------------------------------------------------------------------------------------


def parse(text: str, kind: type[T]) -> T:
    """Return the *kind* that the JSON in *text* describes.

    Raises:
        MismatchError: naming every place that does not fit.
        ConfigurationError: *kind* holds a type that JSON has no shape for.

    """
    fenced = _FENCE.match(text)
    try:
        value = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        what = "is empty" if not text.strip() else "is no JSON"
        raise MismatchError((FieldError("$", f"the answer {what}"),)) from None
    if not _is_object(kind) and isinstance(value, dict) and value.keys() == {"value"}:
        value = value["value"]
    try:
        return _converter.structure(value, kind)
    except cattrs.errors.StructureHandlerNotFoundError as error:
        message = f"{_name(kind)}: {error}"
        raise ConfigurationError(message) from None
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError, RecursionError) as error:
        found = cattrs.transform_error(error, format_exception=_said) if not isinstance(error, RecursionError) else []
    raise MismatchError(tuple(map(_field_error, found)) or (FieldError("$", "is nested too deep"),))


def _origin(kind: Any) -> Any:
    kind, _ = _unwrapped(kind)
    return get_origin(kind) or kind


def _is_object(kind: Any) -> bool:
    origin = _origin(kind)
    return _is_class(origin) or origin in _OBJECTS or origin in (Any, object)


def _said(error: BaseException, _: type | None) -> str:
    if isinstance(error, KeyError):
        return f"required field missing: {error}"
    if isinstance(error, cattrs.errors.ForbiddenExtraKeysError):
        return "unexpected field"
    return escaped(str(error), 200)


def _field_error(line: str) -> FieldError:
    problem, _, path = line.rpartition(" @ ")
    return FieldError(path or "$", problem or line)


def _strict(kinds: tuple[type, ...], wanted: str) -> Callable[[Any, Any], Any]:
    def read(value: Any, kind: Any) -> Any:
        if type(value) in kinds:
            return value
        if kind is int and type(value) is float and value.is_integer():
            return int(value)  # JSON has one kind of number
        if kind is float and type(value) is int:
            return float(value)
        message = f"must be {wanted}, not {type(value).__name__}"
        raise ValueError(message)

    return read


def _from_text(make: Callable[[str], Any], wanted: str) -> Callable[[Any, Any], Any]:
    def read(value: Any, _: Any) -> Any:
        try:
            if isinstance(value, str):
                return make(value)
        except (ValueError, binascii.Error, decimal.InvalidOperation):
            pass
        message = f"must be {wanted}"
        raise ValueError(message)

    return read


def _decimal(value: Any, _: Any) -> decimal.Decimal:
    try:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return decimal.Decimal(str(value))
    except decimal.InvalidOperation:
        pass
    message = "must be a number"
    raise ValueError(message)


def _enum_member(value: Any, kind: Any) -> Any:
    for member in kind:
        if member.value == value and type(member.value) is type(value):
            return member
    message = f"must be one of {', '.join(repr(m.value) for m in kind)}"
    raise ValueError(message)


def _literal(value: Any, kind: Any) -> Any:
    for member in get_args(kind):
        if member == value and type(member) is type(value):
            return member
    message = f"must be one of {', '.join(map(repr, get_args(kind)))}"
    raise ValueError(message)


def _overlap(kind: Any, value: Any) -> int:
    """Count how many of a dict's keys a class knows; the best fit of a union is tried first."""
    origin = _origin(kind)
    if not isinstance(value, Mapping) or not _is_class(origin):
        return 0
    return sum(member.name in value for member in _members(kind, origin))


def _union(value: Any, kind: Any) -> Any:
    members = get_args(kind)
    if value is None and type(None) in members:
        return None
    members = tuple(m for m in members if m is not type(None))
    problem: Exception | None = None
    for member in sorted(members, key=lambda m: -_overlap(m, value)):
        if member is float and type(value) is int and int in members:
            continue
        try:
            return _converter.structure(value, member)
        except (cattrs.BaseValidationError, ValueError, TypeError, KeyError) as error:
            problem = problem or error
    if len(members) == 1 and problem is not None:
        raise problem
    message = f"fits none of {', '.join(_name(_unwrapped(m)[0]) for m in members)}"
    raise ValueError(message)


def _shape(kind: Any) -> tuple[type, str] | None:
    """Return the JSON shape that a container or class is read from."""
    origin = _origin(kind)
    if origin in _ARRAYS:
        return list, "a list"
    return (dict, "an object") if _is_class(origin) or origin in _OBJECTS else None


def _guard_shapes(converter: cattrs.Converter) -> None:
    """Refuse other JSON shapes before cattrs iterates over them: a string is iterable too."""
    busy: list[Any] = []

    def guards(kind: Any) -> bool:
        return kind not in busy and _shape(kind) is not None

    def guarded(kind: Any) -> Callable[[Any, Any], Any]:
        busy.append(kind)
        try:
            read_unguarded = converter.get_structure_hook(kind, cache_result=False)
        finally:
            busy.remove(kind)
        wanted, name = _shape(kind) or (object, "")

        def read(value: Any, kind: Any) -> Any:
            if not isinstance(value, wanted):
                message = f"must be {name}, not {type(value).__name__}"
                raise ValueError(message)  # noqa: TRY004 - reported as the others
            return read_unguarded(value, kind)

        return read

    converter.register_structure_hook_factory(guards, guarded)


def _make_converter() -> cattrs.Converter:
    converter = make_converter(use_alias=True, detailed_validation=True)
    converter.register_structure_hook(str, _strict((str,), "a string"))
    converter.register_structure_hook(int, _strict((int,), "an integer"))
    converter.register_structure_hook(float, _strict((float,), "a number"))
    converter.register_structure_hook(bool, _strict((bool,), "true or false"))
    converter.register_structure_hook(bytes, _from_text(lambda t: base64.b64decode(t, validate=True), "base64"))
    converter.register_structure_hook(dt.datetime, _from_text(dt.datetime.fromisoformat, "a date and time"))
    converter.register_structure_hook(dt.date, _from_text(dt.date.fromisoformat, "a date"))
    converter.register_structure_hook(dt.time, _from_text(dt.time.fromisoformat, "a time"))
    converter.register_structure_hook(uuid.UUID, _from_text(uuid.UUID, "a UUID"))
    converter.register_structure_hook(pathlib.Path, _from_text(pathlib.Path, "a path"))
    converter.register_structure_hook(decimal.Decimal, _decimal)
    converter.register_structure_hook_func(lambda k: isinstance(k, type) and issubclass(k, enum.Enum), _enum_member)
    converter.register_structure_hook_func(lambda k: _origin(k) is typing.Literal, _literal)
    converter.register_structure_hook_func(lambda k: _origin(k) in (Union, types.UnionType), _union)
    converter.register_structure_hook_factory(is_namedtuple, namedtuple_dict_structure_factory)
    _guard_shapes(converter)
    return converter


_converter: Final = _make_converter()
