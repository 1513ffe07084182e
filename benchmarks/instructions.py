"""Counts the machine instructions of a call and of an event: ``python benchmarks/instructions.py [CHECKOUT ...]``.

CPU time on shared cores is noise; instructions are not. Each state of the package runs under valgrind with few and with
many calls, one at a time, and what the longer run has more is divided by its calls: start and import fall out, since
each client has run once before, so that all of its files are compiled. Garbage collections are counted as they come:
frozen or not, what was there before the calls changes no figure by a hundredth. The stub gateway runs outside of
valgrind. Without arguments this checkout is counted; with several, each is set against the
first (``python benchmarks/instructions.py ../before .``). It needs valgrind (Debian: ``valgrind``).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import run
import stub
from plan import HERE, WORKLOADS, Workload

VALGRIND = shutil.which("valgrind") or ""
COUNTED = re.compile(r"I\s+refs:\s+([\d,]+)")
LENGTHS: Mapping[str, tuple[str, str, int, int]] = {
    "completion": ("ours", "await-64", 100, 500),
    "same, adaptive": ("ours:auto", "await-64", 100, 500),
    "same, in a lane": ("ours:lane", "await-64", 100, 500),
    "same, by minutes": ("ours:minutes", "await-64", 100, 500),
    "event, text read": ("ours:tokens", "stream-once", 2, 12),
    "event, chunk read": ("ours:chunks", "stream-once", 2, 12),
    "lone event, text": ("ours:tokens", "stream-paced", 1, 3),
    "row of a map": ("ours", "batch", 100, 500),
}
"""What is counted: the client, its workload, and the calls of the shorter and of the longer run."""


def counted(entry: run.Entry, workload: Workload, calls: int) -> int:
    """Return the instructions of one run, one call in flight."""
    with stub.running(**workload.stub) as gateway, tempfile.TemporaryDirectory() as folder:
        case: dict[str, Any] = {"load": workload.load, "url": gateway.url, "calls": calls, "concurrency": 1}
        # Instructions are counted without the simulation of caches. The seed fixes the order of sets.
        options = ["--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={folder}/out"]
        ended = subprocess.run(  # noqa: S603 - our own files
            [VALGRIND, *options, *entry.command(case | workload.case)],
            env=entry.environment() | {"PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=run.RUN_WITHIN,
        )
    found = COUNTED.search(ended.stderr)
    if ended.returncode or found is None:
        message = f"{entry.text} failed under valgrind:\n{ended.stderr[-2000:]}"
        raise SystemExit(message)
    return int(found[1].replace(",", ""))


def apiece(name: str, workload: Workload, few: int, many: int) -> float:
    """Return the instructions of one more call, or of one more event where the workload streams."""
    entry = run.Entry(name)
    units = (many - few) * workload.case.get("events", 1)
    return (counted(entry, workload, many) - counted(entry, workload, few)) / units


def main() -> None:
    """Print a table: a row for what is counted, a column for each state of the package."""
    if not VALGRIND:
        message = "valgrind is not installed"
        raise SystemExit(message)
    checkouts = [str(Path(one).resolve()) for one in sys.argv[1:]] or [str(HERE.parent)]
    for one in checkouts:
        if not Path(one, "anyfast_async").is_dir():
            message = f"{one} is no checkout of the package"
            raise SystemExit(message)
    stub.build()
    for title, (name, workload, few, many) in LENGTHS.items():
        for one in checkouts:  # what each loads is compiled now, not in the longer of two runs that are compared
            run.measure(run.Entry(f"{name}@{one}"), WORKLOADS[workload], calls=1)
        figures = [apiece(f"{name}@{one}", WORKLOADS[workload], few, many) for one in checkouts]
        shown = [f"{figures[0]:12,.0f}", *(f"{x:12,.0f} {x / figures[0] - 1:+7.2%}" for x in figures[1:])]
        print(f"{title:18}{' '.join(shown)}", flush=True)


if __name__ == "__main__":
    main()
