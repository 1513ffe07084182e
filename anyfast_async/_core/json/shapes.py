"""Functions that make an answer of an object of JSON, written for the keys that it has.

They are source, as attrs and cattrs write theirs, and take objects whose known fields have their types, or are null or
absent, which is nearly every one. What does not fit, or has a new shape, is left to the general hook of ``lossless``,
which takes anything.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import attrs

from anyfast_async.completions import ChatCompletionChunk, ChunkChoice
from anyfast_async.messages import AssistantMessage

Hook: TypeAlias = Callable[..., Any]
"""Takes a JSON object and, as cattrs calls it, the class, which it knows."""
Keep: TypeAlias = Callable[[Any], Any]
"""What is done with a value that is kept as it came."""
MISFIT: Final[Any] = object()
OWN: Final = ("extra", "blank")
"""Fields that each answer has for itself, because they may be changed."""


class Field(NamedTuple):
    """A field that is part of the JSON."""

    name: str
    absent: Any
    """Its value where it is absent, null or an empty list."""
    types: tuple[type[Any], ...]
    """What it may be in JSON, the usual one first."""
    convert: Callable[[Any], Any] | None
    """From there to the field's value, or to ``MISFIT``; None where it is kept as it came."""
    inner: Any = None
    """The hook of the answer's part, or parts, that it holds."""
    empty: Any = None
    """The part that says nothing, and so is none."""


def on_the_wire(attribute: attrs.Attribute[Any]) -> bool:
    return attribute.name not in ("extra", "blank") and attribute.metadata.get("wire", True)


@functools.cache
def _draft_of(kind: Any) -> type[Any]:
    """Return a subclass of a frozen class whose instances can be filled in; they are frozen by changing their class.

    A frozen class sets every field by a call of ``object.__setattr__``, six times the work of an assignment.
    """
    own = ("__init__", "__setattr__", "__delattr__")
    return type(f"{kind.__name__}Draft", (kind,), {"__slots__": (), **{name: getattr(object, name) for name in own}})


class Shapes:
    """The usual hook of a class: for each shape that its objects come in, a function written for just these keys.

    A shape is the keys in order. Only what came before is written for, so that neither the keys that others send nor
    their number can make this costly.
    """

    def __init__(self, kind: Any, fields: list[Field], keep: Keep, general: Hook) -> None:
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
        if len(self._hooks) >= SHAPES or len(shape) > _KEYS or sum(map(len, shape)) > _KEYS_LENGTH:
            return None
        if shape not in self._seen:
            if len(self._seen) >= SHAPES:
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
            "MISFIT": MISFIT,
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


SHAPES: Final = 64
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


def _field_lines(field: Field, number: int, names: dict[str, Any]) -> list[str]:
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
        if not on_the_wire(attribute) and attribute.name not in OWN:
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


@functools.cache
def maker(kind: Any) -> Callable[..., Any]:
    """Return a function that makes a frozen *kind* of all its fields, in order, as they are."""
    names: dict[str, Any] = {"Kind": kind, "Draft": _draft_of(kind)}
    fields = [attribute.name for attribute in attrs.fields(kind)]
    lines = [" it = Draft()", *(f" it.{name} = {name}" for name in fields), " it.__class__ = Kind", " return it"]
    return _compiled(f"made({', '.join(fields)})", lines, f"<{kind.__name__} of its fields>", names)


def texter(chunk: ChatCompletionChunk) -> Callable[[str], ChatCompletionChunk]:
    """Return the function that makes chunks like *chunk*, whose only choice says a text, with another text.

    Nothing that can change is shared by them.
    """
    (choice,) = chunk.choices
    parts = (choice.delta, choice, chunk)
    filled = tuple(bool(getattr(part, name)) for part in parts for name in OWN)
    made: Callable[[str], ChatCompletionChunk] = _texters(filled)(*parts)
    return made


@functools.cache
def _texters(filled: tuple[bool, ...]) -> Callable[..., Any]:
    """Return what :func:`texter` calls, for a chunk whose own fields are *filled*; of its parts, inner ones first."""
    kinds = {"delta": AssistantMessage, "choice": ChunkChoice, "chunk": ChatCompletionChunk}
    values = {"delta_content": "text", "choice_delta": "new_delta", "chunk_choices": "(new_choice,)"}
    own = dict(zip([f"{part}_{name}" for part in kinds for name in OWN], filled, strict=True))
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
