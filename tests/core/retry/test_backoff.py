"""How long to wait before another attempt, and how many may be made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.retry import backoff
from anyfast_async._core.retry.retry_budget import RetryBudget
from anyfast_async.policies import RetryPolicy


def test_backoff_doubles_up_to_its_longest() -> None:
    """The wait doubles from the first to the longest, half of it random."""
    policy = RetryPolicy(backoff=(1, 30))
    assert [1, 2, 4, 8, 16, 30, 30] == [backoff.backoff(policy, i, None, 1.0) for i in range(1, 8)]
    assert [0.5, 1, 2] == [backoff.backoff(policy, i, None, 0.0) for i in range(1, 4)]
    assert 30 == backoff.backoff(policy, 10_000, None, 1.0)


def test_backoff_waits_at_least_as_long_as_asked() -> None:
    """A delay that the server asks for is a lower bound, times 1 to 1.1; a shorter one changes nothing."""
    policy = RetryPolicy(backoff=(1, 30))
    assert [60.0, pytest.approx(66.0)] == [backoff.backoff(policy, 1, 60, rand) for rand in (0.0, 1.0)]
    assert 1.0 == backoff.backoff(policy, 1, 0.1, 1.0)


# -- the retry budget -------------------------------------------------------------------------------------------------

STEPS = st.lists(st.tuples(st.sampled_from(["call", "retry", "retry"]), st.floats(0, 5)), max_size=200)


@given(STEPS, st.floats(0, 1))
def test_retry_budget_is_never_exceeded(steps: list[tuple[str, float]], ratio: float) -> None:
    """Over any sequence: retries are at most ratio * calls + reserve + one per second."""
    budget, now, calls, retries = RetryBudget(ratio), 100.0, 0, 0
    for what, passed in steps:
        now += passed
        if what == "call":
            budget.uncounted += 1
            calls += 1
        else:
            retries += budget.withdraw(now)
        assert retries <= ratio * calls + budget.reserve + budget.per_second * (now - 100.0) + 1e-6


def test_retry_budget_in_an_outage() -> None:
    """A burst of the reserve, then one retry a second; after a rest the reserve is there again, not more."""
    budget = RetryBudget(0.2)
    assert 10 == sum(budget.withdraw(0.0) for _ in range(50))
    assert 60 == sum(budget.withdraw(t / 10) for t in range(1, 601))
    assert 10 == sum(budget.withdraw(1000.0) for _ in range(50))
    assert not budget.withdraw(999.0), "a clock that goes backwards earns nothing"


def test_retry_budget_that_earns_slowly() -> None:
    """One in ten seconds is one in ten seconds, whenever it is asked for."""
    budget = RetryBudget(0.0, per_second=0.1)
    assert 10 == sum(budget.withdraw(0.0) for _ in range(50))
    assert [9, 19, 29] == [at for at in range(1, 30, 2) if budget.withdraw(at + 1.01)]


def test_retry_budget_earns_from_calls() -> None:
    """Calls earn their share beyond the reserve, up to a ceiling: an hour of success does not buy a storm."""
    budget = RetryBudget(0.2)
    for _ in range(100_000):
        budget.uncounted += 1
    assert 200 == sum(budget.withdraw(0.0) for _ in range(1000))
    assert 0 == sum(RetryBudget(0.0, per_second=0.0, reserve=0.0).withdraw(t) for t in range(100))
