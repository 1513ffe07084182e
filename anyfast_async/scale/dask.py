"""Shards on Dask. The only file that imports ``distributed``.

What it does with a function that is submitted to it is met here and in ``shard``: it makes one task of two equal pure
ones (each submission differs, and none is pure), takes some arguments for itself by their names (none of ours has such
a one), gives a task up whose worker died several times (the run gives it out again), changes exceptions on their way
(errors are values), goes on with a thread whose task was cancelled, and with any task when its client is gone (a file
tells workers to stop).
"""

from __future__ import annotations

import logging
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
from anyfast_async.scale.handed_key import HandedKey, forget
from anyfast_async.scale.object_store import Stored, is_address
from anyfast_async.scale.workers import prepare

R = TypeVar("R")

INSTALL: Final = "pip install 'anyfast-async[dask]'"
LOCAL: Final = "local"
_TLS: Final = "tls://"
_KEYS: Final = "set ANYFAST_API_KEY or ANYFAST_API_KEY_FILE where workers are started, or name a --key-file"
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
        key: that they are handed, those that join later, too; None: they have one.

    """

    def __init__(self, client: Any, key: HandedKey | None = None) -> None:
        self.handed_key: str | None = None if key is None else key.name
        self._client, self._key = client, key
        self._have_it: set[tuple[str, str]] = set()
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
                    self.hand_key()
        return self._slots

    def hand_key(self) -> None:
        """Hand the key to the workers that do not have it.

        Raises:
            OSError: the scheduler is away.

        """
        if self._key is None:
            return
        told = self._client.scheduler_info()["workers"]
        there = {(address, one.get("local_directory", "")) for address, one in told.items()}  # a folder for each start
        new = there - self._have_it
        if new:
            kept = self._client.run(self._key.keep, workers=[address for address, _ in new], on_error="return")
            self._have_it |= {one for one in new if kept.get(one[0], "") is None}

    def take_key_back(self) -> None:
        """Have the workers forget the key."""
        if self._key is not None and self._client.status == "running":
            with suppress(OSError, TimeoutError):
                self._client.run(forget, self._key.name, on_error="ignore")

    def submit(self, call: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Have *call* called."""
        future: Future[R] = self._executor.submit(call, *args, **kwargs)
        return future

    def begin(self) -> None:
        """Do nothing: they made ready when they were asked."""

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
def dask_workers(
    address: str,
    number: int,
    folder: Path | Stored,
    *,
    needs_key: bool,
    key: Callable[[], str | None] = lambda: None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[DaskWorkers]:
    """Give the workers of the scheduler at *address*, after asking each of them whether it can do what will be asked.

    Args:
        address: of a scheduler, ``tcp://host:8786`` or ``tls://host:8786``; or ``"local"``, for a scheduler and workers
            of this machine that are there as long as this is.
        number: how many workers, where they are this machine's.
        folder: of the output, or of a store, which every worker must see.
        needs_key: whether each needs a key in its environment, if it has no file.
        key: returns one that workers without are handed, over TLS only; None: there is none.
        say: told that they are.

    Raises:
        ConfigurationError: ``distributed`` is not installed, the scheduler cannot be reached or has no workers, or a
            worker has another version, does not see the folder, or can have no key.

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
        is_keyless = check_workers(client, folder, needs_key=needs_key, may_hand=address.startswith(_TLS))
        workers = DaskWorkers(client, _to_be_handed(client, key) if is_keyless else None)
        if is_keyless:
            say("workers without a key of their own are handed this one, over TLS")
            workers.hand_key()
        try:
            yield workers
        finally:
            workers.take_key_back()
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def _to_be_handed(client: Any, key: Callable[[], str | None]) -> HandedKey:
    found = key()
    if found is None:
        message = f"workers have no key, and neither is there one here; {_KEYS}"
        raise ConfigurationError(message)
    logs_messages = logging.getLogger("distributed.core").isEnabledFor, logging.DEBUG  # a scheduler need not have us
    if client.run_on_scheduler(*logs_messages) or any(client.run(*logs_messages).values()):
        message = f"the Dask cluster logs every message (distributed.core at DEBUG), so no key is sent; {_KEYS}"
        raise ConfigurationError(message)
    return HandedKey(found)


def check_workers(client: Any, folder: Path | Stored, *, needs_key: bool, may_hand: bool = False) -> bool:
    """Ask every worker whether it can do what will be asked of it; return whether one is to be handed a key.

    Raises:
        ConfigurationError: one cannot, or there is none.

    """
    answers = _asked(client, folder)
    mine, is_keyless = _told(None), False
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
            problem = (
                f"does not see {folder}: input and output must be on a path that all workers share, or go --through a "
                "store"
            )
        elif needs_key and not said["key"] and may_hand:
            is_keyless = True
            continue
        elif needs_key and not said["key"]:
            problem = f"has no key, and none is sent over a connection that is not encrypted; {_KEYS}"
        else:
            continue
        message = f"worker {worker} {problem}; nothing was sent"
        raise ConfigurationError(message)
    return is_keyless


def _asked(client: Any, folder: Path | Stored) -> Mapping[str, Any]:
    """Return what every worker says of itself, and whether it sees *folder*."""
    name = f".anyfast-{secrets.token_hex(8)}"
    token: tuple[str, str] = str(folder), name
    if isinstance(folder, Path):
        (folder / name).touch()
    else:
        folder.make()
        folder.write(name, b"1")
    try:
        try:
            client.wait_for_workers(1, timeout=_CONNECT)  # they may just be starting
        except TimeoutError:
            message = "the Dask scheduler has no workers"
            raise ConfigurationError(message) from None
        answers: Mapping[str, Any] = client.run(_told, token, on_error="return")
    finally:
        if isinstance(folder, Path):
            (folder / name).unlink()
        else:
            folder.within(name).remove()
    return answers


def _told(token: tuple[str, str] | None) -> dict[str, Any]:
    """Return what there is to know of a worker; called on it. Whether there is a key, never the key."""
    distributed: Any = import_module("distributed")
    if token is not None:
        prepare()
    return {
        "version": __version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "distributed": distributed.__version__,
        "sees": token is not None and _sees(*token),
        "key": bool(os.environ.get("ANYFAST_API_KEY") or os.environ.get("ANYFAST_API_KEY_FILE")),
    }


def _sees(folder: str, name: str) -> bool:
    return Stored(folder).has(name) if is_address(folder) else (Path(folder) / name).exists()
