"""Where the key comes from, and that it never shows."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

from anyfast_async._http.local_files import content_of, status_of
from anyfast_async.errors import ConfigurationError, escaped


class NoKey:
    """The class of :data:`NO_KEY`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_KEY"

    def __reduce__(self) -> str:
        return "NO_KEY"


NO_KEY: Final = NoKey()
"""In place of a key, for servers that want none: no ``Authorization`` header is sent. Not for the default gateway."""

KeySource: TypeAlias = "str | Path | Callable[[], Awaitable[str]] | NoKey"
"""A key, a file that holds it (read again when it changes, and after a 401), an async function that returns it (asked
once per attempt, and once more after a 401), or :data:`NO_KEY`."""

_KEY: Final = r"[\x21-\x7e]{1,512}"
_MAX_FILE: Final = 4096
"""Largest key file in bytes."""
_RACY: Final = 2_000_000_000
"""Nanoseconds in which two changes of a file may have one time: the coarsest clock of a file system (FAT)."""
_PATIENCE: Final = 2.0
"""Seconds that an attempt waits for a look at the key file; a file system that hangs must not hang the call."""

_WORD: Final = r"\w"
_TAIL: Final = 8
_LONG: Final = 2 * _TAIL
"""From so many characters on a key is no word that could stand in a text by chance."""

_MISSING: Final = (
    "no key: pass api_key=..., or set ANYFAST_API_KEY, or ANYFAST_API_KEY_FILE to the name of a file that holds it. "
    "For a server that wants none: api_key=NO_KEY. "
    "Without a key, the simulator answers: `anyfast demo`, or anyfast_async.simulator.Simulator"
)


class Secret:
    """A key that does not show: not in repr, str, format, pickles or tracebacks with locals."""

    __slots__ = ("_bytes", "_tail", "_value", "line")

    def __init__(self, value: str) -> None:
        self._value = value
        self._tail = value[-_TAIL:]
        self._bytes = value.encode()
        self.line: bytes = b"Authorization: Bearer %b\r\n" % self._bytes
        """The header that shows the key to the server, as it stands in a request's head."""

    def __repr__(self) -> str:
        return "Secret('***')"

    def __reduce__(self) -> NoReturn:
        message = "a key is not pickled"
        raise TypeError(message)

    def headers(self) -> dict[str, str]:
        """Return the same, for the one place that sends it by aiohttp."""
        return {"Authorization": f"Bearer {self._value}"}

    def digest(self) -> bytes:
        """Return a hash of the key."""
        return sha256(self._bytes).digest()

    def may_be_in(self, text: str) -> bool:
        """Return whether :meth:`hide` might change *text*."""
        return self._tail in text

    def hide(self, text: str) -> str:
        """Return *text*, which tells of an error, without the key.

        A long one is taken out wherever it stands, and its end, by which gateways like to name it. A short one may be a
        word (``test``, ``EMPTY``, ``k``): it is taken out where it stands alone.
        """
        if len(self._value) < _LONG:
            before = r"(?<!\w)" if re.match(_WORD, self._value[0]) else ""
            after = r"(?!\w)" if re.match(_WORD, self._value[-1]) else ""
            return re.sub(before + re.escape(self._value) + after, "***", text)
        return text.replace(self._value, "***").replace(self._tail, "***")


class _NoSecret(Secret):
    """What is shown to a server that wants no key: nothing."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("")
        self.line = b""

    def headers(self) -> dict[str, str]:
        return {}

    def may_be_in(self, text: str) -> bool:  # noqa: ARG002 - there is none
        return False

    def hide(self, text: str) -> str:
        return text


def checked(value: Any, source: str) -> Secret:
    """Return the key in *value*, without the white space around it.

    Raises:
        ConfigurationError: it cannot be a key; the message says what is wrong and does not show it.

    """
    kind = type(value).__name__
    text = value.strip() if isinstance(value, str) else None
    del value  # no frame that an exception passes through holds it: tracebacks may show locals
    if text is None:
        message = f"{source} must be a string, not {kind}"
        raise ConfigurationError(message)
    problem = _problem(text)
    if problem is None:
        return Secret(text)
    del text
    message = f"{source} {problem} (its value is not shown here)"
    raise ConfigurationError(message)


def _problem(text: str) -> str | None:
    if not text:
        return "is empty"
    if text.lower().startswith("bearer "):
        return "starts with 'Bearer '; pass the key alone"
    if len(text) > 512:  # noqa: PLR2004
        return "is longer than 512 characters"
    if not re.fullmatch(_KEY, text):
        return "holds a space, a line break, a control character or a character outside of ASCII"
    return None


class Key:
    """The key of a client, looked up for each attempt."""

    def __init__(self, given: KeySource | None, environ: Mapping[str, str] = os.environ) -> None:
        self._call: Callable[[], Awaitable[str]] | None = None
        self._path: Path | None = None
        self._secret: Secret | None = None
        self._stamp: tuple[int, ...] | None = None
        self._distrusted = False
        self._looking: asyncio.Future[ConfigurationError | None] | None = None
        console = "the key's state in the gateway's console"
        try:
            if isinstance(given, str):
                self._secret, checks = checked(given, "api_key"), "the key that was passed"
            elif isinstance(given, NoKey):
                self._secret, checks = _NoSecret(), ""
            elif isinstance(given, Path):
                self._path, checks = given, f"the key in {given}"
            elif callable(given):
                self._call, checks = given, "what the function passed as api_key returns"
            elif given is not None:
                message = f"api_key must be a string, a pathlib.Path or an async function, not {type(given).__name__}"
                raise ConfigurationError(message)
            elif environ.get("ANYFAST_API_KEY"):
                self._secret, checks = checked(environ["ANYFAST_API_KEY"], "ANYFAST_API_KEY"), "ANYFAST_API_KEY"
            elif environ.get("ANYFAST_API_KEY_FILE"):
                self._path = Path(environ["ANYFAST_API_KEY_FILE"])
                checks = f"the key in {self._path}, which ANYFAST_API_KEY_FILE names"
            else:
                raise ConfigurationError(_MISSING)
        finally:
            del given, environ  # tracebacks may show locals
        self.absent: bool = isinstance(self._secret, _NoSecret)
        """Whether there is none, on purpose."""
        self._checked_by = checks, console
        self.identity: Hashable = self._path or self._call or (self._secret.digest() if self._secret else None)
        """What tells two keys apart where limits are counted; it does not give the key away."""
        if self._path is not None and (problem := self._look(self._path, again=True)) is not None:
            raise problem
        self.renewable: bool = self._path is not None or self._call is not None
        """Whether asking again may give another key."""
        self.fixed: Secret | _NoSecret | None = None if self.renewable else self._secret
        """The key, if it stays the same."""

    @property
    def advice(self) -> str:
        """What to do when the server refuses it."""
        from anyfast_async._core.errors.advice import after_401  # noqa: PLC0415 - most keys are never refused

        return after_401(*self._checked_by)

    async def get(self) -> Secret:
        """Return the key for the next attempt.

        Raises:
            ConfigurationError: what the file holds or the function returns cannot be a key.

        """
        if self._call is not None:
            value: Any = self._call()
            if not isinstance(value, Awaitable):
                message = "api_key must be an async function: what it returned cannot be awaited"
                raise ConfigurationError(message)
            return checked(await value, "the result of api_key()")
        if self._path is not None and (problem := await self._looked(self._path)) is not None:
            raise problem
        assert self._secret is not None  # noqa: S101 - one of the three is set, and a file was read when it was made
        return self._secret

    def distrust(self) -> None:
        """Take in that the server refused the key: its file is read again, whether it looks changed or not."""
        self._distrusted = True

    async def _looked(self, path: Path) -> ConfigurationError | None:
        """Look at the file in a thread: one look at a time, and never one that began before this was called."""
        loop = asyncio.get_running_loop()
        before = self._looking
        if before is not None and not before.done() and before.get_loop() is loop:
            await asyncio.wait([before], timeout=_PATIENCE)
            if not before.done():
                return None
        looking = self._looking
        if looking is None or looking is before:
            again, self._distrusted = self._distrusted, False
            self._looking = looking = loop.run_in_executor(None, lambda: self._look(path, again=again))
        await asyncio.wait([looking], timeout=_PATIENCE)
        return looking.result() if looking.done() else None

    def _look(self, path: Path, *, again: bool) -> ConfigurationError | None:
        """Read the file if it has changed, or anyhow (*again*); return what is wrong with it.

        While it is away, empty, cannot be read or holds what can be no key, somebody is writing it: the last good key
        goes on, until a server refuses that. Then it is told what is wrong with the file.
        """
        try:
            status = status_of(path)
            stamp = (status.st_dev, status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size)
            if stamp == self._stamp and not again:
                return None
            text = content_of(path, _MAX_FILE).decode("utf-8-sig")
            if text.strip() or self._secret is None:
                self._secret = checked(text, f"the key in {path}")
                is_racy = time.time_ns() - max(status.st_ctime_ns, status.st_mtime_ns) < _RACY
                self._stamp = None if is_racy else stamp
            return None  # noqa: TRY300 - what follows is about the failures
        except ConfigurationError as error:
            return error.with_traceback(None) if again or self._secret is None else None
        except OSError as error:
            if self._secret is not None:
                return None
            reason = error.strerror
        except UnicodeDecodeError:
            if self._secret is not None and not again:
                return None
            reason = "it is not text"
        except ValueError as error:
            reason = str(error)
        # Outside of the except: as its context, a UnicodeDecodeError would carry what the file holds.
        return ConfigurationError(f"cannot read the key from {escaped(str(path), 200)}: {reason}")
