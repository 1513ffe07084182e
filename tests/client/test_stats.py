"""What a client tells of itself."""

from __future__ import annotations

import asyncio

import pytest

from anyfast_async import Limits
from anyfast_async._client.stats import stats_of
from anyfast_async._core.histogram import Phases
from anyfast_async._core.limits.refusal import Refusal
from anyfast_async._core.retry.suspicion import Suspicion
from anyfast_async._limits.budget import Spending
from anyfast_async._limits.gate import Gate

pytestmark = pytest.mark.virtual


async def test_idle_client_is_a_plain_sentence() -> None:
    """Nothing sent, nothing measured."""
    stats = stats_of(Gate(Limits()), Spending(None), Phases())

    assert str(stats) == "0 calls in flight; 0 requests sent, 0 tokens used"
    assert (stats.total.p50, stats.limited_by, stats.held_for) == (None, None, 0.0)


async def test_phases_are_told_to_within_a_percent() -> None:
    """Medians and 95th percentiles of each phase; phases that a call did not have are not counted."""
    phases = Phases()
    for n in range(1, 101):
        phases.add(n / 1000, None, n / 100, n / 10)
    stats = stats_of(Gate(Limits()), Spending(None), phases)

    assert stats.queue.p50 == pytest.approx(0.050, rel=0.01)
    assert stats.first_token.p95 == pytest.approx(0.95, rel=0.01)
    assert stats.connect.p50 is None
    assert str(stats).endswith("; a call takes 4.99 s (median), 9.52 s (95 %)")


@pytest.mark.parametrize(
    ("limits", "tokens", "word", "sentence"),
    [
        (Limits(concurrency=1), 0, "concurrency", "1 waiting for a free place (Limits.concurrency)"),
        (
            Limits(requests_per_minute=1),
            0,
            "requests_per_minute",
            "1 waiting for Limits.requests_per_minute",
        ),
        (Limits(tokens_per_minute=10), 10, "tokens_per_minute", "1 waiting for Limits.tokens_per_minute"),
    ],
)
async def test_what_limits_is_named(limits: Limits, tokens: float, word: str, sentence: str) -> None:
    """``limited_by`` says which limit the first waiting call waits for, and the sentence names the setting."""
    gate = Gate(limits)
    scope = gate.scope("a")
    await gate.acquire(scope, tokens)
    waiting = asyncio.create_task(gate.acquire(scope, tokens))
    await asyncio.sleep(0)
    stats = stats_of(gate, Spending(None), Phases())

    assert (stats.limited_by, stats.queued) == (word, 1)
    assert sentence in str(stats)
    waiting.cancel()
    await asyncio.wait({waiting})


async def test_hold_and_outage_are_named() -> None:
    """Throttling tells for how long, an outage that the gateway is away."""
    gate = Gate(Limits())
    scope = gate.scope("a")
    permit = await gate.acquire(scope)
    gate.throttled(permit, Refusal(10, 0.0), Suspicion())
    waiting = asyncio.create_task(gate.acquire(scope))
    await asyncio.sleep(0)
    assert "1 waiting for the gateway's limiter (10 s to go)" in str(stats_of(gate, Spending(None), Phases()))
    waiting.cancel()
    await asyncio.wait({waiting})

    gate.succeeded(permit)
    for _ in range(3):
        gate.failed(scope, object(), reached=True, longest=30, rand=0)
    waiting_row = asyncio.create_task(gate.hold_off(scope, object(), sent=True, longest=30, patience=1800))
    await asyncio.sleep(0)
    stats = stats_of(gate, Spending(None), Phases())
    assert (stats.limited_by, stats.queued) == ("outage", 1)
    assert "waiting for the gateway to come back" in str(stats)
    gate.close()
    await waiting_row
