"""An answer on a terminal while it comes: a spinner, then formatted Markdown."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rich import live
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment
from rich.spinner import Spinner

from anyfast_async._values.text import printable

if TYPE_CHECKING:
    from typing import TextIO

_CODE: Final = "ansi_dark"
"""Uses the terminal's own colours, which fit its background."""
_IMAGE: Final = re.compile(r"!\[[^\[\]]*\]\(data:[^)]*\)")
_OPEN_IMAGE: Final = re.compile(r"!(\[[^\[\]]{0,200}(\]?$|\]\((d?$|da?$|dat?$|data$|(?P<data>data:)[^)]*$))|$)")
"""The beginning of an image at the end of what came: not to be shown before it is known what it is."""
_PLACE: Final = "*[image]*"


def blocks(text: str) -> list[str]:
    """Return the blocks of *text*, which together are *text*: what comes after it can change the last alone."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    tops = [token.map[0] for token in Markdown(text).parsed if token.map and not token.level and token.nesting >= 0]
    bounds = [0, *tops[1:], len(lines)]
    return ["".join(lines[start:end]) for start, end in pairwise(bounds)]


class _Drawn:
    """A piece of an answer, without empty lines around it; of a long one the last *most* lines."""

    def __init__(self, text: str, most: int | None = None) -> None:
        # A link is shown with where it leads: what can be clicked says what it is.
        self._text = Markdown(text, code_theme=_CODE, hyperlinks=False)
        self._most = most

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._text, options.update(height=None), pad=False)
        full = [number for number, line in enumerate(lines) if any(segment.text.strip() for segment in line)]
        lines = lines[full[0] : full[-1] + 1] if full else []
        for line in lines if self._most is None else lines[-self._most :]:
            yield from line
            yield Segment.line()


class MarkdownView:
    """Draws what came. Blocks that are complete are printed for good, the last one is drawn again and again."""

    EVERY: Final = 0.1
    """Seconds between two drawings."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._console = Console(file=stream)
        # Drawn by the loop that the answer arrives in: a thread of its own would need a lock for the text.
        self._live = live.Live(
            Spinner("dots"),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._held = ""
        """What may be the beginning of an image."""
        self._image: list[str] | None = None
        """While the bytes of an image come: what came of them since."""
        self._tail = ""
        """What is not printed for good yet."""
        self._drawn = ""
        self._printed = False

    def start(self) -> None:
        """Show that an answer is waited for."""
        self._live.start(refresh=True)

    def add(self, text: str) -> None:
        """Take in what came; :meth:`draw` shows it."""
        if self._image is not None and ")" not in text:
            self._image.append(text)  # a million characters in pieces are looked at once
            return
        held = _IMAGE.sub(_PLACE, (self._held + "".join(self._image or ()) + text).replace("\r\n", "\n"))
        begun = _OPEN_IMAGE.search(held)
        end = begun.start() if begun else len(held) - held.endswith("\r")
        self._tail += printable(held[:end])
        self._held = held[end:]
        self._image = [] if begun and begun["data"] else None

    def draw(self) -> None:
        """Draw what came since."""
        if self._tail != self._drawn:
            end = self._tail.rfind("\n") + 1  # a line that is not complete may turn out to be something else
            *complete, last = blocks(self._tail[:end])
            for block in complete:
                self._print(block)
            self._drawn = self._tail = last + self._tail[end:]
            if self._tail.strip():
                self._live.update(_Drawn(self._tail, max(1, self._console.height - 2)))
        self._live.refresh()

    def stop(self) -> None:
        """Print the rest."""
        self._live.stop()
        for block in blocks(self._tail + (printable(self._held) if self._image is None else _PLACE)):
            self._print(block)
        self._held = self._tail = ""

    def _print(self, text: str) -> None:
        if not text.strip():
            return
        if self._printed:
            self._console.print()
        self._console.print(_Drawn(text), end="")
        self._printed = True
