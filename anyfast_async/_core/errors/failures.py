"""What each failure means, in one table: the exception, whether to send again, what it may have cost, what it ends.

Sources: new-api ``types/error.go``, ``controller/relay.go`` and ``service/``, where the codes come from; RFC 9110 15.6
for what a proxy's 502, 503 and 504 say, and do not say, of a request that it had passed on; Cloudflare's documentation
for 520 to 530; openai-python ``_base_client.py`` for ``x-should-retry``. ``docs/reference/errors.md`` shows the table.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from anyfast_async import errors
from anyfast_async.errors import Billed, RetryClass

Verdict: TypeAlias = tuple[RetryClass, Billed | None]
"""What a failure means for the next attempt, and for money: None for "no", and of a code for what its status says."""

THROTTLED: Final[Verdict] = ("throttled", "no")
REFUSED: Final[Verdict] = ("refused", "no")
AMBIGUOUS: Final[Verdict] = ("ambiguous", "maybe")
FINAL: Final[Verdict] = ("never", None)
UNSAID: Final[Verdict] = ("never", "maybe")
"""It would fail again, and nobody who knows says that nothing was done."""


class Meaning(NamedTuple):
    """One row: what a way to fail means."""

    error: type[errors.AnyFastError]
    """The exception; where a code has none of its own the base of those that its statuses have."""
    signs: Collection[int | str] = ()
    """Statuses, and codes that say so whatever the status; one with a stop at its end is how others begin."""
    stated: Verdict = FINAL
    """What that means in the gateway's own error object, and whoever passes a code on."""
    unstated: Verdict | None = None
    """What a status means in other words, where that is not the same."""
    ends: Literal["row", "model", "stop_on", "run"] = "row"
    """What it ends: its row, the rows of its model, every batch and a map whose ``stop_on`` has it (by default it has),
    or every map and batch."""
    exit_code: Literal[1, 2, 3] = 1
    """Of a command that ends with it: failed, wrongly used, or stopped."""
    hint: str = ""
    """Said behind the message; ``{where}`` is where a redirect leads to."""


_NO_QUOTA: Final = ("insufficient_quota", "insufficient_user_quota", "pre_consume_token_quota_failed")
"""The gateway uses 403, OpenAI 429 for it, and some add a Retry-After that means nothing."""
_NO_MODEL: Final = (
    "model_not_found",
    "model_not_supported",
    "model_not_allowed",
    "unknown_model",
    "DeploymentNotFound",
)
"""The gateway sends ``model_not_found`` with 503, so that it looks transient; it is a wrong id, a group without that
model, or all its channels are disabled."""
_OVERLOADED: Final = ("system_cpu_overloaded", "system_memory_overloaded", "system_disk_overloaded")
"""503 by which the gateway asks for fewer requests."""
_CHANNEL: Final = ("channel:model_mapped_error", "channel:param_override_invalid", "channel:header_override_invalid")
_REDIRECTED: Final = (
    "a redirect to {where}; redirects are not followed, because the key must not go there: set base_url"
)
_SILENT: Final = "a proxy gave up on an answer that was silent for 100 s: pass via_stream=True, or use client.stream"
_SEE_MODELS: Final = "no channel serves this model for this key: see `anyfast models` for what it may use"

OTHER_STATUS: Final = Meaning(errors.APIStatusError)
OTHER_SERVER_STATUS: Final = Meaning(errors.InternalServerError, unstated=UNSAID)
"""From 500 up."""

FAILURES: Final = (
    # -- by status
    Meaning(errors.BadRequestError, (400,)),
    Meaning(errors.AuthenticationError, (401,), ends="stop_on", exit_code=3),
    Meaning(errors.PermissionDeniedError, (403,)),
    Meaning(errors.NotFoundError, (404,)),
    Meaning(errors.ConflictError, (409,)),
    Meaning(errors.UnprocessableEntityError, (422,)),
    Meaning(errors.RateLimitError, (429,), THROTTLED),
    # The gateway gives the money back for what it states itself. A proxy says the same of an upstream that it had sent
    # the request to: nginx 502 for a head that is too long, Apache 502 for its read timeout, Varnish 503.
    Meaning(errors.InternalServerError, (500, 502, 503, 520), REFUSED, AMBIGUOUS),
    # Cloudflare did not get through to the origin; 529 is an overloaded upstream's.
    Meaning(errors.InternalServerError, (521, 522, 523, 529), REFUSED),
    # Somebody waited too long; the work may have been done. 524 is Cloudflare's, after 100 s without a byte.
    Meaning(errors.InternalServerError, (504,), AMBIGUOUS),
    Meaning(errors.InternalServerError, (524,), AMBIGUOUS, hint=_SILENT),
    # Not understood, not allowed into this network, or no TLS to the origin: nobody worked on it, and nobody will.
    Meaning(errors.InternalServerError, (501, 505, 511, 525, 526, 530)),
    OTHER_SERVER_STATUS,
    Meaning(errors.APIError),  # inside a success, without a status
    Meaning(errors.APIStatusError, range(300, 400), hint=_REDIRECTED),
    Meaning(errors.APIStatusError, (408,), AMBIGUOUS),
    Meaning(errors.APIStatusError, (425,), REFUSED),  # said in place of passing the request on
    Meaning(errors.APIStatusError, (499,), unstated=UNSAID),  # nginx, Google: the caller went away, the work went on
    OTHER_STATUS,
    # -- by code
    Meaning(errors.InsufficientQuotaError, (402, *_NO_QUOTA), ends="model", exit_code=3),
    Meaning(errors.ModelNotFoundError, _NO_MODEL, ends="model", exit_code=3, hint=_SEE_MODELS),
    Meaning(errors.APIStatusError, _OVERLOADED, THROTTLED),
    # The gateway sends these with 500, although the same request would fail again.
    Meaning(errors.APIStatusError, ("invalid_request", "prompt_blocked", "sensitive_words_detected")),
    Meaning(errors.APIStatusError, ("convert_request_failed", "json_marshal_failed", "gen_relay_info_failed")),
    Meaning(errors.APIStatusError, ("count_token_failed", "invalid_api_type", "model_price_error", *_CHANNEL)),
    Meaning(errors.APIStatusError, ("violation_fee.",), ("never", "yes")),
    # -- nothing usable came: what that means is told where it is seen, and by the class
    Meaning(errors.ConnectTimeout, exit_code=3),
    *map(Meaning, (errors.APIConnectionError, errors.APITimeoutError, errors.DeadlineExceeded)),
    *map(Meaning, (errors.FirstTokenTimeout, errors.IdleTimeout, errors.ResponseTimeout)),
    *map(Meaning, (errors.ResponseShapeError, errors.IncompleteStreamError, errors.OutputError)),
    # -- this side sends nothing
    Meaning(errors.ConfigurationError, ends="run", exit_code=2),
    Meaning(errors.ForeignFileError, ends="run", exit_code=2),
    Meaning(errors.LockedError, ends="run", exit_code=2),
    Meaning(errors.MismatchError, ends="run", exit_code=2),
    Meaning(errors.RequestValidationError, exit_code=2),
    Meaning(errors.ClientStateError, ends="run"),
    Meaning(errors.QueueFullError),
    Meaning(errors.StoreError, ends="run", exit_code=3),
    Meaning(errors.BudgetExceeded, ends="run", exit_code=3),
    Meaning(errors.NotSentError, exit_code=3),
    # -- of several calls
    Meaning(errors.ToolRoundsError),
)

_BY_SIGN: Final = {sign: row for row in FAILURES for sign in row.signs}
_BY_KIND: Final = {row.error.kind: row for row in reversed(FAILURES)}  # the first of each
KINDS: Final = frozenset(_BY_KIND) - {errors.NotSentError.kind, errors.ToolRoundsError.kind}
"""The kinds of errors that a failed row can have."""
STOPPERS: Final = frozenset(kind for kind, row in _BY_KIND.items() if row.ends != "row")
"""Those that every row after it would meet, of its model at least."""
CLOSERS: Final = frozenset(kind for kind, row in _BY_KIND.items() if row.ends == "model")
OWN_STOPPERS: Final = frozenset(kind for kind, row in _BY_KIND.items() if row.ends == "run")
"""Those of this side: a spent budget, a key that cannot be had, a closed client."""
PANIC: Final = "new_api_panic"
"""The type of an error by which the gateway tells that it fell over while it worked."""


def of_kind(kind: str) -> Meaning:
    """Return what a *kind* of error means."""
    return _BY_KIND.get(kind, Meaning(errors.AnyFastError))


def of_status(status: int) -> Meaning:
    """Return what a *status* means."""
    return _BY_SIGN.get(status) or (OTHER_SERVER_STATUS if status >= 500 else OTHER_STATUS)  # noqa: PLR2004


def of_code(code: object) -> Meaning | None:
    """Return what a *code* means, None if no more than the status beside it; numbers are statuses."""
    text = code if isinstance(code, str) else ""
    return _BY_SIGN.get(text) or _BY_SIGN.get("".join(text.partition(".")[:2]))


def status_error(status: int) -> type[errors.APIStatusError]:
    """Return the class for an HTTP *status*."""
    return cast("type[errors.APIStatusError]", of_status(status).error)


def verdict(
    status: int, code: object, error_type: object, *, stated: bool, should_retry: str | None = None
) -> tuple[RetryClass, Billed]:
    """Return what an error means for the next attempt, and for money.

    ``x-should-retry`` decides on the next attempt over everything; then codes, then the status.

    Args:
        status: of the answer, or the one that an error inside a success names.
        code: the error's.
        error_type: the error's.
        stated: whether it is the gateway's own error object, see
            :func:`~anyfast_async._core.errors.gateway_or_proxy.speaker`.
        should_retry: the header of that name.

    """
    row, coded = of_status(status), of_code(code)
    retry, billed = row.stated if stated else row.unstated or row.stated
    if coded is not None:
        retry, billed = coded.stated[0], coded.stated[1] or billed
    elif error_type == PANIC and retry != "throttled":
        retry = "ambiguous"
    match (should_retry or "").strip().lower():
        case "false":
            retry = "never"
        case "true" if retry != "throttled":
            retry = "refused"
    return retry, billed or "no"
