"""Exit codes, and errors as lines that say what to do."""

from __future__ import annotations

import time
from typing import Final

from anyfast_async.cli.terminal import say
from anyfast_async.errors import AnyFastError, APIConnectionError, ConfigurationError, NotSentError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
STOPPED: Final = 3
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

_USAGE_KINDS: Final = frozenset({"configuration", "validation"})
_STOPPED_KINDS: Final = frozenset({"auth", "quota", "model", "budget", "not_sent"})

_ADVICE: Final = {
    "auth": "To try it without a key: --simulate.",
    "quota": "Add credit to the account, or raise the quota of the key, in the gateway's console.",
    "model": "Choose one with -m.",
    "permission": "This key may not do that; see its settings in the gateway's console.",
}


def exit_code(error: AnyFastError) -> int:
    """Return the exit code for a command that ended with *error*."""
    if error.kind in _USAGE_KINDS:
        return USAGE
    return STOPPED if error.kind in _STOPPED_KINDS or is_unreachable(error) else FAILED


def is_unreachable(error: BaseException) -> bool:
    """Return whether there was no connection to the gateway at all."""
    return isinstance(error, APIConnectionError) and error.phase == "unsent"


def advice(error: AnyFastError) -> str | None:
    """Return what a person can do about *error*, None if the message says all."""
    if isinstance(error, ConfigurationError) and error.message.startswith("no key:"):
        return "Or add --simulate to this command."
    if is_unreachable(error):
        return "Is the network up, and ANYFAST_BASE_URL right? Behind a proxy, set HTTPS_PROXY."
    return _ADVICE.get(cause_of(error).kind)


def cause_of(error: AnyFastError) -> AnyFastError:
    """Return what a row was not sent because of, where that is known; else *error* itself."""
    cause = error.__cause__ if isinstance(error, NotSentError) else None
    return cause if isinstance(cause, AnyFastError) else error


def report(error: AnyFastError) -> None:
    """Say what happened and what to do."""
    say(f"error: {error}")
    hint = advice(error)
    if hint is not None:
        say(hint)
    if isinstance(error, NotSentError) and error.retry_at is not None:
        at = error.retry_at
        say(f"It is worth another run from {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at))} on.")
    if error.request_id and error.request_id not in str(error):
        say(f"request id: {error.request_id}")
