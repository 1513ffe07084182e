"""Where conversations are kept: one file each in the user's folder for state, for that user alone."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

from anyfast_async.cli import INSTALL
from anyfast_async.cli.chat.conversation import Conversation
from anyfast_async.errors import escaped

_SUFFIX: Final = ".json"
_LISTED: Final = 20
_NUMBERS: Final = 5
"""Digits from which it is no number in a list."""


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
        path = next(iter(_latest_first(where)), None)
        return None if path is None else cls.read(path)

    @classmethod
    def read(cls, path: Path) -> tuple[KeptChat, Conversation]:
        """Return the conversation in a file.

        Raises:
            KeptChatError: it cannot be read; the file stays as it is.

        """
        try:
            kept = cls(path, _stamp(path))
            return kept, Conversation.from_json(path.read_bytes())
        except (OSError, ValueError) as error:
            reason = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            message = f"{path} {reason}. It is left as it is; move it away to go on with the one before it"
            raise KeptChatError(message) from None

    @classmethod
    def named(cls, where: Path, name: str) -> tuple[KeptChat, Conversation]:
        """Return a conversation by its number in the list, or by a part of its id.

        Raises:
            KeptChatError: there is none, or more than one; or it cannot be read.

        """
        paths = _latest_first(where)
        if name.isdecimal() and len(name) < _NUMBERS and 0 < int(name) <= len(paths):
            return cls.read(paths[int(name) - 1])
        found = [path for path in paths if name and name in path.stem]
        if len(found) == 1:
            return cls.read(found[0])
        many = f"{len(found)} conversations have {escaped(name, 60)!r} in their ids"
        problem = many if found else f"there is no conversation {escaped(name, 60)!r}"
        message = f"{problem}; anyfast chat --list, or /list in a session, shows them"
        raise KeptChatError(message)

    @classmethod
    def listed(cls, where: Path) -> Iterator[str]:
        """Yield the latest conversations, a line each: number, id, exchanges, how it begins.

        Raises:
            KeptChatError: they cannot be read.

        """
        paths = _latest_first(where)
        for number, path in enumerate(paths[:_LISTED], 1):
            try:
                _, conversation = cls.read(path)
                about = f"{len(conversation.messages) // 2:>3}  {conversation.title}"
            except KeptChatError:
                about = "  -  cannot be read"
            yield f"{number:>3}  {path.stem}  {about}"
        if len(paths) > _LISTED:
            yield f"and {len(paths) - _LISTED} older ones in {where}"

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


def _latest_first(where: Path) -> list[Path]:
    return sorted(_files(where), key=lambda file: (file.stat().st_mtime_ns, file.name), reverse=True)


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
