"""Who works on shards: any executor, and processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol, Self, TypeVar

from anyfast_async._http.settings import whole_in
from anyfast_async.errors import AnyFastError
from anyfast_async.scale.control import ABANDONED, ORPHANED

R = TypeVar("R")

MOST: Final = 100_000
"""Workers."""
_IDLE: Final = 5.0
"""Seconds in which a process without work ends."""
_END: Final = ORPHANED + 10.0
"""Seconds that a worker process goes on at most when the one that started it is gone."""


class WorkersLostError(AnyFastError):
    """Shards took their workers down, or could not be given to any, again and again."""

    kind = "workers"


class Workers(Protocol):
    """What shards are given to."""

    handed_key: str | None
    """The name of the key that they are handed, None if they have one."""

    @property
    def slots(self) -> int:
        """How many shards can be in work at once; it may change."""
        ...

    def submit(self, call: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Have *call* called by a worker."""
        ...

    def begin(self) -> None:
        """Have them make ready, without waiting for it: there will be work soon."""

    def heal(self) -> None:
        """Make sure that there are workers again after one was lost."""


def prepare() -> None:
    """Load what sending needs: called by a worker that has nothing to do yet."""
    import anyfast_async.client  # noqa: F401, PLC0415 - who leads sends nothing
    from anyfast_async._client.shared import load  # noqa: PLC0415

    load()


class OnExecutor:
    """The workers of an executor.

    Args:
        executor: any; what it is given travels as it wants.
        slots: how many calls it works on at once; None: as many as it says that it has workers.

    """

    handed_key: str | None = None

    def __init__(self, executor: Executor, slots: int | None = None) -> None:
        self._executor = executor
        known = slots if slots is not None else getattr(executor, "_max_workers", None)
        self._slots = whole_in("workers", known if known is not None else os.cpu_count() or 1, 1, MOST)

    @property
    def slots(self) -> int:
        """How many."""
        return self._slots

    def submit(self, call: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Have *call* called."""
        return self._executor.submit(call, *args, **kwargs)

    def begin(self) -> None:
        """Do nothing: what an executor makes of calls is its own affair."""

    def heal(self) -> None:
        """Do nothing: an executor that is broken stays so."""


class Processes:
    """Processes of this machine, new ones in place of those that are lost; a context manager that ends them."""

    handed_key: str | None = None

    def __init__(self, number: int) -> None:
        self._number = whole_in("processes", number, 1, MOST)
        self._pool = self._new()
        self._begun: ProcessPoolExecutor | None = None

    def _new(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads and a loop is none of both
        return ProcessPoolExecutor(self._number, mp_context=context, initializer=_begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._pool)

    @property
    def slots(self) -> int:
        """How many."""
        return self._number

    def submit(self, call: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Have *call* called."""
        with _interrupts_kept():
            return self._pool.submit(call, *args, **kwargs)

    def begin(self) -> None:
        """Start them, as many as there are processors for, while this process reads the input."""
        if self._begun is not self._pool:
            self._begun = self._pool
            with suppress(OSError, BrokenExecutor):  # whoever gives them work hears of it
                for _ in range(min(self._number, os.cpu_count() or 1)):
                    self.submit(prepare)

    def heal(self) -> None:
        """Start other processes: where one is lost, the pool ends all."""
        broken, self._pool = self._pool, self._new()
        _end(broken)


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Keep Ctrl-C from processes that are started: it reaches them, too, before they could say that they ignore it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool; those that do not end by themselves are killed: their shards can be gone on with."""
    processes = [*(getattr(pool, "_processes", None) or {}).values()]
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.join(_IDLE)
        if process.is_alive():
            process.kill()
            process.join()


def _begin() -> None:
    """Prepare a worker process: Ctrl-C is for who leads the run; without that one, this one ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    threading.Thread(target=_follow, name="anyfast parent", daemon=True).start()


def _follow() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    ABANDONED.set()
    time.sleep(_END)  # shards end by themselves meanwhile
    os._exit(1)
