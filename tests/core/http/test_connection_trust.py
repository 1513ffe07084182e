"""Surplus bytes, and how long a server pays for them."""

from __future__ import annotations

from anyfast_async._core.http.connection_trust import WINDOW, Trust


def test_one_surplus_costs_nothing() -> None:
    """One in a minute may be an accident."""
    trust = Trust()
    trust.surplus(10.0)
    trust.surplus(11.0 + WINDOW)
    assert (0.0, False) == (trust.until, trust.is_news)


def test_second_within_a_minute_costs_a_minute() -> None:
    """From the last one on; that it is so is news once, and again after it was over."""
    trust = Trust(is_silent=True)
    trust.surplus(10.0)
    trust.surplus(20.0)
    assert (20.0 + WINDOW, True, False) == (trust.until, trust.is_news, trust.is_silent)
    trust.told()
    trust.surplus(30.0)
    assert (30.0 + WINDOW, False) == (trust.until, trust.is_news)
    trust.surplus(30.0 + WINDOW)
    assert trust.is_news
