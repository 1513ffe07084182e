"""When may a failed attempt be made again? Spellings of a server's delay, and arithmetic.

Sources: openai-python ``_base_client.py`` for ``retry-after-ms``, RFC 9110 10.2.3 for ``Retry-After``. Random numbers
and the time are arguments. What a failure means stands in ``verdicts.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

import attrs

from anyfast_async.policies import RetryPolicy

# -- what waiting does not mend ----------------------------------------------------------------------------------------

QUOTA_CODES: Final = frozenset({"insufficient_quota", "insufficient_user_quota", "pre_consume_token_quota_failed"})
"""No money left; the gateway uses 403, OpenAI 429 for it, and some add a Retry-After that means nothing."""

MODEL_CODES: Final = frozenset({"model_not_found"})
"""The gateway sends 503 for it, so that it looks transient; it is a wrong id or a group without that model."""

THROTTLED_STATUS: Final = 429

_DAILY: Final = re.compile(r"per[ _-]?day", re.IGNORECASE)


def is_quota(status: int, code: object, message: str) -> bool:
    """Return whether an error says that a quota is used up which minutes of waiting do not refill."""
    return code in QUOTA_CODES or (status == THROTTLED_STATUS and bool(_DAILY.search(message)))


# -- how long the server wants us to wait ----------------------------------------------------------------------------

_UNITS: Final = {"ms": 0.001, "us": 1e-6, "ns": 1e-9, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|us|ns|s|m|h|d)")
_TEXT_HINT: Final = re.compile(r"(?:retry|try again) in ((?:\d+(?:\.\d+)?(?:ms|us|ns|s|m|h|d))+)", re.IGNORECASE)
_DELAY_HEADERS: Final = ("retry-after", "llm_provider-retry-after")
"""LiteLLM renames what its upstream sent."""


def duration(text: str) -> float | None:
    """Return the seconds in a Go-style duration such as ``6m0s``, ``1h2m3.5s`` or ``350ms``; None if it is none."""
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(n + u for n, u in parts) != text:
        return None
    return sum(float(n) * _UNITS[u] for n, u in parts)


def _seconds(text: str, scale: float = 1.0) -> float | None:
    # float() would also take underscores, signs, "nan" and the digits of other scripts.
    value = float(text) * scale if _NUMBER.fullmatch(text.strip()) else math.inf
    return value if math.isfinite(value) else None


def _date(text: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now)


def retry_after(headers: Mapping[str, str], body: Any, message: str, now: float) -> float | None:
    """Return the seconds that an error asks to wait, None if it does not say.

    In this order: ``retry-after-ms``; ``retry-after`` in seconds or as a date; Cloudflare's ``retry_after`` in the
    body; Google's RetryInfo; the words "retry in 47.4s" and "try again in 6m0s" in the message.

    Args:
        headers: the answer's, with lower-case names.
        body: the decoded body.
        message: the error's text.
        now: Unix time, for dates.

    """
    if (value := _seconds(headers.get("retry-after-ms", ""), 0.001)) is not None:
        return value
    for name in _DELAY_HEADERS:
        text = headers.get(name, "").strip()
        value = _seconds(text)
        if value is None and text:
            value = _date(text, now)
        if value is not None:
            return value
    if isinstance(body, list):  # Google wraps its errors
        body = next((item for item in body if isinstance(item, Mapping)), None)
    if isinstance(body, Mapping):
        hint = body.get("retry_after")
        if isinstance(hint, (int, float)) and not isinstance(hint, bool) and (value := _seconds(str(hint))) is not None:
            return value
        inner = body.get("error")
        for detail in _details(inner if isinstance(inner, Mapping) else body):
            delay = detail.get("retryDelay")
            if isinstance(delay, str) and (value := duration(delay)) is not None:
                return value
    found = _TEXT_HINT.search(message)
    return duration(found[1].lower()) if found else None


def _details(error: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    details = error.get("details")
    return [d for d in details if isinstance(d, Mapping)] if isinstance(details, list) else []


# -- how long we wait ------------------------------------------------------------------------------------------------

THROTTLE_STEPS: Final = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds of the hold after the 1st, 2nd ... throttled answer in a row. The gateway counts over minutes and does not
say when the window ends (new-api ``middleware/model-rate-limit.go``)."""


LEAST_HOLD: Final = 0.05
"""Seconds of the shortest first hold; it doubles while the gateway goes on throttling."""


def throttle_hold(streak: int, asked: float | None, rand: float) -> float:
    """Return how long the limiter holds after the *streak*-th throttled answer in a row (from 0).

    The server's own delay wins, times 1 to 1.1, but one that asks for (next to) none is not tried again at once for
    ever; else a step of the table, times 1 to 1.2.
    """
    if asked is not None:
        return max(asked * (1 + 0.1 * rand), min(LEAST_HOLD * 2.0 ** min(streak, 32), THROTTLE_STEPS[0]))
    return THROTTLE_STEPS[min(streak, len(THROTTLE_STEPS) - 1)] * (1 + 0.2 * rand)


def backoff(policy: RetryPolicy, failures: int, asked: float | None, rand: float) -> float:
    """Return the seconds to wait after the *failures*-th failure (from 1): exponential, half of it random.

    A delay that the server asks for is a lower bound, times 1 to 1.1.
    """
    first, longest = policy.backoff
    ours = min(longest, first * 2.0 ** min(failures - 1, 32)) * (0.5 + 0.5 * rand)
    return ours if asked is None else max(ours, asked * (1 + 0.1 * rand))


@attrs.define
class RetryBudget:
    """Retries allowed over a whole client: a share of first attempts plus one a second.

    So an outage is not multiplied. The shape is Finagle's RetryBudget.
    """

    ratio: float
    per_second: float = 1.0
    reserve: float = 10.0
    """What may be saved up: a burst of this many retries is always possible."""
    _saved: float = attrs.field(init=False)
    _at: float | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._saved = self.reserve

    def first_attempt(self) -> None:
        """Count a call: it earns its share of a retry."""
        # Ten seconds' worth of earnings at most, as in Finagle: an hour of success must not buy a storm.
        self._saved = min(self._saved + self.ratio, max(self.reserve, 1000 * self.ratio))

    def withdraw(self, now: float) -> bool:
        """Take one retry out at *now*; False if there is none."""
        if self._at is not None and now > self._at and self._saved < self.reserve:
            self._saved = min(self.reserve, self._saved + (now - self._at) * self.per_second)
        self._at = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
