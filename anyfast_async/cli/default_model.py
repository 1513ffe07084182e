"""The model of commands that are given none."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from anyfast_async.cli.display.terminal import note
from anyfast_async.cli.settings import current

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_MODEL: Final = "gemini-2.5-flash"


def model_option(command: F) -> F:
    """Give *command* ``-m``."""
    return click.option(
        "-m", "--model", metavar="MODEL", help=f"Model id. Else ANYFAST_MODEL, the profile, {DEFAULT_MODEL}."
    )(command)


def default_model() -> str:
    """Return the model of requests that name none, and say which it is."""
    model = os.environ.get("ANYFAST_MODEL")
    file = current()
    if not model and "model" in file.values:
        model = str(file.values["model"])
        note(f"model: {model} ({file.origin('model')})")
        return model
    model = model or DEFAULT_MODEL
    note(f"model: {model}")
    return model
