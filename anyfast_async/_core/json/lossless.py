"""JSON objects to answers and back, through cattrs, with nothing lost.

What a class does not know, or knows with another type, goes into ``extra`` and comes out again.

Each class gets two hooks. The *usual* one has a function for each shape that objects came in, written as source from
the class's attrs fields, as attrs and cattrs write theirs: it takes objects whose known fields have their types, or
are null, which is nearly every one. What does not fit, or has a new shape, it leaves to the *general* one, which takes
anything.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    NamedTuple,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs

from anyfast_async import completions, messages
from anyfast_async._core.json.jsontext import dumps
from anyfast_async.completions import ChatCompletionChunk, ChunkChoice, Usage
from anyfast_async.messages import JSON, AssistantMessage, FunctionCall, ToolCall

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")
Hook: TypeAlias = Callable[..., Any]
"""Takes a JSON object and, as cattrs calls it, the class, which it knows."""
Keep: TypeAlias = Callable[[Any], Any]
"""What is done with a value that is kept as it came."""

_EXACT_FLOAT: Final = 2.0**63
"""orjson turns integers over 64 bits into floats; a float this large is a reason to read the text again."""
_EXACT_WHOLE: Final = 2.0**53
"""From here on floats skip whole numbers."""
_DIGITS: Final = 15
_MISFIT: Final[Any] = object()


class RoundedError(Exception):
    """A number in the answer may have been rounded."""


class _Field(NamedTuple):
    """A field that is part of the JSON."""

    name: str
    absent: Any
    """Its value where it is absent, null or an empty list."""
    types: tuple[type[Any], ...]
    """What it may be in JSON, the usual one first."""
    convert: Callable[[Any], Any] | None
    """From there to the field's value, or to ``_MISFIT``; None where it is kept as it came."""
    inner: Any = None
    """The hook of the answer's part, or parts, that it holds."""
    empty: Any = None
    """The part that says nothing, and so is none."""


def _is_lossless(kind: Any) -> bool:
    return attrs.has(kind) and hasattr(kind, "__attrs_attrs__") and {"extra", "blank"} <= attrs.fields_dict(kind).keys()


def _on_the_wire(attribute: attrs.Attribute[Any]) -> bool:
    return attribute.name not in ("extra", "blank") and attribute.metadata.get("wire", True)


def _fields(kind: type[Any], converter: Converter, keep: Keep) -> list[_Field]:
    hints = get_type_hints(kind, vars(completions) | vars(messages))
    # A message that we make is an assistant's; one that came without a role has none.
    absent = {a.name: None if a.name == "role" else a.default for a in attrs.fields(kind)}
    return [
        _Field(a.name, absent[a.name], *_reading(hints[a.name], converter, keep))
        for a in attrs.fields(kind)
        if _on_the_wire(a)
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
                    return _MISFIT
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
        return _MISFIT if usage.total_tokens is None and usage == empty else usage

    return read


# -- any object ------------------------------------------------------------------------------------------------------


def _general_hook(kind: type[Any], fields: list[_Field], keep: Keep) -> Hook:
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
            elif (good := _read(field, item)) is not _MISFIT:
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


def _read(field: _Field, item: Any) -> Any:
    if type(item) not in field.types:
        return _MISFIT
    return item if field.convert is None else field.convert(item)


# -- usual objects ---------------------------------------------------------------------------------------------------


@functools.cache
def _draft_of(kind: Any) -> type[Any]:
    """Return a subclass of a frozen class whose instances can be filled in; they are frozen by changing their class.

    A frozen class sets every field by a call of ``object.__setattr__``, six times the work of an assignment.
    """
    own = ("__init__", "__setattr__", "__delattr__")
    return type(f"{kind.__name__}Draft", (kind,), {"__slots__": (), **{name: getattr(object, name) for name in own}})


class _Shapes:
    """The usual hook of a class: for each shape that its objects come in, a function written for just these keys.

    A shape is the keys in order. Only what came before is written for, so that neither the keys that others send nor
    their number can make this costly.
    """

    def __init__(self, kind: Any, fields: list[_Field], keep: Keep, general: Hook) -> None:
        self._kind, self._fields, self._keep, self._general = kind, fields, keep, general
        self._hooks: dict[tuple[str, ...], Hook] = {}
        self._seen: set[tuple[str, ...]] = set()
        self.latest: list[Hook] = [self._other]
        """The function of the shape that came last, which is tried first: it takes any order of its keys."""

    def __call__(self, value: Any, _: Any = None) -> Any:
        return self.latest[0](value)

    def _other(self, value: Any) -> Any:
        """Structure an object that is not of the latest shape."""
        shape = tuple(value)
        hook = self._hooks.get(shape) or self._learned(shape)
        if hook is None:
            return self._general(value)
        self.latest[0] = hook
        return hook(value)

    def _learned(self, shape: tuple[str, ...]) -> Hook | None:
        """Return a function for a *shape* that comes again, None if it is new or there are enough of them."""
        if len(self._hooks) >= _SHAPES or len(shape) > _KEYS or sum(map(len, shape)) > _KEYS_LENGTH:
            return None
        if shape not in self._seen:
            if len(self._seen) >= _SHAPES:
                self._seen.clear()
            self._seen.add(shape)
            return None
        self._seen.discard(shape)
        hook = self._hooks[shape] = self._written(shape)
        return hook

    def _written(self, shape: tuple[str, ...]) -> Hook:
        names: dict[str, Any] = {
            "Kind": self._kind,
            "Draft": _draft_of(self._kind),
            "FIELDS": frozenset(field.name for field in self._fields),
            "MISFIT": _MISFIT,
            "keep": self._keep,
            "general": self._general,
            "other": self._other,
        }
        names |= {f"key{number}": key for number, key in enumerate(shape)}
        number_of = {key: number for number, key in enumerate(shape)}
        unknown = [number for number, key in enumerate(shape) if key not in names["FIELDS"]]
        reads = [f"  item{number} = value[key{number}]" for number in range(len(shape))]
        lines = [f" if len(value) != {len(shape)}:", "  return other(value)"]
        if reads:
            lines += [" try:", *reads, " except KeyError:", "  return other(value)"]
        lines += [" made = Draft()", " made.blank = blank = {}", *_extra_lines(unknown)]
        for field in self._fields:
            if field.name in number_of:
                lines += _field_lines(field, number_of[field.name], names)
            names[f"absent_{field.name}"] = field.absent
            value = f"item{number_of[field.name]}" if field.name in number_of else f"absent_{field.name}"
            lines.append(f" made.{field.name} = {value}")
        lines += [*_lines_beside(self._kind, names), " made.__class__ = Kind", " return made"]
        return _compiled("structure(value)", lines, f"<{self._kind.__name__} of JSON>", names)


_SHAPES: Final = 64
"""For how many shapes of a class a function is written, and how many more are remembered until they come again."""
_KEYS: Final = 64
_KEYS_LENGTH: Final = 2048
"""The largest shape: it is kept for good."""


def _extra_lines(unknown: list[int]) -> list[str]:
    """Return the lines that keep what stands under the keys with these numbers."""
    if len(unknown) > 1:  # in the order in which they come
        return [
            " made.extra = extra = {}",
            " for name, item in value.items():",
            "  if name not in FIELDS:",
            "   extra[name] = item if item is None else keep(item)",
        ]
    kept = [f"key{one}: item{one} if item{one} is None else keep(item{one})" for one in unknown]
    return [f" made.extra = {{{', '.join(kept)}}}"]


def _field_lines(field: _Field, number: int, names: dict[str, Any]) -> list[str]:
    """Return the lines that make of an item what its *field* holds; what they speak of is put into *names*."""
    item, usual = f"item{number}", field.types[0]
    names |= {f"Type{number}": usual, f"convert{number}": field.convert}
    lines = [
        f" if {item}.__class__ is not Type{number}{' or not ' + item if usual is list else ''}:",
        f"  if {item} is not None and {item} != []:",
        "   return general(value)",
        f"  blank[key{number}] = {item}",
        f"  {item} = absent_{field.name}",
    ]
    if field.convert is None or usual is str:
        return lines
    if field.inner is None:
        return [*lines, " else:", f"  {item} = convert{number}({item})"]
    names[f"latest{number}"] = field.inner.latest
    if usual is list:
        return [
            *lines,
            f" elif len({item}) == 1 and {item}[0].__class__ is dict:",  # nearly every list
            f"  {item} = (latest{number}[0]({item}[0]),)",
            " else:",
            f"  {item} = convert{number}({item})",
            f"  if {item} is MISFIT:",
            "   return general(value)",
        ]
    lines += [" else:", f"  {item} = latest{number}[0]({item})"]
    if field.empty is not None:
        names[f"empty{number}"] = field.empty
        lines += [f"  if {item}.total_tokens is None and {item} == empty{number}:", "   return general(value)"]
    return lines


def _lines_beside(kind: Any, names: dict[str, Any]) -> list[str]:
    """Return the lines that fill the fields which are no part of the JSON; what they speak of is put into *names*."""
    lines = []
    for attribute in attrs.fields(kind):
        if not _on_the_wire(attribute) and attribute.name not in _OWN:
            names[f"default_{attribute.name}"] = default = attribute.default
            if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
                names[f"default_{attribute.name}"] = default.factory
                lines.append(f" made.{attribute.name} = default_{attribute.name}({'made' * default.takes_self})")
            else:
                lines.append(f" made.{attribute.name} = default_{attribute.name}")
    return lines


def _compiled(head: str, lines: list[str], title: str, names: dict[str, Any]) -> Callable[..., Any]:
    """Return the function of these *lines*. None of their text is another's: what comes from others is in *names*."""
    exec(compile("\n".join([f"def {head}:", *lines]), title, "exec"), names)  # noqa: S102 - of our own field names
    made: Callable[..., Any] = names[head.partition("(")[0]]
    return made


# -- with other values -----------------------------------------------------------------------------------------------


def filled(value: T, **fields: Any) -> T:
    """Put *fields* into an answer that was just made, which nobody else has seen, and return it."""
    for name, item in fields.items():
        put(value, name, item)
    return value


put: Final = object.__setattr__
"""Puts one field into an answer that was just made: answers are frozen."""


@functools.cache
def maker(kind: Any) -> Callable[..., Any]:
    """Return a function that makes a frozen *kind* of all its fields, in order, as they are."""
    names: dict[str, Any] = {"Kind": kind, "Draft": _draft_of(kind)}
    fields = [attribute.name for attribute in attrs.fields(kind)]
    lines = [" it = Draft()", *(f" it.{name} = {name}" for name in fields), " it.__class__ = Kind", " return it"]
    return _compiled(f"made({', '.join(fields)})", lines, f"<{kind.__name__} of its fields>", names)


_OWN: Final = ("extra", "blank")
"""Fields that each answer has for itself, because they may be changed."""


def texter(chunk: ChatCompletionChunk) -> Callable[[str], ChatCompletionChunk]:
    """Return the function that makes chunks like *chunk*, whose only choice says a text, with another text.

    Nothing that can change is shared by them.
    """
    (choice,) = chunk.choices
    parts = (choice.delta, choice, chunk)
    filled = tuple(bool(getattr(part, name)) for part in parts for name in _OWN)
    made: Callable[[str], ChatCompletionChunk] = _texters(filled)(*parts)
    return made


@functools.cache
def _texters(filled: tuple[bool, ...]) -> Callable[..., Any]:
    """Return what :func:`texter` calls, for a chunk whose own fields are *filled*; of its parts, inner ones first."""
    kinds = {"delta": AssistantMessage, "choice": ChunkChoice, "chunk": ChatCompletionChunk}
    values = {"delta_content": "text", "choice_delta": "new_delta", "chunk_choices": "(new_choice,)"}
    own = dict(zip([f"{part}_{name}" for part in kinds for name in _OWN], filled, strict=True))
    values |= {name: f"{{**{name}}}" if some else "{}" for name, some in own.items()}
    names: dict[str, Any] = {}
    outer: list[str] = []
    inner = [" def made(text):"]
    for part, kind in kinds.items():
        names |= {part.title(): kind, f"{part}_draft": _draft_of(kind)}
        inner.append(f"  new_{part} = {part}_draft()")
        for field in attrs.fields(kind):
            name = f"{part}_{field.name}"
            outer.append(f" {name} = {part}.{field.name}")
            inner.append(f"  new_{part}.{field.name} = {values.get(name, name)}")
        inner.append(f"  new_{part}.__class__ = {part.title()}")
    lines = [*outer, *inner, "  return new_chunk", " return made"]
    return _compiled("texter(delta, choice, chunk)", lines, "<chunks of one text>", names)


# -- both, in cattrs -------------------------------------------------------------------------------------------------


def _structure_hook(kind: type[Any], converter: Converter, keep: Keep) -> Hook:
    fields = _fields(kind, converter, keep)
    return _Shapes(kind, fields, keep, _general_hook(kind, fields, keep))


def _unstructure_hook(kind: type[Any]) -> Callable[[Any], dict[str, Any]]:
    names = [a.name for a in attrs.fields(kind) if _on_the_wire(a)]

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
