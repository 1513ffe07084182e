"""``anyfast demo``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async.cli import demo

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator


@pytest.mark.slow
async def test_in_a_pipe_and_on_a_terminal(start: Callable[..., Any]) -> None:
    """It shows an await, a stream and a batch of 200 rows with its retries; in a pipe without a control code."""
    piped, shown = await asyncio.gather(start("demo"), start("demo", terminal=True))
    ran, screen = await asyncio.gather(piped.ended(), shown.ended())

    assert (0, "model: gemini-2.5-flash\n") == (ran.code, ran.err)
    assert all(character.isprintable() or character == "\n" for character in ran.out)
    for words in ("await client.complete", "client.stream", "first token after", "The embedded gateway"):
        assert words in ran.out
        assert words in screen.out
    rows = dict(line.split("  ", 1) for line in ran.out.splitlines() if "  " in line)
    table = {name.strip(): value.strip() for name, value in rows.items()}
    assert ("200", "200", "0", "5") == tuple(table[name] for name in ("rows", "answered", "failed", "retries"))
    assert {"time", "latency p50 / p95 / p99", "first token p50 / p95 / p99", "tokens"} <= set(table)
    assert "of 200" in screen.out
    assert "━" in screen.out


def test_with_a_key(gateway: Simulator, anyfast: Callable[..., Any]) -> None:
    """With a key it talks to the real gateway, says so and that it costs money, and sends a few rows only."""
    ran = anyfast("demo")

    assert (0, 2 + demo.PAID_ROWS) == (ran.code, len(gateway.requests))
    assert f"The real gateway: {gateway.base_url}\n22 short requests, which cost money.\n" in ran.out
    assert "on purpose" not in ran.out


def test_a_refused_key(gateway: Simulator, anyfast: Callable[..., Any]) -> None:
    """An error ends the demo with a clear line, like any command."""
    gateway.fail(401, times=None)

    ran = anyfast("demo")

    assert 3 == ran.code
    assert "error: 401" in ran.err


def test_simulate_with_a_key(gateway: Simulator, anyfast: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """--simulate keeps to the embedded gateway although there is a key."""
    monkeypatch.setattr(demo, "ROWS", 10)

    ran = anyfast("demo", "--simulate")

    assert (0, []) == (ran.code, gateway.requests)
    assert "The embedded gateway" in ran.out
