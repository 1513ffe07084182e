"""What a model is told of a function's parameters, and the arguments that it gives, checked against them.

Types are read where classes for structured output are: the parameters make a TypedDict.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, NotRequired, TypedDict

import attrs

from anyfast_async._core.json import codec
from anyfast_async._structured.constraints import json_values
from anyfast_async._structured.json_schema import schema_of
from anyfast_async._structured.parsing import FieldMismatchError, parse
from anyfast_async._tools.docstring import Documented, documented
from anyfast_async._values.bases import Shown
from anyfast_async.errors import ConfigurationError, escaped

_EMPTY: Final = inspect.Parameter.empty
_REFUSED: Final[Mapping[Any, str]] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


class ArgumentsError(ValueError):
    """Arguments that a model gave do not fit; ``str()`` says where, to the model."""


@attrs.frozen(eq=False, repr=False)
class Signature(Shown):
    """The parameters of a function, as a model is told of them."""

    description: str
    """What its docstring says of the function."""
    schema: Mapping[str, Any]
    """A JSON schema of an object."""
    positional: tuple[str, ...]
    """Those that cannot be given by name."""
    kind: Any
    """The TypedDict that the arguments are read into."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return tuple(self.schema["properties"])

    def read(self, given: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments by place and by name that a model gave, as JSON text or, as some upstreams do, a value.

        Raises:
            ArgumentsError: they do not fit; naming every place.

        """
        value = _value_of(given)
        unknown = [name for name in value if name not in self.schema["properties"]]
        problems = [f"{escaped(name, 60)}: there is no such argument" for name in unknown]
        arguments: dict[str, Any] = {}
        try:
            arguments = dict(parse(codec.dumps(value).decode(), self.kind))
        except FieldMismatchError as mismatch:
            problems += [f"{error.path.removeprefix('$').lstrip('.')}: {error.problem}" for error in mismatch.errors]
        if problems:
            takes = f"the arguments are {', '.join(self.names)}" if self.names else "there are no arguments"
            message = f"{'; '.join(problems)} ({takes})"
            raise ArgumentsError(message)
        return [arguments.pop(name) for name in self.positional if name in arguments], arguments


def _value_of(given: Any) -> dict[str, Any]:
    value = given
    if isinstance(given, str):
        try:
            value = codec.loads_exactly(given.encode("utf-8", "replace")) if given.strip() else None
        except codec.InvalidJSONError:
            message = "the arguments are no JSON; they must be one JSON object"
            raise ArgumentsError(message) from None
    if value is None:
        return {}  # what some models write for no arguments
    if not isinstance(value, dict):
        message = "the arguments must be one JSON object"
        raise ArgumentsError(message)
    return value


def signature_of(function: Callable[..., Any], name: str) -> Signature:
    """Return the signature of *function*, which models call *name*.

    Raises:
        ConfigurationError: a parameter has no type, or one that JSON has no shape for, or cannot be given by a model.

    """
    parameters = _parameters_of(function, name)
    hints = _hints_of(function, name)
    said = documented(inspect.getdoc(function) if inspect.isroutine(function) else _doc_of(function))
    fields = {p.name: _field_of(p, hints, said, name) for p in parameters}
    kind = TypedDict(name, fields)  # type: ignore[misc]  # its fields are known when it runs
    schema = dict(schema_of(kind))
    schema["properties"] = {
        p.name: schema["properties"][p.name] | _default_of(p.default, schema["properties"][p.name]) for p in parameters
    }
    positional = tuple(p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_ONLY)
    return Signature(said.description, schema, positional, kind)


def _doc_of(function: Any) -> str | None:
    """Return what documents an object that can be called: not the class of a partial application."""
    inner = getattr(function, "func", None)
    return inspect.getdoc(inner) if inner is not None else inspect.getdoc(type(function).__call__)


def _parameters_of(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        message = f"tool {name}: its parameters cannot be read ({error})"
        raise ConfigurationError(message) from None
    found = list(signature.parameters.values())
    for parameter in found:
        if (stars := _REFUSED.get(parameter.kind)) is not None:
            message = f"tool {name}: a model cannot give {stars}{parameter.name}; name every parameter"
            raise ConfigurationError(message)
    return found


def _hints_of(function: Any, name: str) -> dict[str, Any]:
    inner = function
    while hasattr(inner, "func"):  # functools.partial
        inner = inner.func
    if not inspect.isroutine(inner):
        inner = type(inner).__call__
    try:
        return typing.get_type_hints(inner, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        message = f"tool {name}: {error}; types of parameters must be defined where their names can be found"
        raise ConfigurationError(message) from None


def _field_of(parameter: inspect.Parameter, hints: Mapping[str, Any], said: Documented, name: str) -> Any:
    if parameter.annotation is _EMPTY or parameter.name not in hints:
        method = "; of a method, make a tool of the bound one: tool(instance.method)"
        more = method if parameter.name in ("self", "cls") else f", such as {parameter.name}: str"
        message = f"tool {name}: the parameter {parameter.name} needs a type{more}"
        raise ConfigurationError(message)
    kind = hints[parameter.name]
    schema_of(kind)  # a type without a shape is reported by its own name
    if (text := said.parameters.get(parameter.name)) is not None:
        kind = Annotated[kind, text]
    return kind if parameter.default is _EMPTY else NotRequired[kind]


def _default_of(default: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    values = None if default is _EMPTY or "$ref" in schema else json_values([default])
    return {"default": values[0]} if values else {}
