"""JSON objects to answers and back, through cattrs, with nothing lost.

What a class does not know, or knows with another type, goes into ``extra`` and comes out again.

Each class gets two hooks: the usual one, which ``shapes`` writes, and the general one here, which takes anything.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs

from anyfast_async import completions, messages
from anyfast_async._core.json.jsontext import dumps
from anyfast_async._core.json.shapes import MISFIT, Field, Hook, Keep, Shapes, on_the_wire
from anyfast_async.completions import Usage
from anyfast_async.messages import JSON, FunctionCall, ToolCall

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")

_EXACT_FLOAT: Final = 2.0**63
"""orjson turns integers over 64 bits into floats; a float this large is a reason to read the text again."""
_EXACT_WHOLE: Final = 2.0**53
"""From here on floats skip whole numbers."""
_DIGITS: Final = 15


class RoundedError(Exception):
    """A number in the answer may have been rounded."""


def _is_lossless(kind: Any) -> bool:
    return attrs.has(kind) and hasattr(kind, "__attrs_attrs__") and {"extra", "blank"} <= attrs.fields_dict(kind).keys()


def _fields(kind: type[Any], converter: Converter, keep: Keep) -> list[Field]:
    hints = get_type_hints(kind, vars(completions) | vars(messages))
    # A message that we make is an assistant's; one that came without a role has none.
    absent = {a.name: None if a.name == "role" else a.default for a in attrs.fields(kind)}
    return [
        Field(a.name, absent[a.name], *_reading(hints[a.name], converter, keep))
        for a in attrs.fields(kind)
        if on_the_wire(a)
    ]


def _reading(hint: Any, converter: Converter, keep: Keep) -> tuple[Any, ...]:
    """Return the types in JSON of a field with this annotation, and how its value is made of one: a field's fields."""
    union = get_origin(hint) in (Union, UnionType)
    member, *others = [m for m in (get_args(hint) if union else (hint,)) if m is not type(None)]
    if others:  # content: text, or a list of parts that is kept as it came
        return (str, list), lambda value: value if type(value) is str else keep(value)
    if get_origin(member) is Mapping:
        return (dict,), keep
    if get_origin(member) is tuple:
        item_hook: Hook = converter.get_structure_hook(get_args(member)[0])

        def read_list(value: list[Any]) -> Any:
            for item in value:
                if type(item) is not dict:
                    return MISFIT
            return tuple(map(item_hook, value))

        return (list,), read_list, item_hook
    if _is_lossless(member):
        hook: Hook = converter.get_structure_hook(member)
        empty = Usage() if member is Usage else None
        return (dict,), hook if empty is None else _counted(hook, empty), hook, empty
    return (member,), None


def _counted(hook: Hook, empty: Usage) -> Hook:
    """Return the *hook* of a usage, for which one without a number is none."""

    def read(value: Any, _: Any = None) -> Any:
        usage = hook(value)
        return MISFIT if usage.total_tokens is None and usage == empty else usage

    return read


# -- any object ------------------------------------------------------------------------------------------------------


def _general_hook(kind: type[Any], fields: list[Field], keep: Keep) -> Hook:
    known_fields = {field.name: field for field in fields}
    absent = {field.name: field.absent for field in fields}

    def structure(value: Any, _: Any = None) -> Any:
        known, extra, blank = dict(absent), {}, {}
        for name, item in value.items():
            field = known_fields.get(name)
            if field is None:
                extra[name] = keep(item)
            elif item is None or item == []:
                blank[name] = item
            elif (good := _read(field, item)) is not MISFIT:
                known[name] = good
            else:
                extra[name] = keep(item)
                if field.types == (int,):
                    known[name] = _whole(item)
                elif kind is FunctionCall and name == "arguments":  # Ollama sends an object
                    known[name] = dumps(item).decode()
                elif kind is ToolCall and name == "id" and type(item) is int:
                    known[name] = str(item)  # a result is given for an id that is text
        return kind(**known, extra=extra, blank=blank)

    return structure


def _whole(item: Any) -> int | None:
    """Return the number that *item* is in another type: RFC 8259 knows one kind of them, and some write digits."""
    if type(item) is float and item.is_integer() and abs(item) < _EXACT_WHOLE:
        return int(item)
    if type(item) is str and item.isascii() and item.isdigit() and len(item) <= _DIGITS:
        return int(item)
    return None


def _read(field: Field, item: Any) -> Any:
    if type(item) not in field.types:
        return MISFIT
    return item if field.convert is None else field.convert(item)


# -- with other values -----------------------------------------------------------------------------------------------


def filled(value: T, **fields: Any) -> T:
    """Put *fields* into an answer that was just made, which nobody else has seen, and return it."""
    for name, item in fields.items():
        put(value, name, item)
    return value


put: Final = object.__setattr__
"""Puts one field into an answer that was just made: answers are frozen."""


# -- both, in cattrs -------------------------------------------------------------------------------------------------


def _structure_hook(kind: type[Any], converter: Converter, keep: Keep) -> Hook:
    fields = _fields(kind, converter, keep)
    return Shapes(kind, fields, keep, _general_hook(kind, fields, keep))


def _unstructure_hook(kind: type[Any]) -> Callable[[Any], dict[str, Any]]:
    names = [a.name for a in attrs.fields(kind) if on_the_wire(a)]

    def unstructure(value: Any) -> dict[str, Any]:
        known = {n: _to_json(item) for n in names if (item := getattr(value, n)) is not None and item != ()}
        return dict(value.blank) | known | dict(value.extra)

    return unstructure


def _to_json(value: Any) -> Any:
    match value:
        case str() | int() | float() | None:
            return value
        case list() | tuple():
            return [_to_json(v) for v in value]
        case Mapping():
            return value
    return _converter().unstructure(value)


def _make_converter(keep: Keep) -> Converter:
    import cattrs  # noqa: PLC0415 - see :func:`load`

    converter = cattrs.Converter(detailed_validation=False)
    converter.register_structure_hook_factory(_is_lossless, lambda kind: _structure_hook(kind, converter, keep))
    converter.register_unstructure_hook_factory(_is_lossless, _unstructure_hook)
    return converter


def _exact(value: Any) -> Any:
    """Return *value*, or say that a number in it may have been rounded."""
    if type(value) is not float and type(value) is not dict and type(value) is not list:
        return value
    todo = [value]
    while todo:
        item = todo.pop()
        if type(item) is float and abs(item) >= _EXACT_FLOAT:
            raise RoundedError
        if type(item) is dict:
            todo += item.values()
        elif type(item) is list:
            todo += item
    return value


@functools.cache
def _converter() -> Converter:
    return _make_converter(lambda value: value)


@functools.cache
def _exact_converter() -> Converter:
    return _make_converter(_exact)


@functools.cache
def _exact_hooks(kind: Any) -> list[Hook]:
    """Return where the hook of the shape that *kind* came in last stands."""
    shapes: Any = _exact_converter().get_structure_hook(kind)
    latest: list[Hook] = shapes.latest
    return latest


def load() -> None:
    """Load cattrs now, and not with the first answer."""
    _converter()


def as_dict(value: Any) -> dict[str, Any]:
    """Return an answer as the JSON object that it came from."""
    unstructured: dict[str, Any] = _converter().unstructure(value)
    return unstructured


def structure(value: JSON, kind: type[T]) -> T:
    """Return the JSON object *value* as an answer of class *kind*; it never fails on a dict."""
    return _converter().structure(value, kind)


def structure_exactly(value: JSON, kind: type[T]) -> T:
    """As :func:`structure`, for a *value* that orjson has read.

    Raises:
        RoundedError: a number in it may have been rounded.

    """
    made: T = _exact_hooks(kind)[0](value)  # type: ignore[arg-type]  # classes have a hash
    return made
