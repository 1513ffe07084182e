"""Values of options: sizes, shares, fields of the request."""

from __future__ import annotations

import math
import re
import shlex
import tomllib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal

import click

from anyfast_async._core.journal.send_again import SPELLED, SendAgain
from anyfast_async._core.json import codec
from anyfast_async._values.outcome import ODD
from anyfast_async._values.text import did_you_mean, nearest
from anyfast_async.errors import ConfigurationError, RequestValidationError, escaped
from anyfast_async.requests import WIRE_FIELDS, as_request

_UNITS: Final[dict[str, int]] = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**n for n, letter in enumerate("kmg", 1)},
    **{f"{letter}ib": 1024**n for n, letter in enumerate("kmg", 1)},
}
AUTO: Final = "auto"
_SIZE: Final = re.compile(r"([0-9]{1,18})\s*([a-z]*)")
_FIELDS: Final = (*WIRE_FIELDS, "extra_body")
_WHOLE: Final = 100


def size(text: str) -> int:
    """Return the bytes that *text* says: ``100MiB``, ``5MB``, ``1048576``.

    Raises:
        click.BadParameter: it says none.

    """
    found = _SIZE.fullmatch(text.strip().lower())
    unit = _UNITS.get(found[2]) if found is not None else None
    if found is None or unit is None or int(found[1]) == 0:
        message = f"{text!r} is no size; write it like 100MiB, 5MB or 1048576"
        raise click.BadParameter(message)
    return int(found[1]) * unit


def at_once(text: str | int) -> int | Literal["auto"]:
    """Return how many requests may be in flight: a number from 1 up, or ``"auto"`` to have it found.

    Raises:
        click.BadParameter: it is neither.

    """
    if text == AUTO:
        return AUTO
    try:
        found = int(text)
    except ValueError:
        found = 0
    if found < 1:
        message = f"{text!r} is neither a whole number from 1 up nor auto"
        raise click.BadParameter(message)
    return found


def share(text: str) -> float:
    """Return a number of rows (``20``, an int), or a share of them below 1 (``5%``, a float).

    Raises:
        click.BadParameter: it is neither.

    """
    try:
        found = float(text.strip()[:-1]) / _WHOLE if text.strip().endswith("%") else int(text)
    except ValueError:
        found = -1
    if found < 0 or (isinstance(found, float) and not found < 1):
        message = f"{text!r} is neither a number of rows, from 0, nor a share below 100% like 5%"
        raise click.BadParameter(message)
    return found


def seconds(text: str) -> float:
    """Return a time in seconds, from 0.

    Raises:
        click.BadParameter: it is none.

    """
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < math.inf:
        message = f"{text!r} is no number of seconds, from 0"
        raise click.BadParameter(message)
    return found


def words(text: str) -> str:
    """Return the words of ``--retry-failed``, checked.

    Raises:
        click.BadParameter: one is not known.

    """
    try:
        SendAgain.of(text, name="it")
    except ConfigurationError as error:
        raise click.BadParameter(str(error)) from None
    return text


def outcomes(text: str) -> frozenset[str]:
    """Return the outcomes of ``--accept``, which a completed run may have.

    Raises:
        click.BadParameter: one is none.

    """
    found = frozenset(SPELLED.get(word, word) for word in map(str.strip, text.split(",")) if word)
    if wrong := sorted(found - set(ODD)):
        message = f"{wrong[0]!r} is none of {', '.join(ODD)}"
        raise click.BadParameter(message)
    return found


def field_problem(name: str) -> str | None:
    """Return what is wrong with the name of a field of the request, None if it is one."""
    if name in _FIELDS:
        return None
    near = did_you_mean(name, _FIELDS)
    hint = f"{near} " if near else ""
    return f"there is no field {escaped(name, 60)!r}; {hint}What is not documented goes in as "


def fields_of(
    settings: Sequence[str], own: Mapping[str, Any], usual: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the fields of the request that ``--set name=value`` names, and *own*, those with options of their own.

    Both win over the *usual* ones, those of a file of settings.

    A value is read as JSON, else as TOML; a word that is neither is text.

    Raises:
        click.UsageError: a name is not known or given twice, or a value not allowed.

    """
    fields = dict(own)
    for setting in settings:
        name, equals, text = (part.strip() for part in setting.partition("="))
        if not equals or not text:
            message = f"--set {setting}: write name=value, such as --set temperature=0"
        elif (problem := field_problem(name)) is not None:
            message = f"--set: {problem}--set 'extra_body={{\"name\": value}}'"
        elif name in fields:
            message = f"--set {name}: is given twice"
        else:
            fields[name] = _value(name, text)
            continue
        raise click.UsageError(message)
    fields = {**(usual or {}), **fields}
    try:
        as_request("x", fields)
    except RequestValidationError as error:
        raise click.UsageError("; ".join(map(str, error.errors))) from None
    return fields


def setting_of(option: str, argv: Sequence[str], options: Collection[str]) -> str | None:
    """Return how the field is given that somebody took for an option; None if there is none.

    Args:
        option: that is not there.
        argv: the command.
        options: that are there: one of them may be nearer.

    """
    name = option.lstrip("-").replace("-", "_")
    others = {one.lstrip("-").replace("-", "_") for one in options}
    field = name if name in _FIELDS else nearest(name, others.union(_FIELDS))
    if field not in _FIELDS or field in others:
        return None
    given, at = "VALUE", next((n for n, word in enumerate(argv) if word.partition("=")[0] == option), None)
    if at is not None and "=" in argv[at]:
        given = argv[at].partition("=")[2]
    elif at is not None and at + 1 < len(argv) and not argv[at + 1].startswith("--"):
        given = argv[at + 1]
    return f"--set {shlex.quote(f'{field}={escaped(given, 60)}')}"


def _value(name: str, text: str) -> Any:
    try:
        value = codec.loads(text.encode())
    except codec.InvalidJSONError:
        try:
            value = codec.loads(codec.dumps(tomllib.loads(f"value = {text}")["value"]))
        except (tomllib.TOMLDecodeError, TypeError):
            if text[0] in "[{\"'":
                message = f"--set {name}: {text} is neither JSON nor TOML"
                raise click.UsageError(message) from None
            value = text
    if value is None:
        message = f"--set {name}: null cannot take a field out of the rows; give it a value"
        raise click.UsageError(message)
    return value
