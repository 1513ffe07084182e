"""Whether the machine slept, or the process was stopped."""

from __future__ import annotations

from typing import Final

from anyfast_async._clocks.clocks import LOOK

ASLEEP: Final = 30.0
"""Seconds that are missing between two looks when the machine slept or the process was stopped."""
AWAKE: Final = 5.0
"""Seconds that answers get after that: what has arrived meanwhile is read first."""


def slept(monotonic: float, wall: float, worked: float) -> bool:
    """Return whether the process slept between two looks.

    A machine that sleeps stops the monotonic clock, not the wall's; a process that is stopped misses its timers, and
    so does one that is blocked, but that one works meanwhile, and its connections are as good as before.

    Args:
        monotonic: seconds that passed by the loop's clock.
        wall: the same by the wall's.
        worked: seconds of processor time.

    """
    if wall - monotonic > ASLEEP:
        return True
    return monotonic - LOOK > ASLEEP and worked < (monotonic - LOOK) / 2
