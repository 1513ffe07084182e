"""Which value of a setting counts: what was typed, a variable, the profile, the project's file, or the default.

This is the one place that decides, together with click, which asks in this order: the command line, the variable of an
option, its ``default_map``, the default. The map is made here, of the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import attrs
import click
from click.core import ParameterSource

from anyfast_async._values.text import did_you_mean, escaped
from anyfast_async.cli.project_file import SETTINGS, ProjectFile, found

F = TypeVar("F", bound=Callable[..., Any])

PROFILE_VARIABLE: Final = "ANYFAST_PROFILE"
_META: Final = __name__
_KEY_VARIABLES: Final = ("ANYFAST_API_KEY", "ANYFAST_API_KEY_FILE")


@attrs.frozen
class FileSettings:
    """What the file says, with a profile over it."""

    file: ProjectFile | None = None
    profile: str | None = None

    @property
    def values(self) -> Mapping[str, Any]:
        """The settings that count."""
        if self.file is None:
            return {}
        over = self.file.profiles[self.profile] if self.profile is not None else {}
        under = dict(self.file.table)
        if "key_file" in over:
            under.pop("no_key", None)
        if over.get("no_key"):
            under.pop("key_file", None)
        return {**under, **over}

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields of the request that are set for every one."""
        if self.file is None:
            return {}
        return {**self.file.fields, **(self.file.profile_fields.get(self.profile or "") or {})}

    def field_origin(self, name: str) -> str:
        """Return where a field is said."""
        assert self.file is not None  # noqa: S101 - it said something
        is_profile = name in (self.file.profile_fields.get(self.profile or "") or {})
        return f"{self.file.shown}, profile {escaped(self.profile or '', 60)}" if is_profile else self.file.shown

    def origin(self, name: str) -> str:
        """Return where a setting is said."""
        assert self.file is not None  # noqa: S101 - it said something
        is_profile = self.profile is not None and name in self.file.profiles[self.profile]
        return f"{self.file.shown}, profile {escaped(self.profile or '', 60)}" if is_profile else self.file.shown


def file_settings(profile: str | None) -> FileSettings:
    """Return what counts of the file with the profile of that name, else with its default one.

    Raises:
        click.UsageError: the file is not right, or has no such profile.

    """
    file = found()
    name = profile or (file.default if file is not None else None)
    if name is None or (file is not None and name in file.profiles):
        return FileSettings(file, name)
    if file is None:
        message = f"profile {escaped(name, 60)!r}: there is no anyfast.toml here or further up, and no [tool.anyfast]"
    else:
        near = did_you_mean(name, file.profiles)
        known = ", ".join(escaped(one, 60) for one in file.profiles) or "none"
        message = f"{file.shown} has no profile {escaped(name, 60)!r}; {near or f'it has: {known}'}"
    raise click.UsageError(message)


def current() -> FileSettings:
    """Return what the file says for the command that runs."""
    context = click.get_current_context(silent=True)
    chosen = None if context is None else context.meta.get(_META)
    return chosen if isinstance(chosen, FileSettings) else FileSettings()


def profile_option(command: F) -> F:
    """Give *command* ``--profile``, and the settings of the file."""
    return click.option(
        "--profile",
        metavar="NAME",
        envvar=PROFILE_VARIABLE,
        is_eager=True,  # the others have their defaults from it
        expose_value=False,
        callback=_settle,
        help="Settings of this name in anyfast.toml, or in [tool.anyfast.profiles] of pyproject.toml.",
        shell_complete=_profiles,
    )(command)


def _settle(context: click.Context, _: click.Parameter, profile: str | None) -> None:
    if context.resilient_parsing:
        return
    chosen = file_settings(profile)
    context.meta[_META] = chosen
    own = {
        SETTINGS[name].parameter: value
        for name, value in chosen.values.items()
        if context.info_name in SETTINGS[name].commands and name != "model"  # of rows that name none: default_model
    }
    context.default_map = {**(context.default_map or {}), **own}


def _profiles(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    try:
        file = found()
    except click.UsageError:
        return []
    return [name for name in (file.profiles if file is not None else ()) if name.startswith(incomplete)]


# -- the key, which goes with the gateway ----------------------------------------------------------------------------


def source_of(parameter: str) -> ParameterSource | None:
    """Return where the command that runs has a value from."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.get_parameter_source(parameter)


def key_of(key_file: str | None, *, no_key: bool) -> tuple[str | None, bool]:
    """Return the file of the key, and whether there is to be none; neither: the variables tell.

    What is typed goes before the variables, and those before the file; but where the file names the gateway, its key
    for it goes with that: the one in the environment is another's.

    Raises:
        click.UsageError: both were typed.

    """
    typed_file = key_file is not None and source_of("key_file") in (None, ParameterSource.COMMANDLINE)
    typed_none = no_key and source_of("no_key") in (None, ParameterSource.COMMANDLINE)
    if typed_file and typed_none:
        message = "--no-key and --key-file: one of the two"
        raise click.UsageError(message)
    if no_key and not typed_file:
        return None, True
    if key_file is not None and not typed_file and source_of("base_url") is not ParameterSource.DEFAULT_MAP:
        return (None if any(map(os.environ.get, _KEY_VARIABLES)) else key_file), False
    return key_file, False
