"""Signals as calls in the event loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NoReturn

ENDING: Final = (signal.SIGINT, signal.SIGTERM)


def deaf() -> None:
    """Ignore for good what would end the process: it ends already."""
    with _held_back():
        _restore(dict.fromkeys(ENDING, signal.SIG_IGN))


def _nothing(*_: object) -> None:
    """Do nothing for a signal. Unlike ``SIG_IGN`` it takes one that has come already without a word."""


@contextmanager
def _held_back() -> Iterator[None]:
    """Let signals wait, while what they do is changed in several steps."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def terminated_as_exit() -> Iterator[None]:
    """Let SIGTERM end the process by an exception, as SIGINT does, so that what is open is closed."""

    def leave(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is leave:  # else it is ignored from now on
            signal.signal(signal.SIGTERM, before)


@contextmanager
def on_ending(call: Callable[[int], None], *, then_deaf: bool = False) -> Iterator[None]:
    """Call *call* in the running loop with the number of each SIGINT or SIGTERM, instead of what they do otherwise.

    Args:
        call: what to call.
        then_deaf: whether, after one that came, others stay without effect: what is left is to close files and to say
            how it ended.

    """
    loop = asyncio.get_running_loop()
    heard: list[int] = []

    def hear(number: int) -> None:
        heard.append(number)
        call(number)

    def tell(number: int, _: object) -> None:
        loop.call_soon_threadsafe(hear, number)

    # Not the loop's own handlers: between them and what follows there is a moment in which a signal ends the process.
    before = {number: signal.signal(number, tell) for number in ENDING}
    try:
        yield
    finally:
        _restore(dict.fromkeys(ENDING, _nothing) if heard and then_deaf else before)


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None:  # None: set by something else than Python
            signal.signal(number, handler)
