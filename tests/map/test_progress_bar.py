"""How a map shows that it gets on."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import AnyFast, Progress
from anyfast_async._map import progress_bar
from anyfast_async._map.progress_bar import Bar, NotebookBar, ProgressLines, ShownProgress, display_for, sentence

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator


def progress(done: int, total: int | None = 100, failed: int = 0, seconds: float = 10.0) -> Progress:
    return Progress(done=done, failed=failed, total=total, in_flight=4, tokens=0, seconds=seconds)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (progress(0, seconds=0.0), "0 of 100, 0.0/s"),
        (progress(50), "50 of 100, 5.0/s, 10 s to go"),
        (progress(100, failed=3), "100 of 100, 3 failed, 10.0/s"),
        (progress(7, total=None), "7, 0.7/s"),
    ],
)
def test_progress_in_words(given: Progress, words: str) -> None:
    """How many, of how many, how many failed, how fast, and how long it takes yet, where that is known."""
    assert words == sentence(given)


async def test_lines_in_a_pipe() -> None:
    """Not on a terminal: a line every ten seconds, however many results there are, and one at the end."""
    clock, stream = [0.0], io.StringIO()

    async with ShownProgress(stream, lambda: clock[0]) as shown:
        for second in range(35):
            clock[0] = float(second)
            for _ in range(5):
                shown.show(progress(second + 1))

    lines = stream.getvalue().splitlines()
    assert ["11 of 100", "21 of 100", "31 of 100", "35 of 100"] == [line.split(",")[0] for line in lines]


async def test_nothing_happened_nothing_is_said() -> None:
    """A map without results leaves no line."""
    stream = io.StringIO()

    async with ShownProgress(stream):
        pass

    assert "" == stream.getvalue()


def test_nobody_reads_the_lines() -> None:
    """A pipe that was closed is no reason to end a map."""

    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    ProgressLines(Closed()).draw(progress(1))


@pytest.mark.usefixtures("_terminal")
async def test_a_bar_on_a_terminal() -> None:
    """On a terminal a bar is drawn ten times a second at most, and stays at the end."""
    clock, stream = [0.0], Terminal()

    async with ShownProgress(stream, lambda: clock[0]) as shown:
        assert isinstance(shown._display, Bar)
        for tick in range(100):
            clock[0] = tick / 100
            shown.show(progress(tick + 1))

    drawn = stream.getvalue()
    assert "100 of 100, 10.0/s" in drawn
    assert "━" in drawn
    assert 10 <= drawn.count("of 100") <= 12


@pytest.mark.usefixtures("_terminal")
async def test_a_bar_without_an_end() -> None:
    """A source without a length gets a bar that only says how many."""
    stream = Terminal()

    async with ShownProgress(stream, lambda: 0.0) as shown:
        shown.show(progress(7, total=None))

    assert "7, 0.7/s" in stream.getvalue()


@pytest.mark.usefixtures("_terminal")
def test_where_a_bar_can_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal that can, and in a notebook; not in a pipe, a dumb terminal, or without rich."""
    assert (Bar, ProgressLines) == (type(display_for(Terminal())), type(display_for(io.StringIO())))
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display_for(Terminal()), ProgressLines)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert isinstance(display_for(Terminal()), ProgressLines)
    monkeypatch.setattr(progress_bar, "in_notebook", lambda: True)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=None))
    assert isinstance(display_for(Terminal()), NotebookBar)


class Outputs:
    """What a notebook shows of a cell."""

    def __init__(self) -> None:
        self.shown: list[Any] = []
        self.messages = 0

    def display(self, data: Any, *, raw: bool, display_id: bool) -> Any:
        assert raw
        assert display_id
        self.shown.append(data)
        place = len(self.shown) - 1

        def update(data: Any, *, raw: bool) -> None:
            assert raw
            self.messages += 1
            self.shown[place] = data

        return SimpleNamespace(update=update)


@pytest.mark.parametrize("total", [100, None, 0])
async def test_a_bar_in_a_notebook(total: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one output, replaced twice a second at most; what stays says how the run went, in HTML and in words."""
    clock, outputs = [0.0], Outputs()
    monkeypatch.setattr(progress_bar, "in_notebook", lambda: True)
    monkeypatch.setitem(sys.modules, "IPython.display", outputs)

    async with ShownProgress(io.StringIO(), lambda: clock[0]) as shown:
        for tick in range(100):
            clock[0] = tick / 100
            shown.show(progress(tick + 1, total=total))

    (last,) = outputs.shown
    assert outputs.messages <= 2
    words = {100: "100 of 100, 10.0/s", None: "100, 10.0/s", 0: "100 of 0, 10.0/s"}[total]
    ends = {100: ' max="100" value="100"', None: "", 0: ' max="1" value="100"'}[total]
    assert last["text/plain"] == words
    assert last["text/html"] == f'<div><progress style="width: 20em"{ends}></progress> {words}</div>'


async def test_through_the_client(sim: Simulator, client: AnyFast, capsys: pytest.CaptureFixture[str]) -> None:
    """progress=True says on the standard error how it went, and the standard output stays clean."""
    results: list[Any] = await client.map([str(i) for i in range(10)], progress=True)

    captured = capsys.readouterr()
    assert (10, "") == (len(results), captured.out)
    assert captured.err.startswith("10 of 10, ")
