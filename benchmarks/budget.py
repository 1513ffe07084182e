"""Checks what a call costs against ``budget.toml``: ``python benchmarks/budget.py [--tighten]``.

Steps are counted. Of the workloads each client runs a few times, in turns with bare aiohttp, and the median of the
ratios is compared with the ceiling. What is clearly below after three rounds is done; what is not gets more rounds, and
fails only if the median of all of them is above the ceiling by more than these machines are uneven (``NOISE``).
"""

from __future__ import annotations

import math
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import report
import run
import steps
import stub
from plan import HERE, REFERENCE, WORKLOADS

FILE = HERE / "budget.toml"
STEPS = "steps"
"""The table of what is counted; the others are workloads."""
NOISE = 1.08
SLACK = 1.25
"""How far above what was counted the bound on steps stands: a mend may take a few more."""
FEW, MANY = 3, 9
PART = 10
"""This part of a workload's calls is made."""
Budget = dict[str, dict[str, float]]


def ratios(workload: str, ceilings: dict[str, float]) -> dict[str, float]:
    """Return what each client takes for one of the reference's."""
    entries = [run.Entry(name) for name in (REFERENCE, *ceilings)]
    runs: report.Runs = {entry.text: [] for entry in entries}
    medians: dict[str, float] = {}
    for number in range(MANY):
        for entry in entries if number % 2 else reversed(entries):
            measured = run.measure(entry, WORKLOADS[workload], PART)
            if "error" in measured:
                message = f"{workload}: {entry.text} failed: {measured['error']}"
                raise SystemExit(message)
            runs[entry.text].append(measured)
        key = WORKLOADS[workload].columns[0]
        medians = {name: statistics.median(report.ratios(runs, name, REFERENCE, key)) for name in ceilings}
        if number + 1 >= FEW and all(medians[name] <= ceiling for name, ceiling in ceilings.items()):
            break
    return medians


def raised(before: Budget, now: Budget) -> list[str]:
    """Return what has become dearer or was dropped between two budgets."""
    return [
        f"{workload} {client}: {ceiling} -> {now.get(workload, {}).get(client, 'dropped')}"
        for workload, clients in before.items()
        for client, ceiling in clients.items()
        if now.get(workload, {}).get(client, float("inf")) > ceiling
    ]


def committed() -> Budget:
    """Return the budget of the last commit; empty if there is none to see."""
    command = ["git", "-C", str(HERE), "show", "HEAD:./budget.toml"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - nothing from outside
    return tomllib.loads(shown.stdout) if shown.returncode == 0 else {}


def tightened(text: str, workload: str, client: str, ceiling: float, ratio: float) -> str:
    """Return the file's text with a ceiling lowered to a little above what was seen; the same if it is tight."""
    lower = math.ceil(ratio * SLACK) if workload == STEPS else round(ratio * NOISE, 2)
    if lower >= ceiling:
        return text
    head, section, rest = text.partition(f"[{workload}]\n")
    line = re.compile(rf'^("?{re.escape(client)}"? = ).*$', re.MULTILINE)
    return head + section + line.sub(rf"\g<1>{lower}", rest, count=1)


def main() -> None:
    """Check every ceiling; exit with 1 if one is broken or was raised."""
    text = FILE.read_text()
    budget: Budget = tomllib.loads(text)
    bad = [f"raised, budgets only go down: {one}" for one in raised(committed(), budget)]
    try:
        stub.build()
    except stub.NoStubError as error:
        raise SystemExit(str(error)) from None
    for workload, ceilings in budget.items():
        counted = workload == STEPS
        noise = 1.0 if counted else NOISE
        for client, cost in (steps.steps() if counted else ratios(workload, ceilings)).items():
            ceiling = ceilings[client]
            verdict = "ok" if cost <= ceiling else "ok, within noise" if cost <= ceiling * noise else "TOO DEAR"
            print(f"{workload:13}{client:13}{cost:7.2f} of {ceiling:.2f}  {verdict}", flush=True)
            if verdict == "TOO DEAR":
                bad.append(f"{workload} {client}: {cost:.2f}, and {ceiling} are allowed")
            text = tightened(text, workload, client, ceiling, cost)
    if "--tighten" in sys.argv[1:]:
        FILE.write_text(text)
    if bad:
        raise SystemExit("\n".join(bad))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
