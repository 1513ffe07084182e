"""``-q`` and ``-v``: how much a command says beside its result."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from anyfast_async.cli.display.terminal import QUIET, say

F = TypeVar("F", bound=Callable[..., Any])

_LOGGER: Final = "anyfast_async"
_LEVELS: Final = (logging.NOTSET, logging.INFO, logging.DEBUG)
_VERBOSE: Final = f"{__name__}.verbose"


class _Sayer(logging.Handler):
    """Says what is logged, as commands say things."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


def verbosity_options(command: F) -> F:
    """Give *command* ``-q`` and ``-v``."""
    command = click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_speak,
        help="Say whom it talks to, and log retries and what holds calls back; -vv: every attempt.",
    )(command)
    return click.option(
        "-q",
        "--quiet",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_hush,
        help="Say only what went wrong: no progress, no notes, no summary.",
    )(command)


def is_verbose() -> bool:
    """Return whether the command that runs was given ``-v``."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_VERBOSE))


def _hush(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.meta[QUIET] = value


def _speak(context: click.Context, _: click.Parameter, count: int) -> None:
    context.meta[_VERBOSE] = count
    if not count:
        return
    if context.meta.get(QUIET):
        message = "-q and -v: one of the two"
        raise click.UsageError(message)
    logger, handler = logging.getLogger(_LOGGER), _Sayer()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(_LEVELS[min(count, len(_LEVELS) - 1)])

    def end() -> None:
        logger.removeHandler(handler)
        logger.setLevel(before)

    context.call_on_close(end)
