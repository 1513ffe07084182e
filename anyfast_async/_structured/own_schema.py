"""Classes that make their own schema and read their own JSON: pydantic's models and dataclasses (version 2).

They are told by what they can do, so pydantic is not needed for the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, get_origin

from anyfast_async._structured.schema_references import changed
from anyfast_async.errors import ConfigurationError, FieldError, escaped

_SHOWN: Final = 200


def has_own(kind: Any) -> bool:
    """Tell the classes that make their own schema."""
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and (_is_model(origin) or _is_validated_dataclass(origin))


def _is_model(origin: Any) -> bool:
    return callable(getattr(origin, "model_json_schema", None)) and callable(
        getattr(origin, "model_validate_json", None)
    )


def _is_validated_dataclass(origin: Any) -> bool:
    return hasattr(origin, "__pydantic_validator__") and hasattr(origin, "__dataclass_fields__")


def root_of(kind: Any) -> Any:
    """Return the type that a root model stands for, None for every other class: their JSON is an object."""
    return kind.model_fields["root"].annotation if getattr(kind, "__pydantic_root_model__", False) else None


def _adapter(kind: Any) -> Any:
    """Return what does for a validated dataclass what a model can do itself."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - whoever has such a class, has it

    return TypeAdapter(kind)


def own_schema(kind: Any, where: str) -> dict[str, Any]:
    """Return the schema that a class makes, as it makes it.

    Raises:
        ConfigurationError: it cannot make one.

    """
    try:
        found = kind.model_json_schema() if _is_model(kind) else _adapter(kind).json_schema()
    except Exception as error:  # noqa: BLE001 - whatever its own code raises
        lines = str(error).strip().splitlines() or [type(error).__name__]
        message = f"{where}: its own JSON schema cannot be made: {escaped(lines[0], _SHOWN)}"
        raise ConfigurationError(message) from None
    return dict(found)


def in_plain_words(schema: Mapping[str, Any], reference: Callable[[str], str] = str) -> dict[str, Any]:
    """Return *schema* in the words that every translation of schemas knows, with its references renamed.

    What has two spellings gets the older one: ``const`` is an ``enum`` of one, ``oneOf`` is ``anyOf``, the places of a
    tuple are its items. ``discriminator``, of OpenAPI, says nothing that its branches do not.
    """
    found = changed(schema, lambda inner: in_plain_words(inner, reference))
    found.pop("discriminator", None)
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if "oneOf" in found and "anyOf" not in found:
        found["anyOf"] = found.pop("oneOf")
    if found.get("prefixItems") and "items" not in found:
        members = found.pop("prefixItems")
        found["items"] = {"anyOf": members} if len(members) > 1 else members[0]
    if isinstance(found.get("$ref"), str):
        found["$ref"] = reference(found["$ref"])
    return found


def read_own(value: Any, kind: Any) -> tuple[Any, tuple[FieldError, ...]]:
    """Return the *kind* that a JSON value describes, and what is wrong with it, by path; one of the two is there."""
    text = json.dumps(value)
    try:
        return (kind.model_validate_json(text) if _is_model(kind) else _adapter(kind).validate_json(text)), ()
    except RecursionError:
        raise
    except Exception as error:  # noqa: BLE001 - validators of a program raise what they like
        return None, _problems(error, value)


def _problems(error: Exception, value: Any) -> tuple[FieldError, ...]:
    listed: Any = getattr(error, "errors", None)
    if not callable(listed):
        return (FieldError("", escaped(str(error) or type(error).__name__, _SHOWN)),)
    problems: Any = listed()
    return tuple(_problem(one, value) for one in problems)


def _problem(one: Mapping[str, Any], value: Any) -> FieldError:
    """Return one problem with its path into *value*: a place may hold names of a union's members, which are no keys."""
    path, branches, here, place = "", [], value, tuple(one["loc"])
    for number, part in enumerate(place):
        is_missing = one["type"].startswith("missing") and number == len(place) - 1
        if isinstance(part, int) and isinstance(here, list):
            path += f"[{part}]"
            here = here[part] if 0 <= part < len(here) else None
        elif isinstance(here, dict) and (part in here or is_missing):
            path += f".{part}" if str(part).isidentifier() else f"[{escaped(repr(part), 80)}]"
            here = here.get(part)
        elif part != "[key]":
            branches.append(str(part))
    meant = f"as {escaped('.'.join(branches), 80)}: " if branches else ""
    said = "is missing" if one["type"] == "missing" else str(one["msg"])
    return FieldError(path, meant + escaped(said, _SHOWN))
