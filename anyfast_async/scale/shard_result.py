"""What became of a shard: counts and words, which survive every engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from anyfast_async._core.errors.failures import of_kind
from anyfast_async._values.bases import Shown
from anyfast_async.errors import AnyFastError, NotSentError
from anyfast_async.scale.lease import LeaseLostError

_WORDS: Final = 2000
"""Characters of a message that travel: of an exception with more than 10 000 Dask makes another one."""


@attrs.frozen(kw_only=True, repr=False)
class ShardResult(Shown):
    """What became of a shard; counts and words, and nothing that another Python could not read."""

    status: str
    """``"complete"`` (every row has its result), ``"stopped"`` (see :attr:`stopped`), ``"interrupted"`` (told to end),
    or ``"lost"`` (it lost its lease)."""
    stopped: Mapping[str, Any] | None = None
    """The error that ended it early: ``kind`` and ``message``."""
    tally: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """The counts, see ``totals``; None if it was not begun."""
    in_doubt: int = 0
    """Rows without a result that may have been sent."""
    unfinished: tuple[str, ...] = ()
    """Rows whose request went out and has no recorded answer."""
    maybe_billed: tuple[str, ...] = ()
    """Rows that were at work when a worker of this shard was killed: sent again, and perhaps billed twice."""
    unsaved: int = 0
    spent: tuple[float, float, int] = (0.0, 0.0, 0)
    """Tokens, money and requests of the shard's files, in all runs; only counted with a budget."""
    sent: tuple[tuple[float, float, float], ...] = ()
    """What was sent in the last minute: Unix times, requests, tokens."""
    lease: int = 0
    """How many workers have had it, this one included."""

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> ShardResult:
        """Return the result that was written down as plain values."""
        tuples = {name: tuple(said[name]) for name in ("unfinished", "maybe_billed", "spent")}
        sent = tuple((at, requests, tokens) for at, requests, tokens in said["sent"])
        return cls(**{**said, **tuples, "sent": sent})

    @property
    def error(self) -> AnyFastError | OSError | None:
        """What ended it early, as an exception."""
        return None if self.stopped is None else read_error(self.stopped)


def said_of(error: BaseException) -> dict[str, Any]:
    """Return *error* in words."""
    if isinstance(error, LeaseLostError):
        kind = "lease"
    elif isinstance(error, OSError) and not isinstance(error, AnyFastError):
        kind = "disk"
    else:
        kind = error.kind if isinstance(error, AnyFastError) else type(error).__name__
    said: dict[str, Any] = {"kind": kind, "message": str(error)[:_WORDS]}
    if isinstance(error, OSError) and kind == "disk":
        said |= {"errno": error.errno, "strerror": error.strerror, "filename": str(error.filename or "")}
    if isinstance(error, NotSentError):
        cause = error.__cause__
        said |= {"retry_at": error.retry_at, "cause": said_of(cause) if isinstance(cause, AnyFastError) else None}
    return said


def read_error(said: Mapping[str, Any]) -> AnyFastError | OSError:
    """Return the exception that :func:`said_of` was given."""
    if said["kind"] == "disk":
        return OSError(said["errno"], said["strerror"] or said["message"], said["filename"] or None)
    if said["kind"] == NotSentError.kind:
        error = NotSentError(said["message"])
        error.retry_at = said.get("retry_at")
        if said.get("cause"):
            cause = read_error(said["cause"])
            error.__cause__ = cause
        return error
    return of_kind(said["kind"]).error(said["message"])
