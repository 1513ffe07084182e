"""How far ``anyfast results`` is."""

from __future__ import annotations

import io

import pytest

from anyfast_async.cli.results.reading_progress import ReadingProgress


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(("seconds", "lines"), [(1.9, 0), (3.0, 1), (25.0, 3)])
def test_in_a_pipe(seconds: float, lines: int) -> None:
    """Nothing is said of what is done in two seconds; later a line every ten."""
    now, stream = [0.0], io.StringIO()
    with ReadingProgress(stream, lambda: now[0]) as shown:
        for _ in range(25_600):
            now[0] += seconds / 25_600
            shown.rows(1)

    assert lines == len(stream.getvalue().splitlines())


def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal there is one line, which is gone at the end."""
    monkeypatch.setenv("TERM", "xterm")
    now, stream = [0.0], Terminal()
    with ReadingProgress(stream, lambda: now[0]) as shown:
        shown.begin("writing")
        for _ in range(1024):
            now[0] += 0.01
            shown.rows(1)

    assert "writing: 200 rows" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")
    assert "\n" not in stream.getvalue()
