"""A session: question after question, until the person has had enough. Ctrl-C ends an answer, and not the session."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from anyfast_async.cli import exit_codes
from anyfast_async.cli.chat import attachments, lines
from anyfast_async.cli.chat.conversation import Conversation, question
from anyfast_async.cli.chat.kept import KeptChatError
from anyfast_async.cli.display.terminal import say
from anyfast_async.errors import AnyFastError, escaped

if TYPE_CHECKING:
    from anyfast_async.messages import JSON

_PROMPT: Final = "> "
_MORE: Final = ". "


@attrs.define
class Session:
    """What a session knows between two lines."""

    conversation: Conversation
    _ask: Callable[[Conversation, JSON], object]
    """Asks, shows the answer, and takes the exchange into the conversation."""
    _begin: Callable[[], None]
    """Is told that a new conversation begins."""
    attached: list[JSON] = attrs.field(factory=list)
    """What goes out with the next question."""
    _others: Callable[[], Iterable[str]] = tuple
    """Yields the conversations that are kept, a line each; raises ``KeptChatError``."""
    _load: Callable[[str], Conversation] | None = None
    """Goes on with one of them, by number or id; raises ``KeptChatError``."""

    def run(self) -> int:
        """Read and answer lines until the end."""
        with suppress(ImportError):  # Windows
            import_module("readline")  # gives input() a line that can be edited, and those before it
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal's is a TextIOWrapper
        say("/help lists the commands; Ctrl-C stops an answer, Ctrl-D ends.")
        while True:
            try:
                if not self.take(_read()):
                    return exit_codes.OK
            except EOFError:
                sys.stdout.write("\n")
                return exit_codes.OK
            except KeyboardInterrupt:
                say("\n(/exit or Ctrl-D ends the session)")

    def take(self, line: str) -> bool:
        """Do what *line* says; return False at the end of the session."""
        try:
            command = lines.command_of(line)
        except lines.UnknownCommandError as error:
            say(str(error))
            return True
        if command is None:
            if line.strip():
                self._question(line.strip())
            return True
        if command.name == "/exit":
            return False
        try:
            self._obey(command)
        except (attachments.AttachmentError, SaveError, KeptChatError) as error:
            say(str(error))
        return True

    def _question(self, text: str) -> None:
        try:
            self._ask(self.conversation, question(text, self.attached))
        except KeyboardInterrupt:
            say(f"(stopped; no part of the conversation{self._kept()})")
        except AnyFastError as error:
            exit_codes.report(error)
            if self.attached:
                say(self._kept().removeprefix("; "))
        else:
            self.attached.clear()

    def _kept(self) -> str:
        return "; what was attached stays for the next question" if self.attached else ""

    def _obey(self, command: lines.Command) -> None:  # noqa: C901 - a table of commands
        name, rest = command
        talk = self.conversation
        match name:
            case "/help":
                say(lines.help_text())
            case "/model":
                talk.model = rest or talk.model
                say(f"model: {talk.model}")
            case "/system":
                if rest:
                    talk.system = None if rest == "-" else rest
                say(f"system: {talk.system}" if talk.system is not None else "no system message")
            case "/image" | "/file":
                if not rest:
                    message = f"{name} needs a path: {name} PATH"
                    raise attachments.AttachmentError(message)
                self.attached.append((attachments.image if name == "/image" else attachments.document)(unquoted(rest)))
                say(f"goes out with the next question ({len(self.attached)} attached)")
            case "/save":
                say(f"saved: {save(talk, unquoted(rest))}")
            case "/list":
                say("\n".join(self._others()) or "no conversation is kept")
            case "/load":
                self._go_on(rest)
            case "/new":
                self.conversation = Conversation(talk.model, talk.system)
                self.attached.clear()
                self._begin()
                say("a new conversation, with the same model and system message")

    def _go_on(self, name: str) -> None:
        if not name or self._load is None:
            message = "/load needs the number or id of a conversation, which /list shows: /load 2"
            raise KeptChatError(message)
        self.conversation = talk = self._load(name)
        say(f"goes on with: {talk.title} ({len(talk.messages) // 2} answered, model {talk.model})")


class SaveError(Exception):
    """A conversation cannot be saved where it was to be."""


def save(conversation: Conversation, given: str) -> Path:
    """Write *conversation* to a new file, and return its path.

    Raises:
        SaveError: there is nothing, or it cannot be written; a file that is there is never replaced.

    """
    path = Path(given).expanduser()
    if not given or not conversation.messages:
        message = "there is nothing to save yet" if given else "/save needs a path: /save talk.md"
        raise SaveError(message)
    data = conversation.as_json() if path.suffix.lower() == ".json" else conversation.as_markdown().encode()
    try:
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(data)
    except FileExistsError:
        message = f"{escaped(given)} is there already; name another one"
    except OSError as error:
        message = f"{escaped(given)} cannot be written: {error.strerror or error}"
    else:
        return path
    raise SaveError(message)


def unquoted(path: str) -> str:
    """Return a path as it is meant that was pasted with quotes, or dropped onto the terminal."""
    for mark in "'\"":
        if len(path) > 1 and path[0] == path[-1] == mark:
            return path[1:-1]
    return path.replace("\\ ", " ")


def _read() -> str:
    """Return what is typed next: a line, or a block between two lines of three quotes.

    Raises:
        EOFError: nothing comes any more.

    """
    first = input(_PROMPT)
    if not first.strip().startswith(lines.BLOCK):
        return first
    return block([first.strip().removeprefix(lines.BLOCK)], iter(lambda: input(_MORE), None))


def block(read: list[str], more: Iterable[str]) -> str:
    """Return the text up to the mark that ends it; *read* is what stands behind the one that began it."""
    source = iter(more)
    while not read[-1].rstrip().endswith(lines.BLOCK):
        read.append(next(source))
    read[-1] = read[-1].rstrip().removesuffix(lines.BLOCK)
    return " " + "\n".join(read).strip("\n")  # a question, whatever it begins with
