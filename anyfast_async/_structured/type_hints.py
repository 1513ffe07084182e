"""What a type is, and the fields of a class: the one reading of classes that schema and answers share.

attrs classes, dataclasses, TypedDicts and named tuples, and what they are made of.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, Final, TypeVar, Union, get_args, get_origin

import attrs

from anyfast_async._structured.constraints import json_values
from anyfast_async._structured.own_schema import has_own, root_of
from anyfast_async.errors import ConfigurationError

LISTS: Final = (
    *(list, collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Collection),
    collections.abc.Iterable,
)
SETS: Final = (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
OBJECTS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)

# -- what a type is --------------------------------------------------------------------------------------------------


def name_of(kind: Any) -> str:
    """Return what people call a type."""
    name = getattr(kind, "__name__", None)
    return name if isinstance(name, str) and not get_args(kind) else re.sub(r"\w+\.", "", str(kind))


def peeled(kind: Any) -> tuple[Any, str | None] | None:
    """Take one layer off that changes nothing in JSON, with the description in it; None if there is none."""
    origin = get_origin(kind)
    if origin is typing.Annotated:
        notes = (note if isinstance(note, str) else getattr(note, "description", None) for note in kind.__metadata__)
        return kind.__origin__, next((note for note in notes if isinstance(note, str)), None)
    if hasattr(kind, "__supertype__"):
        return kind.__supertype__, None
    if is_alias(kind):
        return _value_of_alias(kind), None
    if isinstance(kind, dataclasses.InitVar):
        return kind.type, None
    read_only = origin is not None and origin is getattr(typing, "ReadOnly", None)
    if read_only or origin in (typing.Required, typing.NotRequired, typing.Final):
        return get_args(kind)[0], None
    return None


def unwrapped(kind: Any) -> Any:
    """Take Annotated, NewType and type aliases off."""
    while (layer := peeled(kind)) is not None:
        kind, _ = layer
    return kind


def is_alias(kind: Any) -> bool:
    """Tell a ``type X = ...`` of Python 3.12, with arguments or without."""
    return type(get_origin(kind) or kind).__name__ == "TypeAliasType"


def _value_of_alias(kind: Any) -> Any:
    origin = get_origin(kind) or kind
    given = dict(zip(getattr(origin, "__type_params__", ()), get_args(kind), strict=False))
    return _substituted(origin.__value__, given)


def origin_of(kind: Any) -> Any:
    """Return the class or the form that a type is an application of: ``list`` for ``list[int]``."""
    kind = unwrapped(kind)
    return get_origin(kind) or kind


def is_class(origin: Any) -> bool:
    """Tell the classes with fields that are read here."""
    if not isinstance(origin, type) or has_own(origin):
        return False
    named_tuple = issubclass(origin, tuple) and hasattr(origin, "_fields")
    return attrs.has(origin) or dataclasses.is_dataclass(origin) or typing.is_typeddict(origin) or named_tuple


def is_object(kind: Any) -> bool:
    """Tell the types whose JSON is an object, or may be anything."""
    origin = origin_of(kind)
    if has_own(origin):
        return (root := root_of(origin)) is None or is_object(root)
    return is_class(origin) or origin in OBJECTS or origin in (Any, object)


def members_of_union(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, those of unions in it included."""
    kind = unwrapped(kind)
    if get_origin(kind) not in (Union, types.UnionType):
        return (kind,)
    return tuple(inner for member in get_args(kind) for inner in members_of_union(member))


# -- the fields of a class -------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Member:
    """A field of a class."""

    name: str
    """As in JSON, and as the class takes it."""
    kind: Any
    required: bool
    default: Any
    """As in JSON, :data:`NO_DEFAULT` if there is none, or none that JSON can show."""
    description: str | None
    attribute: attrs.Attribute[Any] | None = None

    @property
    def validator(self) -> Any:
        """What attrs checks values with, None for nothing."""
        return self.attribute.validator if self.attribute is not None else None


NO_DEFAULT: Final = object()


def members_of(kind: Any) -> list[Member]:
    """Return the fields that a class takes, with the types that they have in *kind*.

    Raises:
        ConfigurationError: an annotation names what cannot be found.

    """
    origin = get_origin(kind) or kind
    given = _arguments(kind)
    hints = {name: _substituted(hint, given) for name, hint in _hints(origin).items()}
    if attrs.has(origin):
        return [_attrs_member(a, hints.get(a.name, a.type)) for a in attrs.fields(origin) if a.init]
    if dataclasses.is_dataclass(origin):
        fields = origin.__dataclass_fields__.values()  # with InitVar
        return [_dataclass_member(f, hints[f.name]) for f in fields if f.init and not _is_class_var(hints[f.name])]
    if typing.is_typeddict(origin):
        return [Member(n, hint, _is_required(origin, n, hint), NO_DEFAULT, None) for n, hint in hints.items()]
    defaults = origin._field_defaults
    return [
        Member(n, hints.get(n, Any), n not in defaults, _json_default(defaults.get(n, NO_DEFAULT)), None)
        for n in origin._fields
    ]


def _hints(origin: Any) -> dict[str, Any]:
    try:
        try:
            return typing.get_type_hints(origin, include_extras=True)
        except NameError:
            # A class in a function that contains itself, and before Python 3.13 the parameters of ``class A[T]``.
            known = {p.__name__: p for base in origin.__mro__ for p in getattr(base, "__type_params__", ())}
            return typing.get_type_hints(origin, None, known | {origin.__name__: origin}, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        message = f"{name_of(origin)}: {error}; classes for parse must be defined where their names can be found"
        raise ConfigurationError(message) from None


def _arguments(kind: Any) -> dict[Any, Any]:
    """Return what the type parameters of a generic class and of the classes that it inherits from stand for."""
    origin = get_origin(kind) or kind
    given = dict(zip(getattr(origin, "__parameters__", ()), get_args(kind), strict=False))
    for base in getattr(origin, "__orig_bases__", ()):
        if get_args(base) and get_origin(base) not in (typing.Generic, typing.Protocol):
            given |= _arguments(_substituted(base, given, keep=True))
    return given


def _substituted(hint: Any, given: Mapping[Any, Any], *, keep: bool = False) -> Any:
    """Put types into the place of type parameters; those that are not given are bounds or Any, or stay."""

    def value(parameter: Any) -> Any:
        return given.get(parameter, parameter if keep else getattr(parameter, "__bound__", None) or Any)

    if isinstance(hint, TypeVar):
        return value(hint)
    if isinstance(hint, dataclasses.InitVar):
        return _substituted(hint.type, given, keep=keep)
    parameters = getattr(hint, "__parameters__", ())
    if not parameters or isinstance(hint, type):
        return hint
    return hint[tuple(value(p) for p in parameters)]


def _is_required(origin: Any, name: str, hint: Any) -> bool:
    """Say it by the annotation too: a TypedDict does not see what stands in a string."""
    marks = set()
    while get_args(hint):
        marks.add(get_origin(hint))
        hint = get_args(hint)[0]
    if typing.Required in marks or typing.NotRequired in marks:
        return typing.Required in marks
    return name in origin.__required_keys__


def _is_class_var(hint: Any) -> bool:
    return hint is typing.ClassVar or get_origin(hint) is typing.ClassVar


def _json_default(value: Any) -> Any:
    values = json_values([value])
    return values[0] if values else NO_DEFAULT


def _attrs_member(a: attrs.Attribute[Any], hint: Any) -> Member:
    required = a.default is attrs.NOTHING
    default = NO_DEFAULT if required else _json_default(a.default)
    kind = Any if hint is None and a.type is None else hint
    return Member(a.alias or a.name, kind, required, default, a.metadata.get("description"), a)


def _dataclass_member(f: dataclasses.Field[Any], hint: Any) -> Member:
    required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    default = NO_DEFAULT if f.default is dataclasses.MISSING else _json_default(f.default)
    return Member(f.name, hint, required, default, f.metadata.get("description"))
