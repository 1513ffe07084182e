"""Structured output: an answer's text to an instance of a class.

Reading is strict (no ``"5"`` for an ``int``), unknown keys are ignored, and every mismatch is reported with its path.
What a class is made of is read in ``type_hints``, from which the schema that was asked for is made too.
"""

from __future__ import annotations

import base64
import binascii
import collections.abc
import datetime as dt
import decimal
import enum
import functools
import pathlib
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, Union, get_args, get_origin

import attrs
import cattrs

from anyfast_async._structured.constraints import problem_of
from anyfast_async._structured.json_in_text import NoJsonError, json_in
from anyfast_async._structured.json_schema import schema_of
from anyfast_async._structured.own_schema import has_own, read_own
from anyfast_async._structured.type_hints import (
    LISTS,
    OBJECTS,
    SETS,
    Member,
    is_class,
    is_object,
    members_of,
    members_of_union,
    name_of,
    origin_of,
    unwrapped,
)
from anyfast_async.errors import FieldError, escaped

T = TypeVar("T")


class FieldMismatchError(Exception):
    """A text does not fit a class; ``.errors`` says where."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


def parse(text: str, kind: type[T]) -> T:
    """Return the *kind* that the JSON in *text* describes.

    Raises:
        FieldMismatchError: naming every place that does not fit.
        ConfigurationError: *kind* holds a type that JSON has no shape for.

    """
    schema_of(kind)  # refuses a class that cannot be read, whatever the answer is
    wrapped = not is_object(kind)
    try:
        value = json_in(text, wrapped=wrapped)
    except NoJsonError as error:
        raise FieldMismatchError((FieldError("$", f"the answer {error}"),)) from None
    if wrapped and isinstance(value, dict) and value.keys() == {"value"}:
        value = value["value"]
    try:
        found: T = _read(value, kind)
    except FieldMismatchError as mismatch:
        raise FieldMismatchError(tuple(FieldError(f"${e.path}", e.problem) for e in mismatch.errors)) from None
    except RecursionError:
        raise FieldMismatchError((FieldError("$", "is nested too deep"),)) from None
    return found


def _read(value: Any, kind: Any) -> Any:
    kind = unwrapped(kind)
    return _hook(kind)(value, kind)


def _hook(kind: Any) -> Callable[[Any, Any], Any]:
    if isinstance(kind, enum.EnumMeta):
        return _word  # by class, as cattrs goes, an enum of str would be a str
    return _converter.get_structure_hook(kind)


def _mismatch(problem: str, path: str = "") -> FieldMismatchError:
    return FieldMismatchError((FieldError(path, escaped(problem, 200)),))


def _collected(read: Callable[[], Any], path: str, problems: list[FieldError]) -> Any:
    """Return what *read* returns; where that does not fit, add what is wrong to *problems*, below *path*."""
    try:
        return read()
    except FieldMismatchError as mismatch:
        problems += (FieldError(path + e.path, e.problem) for e in mismatch.errors)
    return None


# -- plain values ----------------------------------------------------------------------------------------------------


def _strict(kinds: tuple[type, ...], wanted: str) -> Callable[[Any, Any], Any]:
    def read(value: Any, _: Any) -> Any:
        if type(value) in kinds:
            return value
        message = f"must be {wanted}, not {type(value).__name__}"
        raise _mismatch(message)

    return read


def _integer(value: Any, _: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)  # JSON has one kind of number
    message = f"must be an integer, not {type(value).__name__}"
    raise _mismatch(message)


def _number(value: Any, _: Any) -> float:
    message = f"must be a number, not {type(value).__name__}"
    if type(value) in (int, float):
        try:
            return float(value)
        except OverflowError:
            message = "is too large for a number with a decimal point"
    raise _mismatch(message)


def _from_text(make: Callable[[str], Any], wanted: str) -> Callable[[Any, Any], Any]:
    def read(value: Any, _: Any) -> Any:
        try:
            if isinstance(value, str):
                return make(value)
        except (ValueError, binascii.Error, decimal.InvalidOperation):
            pass
        message = f"must be {wanted}"
        raise _mismatch(message)

    return read


def _decimal(value: Any, _: Any) -> decimal.Decimal:
    try:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return decimal.Decimal(str(value))
    except decimal.InvalidOperation:
        pass
    message = "must be a number"
    raise _mismatch(message)


def _word(value: Any, options: Iterable[Any]) -> Any:
    """Return the one of *options* that *value* is the JSON of; ``1`` is neither ``true`` nor ``"1"``, but ``1.0``."""
    words = []
    for option in options:
        word = option.value if isinstance(option, enum.Enum) else option
        if word == value and (type(word) is type(value) or {type(word), type(value)} == {int, float}):
            return option
        words.append(word)
    message = f"must be one of {', '.join(map(repr, words))}"
    raise _mismatch(message)


_PLAIN: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    type(None): _strict((type(None),), "null"),
    str: _strict((str,), "a string"),
    int: _integer,
    float: _number,
    bool: _strict((bool,), "true or false"),
    bytes: _from_text(lambda text: base64.b64decode(text, validate=True), "base64"),
    dt.datetime: _from_text(dt.datetime.fromisoformat, "a date and time"),
    dt.date: _from_text(dt.date.fromisoformat, "a date"),
    dt.time: _from_text(dt.time.fromisoformat, "a time"),
    uuid.UUID: _from_text(uuid.UUID, "a UUID"),
    pathlib.Path: _from_text(pathlib.Path, "a path"),
    decimal.Decimal: _decimal,
}


# -- containers ------------------------------------------------------------------------------------------------------


def _array(value: Any, kind: Any) -> Any:
    origin, arguments = _outer(kind), get_args(kind)
    _expect(value, list, "a list")
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            message = f"must have {len(arguments)} items, not {len(value)}"
            raise _mismatch(message)
        kinds: Iterable[Any] = arguments
    else:
        kinds = [arguments[0] if arguments else Any] * len(value)
    problems: list[FieldError] = []
    items = [
        _collected(functools.partial(_read, item, inner), f"[{index}]", problems)
        for index, (item, inner) in enumerate(zip(value, kinds, strict=True))
    ]
    if problems:
        raise FieldMismatchError(tuple(problems))
    return _ARRAYS[origin](items)


def _set(items: list[Any], make: Callable[[list[Any]], Any]) -> Any:
    try:
        return make(items)
    except TypeError as error:
        raise _mismatch(str(error)) from None


_ARRAYS: Final[Mapping[Any, Callable[[list[Any]], Any]]] = {
    **dict.fromkeys(LISTS, tuple),
    list: list,
    collections.abc.MutableSequence: list,
    tuple: tuple,
    **{kind: functools.partial(_set, make=frozenset) for kind in SETS},
    set: functools.partial(_set, make=set),
    collections.abc.MutableSet: functools.partial(_set, make=set),
}


def _object(value: Any, kind: Any) -> dict[Any, Any]:
    keys, values = get_args(kind) or (Any, Any)
    _expect(value, dict, "an object")
    problems: list[FieldError] = []
    read: dict[Any, Any] = {}
    for name, item in value.items():
        path = f"[{escaped(repr(name), 80)}]"
        key = _collected(functools.partial(_read, name, keys), path, problems)
        read[key] = _collected(functools.partial(_read, item, values), path, problems)
    if problems:
        raise FieldMismatchError(tuple(problems))
    return read


def _expect(value: Any, kind: type, wanted: str) -> None:
    if not isinstance(value, kind):
        message = f"must be {wanted}, not {type(value).__name__}"
        raise _mismatch(message)


def _reader_of_class(kind: Any) -> Callable[[Any, Any], Any]:
    origin = _outer(kind)
    members = members_of(kind)
    # A TypedDict is the dict itself, and its keys need not be names.
    make: Callable[..., Any] = dict if typing.is_typeddict(origin) else origin

    def read(value: Any, _: Any) -> Any:
        _expect(value, dict, "an object")
        problems: list[FieldError] = []
        fields: dict[str, Any] = {}
        for member in members:
            if member.name in value:
                one = functools.partial(_read_member, value[member.name], member)
                fields[member.name] = _collected(one, f".{member.name}", problems)
            elif member.required:
                problems.append(FieldError(f".{member.name}", "is missing"))
        if problems:
            raise FieldMismatchError(tuple(problems))
        try:
            return make(**fields)
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001 - validators of a program raise what they like
            text = str(error.args[0]) if error.args else type(error).__name__
            raise _mismatch(text, _path_of(error, members)) from None

    return read


def _read_member(value: Any, member: Member) -> Any:
    read = _read(value, member.kind)
    problem = problem_of(read, member.attribute) if member.attribute is not None else None
    if problem is not None:
        raise _mismatch(problem)
    return read


def _path_of(error: BaseException, members: list[Member]) -> str:
    """Find the field whose validator or converter raised: attrs hands it to the validator."""
    paths = {id(member.attribute): f".{member.name}" for member in members if member.attribute is not None}
    trace, path = error.__traceback__, ""
    while trace is not None:
        found = [
            paths[id(v)] for v in trace.tb_frame.f_locals.values() if isinstance(v, attrs.Attribute) and id(v) in paths
        ]
        path = found[0] if found else path
        trace = trace.tb_next
    return path


def _own(value: Any, kind: Any) -> Any:
    found, problems = read_own(value, kind)
    if problems:
        raise FieldMismatchError(problems)
    return found


# -- unions ----------------------------------------------------------------------------------------------------------


def _union(value: Any, kind: Any) -> Any:
    """Return the first member that fits; a class that knows more of an object's keys comes before others."""
    members = members_of_union(kind)
    if value is None and type(None) in members:
        return None
    members = tuple(m for m in members if m is not type(None))
    failed: list[tuple[Any, FieldMismatchError]] = []
    for member in sorted(members, key=lambda m: -_overlap(m, value)):
        if member is float and type(value) is int and int in members:
            continue
        try:
            return _read(value, member)
        except FieldMismatchError as mismatch:
            failed.append((member, mismatch))
    raise _closest(value, failed) or _mismatch(f"fits none of {', '.join(map(name_of, members))}")


def _closest(value: Any, failed: list[tuple[Any, FieldMismatchError]]) -> FieldMismatchError | None:
    """Return what is wrong with the one member of a union that was meant, if it can be told."""
    alike = [(member, mismatch) for member, mismatch in failed if len(failed) == 1 or _has_shape(member, value)]
    fewest = min((len(mismatch.errors) for _, mismatch in alike), default=0)
    nearest = [(member, mismatch.errors) for member, mismatch in alike if len(mismatch.errors) == fewest]
    most = max((_overlap(member, value) for member, _ in nearest), default=0)
    for best in (
        [errors for _, errors in nearest],
        [errors for member, errors in nearest if _overlap(member, value) == most],
    ):
        if len(best) == 1:
            return FieldMismatchError(best[0])
    best = [errors for _, errors in nearest]
    if best and fewest == 1 and len({errors[0].path for errors in best}) == 1:
        said = dict.fromkeys(errors[0].problem for errors in best)
        return _mismatch(" or ".join(said), best[0][0].path)
    return None


def _overlap(kind: Any, value: Any) -> int:
    if isinstance(value, dict) and has_own(origin_of(kind)):
        return sum(name in value for name in schema_of(unwrapped(kind)).get("properties", ()))
    if not isinstance(value, dict) or not is_class(origin_of(kind)):
        return 0
    return sum(member.name in value for member in members_of(unwrapped(kind)))


def _has_shape(kind: Any, value: Any) -> bool:
    return isinstance(value, list) if origin_of(kind) in _ARRAYS else isinstance(value, dict) and is_object(kind)


# -- the converter ---------------------------------------------------------------------------------------------------


def _outer(kind: Any) -> Any:
    origin = get_origin(kind)
    return kind if origin is None else origin


def _make_converter() -> cattrs.Converter:
    """Return the table of what reads which type; cattrs keeps it and remembers what it found."""
    converter = cattrs.Converter()

    def register(fits: Callable[[Any], bool], read: Callable[[Any, Any], Any]) -> None:
        converter.register_structure_hook_func(fits, read)

    for plain, read in _PLAIN.items():
        converter.register_structure_hook(plain, read)
    register(lambda k: k in (Any, object), lambda value, _: value)
    register(lambda k: get_origin(k) is typing.Literal, lambda value, k: _word(value, get_args(k)))
    register(lambda k: get_origin(k) in (Union, types.UnionType), _union)
    register(lambda k: _outer(k) in _ARRAYS, _array)
    register(lambda k: _outer(k) in OBJECTS, _object)
    register(has_own, _own)
    converter.register_structure_hook_factory(lambda k: is_class(_outer(k)), _reader_of_class)
    return converter


_converter: Final = _make_converter()
