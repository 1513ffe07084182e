"""A Dask scheduler and workers of this machine, each a process of its own that can be ended like one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

KEY = "sk-key-of-the-workers-0123456789"


def until(so: Callable[[], object], seconds: float = 300.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not so():
        if time.monotonic() > end:
            message = f"waited for {seconds:g} s in vain"
            raise TimeoutError(message)
        time.sleep(0.05)


class Cluster:
    """The processes.

    Args:
        folder: for their logs.
        gateway: the address that workers send to.
        host: where the scheduler listens.

    """

    def __init__(self, folder: Path, gateway: str, host: str = "127.0.0.1") -> None:
        self.folder, self.gateway, self.host = folder, gateway, host
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.address: str = ""

    def environment(self, *, key: bool) -> dict[str, str]:
        """Return the environment of a process."""
        host = urlsplit(self.gateway).hostname or ""
        found = {**os.environ, "ANYFAST_BASE_URL": self.gateway, "ANYFAST_ALLOW_HTTP": host}
        found.pop("ANYFAST_API_KEY", None)
        return found | {"ANYFAST_API_KEY": KEY} if key else found

    def _start(self, name: str, before: Sequence[str], *words: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(  # noqa: S603 - distributed's own programs
                [*before, sys.executable, "-m", *words],
                cwd=self.folder,
                env=self.environment(key=name != "scheduler"),
                stdout=log,
                stderr=log,
            )

    def scheduler(self) -> None:
        """Start the scheduler; return when it listens."""
        file = self.folder / "scheduler.json"
        words = ("--host", self.host, "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        self._start("scheduler", (), "distributed.cli.dask_scheduler", *words)
        while not self.address:
            with suppress(OSError, ValueError):
                self.address = json.loads(file.read_text())["address"]
            time.sleep(0.05)

    def worker(self, name: str, *words: str, before: Sequence[str] = ()) -> None:
        """Start a worker of one thread; *before* is put before its command."""
        given = ("--nthreads", "1", "--no-dashboard", "--no-nanny", "--name", name, *words)
        self._start(name, before, "distributed.cli.dask_worker", self.address, *given)

    def stop(self, name: str) -> None:
        """End a process at once."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()


@contextmanager
def running(folder: Path, gateway: str, host: str = "127.0.0.1") -> Iterator[Cluster]:
    """Give a cluster without workers; end what is left of it."""
    found = Cluster(folder, gateway, host)
    try:
        found.scheduler()
        yield found
    finally:
        for name in [*found.processes]:
            found.stop(name)
