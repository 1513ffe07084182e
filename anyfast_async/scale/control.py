"""Whether a run over shards goes on: a file that who leads it writes, and every worker reads.

So a worker stops when it is told to, on whatever engine, and also when nobody leads any more: an engine does not end
what runs in a thread, and may not even notice that its client is gone.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Final

from anyfast_async.scale.lease import seconds
from anyfast_async.scale.object_store import StoredFile

ORPHANED: Final = 5.0
"""Seconds for what is in flight where nobody leads the run any more."""
ABANDONED: Final = threading.Event()
"""Set in a worker process whose parent is gone."""


class Leading:
    """The side that leads: writes the file."""

    def __init__(self, path: Path | StoredFile, session: str) -> None:
        self.path = path
        self.session = session
        self.grace: float | None = None
        """Seconds for what is in flight, once workers are to take up no more rows: said with the next beat."""
        self._beats = 0

    def beat(self) -> None:
        """Say that the run goes on, or that it is to stop.

        Raises:
            OSError: it cannot be written.

        """
        self._beats += 1
        said = json.dumps({"session": self.session, "beat": self._beats, "stop": self.grace}).encode()
        if not isinstance(self.path, Path):
            self.path.write_bytes(said)
            return
        new = self.path.with_name(f".{self.path.name}.{self.session}.new")
        new.write_bytes(said)
        new.replace(self.path)


class Led:
    """The side of a worker: reads it."""

    def __init__(self, path: Path | StoredFile | None, session: str, expires: float) -> None:
        self._path, self._session, self._expires = path, session, expires
        self._seen = b""
        self._since = seconds()

    def stop(self) -> float | None:
        """Return the seconds that what is in flight gets, None as long as the run goes on."""
        if self._path is None:
            return None
        if ABANDONED.is_set():
            return ORPHANED
        try:
            raw = self._path.read_bytes()
            said = json.loads(raw)
        except (OSError, ValueError):  # the share is away
            raw, said = self._seen, {}
        if raw != self._seen:
            self._seen, self._since = raw, seconds()
        if said.get("session", self._session) != self._session:  # another run leads now
            return ORPHANED
        if said.get("stop") is not None:
            return float(said["stop"])
        return ORPHANED if seconds() - self._since > self._expires else None
