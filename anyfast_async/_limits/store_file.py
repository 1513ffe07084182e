"""A store of limits in a file, for the processes of one machine: SQLite, which needs no server.

A question is one transaction, in a thread of its own: the loop waits for no lock. The clock is the machine's, the same
for all its processes whatever each of them takes for the time of day.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from anyfast_async._core.limits.shared_budget import Draw, DrawReply, SharedBudget
from anyfast_async._core.limits.shared_quota import Question, SharedQuota, StoreReply
from anyfast_async.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

A = TypeVar("A")
R = TypeVar("R")

BUSY: Final = 1.0
"""Seconds for which another process may hold the lock."""
LOOK: Final = 0.05
"""Seconds between two looks for news: SQLite tells nobody of a change."""
UPTIME: Final = "/proc/uptime"
"""Of the machine, on Linux; what shifts the clock of one process does not shift this."""


def machine_time() -> int:
    """Return microseconds that all processes of the machine agree on."""
    try:
        with open(UPTIME, encoding="ascii") as file:  # noqa: PTH123 - in a hot path
            return int(float(file.read().split()[0]) * 1_000_000) + 1
    except (OSError, ValueError):
        return time.monotonic_ns() // 1_000 + 1


class FileStore:
    """Keeps quotas in an SQLite database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: ThreadPoolExecutor | None = None
        self._database: sqlite3.Connection | None = None
        self._files: list[int] = []
        """What the files were when they were opened."""
        self._process = 0

    def __repr__(self) -> str:
        return f"FileStore({str(self._path)!r})"

    async def ask(self, scope: str, question: Question) -> StoreReply:
        """Answer a question, in one transaction.

        Raises:
            StoreError: the file cannot be opened, read or written.

        """
        return await self._run(self._ask, scope, question)

    async def draw(self, budget: str, draw: Draw) -> DrawReply:
        """Answer a question about a budget, in one transaction that is on the disk before it is answered.

        Raises:
            StoreError: the file cannot be opened, read or written.

        """
        return await self._run(self._draw, budget, draw)

    async def news(self, scope: str, client: str, seconds: float) -> None:
        """Return when *client* has been given places, or after so many seconds.

        Raises:
            StoreError: the file cannot be read.

        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not await self._run(self._told, scope, client) and loop.time() < until:  # noqa: ASYNC110 - other processes
            await asyncio.sleep(min(LOOK, max(0.0, until - loop.time())))

    async def _run(self, work: Callable[[str, A], R], scope: str, argument: A) -> R:
        if self._process != os.getpid():
            # A connection must not be used after a fork; the parent's is left alone.
            self._thread, self._database, self._process = ThreadPoolExecutor(1, "anyfast store"), None, os.getpid()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, scope, argument)
        except (sqlite3.Error, OSError, ValueError, KeyError, TypeError) as error:
            message = f"{self._path}: {error}"
            raise StoreError(message) from None

    def _which(self) -> list[int]:
        """Return what tells the files from others of the same names."""
        paths = self._path, self._path.with_name(f"{self._path.name}-shm")
        return [path.stat().st_ino for path in paths if path.exists()]

    def _opened(self) -> sqlite3.Connection:
        if self._database is not None and self._which() != self._files:
            # They were deleted; who goes on with them counts alone, as others begin with new ones.
            self._database.close()
            self._database = None
        if self._database is None:
            database = sqlite3.connect(self._path, timeout=BUSY, isolation_level=None, check_same_thread=False)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=OFF")  # what a crash of the machine loses is a minute old by then
            database.execute("CREATE TABLE IF NOT EXISTS quota (scope TEXT PRIMARY KEY, state TEXT) WITHOUT ROWID")
            database.execute(
                "CREATE TABLE IF NOT EXISTS news (scope TEXT, client TEXT, PRIMARY KEY (scope, client)) WITHOUT ROWID"
            )
            database.execute("CREATE TABLE IF NOT EXISTS budget (name TEXT PRIMARY KEY, state TEXT) WITHOUT ROWID")
            self._database, self._files = database, self._which()
        return self._database

    def _ask(self, scope: str, question: Question) -> StoreReply:
        database = self._opened()
        database.execute("BEGIN IMMEDIATE")
        try:
            row = database.execute("SELECT state FROM quota WHERE scope = ?", (scope,)).fetchone()
            quota = SharedQuota() if row is None else SharedQuota.load(json.loads(row[0]))
            reply, told = quota.ask(machine_time(), question)
            database.execute("REPLACE INTO quota VALUES (?, ?)", (scope, json.dumps(quota.dump())))
            database.executemany("REPLACE INTO news VALUES (?, ?)", [(scope, client) for client in told])
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")
        return reply

    def _draw(self, name: str, draw: Draw) -> DrawReply:
        database = self._opened()
        database.execute("PRAGMA synchronous=FULL")  # what is forgotten is spent twice
        database.execute("BEGIN IMMEDIATE")
        try:
            row = database.execute("SELECT state FROM budget WHERE name = ?", (name,)).fetchone()
            budget = SharedBudget() if row is None else SharedBudget.load(json.loads(row[0]))
            reply = budget.ask(machine_time(), draw)
            database.execute("REPLACE INTO budget VALUES (?, ?)", (name, json.dumps(budget.dump())))
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")
        return reply

    def _told(self, scope: str, client: str) -> bool:
        database = self._opened()
        found = database.execute("SELECT 1 FROM news WHERE scope = ? AND client = ?", (scope, client)).fetchone()
        if found is not None:
            database.execute("DELETE FROM news WHERE scope = ? AND client = ?", (scope, client))
        return found is not None

    async def aclose(self) -> None:
        """Close the file."""
        thread, database = self._thread, self._database
        self._thread = self._database = None
        if thread is not None and self._process == os.getpid():
            if database is not None:
                await asyncio.get_running_loop().run_in_executor(thread, database.close)
            thread.shutdown(wait=False)
        self._process = 0
