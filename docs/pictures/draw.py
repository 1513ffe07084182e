"""Draw the picture of a terminal: ``python docs/pictures/draw.py``, with rich and pyte installed.

The commands run on a terminal of their own, in an empty folder, against the simulator. What stands on the screen at the
end is written as SVG, which needs no font and nothing else from elsewhere.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

HERE = Path(__file__).parent
COLUMNS, LINES = 96, 60
EXAMPLES = HERE.parents[1] / "examples" / "prompts.jsonl"
COMMANDS = (
    'anyfast chat --simulate "Why is the sky blue?"',
    "anyfast batch --simulate -i prompts.jsonl -o answers.jsonl",
    "anyfast batch --simulate -i prompts.jsonl -o answers.jsonl",
)


def screen_of(command: str, folder: str) -> pyte.Screen:
    """Run a command, and return what its terminal shows at the end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "XDG_STATE_HOME": folder}
    words = [sys.executable, "-m", "anyfast_async", *shlex.split(command)[1:]]
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    process = subprocess.Popen(words, cwd=folder, env=environment, **streams)  # noqa: S603 - our own
    os.close(theirs)
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    try:
        while data := os.read(ours, 65536):
            stream.feed(data)
    except OSError:  # the other side is closed
        pass
    process.wait()
    return screen


def line_of(screen: pyte.Screen, number: int) -> Text:
    """Return a line of a screen with its colours."""
    line = Text()
    for column in range(COLUMNS):
        one = screen.buffer[number][column]
        colour = None if one.fg == "default" else f"#{one.fg}" if re.fullmatch("[0-9a-f]{6}", one.fg) else one.fg
        colour = "yellow" if colour == "brown" else colour
        line.append(one.data, Style(color=colour, bold=one.bold, italic=one.italics))
    line.rstrip()
    return line


def main() -> None:
    """Draw it."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "prompts.jsonl").write_bytes(EXAMPLES.read_bytes())
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            screen = screen_of(command, folder)
            lines = [line_of(screen, number) for number in range(LINES)]
            while lines and not lines[-1].plain:
                lines.pop()
            for line in lines:
                console.print(line)
            console.print()
    drawn = console.export_svg(title="anyfast", unique_id="terminal")
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL).replace("Fira Code, ", "")
    drawn = re.sub(r"<!--.*?-->\s*", "", drawn, flags=re.DOTALL)
    (HERE / "terminal.svg").write_text(re.sub(r"[ \t]+$", "", drawn, flags=re.MULTILINE), encoding="utf-8")


if __name__ == "__main__":
    main()
