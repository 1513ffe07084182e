"""The log: an observer that every client has, which writes to the logger ``anyfast_async``.

One line for each attempt at ``DEBUG``; one that is followed by another, a call that came through in the end, and what
is over again at ``INFO``; what holds calls back, and calls that failed, at ``WARNING``. No line holds a prompt, an
answer, a key or a server's own words. What a line says stands in the record, too, as ``call_id``, ``request_id``,
``model``, ``lane``, ``attempt``, ``wait`` and ``why``, for formatters that write JSON.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, Final

from anyfast_async._values.text import escaped
from anyfast_async.errors import ConfigurationError
from anyfast_async.observing import AttemptEnd, CallEnd, CallInfo, Hold

LOGGER: Final = logging.getLogger("anyfast_async")
LOGGER.addHandler(logging.NullHandler())  # a program that has set up no logging sees nothing
DEBUG: Final = logging.DEBUG
KNOWN: Final[Callable[[int], bool | None]] = getattr(LOGGER, "_cache", {}).get
"""Tells sooner than ``isEnabledFor`` what that found the last time: False: the level is off. What it knows is
forgotten when any logger's level changes; a Python in which there is no such thing knows nothing, and is asked."""
LEVELS: Final = ("debug", "info", "warning", "error")
"""Values of ``ANYFAST_LOG``."""
FORMAT: Final = "%(asctime)s %(name)s %(levelname)s %(message)s"


class Log:
    """Writes what happens to the logger."""

    def on_attempt_end(self, end: AttemptEnd) -> None:
        """Write the line of one attempt."""
        level = DEBUG if end.retry_in is None else logging.INFO
        if not LOGGER.isEnabledFor(level):
            return
        attempt = end.attempt
        if end.why is None:
            found = attempt.outcome if attempt.status_code is None else f"{attempt.outcome} ({attempt.status_code})"
        else:
            found = f"failed: {end.why}"
        again = "" if end.retry_in is None else f"; again in {end.retry_in:.3g} s"
        text = f"attempt {attempt.number} {found} after {attempt.seconds:.3g} s{again}"
        _write(level, text, end.call, end.request_id, attempt.number, end.retry_in, end.why)

    def on_hold(self, hold: Hold) -> None:
        """Write that a lane is held, or goes on."""
        level = logging.INFO if hold.state == "over" else logging.WARNING
        if not LOGGER.isEnabledFor(level):
            return
        lasted = "" if hold.seconds is None else f"{hold.seconds:.3g} s"
        match hold.reason, hold.state:
            case "throttling", "over":
                text = f"throttling is over after {lasted}"
            case "throttling", state:
                text = f"throttled: the lane is held for {lasted}{'' if state == 'began' else ' more'}"
            case _, "over":
                text = f"the outage is over after {lasted}"
            case _:
                text = "outage: the gateway seems to be away; rows of maps wait for it"
        why = "" if hold.why is None else f"; {hold.why}"
        shown = f"attempt={hold.attempt} request={hold.request_id or '-'} call={hold.call_id}"
        _log(
            level,
            f"{text}{why}; lane={hold.lane!r} {shown}",
            call_id=hold.call_id,
            request_id=hold.request_id,
            model=hold.model,
            lane=hold.lane,
            attempt=hold.attempt,
            wait=None if hold.state == "over" else hold.seconds,
            why=hold.why,
        )

    def on_call_end(self, end: CallEnd) -> None:
        """Write that a call has failed, or came through in the end."""
        attempts = end.trace.attempts
        took = f"{len(attempts)} attempt{'s' * (len(attempts) != 1)}, {end.trace.total:.3g} s"
        if end.why is None and len(attempts) > 1:
            level, text = logging.INFO, f"call {end.outcome} after {took}"
        elif end.why is not None:
            # What the caller did, or what never went out, is no news to whoever watches the gateway.
            level = logging.WARNING if attempts and end.outcome != "cancelled" else DEBUG
            text = f"call failed after {took}, billed: {end.billed}; {end.why}"
        else:
            return
        if LOGGER.isEnabledFor(level):
            _write(level, text, end.call, end.request_id, len(attempts), None, end.why)


LOG: Final = Log()


def _write(  # noqa: PLR0917 - a line's parts
    level: int, text: str, call: CallInfo, request_id: str | None, attempt: int, wait: float | None, why: str | None
) -> None:
    _log(
        level,
        f"{text}; call={call.id} request={request_id or '-'} model={escaped(call.model, 100)} lane={call.lane!r}",
        call_id=call.id,
        request_id=request_id,
        model=call.model,
        lane=call.lane,
        attempt=attempt,
        wait=wait,
        why=why,
    )


def _log(level: int, text: str, **extra: Any) -> None:
    LOGGER.log(level, "%s", text, extra=extra)


# -- ANYFAST_LOG -----------------------------------------------------------------------------------------------------


class _Handler(logging.StreamHandler[Any]):
    """Writes to the standard error, unless the program has its own handler that does."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter(FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr  # which may be another one by now
        theirs: logging.Logger | None = LOGGER.parent if LOGGER.propagate else None
        while theirs is not None:
            if any(getattr(one, "stream", None) is self.stream for one in theirs.handlers):
                return
            theirs = theirs.parent if theirs.propagate else None
        super().emit(record)


def show(wanted: str | None) -> None:
    """Show the log on the standard error, from the level on that ``ANYFAST_LOG`` names; once for the process.

    Raises:
        ConfigurationError: it names none.

    """
    if not wanted:
        return
    if wanted.strip().lower() not in LEVELS:
        message = f"ANYFAST_LOG must be one of {', '.join(LEVELS)}, not {escaped(wanted, 40)!r}"
        raise ConfigurationError(message)
    if not any(isinstance(one, _Handler) for one in LOGGER.handlers):
        LOGGER.setLevel(wanted.strip().upper())
        LOGGER.addHandler(_Handler())
