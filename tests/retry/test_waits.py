"""What every client of the process waits with."""

from __future__ import annotations

import asyncio
import random

import pytest

from anyfast_async._retry.retries import Retries
from anyfast_async._retry.waits import Waits, using, waits


@pytest.mark.virtual
async def test_usual_waits_are_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take their time, and chance is chance."""
    monkeypatch.setattr(random, "random", lambda: 0.25)
    usual = waits()

    await usual.sleep(3.5)

    assert asyncio.get_running_loop().time() == 3.5
    assert (usual.chance(), usual.retries, usual.skipped) == (0.25, Retries, False)


def test_others_are_used_meanwhile() -> None:
    """The last ones count, in whatever order they end."""
    usual, first, second = waits(), Waits(), Waits()
    one, two = using(first), using(second)

    one.__enter__()
    two.__enter__()
    assert waits() is second
    one.__exit__(None, None, None)
    assert waits() is second
    two.__exit__(None, None, None)
    assert waits() is usual
