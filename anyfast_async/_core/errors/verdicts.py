"""What an error means: may it be sent again, and may it have been billed? One table of statuses and one of codes.

Sources: new-api ``types/error.go``, ``controller/relay.go`` and ``service/``, where the codes come from; RFC 9110 15.6
for what a proxy's 502, 503 and 504 say, and do not say, of a request that it had passed on; Cloudflare's documentation
for 520 to 530; openai-python ``_base_client.py`` for ``x-should-retry``. ``docs/reference/errors.md`` shows the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from anyfast_async._core.errors.quota_and_model import MODEL_CODES, QUOTA_CODES
from anyfast_async.errors import Billed, RetryClass


class Verdict(NamedTuple):
    """What an error means."""

    retry: RetryClass
    billed: Billed


THROTTLED: Final = Verdict("throttled", "no")
REFUSED: Final = Verdict("refused", "no")
AMBIGUOUS: Final = Verdict("ambiguous", "maybe")
FINAL: Final = Verdict("never", "no")
UNSAID: Final = Verdict("never", "maybe")
"""It would fail again, and nobody who knows says that nothing was done."""


class Meaning(NamedTuple):
    """What a status means, with the gateway's own error object in the body and without it."""

    stated: Verdict
    unstated: Verdict


STATUSES: Final[Mapping[int, Meaning]] = {
    # Said in place of passing the request on.
    429: Meaning(THROTTLED, THROTTLED),
    425: Meaning(REFUSED, REFUSED),
    # Somebody waited too long; the work may have been done. 524 is Cloudflare's, after 100 s without a byte.
    **dict.fromkeys((408, 504, 524), Meaning(AMBIGUOUS, AMBIGUOUS)),
    # The gateway gives the money back for what it states itself. A proxy says the same of an upstream that it had sent
    # the request to: nginx 502 for a head that is too long, Apache 502 for its read timeout, Varnish 503.
    **dict.fromkeys((500, 502, 503, 520), Meaning(REFUSED, AMBIGUOUS)),
    # Cloudflare did not get through to the origin; 529 is an overloaded upstream's.
    **dict.fromkeys((521, 522, 523, 529), Meaning(REFUSED, REFUSED)),
    # Not understood, not allowed into this network, or no TLS to the origin: nobody worked on it, and nobody will.
    **dict.fromkeys((501, 505, 511, 525, 526, 530), Meaning(FINAL, FINAL)),
}
"""Every status that is not as its neighbours: other statuses below 500 are :data:`FINAL`, from 500 up :data:`UNSAID`
unless the gateway states them."""

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

CLIENT_GONE: Final = 499
"""nginx' and Google's word for a caller that went away while the work went on."""
FEE: Final = "violation_fee."
"""Codes that begin so tell of a fee that was charged."""
PANIC: Final = "new_api_panic"
"""The type of an error by which the gateway tells that it fell over while it worked."""


def verdict(status: int, code: object, error_type: object, *, stated: bool, should_retry: str | None = None) -> Verdict:
    """Return what an error means.

    ``x-should-retry`` decides on the next attempt over everything; then codes, then the status.

    Args:
        status: of the answer, or the one that an error inside a success names.
        code: the error's.
        error_type: the error's.
        stated: whether it is the gateway's own error object, see
            :func:`~anyfast_async._core.errors.gateway_or_proxy.speaker`.
        should_retry: the header of that name.

    """
    meaning = STATUSES.get(status)
    if meaning is None:
        meaning = Meaning(FINAL, UNSAID if status >= 500 or status == CLIENT_GONE else FINAL)  # noqa: PLR2004
    retry, billed = meaning.stated if stated else meaning.unstated
    if code in OVERLOAD_CODES:
        retry, billed = THROTTLED
    elif code in DETERMINISTIC_CODES | QUOTA_CODES | MODEL_CODES:
        retry = "never"
    elif isinstance(code, str) and code.startswith(FEE):
        retry, billed = "never", "yes"
    elif error_type == PANIC and retry != "throttled":
        retry = "ambiguous"
    match (should_retry or "").strip().lower():
        case "false":
            retry = "never"
        case "true" if retry != "throttled":
            retry = "refused"
    return Verdict(retry, billed)
