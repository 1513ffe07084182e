"""An answer on a terminal."""

from __future__ import annotations

import io

import pytest

from anyfast_async.cli.display.markdown import MarkdownView, blocks

MARKDOWN = """# Title

Some **bold** text, a [link](https://example.com/x).

1. one
2. two

```python
x = 1

y = 2
```

Last.
"""


@pytest.mark.parametrize(
    "found",
    [
        [""],
        ["one"],
        ["\none\n\n", "two"],
        ["- a\n- b\n\n- c\n"],
        ["- a\n\n", "x\n"],
        ["```\na\n\nb\n"],
        ["```\na\n\nb\n```\n", "c\n"],
        ["a\n---\n", "b\x0cb\n\n", "> c"],
    ],
)
def test_blocks(found: list[str]) -> None:
    """A text is its blocks, each with the empty lines behind it."""
    assert found == blocks("".join(found))


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 40 columns without colours is sent."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    return io.StringIO()


def _lines(screen: io.StringIO) -> list[str]:
    return [line.rstrip() for line in screen.getvalue().splitlines()]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pieces_of_any_size(screen: io.StringIO, size: int) -> None:
    """In whatever pieces an answer comes, the screen ends the same, one empty line between blocks."""
    view = MarkdownView(screen)
    for at in range(0, len(MARKDOWN), size):
        view.add(MARKDOWN[at : at + size])
        view.draw()
    view.stop()

    assert [
        "                 Title",
        "",
        "Some bold text, a link",
        "(https://example.com/x).",
        "",
        " 1 one",
        " 2 two",
        "",
        " x = 1",
        "",
        " y = 2",
        "",
        "Last.",
    ] == _lines(screen)


def test_nothing_steers(screen: io.StringIO) -> None:
    """What would steer the terminal is shown as an escape; a line end of Windows is a line end."""
    view = MarkdownView(screen)
    for piece in ("a\r", "\n\r\n\x1b[31mred\x9b \u202e", "[x](http://a/\x1b)"):
        view.add(piece)
    view.stop()

    assert ["a", "", "\\u001b[31mred\\u009b \\u202ex"] == _lines(screen)[:3]
    assert {"\x1b", "\x9b", "\u202e", "\r"}.isdisjoint(screen.getvalue())


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_images_are_not_text(screen: io.StringIO, size: int) -> None:
    """The bytes of an image are never drawn, in whatever pieces they come; marks that begin none are."""
    text = "Look! ![image](data:image/png;base64,AAAABBBBCCCC) Done! ![x"
    view = MarkdownView(screen)
    for at in range(0, len(text), size):
        view.add(text[at : at + size])
        view.draw()
    view.stop()

    assert ["Look! [image] Done! ![x"] == _lines(screen)


def test_an_image_without_an_end(screen: io.StringIO) -> None:
    """An image that broke off is no page of characters either."""
    view = MarkdownView(screen)
    for piece in ("Look! ![image](data:image/png;base64,AAAA", "BBBB", "CC\nCC"):
        view.add(piece)
    view.stop()

    assert ["Look! [image]"] == _lines(screen)


def test_nothing_came(screen: io.StringIO) -> None:
    """Without an answer nothing is left on the screen."""
    view = MarkdownView(screen)
    view.start()
    view.draw()
    view.stop()

    assert "" == screen.getvalue().strip()
