"""``--schema``: what answers must be, as a class of a module, a JSON schema, or a JSON list of labels."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import attrs
import click

from anyfast_async._core.json import codec
from anyfast_async._structured.json_schema import schema_of
from anyfast_async.errors import ConfigurationError, escaped

INSTALL: Final = "pip install 'anyfast-async[schema]'"
_SHOWN: Final = 200
_CLASS: Final = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")
HELP: Final = "Answers must fit: a JSON schema or a JSON list of labels (FILE.json), or module:Class."


@attrs.frozen
class AnswerSchema:
    """What answers must be."""

    given: str
    """As it was given."""
    kind: Any
    """What ``into=`` takes."""

    @property
    def header(self) -> dict[str, str]:
        """What is written down of it, so that a batch goes on with the same."""
        text = json.dumps(schema_of(self.kind), sort_keys=True).encode()
        return {"given": self.given, "sha256": hashlib.sha256(text).hexdigest()}


def schema(_: click.Context, __: click.Parameter, given: str | None) -> AnswerSchema | None:
    """Read the option.

    Raises:
        click.BadParameter: it cannot be read, or says nothing that answers could be.

    """
    if given is None:
        return None
    try:
        kind = _class(given) if _CLASS.fullmatch(given) and not Path(given).exists() else _of_file(Path(given))
        schema_of(kind)
    except (ConfigurationError, ValueError) as error:
        raise click.BadParameter(str(error)) from None
    return AnswerSchema(given, kind)


def _class(given: str) -> Any:
    module, _, name = given.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - whatever the module raises
        message = f"{given}: {type(error).__name__}: {escaped(str(error), _SHOWN)}"
        raise ValueError(message) from None
    if not hasattr(found, name):
        message = f"{given}: {module} ({getattr(found, '__file__', None)}) has no {name}"
        raise ValueError(message)
    return getattr(found, name)


def _of_file(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"{path}: {error.strerror or error}; it must be a JSON file, or module:Class"
        raise ValueError(message) from None
    try:
        value = codec.loads(data)
    except codec.InvalidJSONError:
        message = f"{path}: is no JSON"
        raise ValueError(message) from None
    if isinstance(value, list):
        return _labels(path, value)
    inner = value.get("json_schema", value) if isinstance(value, dict) else None  # a whole response_format
    found = inner.get("schema", inner) if isinstance(inner, dict) else inner
    if not isinstance(found, dict) or not found:
        message = f"{path}: must hold a JSON schema (an object) or a list of labels"
        raise ValueError(message)
    return kind_of_schema(path.name.partition(".")[0], found)


def _labels(path: Path, labels: list[Any]) -> Any:
    if not labels or not all(isinstance(label, (str, int, bool)) for label in labels):
        message = f"{path}: a list of labels holds words or numbers, at least one"
        raise ValueError(message)
    return Literal[tuple(labels)]


# -- a JSON schema as a class ----------------------------------------------------------------------------------------


class SchemaMismatchError(ValueError):
    """A JSON value that does not fit; the errors are told as pydantic tells its own."""

    def __init__(self, found: list[dict[str, Any]]) -> None:
        super().__init__(f"{len(found)} places do not fit")
        self._found = found

    def errors(self) -> list[dict[str, Any]]:
        """Return every place that does not fit."""
        return self._found


def kind_of_schema(name: str, given: Mapping[str, Any]) -> type:
    """Return a class whose instances are the JSON values that fit the JSON schema *given*.

    Raises:
        ValueError: it is no JSON schema, or the package that checks them is not installed.

    """
    try:
        from jsonschema import SchemaError  # noqa: PLC0415 - an extra
        from jsonschema.validators import validator_for  # noqa: PLC0415
    except ImportError:
        message = f"a JSON schema needs one more package: {INSTALL}"
        raise ValueError(message) from None
    validators: Any = validator_for(given)
    try:
        validators.check_schema(given)
    except SchemaError as error:
        message = f"is no JSON schema: {escaped(error.message, _SHOWN)} (at {error.json_path})"
        raise ValueError(message) from None
    checker = validators(given)

    def validate(_: type, text: str) -> Any:
        value = json.loads(text)
        if found := sorted(checker.iter_errors(value), key=lambda error: str(error.json_path)):
            raise SchemaMismatchError(
                [{"loc": tuple(one.absolute_path), "type": str(one.validator), "msg": one.message} for one in found]
            )
        return value

    members: dict[str, Any] = {
        "model_json_schema": classmethod(lambda _: dict(given)),
        "model_validate_json": classmethod(validate),
    }
    if given.get("type", "object") != "object":  # asked for as the value of an object, as models can answer
        members |= {"__pydantic_root_model__": True, "model_fields": {"root": _Root()}}
    return type(re.sub(r"\W", "_", name) or "answer", (), members)


@attrs.frozen
class _Root:
    """Says that a class stands for what is no object."""

    annotation: type = str


__all__ = ["HELP", "INSTALL", "AnswerSchema", "SchemaMismatchError", "kind_of_schema", "schema"]
