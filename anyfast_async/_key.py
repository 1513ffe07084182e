"""Where the key comes from, and that it never shows."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Hashable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

from anyfast_async.errors import ConfigurationError

KeySource: TypeAlias = "str | Path | Callable[[], Awaitable[str]]"
"""A key, a file that holds it (read again when it changes), or an async function that returns it (asked once per
attempt, and once more after a 401)."""

_KEY: Final = re.compile(r"[\x21-\x7e]{1,512}")

_TAIL: Final = 8

NO_KEY: Final = (
    "no key: pass api_key=..., or set ANYFAST_API_KEY, or ANYFAST_API_KEY_FILE to the name of a file that holds it. "
    "Without a key, the simulator answers: `anyfast demo`, or anyfast_async.simulator.Simulator"
)


class Secret:
    """A key that does not show: not in repr, str, format, pickles or tracebacks with locals."""

    __slots__ = ("_bytes", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._bytes = value.encode()

    def __repr__(self) -> str:
        return "Secret('***')"

    def __reduce__(self) -> NoReturn:
        message = "a key is not pickled"
        raise TypeError(message)

    def header(self) -> str:
        """Return the value of the Authorization header, for the one place that sends it."""
        return f"Bearer {self._value}"

    def line(self) -> bytes:
        """Return the Authorization header as it stands in a request's head."""
        return b"Authorization: Bearer %b\r\n" % self._bytes

    def mask(self, data: bytes) -> bytes:
        """Return *data* without the key."""
        return data.replace(self._bytes, b"***")

    def digest(self) -> bytes:
        """Return a hash of the key."""
        return sha256(self._bytes).digest()

    def hide(self, text: str) -> str:
        """Return *text* without the key and without its end, by which gateways like to name it."""
        text = text.replace(self._value, "***")
        tail = self._value[-_TAIL:]
        return text.replace(tail, "***") if len(self._value) >= 2 * _TAIL else text


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
    if not _KEY.fullmatch(text):
        return "holds a space, a line break, a control character or a character outside of ASCII"
    return None


class Key:
    """The key of a client, looked up for each attempt."""

    def __init__(self, given: KeySource | None, environ: Mapping[str, str] = os.environ) -> None:
        self._call: Callable[[], Awaitable[str]] | None = None
        self._path: Path | None = None
        self._stamp: tuple[int, int] | None = None
        self._secret: Secret | None = None
        try:
            if isinstance(given, str):
                self._secret = checked(given, "api_key")
            elif isinstance(given, Path):
                self._path = given
            elif callable(given):
                self._call = given
            elif given is not None:
                message = f"api_key must be a string, a pathlib.Path or an async function, not {type(given).__name__}"
                raise ConfigurationError(message)
            elif environ.get("ANYFAST_API_KEY"):
                self._secret = checked(environ["ANYFAST_API_KEY"], "ANYFAST_API_KEY")
            elif environ.get("ANYFAST_API_KEY_FILE"):
                self._path = Path(environ["ANYFAST_API_KEY_FILE"])
            else:
                raise ConfigurationError(NO_KEY)
        finally:
            del given, environ  # tracebacks may show locals
        self.identity: Hashable = self._path or self._call or (self._secret.digest() if self._secret else None)
        """What tells two keys apart where limits are counted; it does not give the key away."""
        if self._path is not None:
            self._read(self._path)
        self.renewable = self._path is not None or self._call is not None
        """Whether asking again may give another key."""
        self.fixed = None if self.renewable else self._secret
        """The key, if it stays the same."""

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
        if self._path is not None:
            return self._read(self._path)
        assert self._secret is not None  # noqa: S101 - one of the three is set
        return self._secret

    def _read(self, path: Path) -> Secret:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if self._secret is None or stamp != self._stamp:
                self._secret = checked(path.read_text("utf-8-sig"), f"the key in {path}")
                self._stamp = stamp
            return self._secret  # noqa: TRY300 - what follows is about the failures
        except ConfigurationError:
            raise
        except (OSError, ValueError) as error:
            not_text = "not text" if isinstance(error, UnicodeDecodeError) else "no path"
            reason = error.strerror if isinstance(error, OSError) else not_text
        # Outside of the except: as its context, a UnicodeDecodeError would carry what the file holds.
        message = f"cannot read the key from {path}: {reason}"
        raise ConfigurationError(message)
