"""Signals as calls in the event loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NoReturn

ENDING: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def terminated_as_exit() -> Iterator[None]:
    """Let SIGTERM end the process by an exception, as SIGINT does, so that what is open is closed."""

    def leave(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def on_ending(call: Callable[[int], None]) -> Iterator[None]:
    """Call *call* in the running loop with the number of each SIGINT or SIGTERM, instead of what they do otherwise."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        for number in ENDING:
            try:
                loop.add_signal_handler(number, call, int(number))
            except NotImplementedError:  # Windows
                signal.signal(number, lambda n, _: loop.call_soon_threadsafe(call, n))
        yield
    finally:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            if handler is not None:  # None: set by something else than Python
                signal.signal(number, handler)
