"""Runs tests against changed code: collected once, each change in a fork of its own. For ``benchmarks/mutants.py``."""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import itertools
import json
import math
import os
import resource
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Literal, TypeAlias

import coverage
import pytest

SLOWEST, SLOWER = 8, 3
"""Seconds of the processor, and how many times what they took alone, after which tests have noticed."""
WAITS = 120.0
"""Seconds by the clock after which a test that waits has; on a busy machine it may be one that has no turn."""

Outcome: TypeAlias = Literal["noticed", "missed", "late"]
"""Late is what took too long by the clock: noticed, on a machine that had nothing else to do."""


@dataclass(frozen=True)
class Change:
    """What to plant: where, the function before and after, and the files of tests that are asked first."""

    file: Path
    lines: range
    before: CodeType
    after: CodeType
    own: frozenset[str]


def functions_in(code: CodeType) -> Iterator[CodeType]:
    """Return the functions of a module, those of its classes too, but not those in functions."""
    for one in code.co_consts:
        if isinstance(one, CodeType):
            if one.co_flags & inspect.CO_NEWLOCALS:
                yield one
            else:  # the body of a class
                yield from functions_in(one)


def changed(before: CodeType, after: CodeType) -> tuple[CodeType, CodeType] | None:
    """Return the one function of a module that differs; None if it takes an import to see the change."""
    pairs = zip(functions_in(before), functions_in(after), strict=True)
    different = [(old, new) for old, new in pairs if old != new]
    if len(different) != 1 or different[0][0].co_freevars != different[0][1].co_freevars:
        return None
    return different[0]


def forked(work: Callable[[], int], seconds: float | None = None) -> int:
    """Do something in a silent process of its own, which ends with what it returns; return its number.

    *seconds* of the processor end it, however busy the machine is.
    """
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if seconds is not None:
                resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 1))
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            os._exit(work())
        except BaseException:  # noqa: BLE001 - changed code may do anything
            os._exit(99)
    return child


def ended(child: int, until: float) -> Outcome | None:
    """Return what came out of a forked process, None while it runs; after *until* (monotonic) it is killed."""
    number, status = os.waitpid(child, os.WNOHANG)
    if number:
        return "noticed" if status else "missed"
    if time.monotonic() <= until:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "late"


class Planter:
    """A plugin of pytest: in place of running what was collected, it tries changes against it.

    Args:
        changes: what to plant.
        told: called with the number of a change and what came out; None: no test that was collected reaches it, or
            nothing calls it after the import.
        package: its folder.
        workers: how many are tried at once.
        known: a file that keeps what the tests reach; where there is one it is believed, and tests that are new are
            taken to reach what their own file is about.
        most: seconds of tests, as they ran alone, that one change is tried with.

    """

    def __init__(
        self,
        changes: Sequence[Change],
        told: Callable[[int, Outcome | None], None],
        package: Path,
        *,
        workers: int,
        known: Path,
        most: float,
    ) -> None:
        self.changes, self.told, self.package, self.workers = changes, told, package, workers
        self.known, self.most = known, most
        self.reach: dict[str, dict[str, list[int]]] = {}
        """Tests, the files that they reach, and the lines."""
        self.took: dict[str, float] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try them all."""
        self._measure(session)
        live = defaultdict(list)
        caches = []
        for thing in gc.get_objects():
            if isinstance(thing, FunctionType) and thing.__code__.co_filename.startswith(str(self.package)):
                live[_place(thing.__code__)].append(thing)
            elif isinstance(thing, functools._lru_cache_wrapper):  # noqa: SLF001 - it has no other name
                caches.append(thing)
        gc.collect()
        gc.freeze()  # so that forks share its memory
        running: dict[int, tuple[int, float]] = {}
        for number, change in enumerate(self.changes):
            items = self._chosen(session.items, change)
            new = [
                (one, after) for before, after in _inside(change.before, change.after) for one in live[_place(before)]
            ]
            if not items or not new:
                self.told(number, None)
                continue
            alone = sum(self.took.get(item.nodeid, 0.0) for item in items)
            child = forked(functools.partial(_try, session, items, new, caches), SLOWEST + SLOWER * alone)
            running[child] = number, time.monotonic() + WAITS
            while len(running) >= self.workers:
                self._look(running)
        while running:
            self._look(running)
        return True

    def _look(self, running: dict[int, tuple[int, float]]) -> None:
        time.sleep(0.01)
        for child, (number, until) in [*running.items()]:
            outcome = ended(child, until)
            if outcome is not None:
                del running[child]
                self.told(number, outcome)

    def _measure(self, session: pytest.Session) -> None:
        """Run each test once, unchanged, in a fork; see what it takes, and which lines it reaches."""
        if not self.known.exists():
            child = os.fork()
            if child == 0:
                try:
                    _reach(session, self.package, self.known)
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
        found = json.loads(self.known.read_text(encoding="utf-8"))
        self.reach, self.took = found["reach"], found["took"]

    def _chosen(self, items: Sequence[pytest.Item], change: Change) -> list[pytest.Item]:
        """Return the tests that reach a place, those of its own file first and then the quick ones."""
        path, lines = str(change.file.relative_to(self.package)), {*change.lines}

        def is_own(item: pytest.Item) -> bool:
            return item.nodeid.partition("::")[0] in change.own

        def reaches(item: pytest.Item) -> bool:
            if item.nodeid not in self.took:
                return is_own(item)
            return not lines.isdisjoint(self.reach.get(item.nodeid, {}).get(path, ()))

        reaching = [item for item in items if reaches(item)]
        reaching.sort(key=lambda item: (not is_own(item), self.took.get(item.nodeid, 0.0)))
        total = itertools.accumulate(self.took.get(item.nodeid, 0.0) for item in reaching)
        return [item for item, seconds in zip(reaching, total, strict=True) if seconds <= self.most] or reaching[:1]


def _place(code: CodeType) -> tuple[str, str, int, tuple[str, ...]]:
    return code.co_filename, code.co_qualname, code.co_firstlineno, code.co_varnames


def _inside(before: CodeType, after: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """Return a function and those in it, some of which may have been made already, before and after."""
    yield before, after
    inner = [[one for one in code.co_consts if isinstance(one, CodeType)] for code in (before, after)]
    if len(inner[0]) == len(inner[1]):
        for old, new in zip(*inner, strict=True):
            if old.co_freevars == new.co_freevars:
                yield from _inside(old, new)


def _try(session: pytest.Session, items: Sequence[pytest.Item], new: Any, caches: Any) -> int:
    for cache in caches:
        cache.cache_clear()
    for function, code in new:
        function.__code__ = code
    for item, after in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        if session.testsfailed:
            return 1
    return 0


def _reach(session: pytest.Session, package: Path, file: Path) -> None:
    watched = coverage.Coverage(data_file=None, source=[str(package)], config_file=False, messages=False)
    took, failed = {}, []
    watched.start()
    for item, after in zip(session.items, [*session.items[1:], None], strict=True):
        watched.switch_context(item.nodeid)
        began, before = time.process_time(), session.testsfailed
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        took[item.nodeid] = time.process_time() - began
        if session.testsfailed > before:
            failed.append(item.nodeid)
    watched.stop()
    data = watched.get_data()
    reach: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for path in data.measured_files():
        by_test = defaultdict(list)
        for line, contexts in data.contexts_by_lineno(path).items():
            for context in contexts:
                by_test[context].append(line)
        for context, lines in by_test.items():
            reach[context][os.path.relpath(path, package)] = lines
    for one in failed:  # without any change: it is no witness
        reach.pop(one, None)
    file.write_text(json.dumps({"reach": reach, "took": took, "failed": failed}), encoding="utf-8")
