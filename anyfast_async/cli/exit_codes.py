"""Exit codes, and errors as lines that say what to do."""

from __future__ import annotations

import time
from typing import Final

from anyfast_async.cli.advice import advice, is_unreachable
from anyfast_async.cli.display.terminal import say
from anyfast_async.errors import AnyFastError, NotSentError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
STOPPED: Final = 3
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

_USAGE_KINDS: Final = frozenset({"configuration", "validation"})
_STOPPED_KINDS: Final = frozenset({"auth", "quota", "model", "budget", "not_sent"})


def exit_code(error: AnyFastError) -> int:
    """Return the exit code for a command that ended with *error*."""
    if error.kind in _USAGE_KINDS:
        return USAGE
    return STOPPED if error.kind in _STOPPED_KINDS or is_unreachable(error) else FAILED


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
