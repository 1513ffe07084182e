"""What a terminal may be shown."""

from __future__ import annotations

import io
import os
import pty
import termios
from pathlib import Path

import pytest

from anyfast_async._values.text import printable
from anyfast_async.cli.display import terminal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain äöü 中文 🧑\u200d🚀\n\tnext", "plain äöü 中文 🧑\u200d🚀\n\tnext"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("\x1b]0;title\x07", "\\u001b]0;title\\u0007"),
        ("\x9b31m", "\\u009b31m"),
        ("over\rwritten\x08\x7f\x00", "over\\u000dwritten\\u0008\\u007f\\u0000"),
        ("abc\u202egpj.exe\u2066", "abc\\u202egpj.exe\\u2066"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text: str, shown: str) -> None:
    """Escape sequences, C1 and other control characters and bidirectional overrides are shown, all else is left."""
    assert shown == printable(text)


def test_every_control_character_is_escaped() -> None:
    """No control character but line end and tab gets through."""
    controls = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"]

    assert all(printable(character).isprintable() for character in controls)


@pytest.mark.parametrize(("term", "live"), [("xterm", True), ("dumb", False), ("unknown", False)])
def test_a_dumb_terminal_is_not_redrawn(monkeypatch: pytest.MonkeyPatch, term: str, live: bool) -> None:
    """Bars and tables need a terminal that can be redrawn."""

    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", term)

    assert live == terminal.is_live(Tty())
    assert terminal.is_terminal(Tty())
    assert not terminal.is_live(io.StringIO())


def test_what_is_typed_does_not_show_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal does not echo what is typed while an answer is drawn, and does again after whatever ends it."""
    ours, theirs = pty.openpty()

    def echoes() -> bool:
        return bool(termios.tcgetattr(theirs)[3] & termios.ECHO)

    with os.fdopen(ours, "rb", buffering=0), os.fdopen(theirs, encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(KeyboardInterrupt), terminal.unechoed():
            assert not echoes()
            raise KeyboardInterrupt
        assert echoes()


@pytest.mark.parametrize("pipe", [True, False])
def test_what_is_no_terminal_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pipe: bool) -> None:
    """A file, or a stream without one, is no terminal whose echo could be changed."""
    (tmp_path / "stdin").write_text("")
    with (tmp_path / "stdin").open() as file:
        monkeypatch.setattr("sys.stdin", file if pipe else io.StringIO())
        with terminal.unechoed():
            pass
