"""Where conversations are kept: one file each in the user's folder for state, for that user alone."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

from anyfast_async.cli import INSTALL
from anyfast_async.cli.chat.conversation import Conversation

_SUFFIX: Final = ".json"


class KeptChatError(Exception):
    """A conversation cannot be read or kept; says which and why."""


def folder() -> Path:
    """Return the folder of conversations, which need not be there: ``$XDG_STATE_HOME/anyfast/chats`` on Linux.

    Raises:
        KeptChatError: the package that knows it is missing.

    """
    try:
        from platformdirs import user_state_path  # noqa: PLC0415 - only where something is kept
    except ImportError:
        message = f"where to keep it needs one more package: {INSTALL}"
        raise KeptChatError(message) from None
    return Path(user_state_path("anyfast", appauthor=False)) / "chats"


@attrs.define
class KeptChat:
    """The file of one conversation."""

    path: Path
    _seen: tuple[int, int] | None = None
    """What the file was when it was read or written last; None: it is not there yet."""

    @classmethod
    def new(cls, where: Path) -> KeptChat:
        """Return a name for a conversation that begins now; nothing is written."""
        return cls(where / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}{_SUFFIX}")

    @classmethod
    def latest(cls, where: Path) -> tuple[KeptChat, Conversation] | None:
        """Return the conversation in *where* that was added to last; None if there is none.

        Raises:
            KeptChatError: it cannot be read; the file stays as it is.

        """
        path = max(_files(where), key=lambda file: (file.stat().st_mtime_ns, file.name), default=None)
        if path is None:
            return None
        try:
            kept = cls(path, _stamp(path))
            return kept, Conversation.from_json(path.read_bytes())
        except (OSError, ValueError) as error:
            reason = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            message = f"{path} {reason}. It is left as it is; move it away to go on with the one before it"
            raise KeptChatError(message) from None

    def write(self, conversation: Conversation) -> bool:
        """Write the conversation as it is now; return False if it went to another file.

        That is so if somebody else has written to this one meanwhile: no exchange is lost.

        Raises:
            KeptChatError: it cannot be written.

        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            own = _stamp(self.path) == self._seen
            if not own:
                self.path = KeptChat.new(self.path.parent).path
            _replace(self.path, conversation.as_json())
            self._seen = _stamp(self.path)
        except OSError as error:
            message = f"{self.path} cannot be written: {error.strerror or error}"
            raise KeptChatError(message) from None
        return own


def _files(where: Path) -> Iterable[Path]:
    try:
        return [path for path in where.iterdir() if path.suffix == _SUFFIX and path.is_file()]
    except FileNotFoundError:
        return ()
    except OSError as error:
        message = f"{where} cannot be read: {error.strerror or error}"
        raise KeptChatError(message) from None


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino


def _replace(path: Path, data: bytes) -> None:
    """Put *data* into the place of a file at once: there is the old one or the new one, never half of one."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with open(beside, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(data)
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
