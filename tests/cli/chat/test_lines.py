"""Lines of a session."""

from __future__ import annotations

import pytest

from anyfast_async.cli.chat.lines import Command, UnknownCommandError, command_of, help_text


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("/exit", ("/exit", "")),
        ("/quit ", ("/exit", "")),
        ("/model  gemini-2.5-pro ", ("/model", "gemini-2.5-pro")),
        ("/save my talk.md", ("/save", "my talk.md")),
    ],
)
def test_commands(line: str, command: tuple[str, str]) -> None:
    """A command is its name and what stands after it; the words of other programs are understood."""
    assert Command(*command) == command_of(line)


@pytest.mark.parametrize("line", ["", "Why?", " /exit is what?", "a /model"])
def test_questions(line: str) -> None:
    """What does not begin with a slash is no command."""
    assert command_of(line) is None


def test_unknown() -> None:
    """A word that is none is answered with the nearest one, and with how to ask it."""
    with pytest.raises(UnknownCommandError, match="did you mean '/model'"):
        command_of("/modle x")
    with pytest.raises(UnknownCommandError, match=r"no command /usr/bin\. To ask it as it is, put a space first"):
        command_of("/usr/bin is what?")


def test_help() -> None:
    """The help names every command."""
    assert {"/help", "/model", "/system", "/image", "/file", "/save", "/list", "/load", "/new", "/exit", '"""'} == {
        line.split()[0] for line in help_text().splitlines()
    }
