"""What a terminal shows."""

from __future__ import annotations

import io
import re
from collections import Counter

import pytest
from rich.cells import cell_len

from anyfast_async import AnyFastError, Stats
from anyfast_async.batch import RowDone, Tally
from anyfast_async.batch.pace import Pace
from anyfast_async.cli.display.figures import Moment
from anyfast_async.cli.display.live import Live, heading, table

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


def busy(done: int = 600) -> Moment:
    """A batch in the midst of everything."""
    tally = Tally(1000, 100, answered=done - 103, failed=3, empty=2, length=1, retries=12, kinds=Counter(server=3))
    stats = Stats(
        in_flight=64, queued=20, limited_by="throttling", held_for=12.0, requests=9, tokens_used=9, tokens_reserved=9
    )
    return Moment(tally, Pace(), stats, 64, lambda _: "12.34 USD")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 60 columns."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_any_width(width: int, screen: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The view has the same lines at any width, none longer than the terminal is wide; what is cut off shows so."""
    monkeypatch.setenv("COLUMNS", str(width))
    view = Live(screen)
    view.row(RowDone("漢字" * 30, AnyFastError("x" * 300), busy().tally, None, ()))
    view.start(busy())

    lines = CODES.sub("", screen.getvalue()).split("\n")

    assert 6 == len([line for line in lines if line.strip()])
    assert max(map(cell_len, lines)) <= width
    assert "…" in lines[-1]
    view.stop()


def test_what_it_shows(screen: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Done and total, tokens and money, work and what holds it back, and every way in which rows did not go well."""
    monkeypatch.setenv("COLUMNS", "120")
    view = Live(screen)
    view.start(busy())
    shown = CODES.sub("", screen.getvalue())
    view.stop()

    for words in (
        *("60 %", "600 of 1,000", "64 in flight", "throttled until", "(12 s to go)", "0 tokens/s", "12.34 USD"),
        *("3 failed (server 3)", "2 empty", "1 cut", "12 retries"),
    ):
        assert words in shown


def test_calm(screen: Terminal) -> None:
    """The view is drawn in place: a second look moves no line, and at its end it is gone."""
    view = Live(screen)
    view.start(busy())
    before = screen.getvalue().count("\n")
    view.tick(busy(601), 1.0)

    drawn = screen.getvalue()
    assert 2 * before == drawn.count("\n")
    assert before == drawn.count("\x1b[1A")
    view.stop()
    assert "\x1b[2K" in screen.getvalue()[len(drawn) :]


def test_no_color(screen: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR nothing has a colour; without it, failures have."""
    view = Live(screen)
    view.start(busy())
    view.stop()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    colourless = Live(plain)
    colourless.start(busy())
    colourless.stop()

    colour = re.compile(r"\x1b\[(?:\d+;)*3[0-8]")
    assert colour.search(screen.getvalue())
    assert not colour.search(plain.getvalue())


def test_tables_and_headings_are_inert(capsys: pytest.CaptureFixture[str]) -> None:
    """Cells and headings are shown as text: no markup, no escape sequences."""
    table(("a", "b"), [("[bold]x[/bold]", "\x1b[2J")])
    heading("\x1b]0;title\x07[red]y[/red]")

    shown = capsys.readouterr().out
    assert "[bold]x[/bold]" in shown
    assert "[red]y[/red]" in shown
    assert "\x1b" not in shown


def test_output_in_a_pipe_stays_out_of_the_view(screen: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """What is written to a standard output that is no terminal arrives there while the view is shown."""
    view = Live(screen)
    view.start(busy())
    print("for the pipe")  # noqa: T201
    view.stop()

    assert "for the pipe\n" == capsys.readouterr().out
    assert "for the pipe" not in screen.getvalue()
