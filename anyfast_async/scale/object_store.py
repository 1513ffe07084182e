"""Files in an object store, or wherever else fsspec reaches. The only file that imports ``fsspec``.

Credentials are those of the machine (environment, configuration files, roles): nothing of them is in an address.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from anyfast_async.errors import ConfigurationError, escaped

INSTALL: Final = "pip install 'anyfast-async[fsspec]'"
_PASSWORD: Final = re.compile(r"[^/]+://[^/@]*:[^/@]*@")
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_address(where: object) -> bool:
    """Return whether something names a place in a store, ``s3://bucket/folder``, and no path."""
    return isinstance(where, str) and _ADDRESS.match(where) is not None


class Stored:
    """A folder in a store.

    Args:
        address: as fsspec reads it: ``s3://bucket/folder``, ``gs://...``, ``abfs://...``, ``file:///folder``.

    Raises:
        ConfigurationError: fsspec, or what it needs for such an address, is not installed; or it holds a password, or
            names nothing.

    """

    def __init__(self, address: str) -> None:
        if not address.partition("://")[2].strip("/"):
            message = f"{escaped(address, 200)!r} names no folder, such as s3://bucket/folder"
            raise ConfigurationError(message)
        self.address: str = address.rstrip("/")
        if _PASSWORD.match(self.address):
            message = "an address with a password in it would be seen on the way to workers: leave it out"
            raise ConfigurationError(message)
        try:
            fsspec: Any = import_module("fsspec.core")  # an extra
        except ImportError:
            message = f"{escaped(address, 200)} needs one more package: {INSTALL}"
            raise ConfigurationError(message) from None
        try:
            self._system, self._root = fsspec.url_to_fs(self.address, use_listings_cache=False)
        except (ImportError, ValueError, TypeError) as error:
            message = f"{escaped(address, 200)}: {escaped(str(error), 300)}"
            raise ConfigurationError(message) from None

    def __str__(self) -> str:
        return self.address

    def within(self, name: str) -> Stored:
        """Return a folder in it."""
        return Stored(f"{self.address}/{name}")

    @contextmanager
    def _asked(self, name: str) -> Iterator[str]:
        """Give the path of a name; what goes wrong is an ``OSError``, whatever a store's library makes of it."""
        path = f"{self._root}/{name}" if name else self._root
        try:
            yield path
        except (FileNotFoundError, FileExistsError):
            raise
        except Exception as error:  # noqa: BLE001 - each has its own
            reason = f"{type(error).__name__}: {escaped(str(error), 300)}"
            raise OSError(errno.EIO, reason, f"{self.address}/{name}") from None

    def make(self) -> None:
        """Make it, where there are folders at all."""
        with self._asked("") as path:
            self._system.makedirs(path, exist_ok=True)

    def names(self) -> list[str]:
        """Return the names in it."""
        try:
            with self._asked("") as path:
                self._system.invalidate_cache()
                return [str(one).rstrip("/").rpartition("/")[2] for one in self._system.ls(path, detail=False)]
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes:
        """Return what stands in a file."""
        with self._asked(name) as path:
            found: bytes = self._system.cat_file(path)
            return found

    def write(self, name: str, data: bytes) -> None:
        """Replace a file as a whole."""
        with self._asked(name) as path:
            self._system.pipe_file(path, data)

    def claim(self, name: str) -> int | None:
        """Make a file that nobody else has made; -1, or None if it is there already."""
        with self._asked(name) as path:
            try:
                self._system.pipe_file(path, b"1", mode="create")
            except FileExistsError:
                return None
            return -1

    def is_gone(self, name: str) -> bool:  # noqa: ARG002 - as of a path
        """Return False: a store knows of no process."""
        return False

    def has(self, name: str) -> bool:
        """Return whether a file is there."""
        return name in self.names()

    def get(self, name: str, path: Path) -> bool:
        """Copy a file from there; return whether there is one."""
        try:
            with self._asked(name) as there:
                self._system.get_file(there, str(path))
        except FileNotFoundError:
            path.unlink(missing_ok=True)
            return False
        return True

    def put(self, path: Path, name: str) -> None:
        """Copy a file to there."""
        with self._asked(name) as there:
            self._system.put_file(str(path), there)

    def remove(self) -> None:
        """Remove it, with all that is in it."""
        with self._asked("") as path:
            if self._system.exists(path):
                self._system.rm(path, recursive=True)

    def check(self) -> None:
        """Find out whether workers can be told apart there.

        Raises:
            ConfigurationError: a file that is there can be made once more.
            OSError: it cannot be written.

        """
        self.make()
        name = "anyfast-once"
        self.claim(name)
        if self.claim(name) is not None:
            message = (
                f"{self.address}: a file that is there can be made once more, so that two workers might have one "
                "shard; use a path that all workers see, or a store that can refuse it"
            )
            raise ConfigurationError(message)


class StoredFile:
    """A small file in a store that is written anew now and then."""

    def __init__(self, folder: Stored, name: str) -> None:
        self._folder = folder
        self.name: str = name

    def __str__(self) -> str:
        return f"{self._folder}/{self.name}"

    def read_bytes(self) -> bytes:
        """Return what stands in it."""
        return self._folder.read(self.name)

    def write_bytes(self, data: bytes) -> None:
        """Replace it as a whole."""
        self._folder.write(self.name, data)
