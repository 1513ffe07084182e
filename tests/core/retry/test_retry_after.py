"""Every spelling of a server's delay, and nothing that only looks like one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.retry.retry_after import duration, in_words, retry_after

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
        ("86400", 86400.0),
        ("1704067204", 4.0),
        ("1704067204.5", 4.5),
        ("1704067204500", 4.5),
        ("1704067000", 0.0),
        ("1672444800", 0.0),  # 366 days ago; further back it is no date
        ("1672444799", 1672444799.0),
        ("30s", 30.0),
        ("1m6.5s", 66.5),
        ("500ms", 0.5),
        ("1, 5", 5.0),
        ("30s, 1m", 60.0),
        ("120, 120", 120.0),
        ("10, Mon, 01 Jan 2024 00:00:30 GMT", 30.0),
        ("2024-01-01T00:00:20Z", 20.0),
        ('"7"', 7.0),
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
        ("2 seconds", 2.0),
        ("1 minute and 5 seconds", 65.0),
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
    [
        ("1500", 1.5),
        ("0", 0.0),
        ("0.5", 0.0005),
        (" 20 ", 0.02),
        ("-1", None),
        ("x", None),
        ("nan", None),
        ("1500, 20", 1.5),
        ("2s", 2.0),
        ("0.25", 0.00025),
        ("1704067204500", 4.5),
        ("1672444800000", 0.0),  # 366 days ago
    ],
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
        ({"retry_after": "60"}, 60.0),
        ({"error": {"retry_after": 1.5}}, 1.5),
        ({"error": {"retry_after_ms": 1500}}, 1.5),
        ({"retryAfter": "1m30s"}, 90.0),
        ({"detail": {"retry_after_seconds": 4}}, 4.0),
        ({"error": {"resets_in_seconds": 86400}}, 86400.0),
        ({"error": {"resets_at": 1704067260}}, 60.0),
        ({"error": {"details": [{"metadata": {"quotaResetDelay": "539.5ms"}}]}}, 0.5395),
        ([{"error": {"details": [{"retryDelay": {"seconds": 3, "nanos": 500000000}}]}}], 3.5),
        ({"error": {"metadata": {"headers": {"X-RateLimit-Reset": "1704067209000"}}}}, 9.0),
        ({"retry_after": -1}, None),
        ({"retry_after": math.nan}, None),
        (
            {"error": {"details": [5, {}, {"retryDelay": None}, {"retryDelay": "x"}, {"retryDelay": "47.434392449s"}]}},
            47.434392449,
        ),
        ({"details": [{"retryDelay": "38s"}]}, 38.0),
        ({"retryDelay": {"seconds": 3}}, 3.0),
        ({"retryDelay": {"nanos": 5}}, None),
        ({"retryDelay": {"seconds": "3", "nanos": "x"}}, None),
        ({"error": {"details": {"retryDelay": "38s"}}}, 38.0),
        ({"error": "text"}, None),
        ("text", None),
        (None, None),
        ([], None),
    ],
)
def test_hints_in_the_body(body: Any, seconds: float | None) -> None:
    """Cloudflare's retry_after and Google's RetryInfo, and nothing that only looks like them."""
    assert seconds == retry_after({}, body, "", NOW)


@pytest.mark.parametrize("within", [lambda inner: {"error": inner}, lambda inner: [inner]])
def test_hints_are_looked_for_five_deep(within: Callable[[Any], Any]) -> None:
    """And no deeper: what a server nests without end costs nothing, and says nothing."""
    body: Any = {"retry_after": 7}
    for depth in range(8):
        assert (7.0 if depth <= 5 else None) == retry_after({}, body, "", NOW)
        body = within(body)


def test_fifty_of_a_list_are_looked_at() -> None:
    """What a server repeats without end costs no more than a look at its beginning."""
    assert 7.0 == retry_after({}, [{}] * 49 + [{"retry_after": 7}], "", NOW)
    assert None is retry_after({}, [{}] * 50 + [{"retry_after": 7}], "", NOW)


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
        ("wait 5s", 5.0),
        ("Requests have exceeded the call rate limit. Please retry after 2 seconds.", 2.0),
        ("Rate limit reached. Please try again in 1.5s.", 1.5),
        ("please wait 1 minute and 30 seconds before retrying", 90.0),
        ("Try again in 3 minutes.", 180.0),
        ("Retry-After: 30", 30.0),
        ("retry_after=2.5.", 2.5),
        ("Quota resets in 13h5m2s", 47102.0),
        ("请在30秒后重试", 30.0),
        ("10 requests per minute exceeded; 4990 of 5000 requests per day left", None),
        ("20 requests in 1 minutes", None),
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


@given(st.text(st.characters(codec="ascii"), max_size=20) | st.text(max_size=10))
def test_any_text_is_a_delay_or_none(value: str) -> None:
    """Whatever a server writes anywhere, the result is a finite number of seconds from 0 up, or nothing."""
    for found in (
        from_header("retry-after", value),
        from_header("retry-after-ms", value),
        from_header("x-ratelimit-reset-tokens", value),
        from_header("ratelimit", value),
        retry_after({"date": value}, {"error": {"retry_after": value, "details": [{"retryDelay": value}]}}, value, NOW),
        in_words(f"try again in {value}"),
    ):
        assert found is None or 0 <= found < math.inf


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "1.5s"}, 1.5),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1.5s"}, 1.5),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "1.5s"}, None),
        (
            {
                "x-ratelimit-remaining-requests": "99",
                "x-ratelimit-reset-requests": "8s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            360.0,
        ),
        ({"x-ratelimit-reset-requests": "8s", "x-ratelimit-reset-tokens": "2s"}, 2.0),
        ({"x-ratelimit-reset": "1704067209"}, 9.0),
        ({"x-ratelimit-reset": "1704067209000"}, 9.0),
        ({"x-ratelimit-reset-after": "2.5"}, 2.5),
        ({"x-rate-limit-reset": "7"}, 7.0),
        ({"ratelimit-reset": "7"}, 7.0),
        ({"ratelimit": '"default";r=0;t=30'}, 30.0),
        ({"ratelimit": '"a";r=50;t=9,"b";r=0;t=30'}, 30.0),
        ({"ratelimit": "limit=100, remaining=0, reset=5"}, 5.0),
        ({"anthropic-ratelimit-requests-reset": "2024-01-01T00:00:12Z"}, 12.0),
        ({"x-ratelimit-limit-requests": "60", "x-limit": "7"}, None),
    ],
)
def test_rate_limits_tell_when_they_are_filled_again(headers: dict[str, str], seconds: float | None) -> None:
    """Of the limits that are used up the last to be filled; only for a refusal, as they stand on every answer."""
    assert seconds == retry_after(headers, None, "", NOW)
    assert None is retry_after(headers, None, "", NOW, throttled=False)


def test_dates_are_read_by_the_servers_clock() -> None:
    """A clock of ours that is wrong does not change a wait: the server's own date is what its date counts from."""
    headers = {"retry-after": "Mon, 01 Jan 2024 00:00:30 GMT", "date": "Mon, 01 Jan 2024 00:00:20 GMT"}
    assert retry_after(headers, None, "", NOW - 500) == 10.0


def test_long_texts_are_read_in_time() -> None:
    """Digits, units and words without end cost no more than a look at the beginning."""
    for text in ("retry in " * 50_000, "try again in " + "1h" * 50_000, "retry in " + "9" * 100_000, "1s, " * 50_000):
        retry_after({"retry-after": text[:5000]}, {"retry_after": text[:5000]}, text, NOW)
