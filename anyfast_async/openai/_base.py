"""The objects of the vendor SDK's answers: attributes over what came, whatever came.

Nothing is validated: a declared field that is missing is None, an undeclared one is an attribute all the same.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Final, Literal, Self, TypeAlias, Union, get_args, get_origin, get_type_hints

import attrs

from anyfast_async._core.json import codec

Selection: TypeAlias = "Collection[str] | Mapping[Any, Any] | None"
"""Names to dump or to leave out; a mapping goes on into a field, a list's items by index or ``"__all__"``."""

_MISSING: Final = object()


@attrs.frozen
class _Field:
    """A declared field."""

    read: Callable[[Any], Any]
    default: Any


_known: dict[type[BaseModel], dict[str, _Field]] = {}


def _fields_of(kind: type[BaseModel]) -> dict[str, _Field]:
    """Return the declared fields of *kind*, worked out at its first use."""
    fields = _known.get(kind)
    if fields is None:
        fields = _known[kind] = {
            name: _Field(_reader(hint), getattr(kind, name, _MISSING))
            for name, hint in get_type_hints(kind).items()
            if not name.startswith("_")
        }
    return fields


def _as_is(value: Any) -> Any:
    return value


def _reader(hint: Any) -> Callable[[Any], Any]:
    """Return a function from a JSON value to the objects that *hint* declares; what does not fit stays as it came."""
    members = [m for m in (get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)) if m is not NoneType]
    models = [m for m in members if isinstance(m, type) and issubclass(m, BaseModel)]
    if models:
        return lambda value: _member(models, value)(**value) if type(value) is dict else value
    if members and get_origin(members[0]) is list:
        read = _reader(get_args(members[0])[0])
        return lambda value: [read(item) for item in value] if isinstance(value, list) else value
    return _as_is


def _member(models: list[type[BaseModel]], value: Mapping[str, Any]) -> type[BaseModel]:
    """Return the class that the value's ``type`` names, else the first."""
    for model in models[1:]:
        if value.get("type") in get_args(get_type_hints(model).get("type")):
            return model
    return models[0]


class BaseModel:  # noqa: PLW1641 - mutable, hence without a hash
    """An object of an answer, as the vendor SDK has them.

    Its keyword arguments are the fields of the wire. It is mutable, compares by value, and pickles.
    """

    __slots__ = ("__dict__", "_extra", "_request_id", "_set")

    _request_id: str | None
    _extra: dict[str, Any]
    _set: set[str]

    def __init__(self, /, **values: Any) -> None:
        fields = _fields_of(type(self))
        self._set = fields.keys() & values.keys()
        self._extra = {name: value for name, value in values.items() if name not in fields}
        for name, field in fields.items():
            if name in values:
                self.__dict__[name] = field.read(values[name])
            else:
                self.__dict__[name] = None if field.default is _MISSING else field.default

    @classmethod
    def model_construct(cls, _fields_set: Collection[str] | None = None, **values: Any) -> Self:
        """Make one of the fields of the wire, without validation."""
        made = cls(**values)
        if _fields_set is not None:
            made._set = set(_fields_set)
        return made

    construct = model_construct

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._extra:
            return self._extra[name]
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(message)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        elif name in _fields_of(type(self)):
            self.__dict__[name] = value
            self._set.add(name)
        else:
            self._extra[name] = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BaseModel) or type(self) is not type(other):
            return NotImplemented
        return (self.__dict__, self._extra, self._set) == (other.__dict__, other._extra, other._set)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        yield from self.__dict__.items()
        yield from self._extra.items()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self)})"

    @property
    def model_extra(self) -> dict[str, Any]:
        """The fields that are not declared."""
        return self._extra

    @property
    def model_fields_set(self) -> set[str]:
        """The names of the declared fields that came."""
        return set(self._set)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with the values of *update* set on it."""
        made = copy.deepcopy(self) if deep else copy.copy(self)
        made._extra, made._set = dict(made._extra), set(made._set)  # noqa: SLF001 - a copy of this
        for name, value in (update or {}).items():
            setattr(made, name, value)
        return made

    def model_dump(
        self,
        *,
        mode: str = "python",
        include: Selection = None,
        exclude: Selection = None,
        by_alias: bool | None = None,  # noqa: ARG002 - no field has an alias
        exclude_unset: bool = False,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        warnings: bool | Literal["none", "warn", "error"] = True,  # noqa: ARG002 - nothing is validated
    ) -> dict[str, Any]:
        """Return it as a dict, nested objects too.

        Args:
            mode: ``"json"`` also turns what a class was parsed into to JSON values.
            include: names to dump, no others.
            exclude: names to leave out.
            by_alias: taken and ignored: no field has an alias.
            exclude_unset: leave out what did not come.
            exclude_defaults: leave out what has its default value.
            exclude_none: leave out what is None.
            warnings: taken and ignored: nothing is validated.

        """
        dump = _Dump(mode, exclude_unset, exclude_defaults, exclude_none)
        dumped: dict[str, Any] = dump.value(self, include, exclude)
        return dumped

    def model_dump_json(self, *, indent: int | None = None, ensure_ascii: bool = False, **options: Any) -> str:
        """Return it as JSON text; *options* are those of :meth:`model_dump`."""
        text = codec.dumps(self.model_dump(mode="json", **options)).decode()
        if indent is not None:
            text = "".join(_indented(text, " " * indent))
        return _ESCAPED.sub(lambda found: json.dumps(found[0])[1:-1], text) if ensure_ascii else text

    def to_dict(
        self,
        *,
        mode: Literal["json", "python"] = "python",
        use_api_names: bool = True,
        exclude_unset: bool = True,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        warnings: bool = True,
    ) -> dict[str, object]:
        """Return it as a dict of what came; the arguments are those of :meth:`model_dump`."""
        return self.model_dump(
            mode=mode,
            by_alias=use_api_names,
            exclude_unset=exclude_unset,
            exclude_defaults=exclude_defaults,
            exclude_none=exclude_none,
            warnings=warnings,
        )

    def to_json(
        self,
        *,
        indent: int | None = 2,
        use_api_names: bool = True,
        exclude_unset: bool = True,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        warnings: bool = True,
    ) -> str:
        """Return what came as JSON text; the arguments are those of :meth:`model_dump`."""
        return self.model_dump_json(
            indent=indent,
            by_alias=use_api_names,
            exclude_unset=exclude_unset,
            exclude_defaults=exclude_defaults,
            exclude_none=exclude_none,
            warnings=warnings,
        )


_PIECE: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^"\[\]{},:]+|.', re.DOTALL)
_ESCAPED: Final = re.compile(r"[^\x00-\x7f]+")


def _indented(text: str, indent: str) -> Iterator[str]:
    """Yield the pieces of compact JSON *text* over several lines; numbers stay as they are written."""
    depth, opened = 0, False
    for piece in _PIECE.findall(text):
        if piece in ("]", "}"):
            depth -= 1
            yield piece if opened else f"\n{indent * depth}{piece}"
        else:
            yield f"\n{indent * depth}" if opened else ""
            yield f",\n{indent * depth}" if piece == "," else ": " if piece == ":" else piece
        opened = piece in ("[", "{")
        depth += opened


@attrs.frozen
class _Dump:
    """How objects become dicts."""

    mode: str
    unset: bool
    defaults: bool
    none: bool

    def value(self, value: Any, include: Selection = None, exclude: Selection = None) -> Any:
        if include is None and exclude is None and not isinstance(value, BaseModel):
            return self._whole(value)
        match value:
            case BaseModel():
                fields = _fields_of(type(value))
                came = value.model_fields_set
                items = {n: v for n, v in value if not self._left_out(fields.get(n), n, v, came)}
                return {n: self.value(v, *w) for n, v in items.items() if (w := _within(n, include, exclude))}
            case list() | tuple():
                return [self.value(v, *w) for n, v in enumerate(value) if (w := _within(n, include, exclude))]
            case Mapping():
                return {n: self.value(v, *w) for n, v in value.items() if (w := _within(n, include, exclude))}
        return self._foreign(value)

    def _whole(self, value: Any) -> Any:
        """Dump all of a value, without recursion: upstreams decide how deep it goes."""
        top = [value]
        todo: list[tuple[Any, Any]] = [(top, 0)]
        while todo:
            into, place = todo.pop()
            match into[place]:
                case BaseModel() as model:
                    into[place] = self.value(model)
                case list() | tuple() as items:
                    into[place] = made = list(items)
                    todo += [(made, number) for number in range(len(made))]
                case Mapping() as items:
                    into[place] = fields = dict(items)
                    todo += [(fields, name) for name in fields]
                case other:
                    into[place] = self._foreign(other)
        return top[0]

    def _left_out(self, field: _Field | None, name: str, value: Any, came: set[str]) -> bool:
        if self.none and value is None:
            return True
        if field is None:
            return False
        return (self.unset and name not in came) or (
            self.defaults and field.default is not _MISSING and bool(field.default == value)
        )

    def _foreign(self, value: Any) -> Any:
        """Dump what a class of the user's was parsed into."""
        if callable(getattr(value, "model_dump", None)):
            return value.model_dump(mode=self.mode)
        if attrs.has(type(value)):
            return attrs.asdict(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return dataclasses.asdict(value)
        return value


def _within(name: Any, include: Selection, exclude: Selection) -> tuple[Selection, Selection] | None:
    """Return the selections that hold inside of the field *name*, None if it is not to be dumped."""
    kept, left = _chosen(include, name), _chosen(exclude, name)
    if (include is not None and kept is None) or left is True:
        return None
    return (None if kept is True else kept), left


def _chosen(selection: Any, name: Any) -> Any:
    if isinstance(selection, Mapping):
        found = selection.get(name, selection.get("__all__"))
        return True if found is ... else found or None
    return True if selection is not None and name in selection else None
