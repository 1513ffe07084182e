"""Draws where the CPU time of our own client goes: ``python benchmarks/flame.py await-64 flame.svg``.

A signal looks at the stack whenever a little CPU time has passed. Functions of C have no frame of their own: they are
counted to the Python function that calls them.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from html import escape
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "clients"))

import measure
import stub
from ours import Ours
from plan import WORKLOADS, Workload

EVERY = 0.001
WIDTH, ROW = 1200, 17
LEAST = 0.004
"""What takes a smaller share of the time is not drawn."""
ABOVE = ("clients/measure.py", "asyncio/runners.py", "benchmarks/flame.py")


class Node:
    """A function called in one way: how often it was seen, and what it called."""

    def __init__(self) -> None:
        self.seen = 0
        self.calls: dict[str, Node] = {}

    def depth(self, whole: int) -> int:
        """Return how many rows of it are drawn."""
        return 1 + max((one.depth(whole) for one in self.calls.values() if one.seen > whole * LEAST), default=0)


def label(frame: FrameType) -> str:
    """Return a frame's function and its file, from the package on."""
    parts = Path(frame.f_code.co_filename).parts
    return f"{frame.f_code.co_qualname}  {'/'.join(parts[-2:])}"


def sampled(workload: Workload) -> Node:
    """Run a workload's calls in this process, and return what was seen."""
    root = Node()

    def look(_: int, frame: FrameType | None) -> None:
        stack: list[str] = []
        while frame is not None:
            stack.append(label(frame))
            frame = frame.f_back
        node = root
        node.seen += 1
        for name in reversed([name for name in stack if not name.endswith(ABOVE)]):
            node = node.calls.setdefault(name, Node())
            node.seen += 1

    with stub.running(core=0, **workload.stub) as gateway, stub.on_core(1):
        case: dict[str, Any] = {"load": workload.load, "url": gateway.url, "variant": "tokens"}
        case |= {"calls": 2 * workload.calls, "concurrency": workload.concurrency} | workload.case
        signal.signal(signal.SIGPROF, look)
        signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)
        try:
            asyncio.run(measure.run(Ours, case))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    return root


def drawn(node: Node, name: str, x: float, y: int, whole: int) -> list[str]:
    """Return the boxes of a function and of what it called, below it."""
    width = WIDTH * node.seen / whole
    ours = "anyfast_async/" in name or "_core/" in name
    share = f"{100 * node.seen / whole:.1f} %"
    shown = name.partition("  ")[0][: max(0, int(width / 6.6) - 1)]
    box, ink = ("#2a78c8", "#ffffff") if ours else ("#c3c9d0", "#24292f")
    size = f'width="{max(width - 0.6, 0.4):.1f}" height="{ROW - 1}"'
    boxes = [
        f"<g><title>{escape(name)}: {share}</title>",
        f'<rect x="{x:.1f}" y="{y}" {size} fill="{box}"/>',
        f'<text x="{x + 3:.1f}" y="{y + 12}" fill="{ink}">{escape(shown)}</text></g>',
    ]
    for called, one in sorted(node.calls.items(), key=lambda item: -item[1].seen):
        if one.seen > whole * LEAST:
            boxes += drawn(one, called, x, y + ROW, whole)
            x += WIDTH * one.seen / whole
    return boxes


def main() -> None:
    """Sample the workload that the command line names, and draw it."""
    if len(sys.argv) != 3 or sys.argv[1] not in WORKLOADS:
        raise SystemExit(__doc__)
    workload = WORKLOADS[sys.argv[1]]
    root = sampled(workload)
    boxes = drawn(root, workload.title, 0, 0, root.seen)
    height = ROW * root.depth(root.seen)
    look = f'viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="11"'
    Path(sys.argv[2]).write_text("\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {look}>', *boxes, "</svg>", ""]))
    print(f"{root.seen} samples, {height // ROW} rows")


if __name__ == "__main__":
    main()
