"""May a failed attempt be made again, when, and was it billed? Tables and arithmetic.

Verdicts per status and code: new-api ``types/error.go``, ``controller/relay.go`` and ``service/``, where the codes come
from; openai-python ``_base_client.py`` for ``x-should-retry``. Random numbers and the time are arguments.
"""

from __future__ import annotations

from typing import Final

import attrs

from anyfast_async._core.closed import MODEL_CODES, QUOTA_CODES
from anyfast_async.errors import Billed, RetryClass
from anyfast_async.policies import RetryPolicy

# -- what a status and a code mean -----------------------------------------------------------------------------------

DETERMINISTIC_CODES: Final = frozenset(
    {
        "invalid_request",
        "convert_request_failed",
        "sensitive_words_detected",
        "invalid_api_type",
        "json_marshal_failed",
        "gen_relay_info_failed",
        "count_token_failed",
        "model_price_error",
        "prompt_blocked",
        "channel:model_mapped_error",
        "channel:param_override_invalid",
        "channel:header_override_invalid",
    },
)
"""Codes that the gateway sends with status 500 although the same request would fail again."""

OVERLOAD_CODES: Final = frozenset({"system_cpu_overloaded", "system_memory_overloaded", "system_disk_overloaded"})
"""503 by which the gateway asks for fewer requests."""

THROTTLED_STATUS: Final = 429
AMBIGUOUS_STATUSES: Final = frozenset({408, 504, 524})
"""Somebody waited too long; the work may have been done. 524 is Cloudflare's, after 100 s without a byte."""
REFUSED_STATUSES: Final = frozenset({425, 500, 502, 503, 520, 521, 522, 523, 529})
"""Transient, and the gateway gives the money back."""

def retry_class(status: int, code: object, error_type: object, should_retry: str | None) -> RetryClass:
    """Return what sending a request again would mean that was answered with this error.

    ``x-should-retry`` wins over everything; then codes, then the status.
    """
    if should_retry is not None and should_retry.strip().lower() in ("true", "false"):
        if should_retry.strip().lower() == "false":
            return "never"
        return "throttled" if status == THROTTLED_STATUS else "refused"
    if code in DETERMINISTIC_CODES | QUOTA_CODES | MODEL_CODES or str(code).startswith("violation_fee."):
        return "never"
    if status == THROTTLED_STATUS or code in OVERLOAD_CODES:
        return "throttled"
    if status in AMBIGUOUS_STATUSES or error_type == "new_api_panic":
        return "ambiguous"
    return "refused" if status in REFUSED_STATUSES else "never"


def billed(status: int, code: object) -> Billed:
    """Return whether an answer with this error may have cost money: the gateway refunds what it refuses."""
    if str(code).startswith("violation_fee."):
        return "yes"
    return "maybe" if status in AMBIGUOUS_STATUSES else "no"


# -- how long we wait ------------------------------------------------------------------------------------------------

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
