"""A key that whoever leads a run hands to its workers, past the tasks: these hold a name in its place.

A worker keeps it in memory. It is sent only over a connection that is encrypted, see ``dask``.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import Final

from anyfast_async.errors import ConfigurationError

PATIENCE: Final = 30.0
"""Seconds that a worker that has just joined waits for it."""

_kept: dict[str, str] = {}
_changed = threading.Condition()


class HandedKey:
    """A key and its name; it does not show, but it travels."""

    __slots__ = ("_value", "name")

    def __init__(self, value: str, name: str | None = None) -> None:
        self._value: str = value
        self.name: str = name or secrets.token_hex(8)

    def __repr__(self) -> str:
        return "HandedKey('***')"

    def __reduce__(self) -> tuple[type[HandedKey], tuple[str, str]]:
        return HandedKey, (self._value, self.name)

    def keep(self) -> None:
        """Keep it in this process, under its name."""
        with _changed:
            _kept[self.name] = self._value
            _changed.notify_all()


def forget(name: str) -> None:
    """Keep a key no longer."""
    with _changed:
        _kept.pop(name, None)


def handed_key(name: str, patience: float = PATIENCE) -> str:
    """Return the key that was handed to this process under *name*; wait for it if it is still on its way.

    Raises:
        ConfigurationError: it did not come.

    """
    end = time.monotonic() + patience
    with _changed:
        while name not in _kept:
            if not _changed.wait(max(0.0, end - time.monotonic())):
                message = f"this worker was not handed the key of the run within {patience:g} s"
                raise ConfigurationError(message)
        return _kept[name]
