"""What is typed in a session: a question, or a command that begins with a slash. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from anyfast_async._values.text import did_you_mean, escaped

COMMANDS: Final = {
    "/help": "these lines",
    "/model [NAME]": "say which model answers, or choose another one",
    "/system [TEXT]": "say or set the system message; /system - takes it away",
    "/image PATH|URL": "attach an image to the next question",
    "/file PATH": "attach a file to the next question: text, PDF, audio, video",
    "/save PATH": "write the conversation to a new file: .md to read, .json to work with",
    "/list": "show the conversations that are kept, the latest first",
    "/load NUMBER|ID": "go on with one of them",
    "/new": "begin another conversation",
    "/exit": "end; so does Ctrl-D",
}
"""How each is written, and what it does."""
NAMES: Final = frozenset(usage.partition(" ")[0] for usage in COMMANDS)
_OTHERS: Final = {
    "/quit": "/exit",
    "/bye": "/exit",
    "/clear": "/new",
    "/?": "/help",
    "/chats": "/list",
    "/open": "/load",
}
"""What other programs call them."""
BLOCK: Final = '"""'
"""Begins and ends a question of several lines."""


class Command(NamedTuple):
    """A command and what stands after it."""

    name: str
    rest: str


class UnknownCommandError(ValueError):
    """There is no such command; says what to do."""


def command_of(line: str) -> Command | None:
    """Return the command that *line* is, None for a question.

    Raises:
        UnknownCommandError: it begins with a slash and is none.

    """
    if not line.startswith("/"):
        return None
    name, _, rest = line.strip().partition(" ")
    name = _OTHERS.get(name, name)
    if name not in NAMES:
        near = did_you_mean(name, NAMES)
        message = f"no command {escaped(name, 40)}{f'; {near}' if near else '.'} To ask it as it is, put a space first."
        raise UnknownCommandError(message)
    return Command(name, rest.strip())


def help_text() -> str:
    """Return the commands, one a line."""
    width = max(map(len, COMMANDS))
    lines = [f"{usage:<{width}}  {what}" for usage, what in COMMANDS.items()]
    return "\n".join([*lines, f"{BLOCK:<{width}}  begins a question of several lines, and ends it"])
