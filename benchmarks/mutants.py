"""Plants faults in the source, one at a time, and sees whether a test notices: ``python benchmarks/mutants.py``.

What is changed is the pure core and whatever decides about money: comparisons, arithmetic, conditions, numbers, what is
returned. A fault is noticed if any test of its file fails, or runs for far longer than it should. Those that are not
are printed with their places: each is a test that is missing, or a change that changes nothing.

    python benchmarks/mutants.py --count 600 --seed 1 --workers 2

The changes are made in a copy; tests run in a process that is forked for each, after what is slow to import was.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "anyfast_async"
MONEY = ("_limits/budget.py", "_limits/reservation.py", "_limits/spent.py", "prices.py", "_journal/bill.py")
SLOW, SLOWER = 30.0, 8.0
"""Seconds, and how many times what they take by themselves, after which tests have noticed."""
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

    @property
    def source(self) -> str:
        """The file with the change."""
        tree = ast.parse((ROOT / PACKAGE / self.file).read_text(encoding="utf-8"))
        node = [*ast.walk(tree)][self.node]
        _, new = [*changes(node)][self.change]
        return ast.unparse(ast.fix_missing_locations(Put(node, new).visit(tree)))


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


def mutants_of(file: str) -> Iterator[Mutant]:
    """Return all mutants of a file of the package."""
    tree = ast.parse((ROOT / PACKAGE / file).read_text(encoding="utf-8"))
    types = annotations(tree)
    for number, node in enumerate(ast.walk(tree)):
        if id(node) not in types:
            for which, (what, new) in enumerate(changes(node)):
                line = getattr(node, "lineno", 0)
                words = f"{what}: {ast.unparse(node)[:60]} -> {ast.unparse(new)[:60]}"
                yield Mutant(file, line, words, number, which)


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


def passes(folder: Path, tests: Sequence[str], seconds: float) -> bool:
    """Run tests in a copy of the project, in a forked process; return whether they all pass in time."""
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            os.chdir(folder)
            sys.path.insert(0, str(folder))
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:anyfast", "--hypothesis-profile=mutants", EARLY]
            os._exit(int(pytest.main([*options, *tests])))
        except BaseException:  # noqa: BLE001 - a mutant may do anything
            os._exit(99)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def copied(folder: str) -> Path:
    """Copy what tests need into a folder."""
    place = Path(folder)
    for name in (PACKAGE, "tests", "docs", "examples"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, place / name)
    return place


def main() -> None:
    """Plant them, and print what was not noticed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--files", default="", help="only those whose path holds this")
    parser.add_argument("--within", type=float, default=float("inf"), help="seconds after which no more are planted")
    asked = parser.parse_args()

    core = (path.relative_to(ROOT / PACKAGE).as_posix() for path in (ROOT / PACKAGE / "_core").rglob("*.py"))
    files = sorted(file for file in {*core, *MONEY} if asked.files in file and (ROOT / PACKAGE / file).is_file())
    found = [mutant for file in files for mutant in mutants_of(file)]
    chosen = random.Random(asked.seed).sample(found, min(asked.count, len(found)))
    print(f"{len(found)} places in {len(files)} files; {len(chosen)} are tried", flush=True)

    began, missed, done = time.monotonic(), [], Counter[str]()
    with contextlib.ExitStack() as stack:
        folders = [copied(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(asked.workers)]
        within: dict[str, float] = {}
        for file in sorted({mutant.file for mutant in chosen}):
            started = time.monotonic()
            if not passes(folders[0], tests_of(file), 300):
                message = f"the tests of {file} fail by themselves: {tests_of(file)}"
                raise SystemExit(message)
            within[file] = max(SLOW, SLOWER * (time.monotonic() - started))

        def plant(mutant: Mutant) -> None:
            if time.monotonic() - began > asked.within:
                return
            folder = folders.pop()
            place = folder / PACKAGE / mutant.file
            place.write_text(mutant.source, encoding="utf-8")
            try:
                noticed = not passes(folder, tests_of(mutant.file), within[mutant.file])
            finally:
                shutil.copy(ROOT / PACKAGE / mutant.file, place)
                folders.append(folder)
            done["noticed" if noticed else "missed"] += 1
            if not noticed:
                missed.append(mutant)
                print(f"missed: {mutant.file}:{mutant.line} {mutant.what}", flush=True)

        with ThreadPoolExecutor(asked.workers) as pool:
            list(pool.map(plant, chosen))
    total = done.total()
    print(f"{done['noticed']} of {total} noticed ({done['noticed'] / max(1, total):.1%})")


if __name__ == "__main__":
    import aiohttp  # noqa: F401 - slow to import, so before forking
    import hypothesis
    import pytest

    hypothesis.settings.register_profile("mutants", max_examples=25, deadline=None, derandomize=True)
    main()
