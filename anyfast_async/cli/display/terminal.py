"""What is written to the two standard streams, and what a terminal may be shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

import click

from anyfast_async._values.text import printable

QUIET: Final = f"{__name__}.quiet"
"""Under which the context of a command has that it was asked to be quiet."""


def is_terminal(stream: TextIO) -> bool:
    """Return whether a person looks at *stream*."""
    return stream.isatty()


def is_live(stream: TextIO) -> bool:
    """Return whether *stream* is a terminal on which lines can be redrawn."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


@contextmanager
def unechoed() -> Iterator[None]:
    """Let what is typed meanwhile, ``^C`` among it, not show in between: it would shift what is drawn again."""
    try:
        import termios  # noqa: PLC0415 - not on Windows
    except ImportError:
        yield
        return
    try:
        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
    except (OSError, ValueError, termios.error):  # no terminal
        yield
        return
    silent = [*before]
    silent[3] &= ~termios.ECHO  # the local modes
    termios.tcsetattr(number, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(number, termios.TCSANOW, before)


def shown(text: str) -> str:
    """Return *text* as it may go to the standard output: escaped on a terminal, as it is in a pipe."""
    return printable(text) if is_terminal(sys.stdout) else text


def write(text: str) -> None:
    """Write *text* to the standard output, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def say(message: str) -> None:
    """Write a line for the person at the terminal to the standard error; where nobody can be told, go on."""
    with suppress(OSError, ValueError):  # full, or the other end is gone; closed
        sys.stderr.write(f"{printable(message)}\n")
        sys.stderr.flush()


def is_quiet() -> bool:
    """Return whether the command that runs was given ``-q``."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def note(message: str) -> None:
    """Say what is no problem, unless it was asked to be quiet."""
    if not is_quiet():
        say(message)


def tolerant() -> None:
    """Let what the streams' encoding cannot express come out as an escape, and what goes to a closed one go nowhere."""
    # A stream that was closed before the start is None, and its number would be given to the next file.
    nowhere = Path(os.devnull)
    sys.stdin = sys.stdin or nowhere.open(encoding="utf-8")
    sys.stdout = sys.stdout or nowhere.open("w", encoding="utf-8")
    sys.stderr = sys.stderr or nowhere.open("w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def forsake(stream: TextIO) -> None:
    """When a standard stream takes no more: let the interpreter's last flush go nowhere instead of failing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
