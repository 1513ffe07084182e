"""Exit codes, and errors as lines that say what to do."""

from __future__ import annotations

import time
from typing import Final

from anyfast_async._core.errors.failures import of_kind
from anyfast_async.cli.advice import advice, is_unreachable
from anyfast_async.cli.display.terminal import say
from anyfast_async.errors import AnyFastError, NotSentError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
STOPPED: Final = 3
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141


def exit_code(error: AnyFastError) -> int:
    """Return the exit code for a command that ended with *error*."""
    return STOPPED if is_unreachable(error) else of_kind(error.kind).exit_code


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
