"""Shards on Dask. The only file that imports ``distributed``.

What it does with a function that is submitted to it is met here and in ``shard``: it makes one task of two equal pure
ones (each submission differs, and none is pure), takes some arguments for itself by their names (none of ours has such
a one), gives a task up whose worker died several times (the run gives it out again), changes exceptions on their way
(errors are values), goes on with a thread whose task was cancelled, and with any task when its client is gone (a file
tells workers to stop).
"""

from __future__ import annotations

import os
import platform
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

from anyfast_async._version import __version__
from anyfast_async.errors import ConfigurationError, escaped

R = TypeVar("R")

INSTALL: Final = "pip install 'anyfast-async[dask]'"
LOCAL: Final = "local"
_CONNECT: Final = 10.0
"""Seconds for reaching the scheduler."""
_BACK: Final = 30.0
"""Seconds for a worker to be back after all were lost."""
_FRESH: Final = 2.0
"""Seconds for which the number of workers is taken as known."""


class DaskWorkers:
    """The workers of a scheduler.

    Args:
        client: of ``distributed``.

    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._executor = client.get_executor(pure=False)
        self._slots, self._until = 1, 0.0

    @property
    def slots(self) -> int:
        """One shard for each worker process: a second one would only share its processor."""
        if time.monotonic() > self._until:
            self._until = time.monotonic() + _FRESH
            if self._client.status == "running":
                with suppress(OSError, TimeoutError):  # the scheduler is away
                    self._slots = max(1, len(self._client.nthreads()))
        return self._slots

    def submit(self, call: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Have *call* called."""
        future: Future[R] = self._executor.submit(call, *args, **kwargs)
        return future

    def heal(self) -> None:
        """Wait until there is a worker again.

        Raises:
            WorkersAwayError: there is none, or the scheduler is gone.

        """
        end = time.monotonic() + _BACK
        while time.monotonic() < end:
            if self._client.status == "running":
                with suppress(OSError, TimeoutError):
                    if self._client.nthreads():
                        return
            if self._client.status == "closed":
                break
            time.sleep(0.2)
        message = f"the scheduler is gone, or has no workers (client: {self._client.status})"
        raise WorkersAwayError(message)


class WorkersAwayError(OSError):
    """There are no workers."""


@contextmanager
def dask_workers(address: str, number: int, folder: Path, *, needs_key: bool) -> Iterator[DaskWorkers]:
    """Give the workers of the scheduler at *address*, after asking each of them whether it can do what will be asked.

    Args:
        address: of a scheduler, ``tcp://host:8786``; or ``"local"``, for a scheduler and workers of this machine that
            are there as long as this is.
        number: how many workers, where they are this machine's.
        folder: of the output, which every worker must see.
        needs_key: whether each needs a key in its environment, if it has no file.

    Raises:
        ConfigurationError: ``distributed`` is not installed, the scheduler cannot be reached or has no workers, or a
            worker has another version or does not see the folder.

    """
    try:
        distributed: Any = import_module("distributed")  # an extra
    except ImportError:
        message = f"--dask needs one more package: {INSTALL}"
        raise ConfigurationError(message) from None
    try:
        if address == LOCAL:
            cluster = distributed.LocalCluster(
                n_workers=number, threads_per_worker=1, processes=True, dashboard_address=None
            )
            client = distributed.Client(cluster, timeout=_CONNECT)
        else:
            cluster = None
            client = distributed.Client(address, timeout=_CONNECT)
    except (OSError, ValueError, TimeoutError) as error:
        reason = escaped(str(error).partition("\n")[0], 200)
        message = f"there is no Dask scheduler at {escaped(address, 200)} ({reason})"
        raise ConfigurationError(message) from None
    try:
        check_workers(client, folder, needs_key=needs_key)
        yield DaskWorkers(client)
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def check_workers(client: Any, folder: Path, *, needs_key: bool) -> None:
    """Ask every worker whether it can do what will be asked of it.

    Raises:
        ConfigurationError: one cannot, or there is none.

    """
    token = folder / f".anyfast-{secrets.token_hex(8)}"
    token.touch()
    try:
        try:
            client.wait_for_workers(1, timeout=_CONNECT)  # they may just be starting
        except TimeoutError:
            message = "the Dask scheduler has no workers"
            raise ConfigurationError(message) from None
        answers = client.run(_told, str(token), on_error="return")
    finally:
        token.unlink()
    mine = _told("")
    for worker, said in answers.items():
        if not isinstance(said, Mapping):
            problem = f"has no anyfast-async {__version__} ({type(said).__name__}: {escaped(str(said), 200)})"
        elif said["version"] != mine["version"]:
            problem = f"has anyfast-async {said['version']}, here it is {mine['version']}"
        elif said["python"] != mine["python"]:
            problem = f"has Python {said['python']}, here it is {mine['python']}; what is sent to it need not fit"
        elif said["distributed"] != mine["distributed"]:
            problem = f"has distributed {said['distributed']}, here it is {mine['distributed']}"
        elif not said["sees"]:
            problem = f"does not see {folder}: input and output must be on a path that all workers share"
        elif needs_key and not said["key"]:
            problem = (
                "has no key: set ANYFAST_API_KEY or ANYFAST_API_KEY_FILE where it is started, or name a --key-file"
            )
        else:
            continue
        message = f"worker {worker} {problem}; nothing was sent"
        raise ConfigurationError(message)


def _told(token: str) -> dict[str, Any]:
    """Return what there is to know of a worker; called on it. Whether there is a key, never the key."""
    distributed: Any = import_module("distributed")
    return {
        "version": __version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "distributed": distributed.__version__,
        "sees": token != "" and Path(token).exists(),
        "key": bool(os.environ.get("ANYFAST_API_KEY") or os.environ.get("ANYFAST_API_KEY_FILE")),
    }
