"""Every exception a user of this package can meet.

::

    AnyFastError
    ├── ConfigurationError (ValueError)      the client cannot be built or used as configured
    │   ├── ForeignFileError                 a file that no batch and no map wrote
    │   ├── LockedError                      another process writes the journal; .pid, .host
    │   └── MismatchError                    the journal is of something else; .differences
    ├── RequestValidationError (ValueError)  a request is wrong; nothing was sent
    ├── ClientStateError (RuntimeError)      closed client, wrong loop, two readers on one stream
    ├── QueueFullError                       ``Limits.max_queued`` calls are waiting already
    │   └── StoreError                       the store of shared limits is away
    ├── BudgetExceeded                       a ``Budget`` has no room for the call
    ├── NotSentError                         an item of a run that ended before its turn
    ├── APIConnectionError                   no usable answer came over the wire
    │   └── APITimeoutError (TimeoutError)
    │       ├── ConnectTimeout
    │       ├── FirstTokenTimeout
    │       ├── IdleTimeout
    │       ├── ResponseTimeout
    │       └── DeadlineExceeded
    ├── APIError                             the gateway said so, also inside a 200
    │   └── APIStatusError                   .status_code, .retry_after
    │       ├── BadRequestError 400, AuthenticationError 401, PermissionDeniedError 403, NotFoundError 404
    │       ├── ConflictError 409, UnprocessableEntityError 422, RateLimitError 429
    │       ├── InternalServerError          500 and above
    │       └── InsufficientQuotaError, ModelNotFoundError by code, whatever the status
    ├── ResponseShapeError                   a 200 that is no completion
    ├── IncompleteStreamError                .reason: "cut", "no_finish" or "empty"
    ├── ToolRoundsError                      a model that goes on calling tools
    └── OutputError (ValueError)             an answer that does not parse into the wanted class

All of them pickle and copy: they are made of plain values only. None holds the key, a header or a prompt (but for
``.tool_run``, which is a conversation), and text that came from a server is escaped before it gets into a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs

from anyfast_async._values.bases import Value
from anyfast_async._values.text import escaped as escaped  # noqa: PLC0414 - most take it from here

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anyfast_async._values.tool_run import ToolRun
    from anyfast_async.completions import ChatCompletion

Billed = Literal["no", "maybe", "yes"]
"""Whether an attempt may have cost money: ``"no"``, ``"maybe"`` or ``"yes"``."""

SpokenBy = Literal["gateway", "proxy", "unknown"]
"""Who an error comes from: the gateway, something in front of it, or nobody can tell."""

RetryClass = Literal["never", "unsent", "stale", "refused", "throttled", "ambiguous", "cut", "clock", "slept"]
"""What sending a request again would mean, decided where the failure is seen:

``"never"``      it would fail again, or is not ours to repeat
``"unsent"``     nothing left this machine
``"stale"``      a reused connection died before any byte of an answer: one immediate resend
``"refused"``    the gateway answered with a transient error and bills nothing
``"throttled"``  the gateway wants fewer requests: the limiter holds, no try is used up
``"ambiguous"``  the gateway may have done the work: at most one resend
``"cut"``        the connection broke after the head of a success: the work is done or under way. A single call is not
                 sent again, in ``map`` and batches it is as ``"ambiguous"``
``"clock"``      our own clock ran out while the gateway was at work: only with ``resend_after_timeout``
``"slept"``      the machine slept, or the process was stopped, while it waited for the answer: one immediate resend
"""


@attrs.frozen(eq=False, repr=False)
class Attempt(Value):
    """One try of a call, as it stands in ``.attempts`` of a result, a trace or an exception."""

    number: int
    """1 for the first."""
    outcome: str
    """``"ok"``, ``"left"``, ``"cancelled"``, ``"overtaken"`` (see ``Hedge``), or the ``kind`` of what ended it."""
    status_code: int | None
    """The HTTP status, where there was one."""
    seconds: float
    """From admission by the limiter to the outcome."""
    billed: Billed
    """Whether this try may have cost money."""
    delay: float = 0.0
    """Seconds waited after it, before the next one."""
    hedge: ClassVar[bool] = False
    """Whether it was sent beside the one before it, because that was late, see ``Hedge``."""


@attrs.frozen(eq=False, repr=False)
class FieldError(Value):
    """One thing that is wrong with a request."""

    path: str
    """Where: ``"temperature"`` or ``"messages[1].content[0].image_url"``."""
    problem: str
    """What is wrong and what is allowed."""

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class AnyFastError(Exception):
    """Base of everything this package raises on purpose."""

    kind: str = "error"
    """A short stable word for programs: ``"rate_limit"``, ``"auth"``, ``"quota"``, ``"timeout"`` ..."""
    retryable: bool = False
    """Whether the same call may succeed if it is sent again later."""
    billed: Billed = "no"
    """Whether the call may have cost money: ``"no"``, ``"maybe"`` or ``"yes"``."""
    retry_class: RetryClass = "never"
    """How the retry policy sees it, see :data:`RetryClass`."""
    spoken_by: SpokenBy = "unknown"
    """Who says so: ``"gateway"`` (its own error object), ``"proxy"`` (something in front of it, as a page of nginx or
    Cloudflare shows, or a forward proxy that refuses its own credentials) or ``"unknown"``."""
    attempts: tuple[Attempt, ...] = ()
    """Every try that was made for the call, oldest first."""
    request_id: str | None = None
    """The gateway's id of the request, for its support."""
    partial: ChatCompletion | None = None
    """Where a stream had begun: the completion so far. Never part of the message."""
    tool_run: ToolRun | None = None
    """Out of ``run_tools``: the conversation so far, with what the tools have done. Never part of the message."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class ConfigurationError(AnyFastError, ValueError):
    """The client cannot be built or used as it is configured; the message names the setting."""

    kind = "configuration"


class ForeignFileError(ConfigurationError):
    """The file of a journal or batch is none that a map or a batch wrote; it was not touched."""


class LockedError(ConfigurationError):
    """Another process writes this journal or batch, ``.pid`` on ``.host``, where known; nothing was touched."""

    pid: int | None = None
    host: str | None = None


class MismatchError(ConfigurationError):
    """A journal or batch was begun with something else, see ``.differences``; nothing was touched."""

    differences: tuple[str, ...] = ()


class RequestValidationError(AnyFastError, ValueError):
    """A request is wrong. Nothing was sent. ``.errors`` lists every bad field."""

    kind = "validation"
    errors: tuple[FieldError, ...] = ()

    @classmethod
    def of(cls, errors: Iterable[FieldError]) -> RequestValidationError:
        """Make one exception of all *errors*."""
        found = tuple(errors)
        if len(found) == 1:
            error = cls(f"invalid request: {found[0]}")
        else:
            error = cls(f"invalid request, {len(found)} problems:" + "".join(f"\n  {e}" for e in found))
        error.errors = found
        return error


class ClientStateError(AnyFastError, RuntimeError):
    """The client or stream is not in a state for this: closed, bound to another loop, or already being read."""

    kind = "state"


class QueueFullError(AnyFastError):
    """``Limits.max_queued`` calls are waiting already; the call was refused at once, nothing was sent."""

    kind = "queue_full"
    retryable = True
    retry_after: float | None = None
    """Seconds after which there should be room, where that is known."""


class StoreError(QueueFullError):
    """The store of shared limits is away, and ``Limits(on_store_error="fail")`` says not to go on without it.

    The call was refused at once, nothing was sent.
    """

    kind = "store"


class BudgetExceeded(AnyFastError):  # noqa: N818 - the public name; "exceeded" says it all
    """The client's :class:`~anyfast_async.Budget` has no room left for the call; nothing was sent."""

    kind = "budget"


class NotSentError(AnyFastError):
    """An item of a ``map`` or batch that ended, or whose model was given up, before the item had an answer.

    Nothing of it is billed: it was not sent, or what was sent was refused (``.attempts`` has that).
    """

    kind = "not_sent"
    retryable = True
    why: str = ""
    """What ended the run or closed the model, as text."""
    retry_at: float | None = None
    """Unix time from which it is worth another run, where that is known."""
    retry_after: float | None = None
    """The same as seconds from when this was raised."""

    @classmethod
    def of(cls, why: str, *, retry_at: float | None = None, retry_after: float | None = None) -> NotSentError:
        """Make one that says *why*, and when to come back."""
        error = cls(f"not sent: {why}")
        error.why, error.retry_at, error.retry_after = why, retry_at, retry_after
        return error


class APIConnectionError(AnyFastError):
    """No usable answer came over the wire.

    ``phase`` says how far the request got, which decides whether sending it again can be billed twice:
    ``"unsent"`` (never left), ``"stale"`` (a reused connection died before any byte of an answer),
    ``"sent"`` (it may have arrived) or ``"answering"`` (an answer had begun).
    """

    kind = "connection"
    retryable = True
    billed: Billed = "maybe"
    phase: Literal["unsent", "stale", "sent", "answering"] = "sent"
    retry_class: RetryClass = "ambiguous"


class APITimeoutError(APIConnectionError, TimeoutError):
    """One of the clocks in :class:`~anyfast_async.Timeouts` ran out."""

    kind = "timeout"
    retry_class: RetryClass = "clock"


class ConnectTimeout(APITimeoutError):  # noqa: N818 - the public name, as in every HTTP client
    """``Timeouts.connect`` ran out before there was a connection; nothing was sent."""

    kind = "connect_timeout"
    billed: Billed = "no"
    phase: Literal["unsent", "stale", "sent", "answering"] = "unsent"
    retry_class: RetryClass = "unsent"


class FirstTokenTimeout(APITimeoutError):  # noqa: N818
    """``Timeouts.first_token`` ran out: no text, reasoning, tool call or image had come."""

    kind = "first_token_timeout"


class IdleTimeout(APITimeoutError):  # noqa: N818
    """``Timeouts.idle`` ran out between two events with content."""

    kind = "idle_timeout"


class ResponseTimeout(APITimeoutError):  # noqa: N818
    """``Timeouts.response`` ran out before a non-streamed answer was complete."""

    kind = "response_timeout"


class DeadlineExceeded(APITimeoutError):  # noqa: N818
    """``Timeouts.total`` ran out, counted over queueing, every attempt and the waits between them."""

    kind = "deadline"
    retryable = False
    retry_class: RetryClass = "never"


class APIError(AnyFastError):
    """The gateway reported an error, with an error status or inside a 200."""

    kind = "api"
    message: str
    """What the gateway said, unshortened and not escaped; ``str()`` of the exception is."""
    code: str | int | None = None
    """The gateway's code, such as ``"model_not_found"``; some upstreams send a number."""
    type: str | None = None
    param: str | None = None
    body: Any = None
    """The decoded error body, or its text."""


class APIStatusError(APIError):
    """An error with a status: the HTTP status, or the one that an error inside a 200 names."""

    status_code: int = 0
    retry_after: float | None = None
    """Seconds the server asked to wait, from a header or from a hint in the body; None if it did not say."""


class BadRequestError(APIStatusError):
    """400."""

    kind = "bad_request"


class AuthenticationError(APIStatusError):
    """401: the key is missing, wrong, expired or exhausted."""

    kind = "auth"


class PermissionDeniedError(APIStatusError):
    """403: this key may not do that (address, group, model)."""

    kind = "permission"


class NotFoundError(APIStatusError):
    """404."""

    kind = "not_found"


class ConflictError(APIStatusError):
    """409."""

    kind = "conflict"


class UnprocessableEntityError(APIStatusError):
    """422."""

    kind = "unprocessable"


class RateLimitError(APIStatusError):
    """429: too many requests or tokens for now."""

    kind = "rate_limit"


class InternalServerError(APIStatusError):
    """500 and above."""

    kind = "server"


class InsufficientQuotaError(APIStatusError):
    """The account or key has no money left, or a quota that is not refilled within minutes is used up."""

    kind = "quota"


class ModelNotFoundError(APIStatusError):
    """No channel serves this model for this key: a wrong model id, or the key's group does not have it."""

    kind = "model"


class ResponseShapeError(AnyFastError):
    """A success status, but what came is no completion (HTML, broken JSON, another object)."""

    kind = "response_shape"
    billed: Billed = "maybe"
    status_code: int | None = None
    body: Any = None
    """The first part of what came, as text."""


class IncompleteStreamError(AnyFastError):
    """A stream ended before it was complete; ``.partial`` holds what had come.

    ``reason`` is ``"cut"`` (the connection broke), ``"no_finish"`` (it ended in order, but a choice has no
    ``finish_reason``: this gateway also writes ``[DONE]`` after an upstream broke off) or ``"empty"`` (it ended in
    order and nothing was said: a blocked prompt, or an upstream that sent nothing).
    """

    kind = "incomplete"
    billed: Billed = "maybe"
    reason: Literal["cut", "no_finish", "empty"] = "cut"


class ToolRoundsError(AnyFastError):
    """A model still calls tools after ``max_rounds`` answers; ``.tool_run`` has the conversation.

    Its last calls were not run.
    """

    kind = "tool_rounds"
    billed: Billed = "yes"


class OutputError(AnyFastError, ValueError):
    """An answer that does not parse (``.completion`` is it, ``.errors`` says where), or an image that is none."""

    kind = "output"
    billed: Billed = "yes"
    completion: ChatCompletion | None = None
    errors: tuple[FieldError, ...] = ()
    rejected: tuple[ChatCompletion, ...] = ()
    """With ``repair=``: the answers before it that did not fit and were sent back, oldest first; each was billed."""
