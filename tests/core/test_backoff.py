"""Used-up quotas, the spellings of a server's delay, and the arithmetic of waiting."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async._core import backoff
from anyfast_async._core.backoff import RetryBudget, duration, retry_after, throttle_hold
from anyfast_async.policies import RetryPolicy

NOW = 1_704_067_200.0
"""Mon, 01 Jan 2024 00:00:00 GMT."""


def from_header(name: str, value: str) -> float | None:
    return retry_after({name: value}, None, "", NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        ("0", 0.0),
        ("120", 120.0),
        ("1.5", 1.5),
        (".5", 0.5),
        (" 7 ", 7.0),
        ("1e9", 1e9),
        ("Mon, 01 Jan 2024 00:00:30 GMT", 30.0),
        ("Mon, 01 Jan 2024 00:01:00", 60.0),
        ("Mon, 01 Jan 2024 01:00:10 +0100", 10.0),
        ("Sun, 31 Dec 2023 23:59:00 GMT", 0.0),
        ("Monday, 01-Jan-24 00:00:05 GMT", 5.0),
        ("", None),
        ("  ", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1e999", None),
        ("soon", None),
        ("2 seconds", None),
        ("Mon, 99 Jan 2024 00:00:00 GMT", None),
        ("Mon, 01 Foo 2024 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +9999", None),
    ],
)
def test_retry_after_header(value: str, seconds: float | None) -> None:
    """Retry-After is seconds, whole or not, or a date of any RFC 9110 form; nonsense, negative, endless: none."""
    assert seconds == from_header("retry-after", value)
    assert seconds == from_header("llm_provider-retry-after", value)


@pytest.mark.parametrize(
    "value",
    [
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
        "Mon, 01 Jan 2024 99999999999999999999:00:00 GMT",
        "1 Jan 99999999999999999999999 00:00:00 GMT",
    ],
)
def test_absurd_dates_are_no_delay(value: str) -> None:
    """A date with absurd numbers is no delay, and no exception that is not ours."""
    assert None is from_header("retry-after", value)


@pytest.mark.parametrize("value", ["1_0", "٣"])
def test_only_ascii_numbers_are_delays(value: str) -> None:
    """RFC 9110 has ASCII digits only; what Python reads beyond that is nonsense from a server."""
    assert None is from_header("retry-after", value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("1500", 1.5), ("0", 0.0), ("0.5", 0.0005), (" 20 ", 0.02), ("-1", None), ("x", None), ("nan", None)],
)
def test_retry_after_in_milliseconds(value: str, seconds: float | None) -> None:
    """openai-python _base_client.py: retry-after-ms is milliseconds."""
    assert seconds == from_header("retry-after-ms", value)


@pytest.mark.parametrize(
    ("headers", "body", "message", "seconds"),
    [
        ({"retry-after-ms": "500", "retry-after": "9"}, {"retry_after": 8}, "retry in 7s", 0.5),
        ({"retry-after-ms": "x", "retry-after": "9"}, {"retry_after": 8}, "retry in 7s", 9.0),
        ({"retry-after": "9", "llm_provider-retry-after": "6"}, None, "", 9.0),
        ({"retry-after": "x", "llm_provider-retry-after": "6"}, None, "", 6.0),
        ({"retry-after": "x"}, {"retry_after": 8}, "retry in 7s", 8.0),
        ({}, {"error": {"details": [{"retryDelay": "38s"}]}}, "retry in 7s", 38.0),
        ({}, {}, "retry in 7s", 7.0),
    ],
)
def test_order_of_the_hints(headers: dict[str, str], body: Any, message: str, seconds: float) -> None:
    """The most exact source wins: milliseconds, seconds, the body's number, RetryInfo, the words of the message."""
    assert seconds == retry_after(headers, body, message, NOW)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"retry_after": 60}, 60.0),
        ({"retry_after": 0.5}, 0.5),
        ({"retry_after": True}, None),
        ({"retry_after": "60"}, None),
        ({"retry_after": -1}, None),
        ({"retry_after": math.nan}, None),
        (
            {"error": {"details": [5, {}, {"retryDelay": 5}, {"retryDelay": "x"}, {"retryDelay": "47.434392449s"}]}},
            47.434392449,
        ),
        ({"details": [{"retryDelay": "38s"}]}, 38.0),
        ({"error": {"details": {"retryDelay": "38s"}}}, None),
        ({"error": "text"}, None),
        ("text", None),
        (None, None),
        ([], None),
    ],
)
def test_hints_in_the_body(body: Any, seconds: float | None) -> None:
    """Cloudflare's retry_after and Google's RetryInfo, and nothing that only looks like them."""
    assert seconds == retry_after({}, body, "", NOW)


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please retry in 47.434392449s.", 47.434392449),
        ("Please try again in 20s.", 20.0),
        ("Please TRY AGAIN in 6M0S", 360.0),
        ("try again in 350ms", 0.35),
        ("try again in 1h2m3.5s", 3723.5),
        ("retry in 2d", 172800.0),
        ("retry in soon", None),
        ("retry in 5", None),
        ("wait 5s", None),
        ("", None),
    ],
)
def test_hints_in_words(message: str, seconds: float | None) -> None:
    """Google's and OpenAI's sentences hold a delay; others do not."""
    assert retry_after({}, None, message, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("12ms", 0.012),
        ("1h2m3.5s", 3723.5),
        ("1m30s", 90.0),
        ("5us", 5e-6),
        ("5ns", 5e-9),
        ("1d", 86400.0),
        ("", None),
        ("5", None),
        ("s", None),
        ("-5s", None),
        ("1s ", None),
        ("1s x", None),
        ("1.s", None),
        ("1x", None),
    ],
)
def test_duration(text: str, seconds: float | None) -> None:
    """A Go-style duration is taken whole or not at all."""
    assert seconds == pytest.approx(duration(text)) if seconds is not None else duration(text) is None


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="ascii"), max_size=20) | st.text(max_size=10))
def test_any_header_is_a_delay_or_none(value: str) -> None:
    """Whatever a server writes there, the result is a finite number of seconds from 0 up, or nothing."""
    found = from_header("retry-after", value)
    assert found is None or 0 <= found < math.inf


@pytest.mark.parametrize(
    ("status", "code", "message", "wanted"),
    [
        (429, "insufficient_quota", "", True),
        (403, "insufficient_user_quota", "", True),
        (200, "pre_consume_token_quota_failed", "", True),
        (429, None, "GenerateRequestsPerDayPerProject", True),
        (429, None, "10 per day", True),
        (429, None, "10 per_day", True),
        (403, None, "10 per day", False),
        (429, None, "10 per minute", False),
        (429, 429, "", False),
    ],
)
def test_is_quota(status: int, code: object, message: str, wanted: bool) -> None:
    """Empty accounts by code, daily quotas by the words of a 429."""
    assert wanted == backoff.is_quota(status, code, message)


# -- how long we wait -------------------------------------------------------------------------------------------------


def test_throttle_steps() -> None:
    """Without a delay from the server the hold is 5, 10, 20, 40, then 60 s, times 1 to 1.2."""
    steps = [5, 10, 20, 40, 60, 60, 60]
    assert steps == [throttle_hold(i, None, 0.0) for i in range(7)]
    assert [pytest.approx(s * 1.2) for s in steps] == [throttle_hold(i, None, 1.0) for i in range(7)]


def test_throttle_hold_takes_the_servers_word() -> None:
    """The server's delay is kept, times 1 to 1.1, however many throttled answers there were."""
    assert 7.0 == throttle_hold(0, 7.0, 0.0)
    assert pytest.approx(7.7) == throttle_hold(9, 7.0, 1.0)


def test_throttle_hold_is_never_nothing() -> None:
    """A server that throttles and asks for 0 seconds is not hammered: throttling does not use up tries."""
    assert throttle_hold(3, 0.0, 0.5) > 0


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


@settings(max_examples=150, deadline=None)
@given(STEPS, st.floats(0, 1))
def test_retry_budget_is_never_exceeded(steps: list[tuple[str, float]], ratio: float) -> None:
    """Over any sequence: retries are at most ratio * calls + reserve + one per second."""
    budget, now, calls, retries = RetryBudget(ratio), 100.0, 0, 0
    for what, passed in steps:
        now += passed
        if what == "call":
            budget.first_attempt()
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


def test_retry_budget_earns_from_calls() -> None:
    """Calls earn their share beyond the reserve, up to a ceiling: an hour of success does not buy a storm."""
    budget = RetryBudget(0.2)
    for _ in range(100_000):
        budget.first_attempt()
    assert 200 == sum(budget.withdraw(0.0) for _ in range(1000))
    assert 0 == sum(RetryBudget(0.0, per_second=0.0, reserve=0.0).withdraw(t) for t in range(100))
