"""Measures clients side by side: ``python benchmarks/run.py --help``.

Each client runs in a process of its own on core 1, the stub gateway on core 0. Rounds go over all clients in turns, so
that whatever else the machine does hits all of them. What is compared is CPU time, in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import environments
import report
import stub
from plan import HERE, PEERS, REFERENCE, WORKLOADS, Peer, Workload

STUB_CORE, CLIENT_CORE = 0, 1
RUN_WITHIN = 900.0
"""Seconds after which a run counts as failed."""


class Entry:
    """A client as it is named on the command line: ``name[:variant][+uvloop][@checkout]``."""

    def __init__(self, text: str) -> None:
        self.text = text
        rest, _, self.checkout = text.partition("@")
        rest, _, self.loop = rest.partition("+")
        name, _, self.variant = rest.partition(":")
        if name not in PEERS:
            message = f"no client {name!r}; there are {', '.join(PEERS)}"
            raise SystemExit(message)
        if self.loop not in {"", "uvloop"}:
            message = f"no loop {self.loop!r}; there is uvloop"
            raise SystemExit(message)
        self.peer: Peer = PEERS[name]

    def command(self, case: dict[str, Any]) -> list[str]:
        """Return the command that runs a case."""
        python = str(environments.python_of(self.peer))
        if case["load"] == "import":
            return [python, "-c", self.peer.statement]
        case = case | {"variant": self.variant, "loop": self.loop}
        return [python, str(HERE / "clients" / f"{self.peer.name}.py"), json.dumps(case)]

    def environment(self) -> dict[str, str]:
        """Return the environment of the process: of ours the checkout that is asked for, else this one."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ANYFAST_"))}
        if self.peer.name == "ours":
            variables["PYTHONPATH"] = self.checkout or str(HERE.parent)
        return variables


def measure(entry: Entry, workload: Workload, part: int = 1, calls: int | None = None) -> dict[str, Any]:
    """Run one case of one client once, a part of its calls or so many; what it says, or ``{"error": ...}``."""
    calls = calls or max(1, workload.calls // (part * (workload.slow_part if entry.peer.slow else 1)))
    concurrency = min(workload.concurrency, calls)
    with stub.running(core=STUB_CORE, **workload.stub) as gateway:
        case = {"load": workload.load, "url": gateway.url, "calls": calls, "concurrency": concurrency} | workload.case
        command, environment, pipe = entry.command(case), entry.environment(), subprocess.PIPE
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.perf_counter()
        with stub.on_core(CLIENT_CORE):
            process = subprocess.Popen(  # noqa: S603 - our own files
                command, env=environment, stdout=pipe, stderr=pipe, text=True
            )
        with process:
            try:
                out, err = process.communicate(timeout=RUN_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                return {"error": f"not done within {RUN_WITHIN:.0f} s"}
        wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        return {"error": (err.strip().splitlines() or [f"exit status {process.returncode}"])[-1][-300:]}
    measured: dict[str, Any] = json.loads(out.splitlines()[-1]) if out.strip() else {}
    if workload.load in {"import", "cold"}:  # the whole process is what is measured
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime  # the stub has not ended yet
        measured |= {"cpu_us": cpu * 1e6, "wall_us": wall * 1e6}
    return measured | {name: gateway.counts[name] for name in ("requests", "refused", "connections")}


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    cpu = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next(
            (line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line), ""
        )
    return {
        "cpu": cpu or platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def entries_of(workload: Workload, named: list[str]) -> list[Entry]:
    """Return the clients that take part in a workload: those named, else all that can do it."""
    if named:
        return [Entry(text) for text in named]
    entries = []
    for peer in PEERS.values():
        if workload.load not in peer.lacks:
            variants = peer.streams if workload.streams else peer.calls if workload.load != "import" else ("",)
            entries += [Entry(f"{peer.name}:{one}" if one else peer.name) for one in variants]
    return entries


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "workloads", nargs="*", metavar="workload", help="\n".join(f"{w.name:13}{w.title}" for w in WORKLOADS.values())
    )
    parser.add_argument("--all", action="store_true", help="every workload")
    parser.add_argument("--clients", default="", help=f"name[:variant][+uvloop][@checkout],... of {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each client, in turns (default 5)")
    parser.add_argument("--calls", type=int, help="calls of each run, instead of what the workload says")
    parser.add_argument("--quick", action="store_true", help="a tenth of the calls, 3 rounds at most")
    parser.add_argument("--out", type=Path, help="write what was measured to this file, as JSON")
    given = parser.parse_args()
    unknown = [name for name in given.workloads if name not in WORKLOADS]
    if unknown:
        parser.error(f"no workload {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    if not given.workloads and not given.all:
        parser.error("name workloads, or say --all")
    for name, value in (("--rounds", given.rounds), ("--calls", given.calls)):
        if value is not None and value < 1:
            parser.error(f"{name} must be 1 or more, not {value}")
    return given


def main() -> None:
    """Measure what the command line asks for, and print a table for each workload."""
    given = arguments()
    named = [text for text in given.clients.split(",") if text]
    chosen = list(WORKLOADS.values()) if given.all else [WORKLOADS[name] for name in given.workloads]
    rounds, part = (min(given.rounds, 3), 10) if given.quick else (given.rounds, 1)
    try:
        stub.build()
    except stub.NoStubError as error:
        raise SystemExit(str(error)) from None
    results: dict[str, Any] = {"machine": machine(), "workloads": {}}
    print(report.machine(results["machine"]), flush=True)
    for workload in chosen:
        entries = entries_of(workload, named)
        runs: dict[str, list[dict[str, Any]]] = {entry.text: [] for entry in entries}
        if workload.load in {"import", "cold"}:
            for entry in entries:  # once unmeasured: what is compiled then is compiled for good
                measure(entry, workload, part)
        for number in range(min(rounds, workload.most_rounds)):
            turn = number % len(entries)
            for entry in entries[turn:] + entries[:turn]:
                print(
                    f"{workload.name} {number + 1}/{min(rounds, workload.most_rounds)} {entry.text}",
                    file=sys.stderr,
                    flush=True,
                )
                runs[entry.text].append(measure(entry, workload, part, given.calls))
        results["workloads"][workload.name] = {"title": workload.title, "unit": workload.unit, "runs": runs}
        print(report.table(workload, runs, REFERENCE), flush=True)
        if given.out:  # after every workload: what is measured is not lost with what fails after it
            given.out.write_text(json.dumps(results, indent=1) + "\n")
    print(report.versions(results))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
