"""``anyfast config``: which settings count here, and where each is said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import click

from anyfast_async._core.json import codec
from anyfast_async._values.text import escaped
from anyfast_async.cli import exit_codes
from anyfast_async.cli.display.terminal import note, shown, write
from anyfast_async.cli.project_file import SETTINGS
from anyfast_async.cli.settings import PROFILE_VARIABLE, FileSettings, file_settings


@click.command()
@click.option(
    "--profile", metavar="NAME", envvar=PROFILE_VARIABLE, help="As with the other commands. Else ANYFAST_PROFILE."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def config(*, profile: str | None, as_json: bool) -> int:
    """Show which settings count here, and where each is said.

    What is printed is itself the text of an anyfast.toml. What has its default is not named.

    \b
    Examples:
      anyfast config
      anyfast config --profile local --json
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    settings = file_settings(profile)
    found = {name: (value, origin) for name, value, origin in _counting(settings)}
    profiles = list(settings.file.profiles) if settings.file is not None else []
    if as_json:
        value = {
            "file": None if settings.file is None else str(settings.file.path),
            "profile": settings.profile,
            "profiles": profiles,
            "set": dict(settings.fields),
            "settings": {name: {"value": value, "from": origin} for name, (value, origin) in found.items()},
        }
        write(shown(codec.dumps(value).decode()) + "\n")
        return exit_codes.OK
    note("no file of settings here or further up" if settings.file is None else f"file: {settings.file.shown}")
    if profiles:
        note(f"profiles: {', '.join(escaped(name, 60) for name in profiles)}")
    write("".join(f"{name} = {_toml(value)}  # {origin}\n" for name, (value, origin) in found.items()))
    if settings.fields:
        fields = [
            f"{name} = {_toml(value)}  # {settings.field_origin(name)}" for name, value in settings.fields.items()
        ]
        write("\n".join(["", "[set]", *fields, ""]))
    return exit_codes.OK


def _counting(settings: FileSettings) -> Iterator[tuple[str, Any, str]]:
    """Yield what is said: name, value, and where."""
    values = settings.values
    for name, setting in SETTINGS.items():
        variable = None if setting.variable is None else os.environ.get(setting.variable)
        goes_with_gateway = name == "key_file" and name in values and "base_url" in values
        if variable and not (goes_with_gateway and not os.environ.get("ANYFAST_BASE_URL")):
            yield name, variable, str(setting.variable)
        elif name in values:
            yield name, values[name], settings.origin(name)


def _toml(value: Any) -> str:
    """Return a value as TOML has it: JSON's, but for DEL."""
    return str(codec.dumps(value).decode()).replace("\x7f", "\\u007f")
