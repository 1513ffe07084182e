"""Plants faults in the source, one at a time, and sees whether a test notices: ``python benchmarks/mutants.py``.

What is changed is the pure core and whatever decides about money: comparisons, arithmetic, conditions, numbers, what is
returned. A fault is noticed if a test fails, or runs for far longer than it should: the tests that reach the place are
asked, those of its own file first. Those that are not noticed are printed with their places: each is a test that is
missing, or a change that changes nothing. The latter are kept with reasons in ``benchmarks/mutants.toml``.

    python benchmarks/mutants.py --count 600 --seed 1 --log outcomes.txt --reach reach.json

With these two files a run can be ended at any time and gone on with: what stands in the log is not tried once more.

Tests are collected once; each fault is tried in a fork, where the function that has it gets the changed code. What only
an import can change (constants of modules, defaults) is written into a copy, and runs in a process of its own.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import os
import random
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "anyfast_async"
MONEY = ("_limits/budget.py", "_limits/reservation.py", "_limits/spent.py", "prices.py", "_journal/bill.py")
SLOW, WAITS = 60.0, 240.0
"""Seconds of the processor, and by the clock, after which the tests of a file have noticed."""
KNOWN = Path(__file__).with_suffix(".toml")
"""Changes that change nothing, with reasons."""
EARLY = "-Wignore::pytest.PytestAssertRewriteWarning"
"""What is imported before pytest is asked has no better messages; nobody reads them here."""
COMPARED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
CALCULATED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}


@dataclass(frozen=True)
class Mutant:
    """A change at one place of one file."""

    file: str
    line: int
    what: str
    node: int
    """The number of what is changed, as ``ast.walk`` goes."""
    change: int
    """Which of its changes."""

    lines: range
    """Those of the statement that it is in."""
    within: str
    """The class and the function that it is in."""
    nth: int
    """Which of those there that read alike."""

    @property
    def name(self) -> str:
        """The place in words, which stay as they are when lines are added elsewhere."""
        return f"{self.file} {self.within}: {self.what}" + (f" ({self.nth})" if self.nth > 1 else "")

    @property
    def tree(self) -> ast.Module:
        """The file with the change; all else stands where it did."""
        tree = ast.parse((ROOT / PACKAGE / self.file).read_text(encoding="utf-8"))
        node = [*ast.walk(tree)][self.node]
        _, new = [*changes(node)][self.change]
        Put(node, ast.copy_location(new, node)).visit(tree)
        return ast.fix_missing_locations(tree)


def annotations(tree: ast.AST) -> set[int]:
    """Return the nodes that are types, which nothing runs."""
    found: set[int] = set()
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if isinstance(part := getattr(node, name, None), ast.AST):
                found |= {id(one) for one in ast.walk(part)}
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            found |= {id(one) for one in ast.walk(node)}
    return found


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Return what may stand in place of a node, each with what it is called."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARED:
        other = copy.deepcopy(node)
        other.ops = [COMPARED[type(node.ops[0])]()]
        yield "comparison", other
    elif isinstance(node, ast.BinOp) and type(node.op) in CALCULATED:
        other_sum = copy.deepcopy(node)
        other_sum.op = CALCULATED[type(node.op)]()
        yield "arithmetic", other_sum
    elif isinstance(node, ast.BoolOp):
        other_bool = copy.deepcopy(node)
        other_bool.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and, or", other_bool
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not", node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in {int, float}:
        yield "number", ast.Constant(node.value + 1)
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield "truth", ast.Constant(not node.value)
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield "return", ast.Return(ast.Constant(None))
    elif isinstance(node, ast.AugAssign) and type(node.op) in CALCULATED:
        other_step = copy.deepcopy(node)
        other_step.op = CALCULATED[type(node.op)]()
        yield "step", other_step


class Put(ast.NodeTransformer):
    """Puts one node in place of another."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def places(tree: ast.AST) -> Mapping[int, tuple[range, str]]:
    """Return the lines of the statement of each node, and the class and function that it is in."""
    found: dict[int, tuple[range, str]] = {}

    def go(node: ast.AST, lines: range, within: str) -> None:
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            lines = range(node.lineno, max(last, node.lineno) + 1)
        elif isinstance(node, ast.expr):  # in the head of a loop or a condition, or behind its body
            lines = range(min(lines.start, node.lineno), max(lines.stop, (node.end_lineno or 0) + 1))
        found[id(node)] = lines, within
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            within = f"{within}.{node.name}".lstrip(".")
        for child in ast.iter_child_nodes(node):
            go(child, lines, within)

    go(tree, range(1, 2), "")
    return found


def mutants_of(file: str) -> Iterator[Mutant]:
    """Return all mutants of a file of the package."""
    tree = ast.parse((ROOT / PACKAGE / file).read_text(encoding="utf-8"))
    types, where, alike = annotations(tree), places(tree), Counter[tuple[str, str]]()
    for number, node in enumerate(ast.walk(tree)):
        if id(node) not in types:
            for which, (what, new) in enumerate(changes(node)):
                line = getattr(node, "lineno", 0)
                words = f"{what}: {ast.unparse(node)[:60]} -> {ast.unparse(new)[:60]}"
                lines, within = where[id(node)]
                alike[within, words] += 1
                yield Mutant(file, line, words, number, which, lines, within, alike[within, words])


def tests_of(file: str) -> list[str]:
    """Return the files of tests of a source file, by the rule that tests/test_architecture.py holds."""
    *folders, name = file.split("/")
    folder = ROOT.joinpath("tests", *(one.lstrip("_") for one in folders))
    stem = name.removesuffix(".py").lstrip("_")
    found = [*folder.glob(f"test_{stem}.py"), *folder.glob(f"test_{stem}_*.py")]
    if not found:
        rules = ast.parse((ROOT / "tests" / "test_architecture.py").read_text(encoding="utf-8"))
        through = next(
            ast.literal_eval(node.value)
            for node in rules.body
            if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "TESTED_THROUGH" and node.value
        )
        found = [ROOT / "tests" / through[file]] if file in through else [*folder.glob("test_*.py")]
    if file in MONEY:
        found.append(ROOT / "tests" / "test_limits.py")
    return [str(one.relative_to(ROOT)) for one in found]


def options(tests: Iterable[str]) -> list[str]:
    """Return what pytest is told."""
    quiet = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:anyfast", "-p", "no:xdist"]
    return [*quiet, "--hypothesis-profile=mutants", EARLY, *tests]


def enter(folder: Path) -> None:
    """Make a copy of the project the one that is imported."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))


def in_forks(
    folder: Path, chosen: Sequence[Mutant], asked: argparse.Namespace
) -> Iterator[tuple[Mutant, planting.Outcome | None]]:
    """Try mutants by changing functions where they are; None for those that only an import shows."""
    changes, numbers = [], []
    for mutant in chosen:
        path = folder / PACKAGE / mutant.file
        before = compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True)
        pair = planting.changed(before, compile(mutant.tree, str(path), "exec", dont_inherit=True))
        if pair is None:
            yield mutant, None
        else:
            changes.append(planting.Change(path, mutant.lines, *pair, frozenset(tests_of(mutant.file))))
            numbers.append(mutant)
    tests = sorted({test for mutant in numbers for test in tests_of(mutant.file)})
    read, write = os.pipe()

    def run() -> int:
        enter(folder)
        with os.fdopen(write, "w") as pipe:

            def told(number: int, outcome: planting.Outcome | None) -> None:
                print(number, outcome or "", file=pipe, flush=True)

            known = asked.reach or folder / "reach.json"
            planter = planting.Planter(
                changes, told, folder / PACKAGE, workers=asked.workers, known=known, most=asked.most
            )
            return int(pytest.main(options(tests), plugins=[planter]))

    child = planting.forked(run) if numbers else None
    os.close(write)
    with os.fdopen(read) as pipe:
        left = set(range(len(numbers)))
        for line in pipe:
            number, outcome = line.rstrip("\n").split(" ")
            left.discard(int(number))
            yield numbers[int(number)], outcome or None
    if child is not None and (os.waitpid(child, 0)[1] or left):
        message = f"the tests could not be collected or run; {len(left)} mutants were not tried"
        raise SystemExit(message)


def in_a_copy(folder: Path, mutant: Mutant) -> planting.Outcome:
    """Try a mutant by writing it into a copy of the project."""

    def run() -> int:
        enter(folder)
        return int(pytest.main(options(tests_of(mutant.file))))

    place = folder / PACKAGE / mutant.file
    place.write_text(ast.unparse(mutant.tree), encoding="utf-8")
    child, until = planting.forked(run, SLOW), time.monotonic() + WAITS
    try:
        while (outcome := planting.ended(child, until)) is None:
            time.sleep(0.02)
    finally:
        shutil.copy(ROOT / PACKAGE / mutant.file, place)
    return outcome


def outcomes(log: Path | None) -> Mapping[str, planting.Outcome]:
    """Return what came out of those in a log, by name; what took too long by the clock is tried once more."""
    if log is None or not log.exists():
        return {}
    pairs = (line.partition(" ") for line in log.read_text(encoding="utf-8").splitlines())
    return {name: outcome for outcome, _, name in pairs if outcome != "late"}


def copied(folder: str) -> Path:
    """Copy what tests need into a folder."""
    place = Path(folder)
    for name in (PACKAGE, "tests", "docs", "examples"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, place / name)
    return place


class Report:
    """What comes out, as it does: printed, counted, and written into a log for the next time."""

    def __init__(self, log: Path | None) -> None:
        self.log = log
        self.known = {one["place"] for one in tomllib.loads(KNOWN.read_text(encoding="utf-8")).get("equal", ())}
        self.done: dict[str, Counter[str]] = defaultdict(Counter)

    def count(self, mutant: Mutant, outcome: planting.Outcome) -> None:
        """Take in what came out of one; what need not be noticed is told apart."""
        said = "equal" if outcome == "missed" and mutant.name in self.known else outcome
        self.done[room(mutant.file)][said] += 1
        if said != "noticed":
            print(f"{said}: {mutant.file}:{mutant.line} {mutant.name.partition(' ')[2]}", flush=True)

    def take(self, mutant: Mutant, outcome: planting.Outcome) -> None:
        """Take in what came out of one just now."""
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(f"{outcome} {mutant.name}\n")
        self.count(mutant, outcome)

    def figures(self) -> Iterator[str]:
        """Return the figures of each room, and of all."""
        for name, figures in sorted(self.done.items()):
            yield row(name, figures)
        yield row("all", sum(self.done.values(), Counter[str]()))


def given() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--files", default="", help="only those whose path holds this")
    parser.add_argument("--most", type=float, default=30.0, help="seconds of tests for each, as they take unchanged")
    parser.add_argument("--reach", type=Path, help="a file that keeps which tests reach what, for the next time")
    parser.add_argument("--again", type=Path, help="what an earlier run has printed: only what it missed")
    parser.add_argument("--log", type=Path, help="a file of what came out: what stands in it is not tried once more")
    return parser.parse_args()


def found_in(files: str, again: Path | None) -> list[Mutant]:
    """Return the mutants of the files whose path holds *files*; of what was printed *again*, what was missed."""
    core = (path.relative_to(ROOT / PACKAGE).as_posix() for path in (ROOT / PACKAGE / "_core").rglob("*.py"))
    there = sorted(file for file in {*core, *MONEY} if files in file and (ROOT / PACKAGE / file).is_file())
    found = [mutant for file in there for mutant in mutants_of(file)]
    if again is None:
        return found
    lines = again.read_text(encoding="utf-8").splitlines()
    missed = {re.sub(r":\d+ ", " ", line.removeprefix("missed: "), count=1) for line in lines}
    return [mutant for mutant in found if mutant.name in missed]


def main() -> None:
    """Plant them, and print what was not noticed."""
    asked = given()
    found = found_in(asked.files, asked.again)
    chosen = random.Random(asked.seed).sample(found, min(asked.count, len(found)))
    tried = outcomes(asked.log)
    left = [mutant for mutant in chosen if mutant.name not in tried]
    print(f"{len(found)} places; {len(chosen)} are tried, {len(left)} of them now", flush=True)

    report, by_import = Report(asked.log), list[Mutant]()
    for mutant in chosen:
        if mutant.name in tried:
            report.count(mutant, tried[mutant.name])
    with contextlib.ExitStack() as stack:
        folders = [copied(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(asked.workers)]
        for mutant, outcome in in_forks(folders[0], left, asked):
            if outcome is None:
                by_import.append(mutant)
            else:
                report.take(mutant, outcome)

        def plant(mutant: Mutant) -> None:
            folder = folders.pop()
            try:
                report.take(mutant, in_a_copy(folder, mutant))
            finally:
                folders.append(folder)

        with ThreadPoolExecutor(asked.workers) as pool:
            list(pool.map(plant, by_import))
    print(*report.figures(), sep="\n")


def room(file: str) -> str:
    """Return the folder of a file, or the file itself where it stands alone."""
    return file.rpartition("/")[0] or file


def row(name: str, figures: Mapping[str, int]) -> str:
    """Return the figures of a room in words."""
    equal, late = figures.get("equal", 0), figures.get("late", 0)
    total = sum(figures.values()) - equal
    noticed = figures.get("noticed", 0) + late
    tail = f"; {late} of them by the clock" if late else ""
    tail += f"; {equal} more change nothing" if equal else ""
    return f"{name}: {noticed} of {total} noticed ({noticed / max(1, total):.1%}){tail}"


if __name__ == "__main__":
    import aiohttp  # noqa: F401 - slow to import, so before forking
    import hypothesis
    import planting
    import pytest

    hypothesis.settings.register_profile("mutants", max_examples=25, deadline=None, derandomize=True)
    main()
