"""What observers are told of one call. Called only where somebody listens, or where something has gone wrong.

The ledger of the call is what is told, so the log, observers and traces cannot tell another story than the answer's
trace or the exception.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from anyfast_async._core.errors.request_id import request_id
from anyfast_async._core.json.codec import maker
from anyfast_async._http.request_headers import Route, new_idempotency_key
from anyfast_async._observers.hooks import LOG_ALONE
from anyfast_async._observers.log import DEBUG, LOG, LOGGER
from anyfast_async.completions import ChatCompletion, Trace, Usage
from anyfast_async.errors import (
    AnyFastError,
    APIError,
    APIStatusError,
    Attempt,
    Billed,
    NotSentError,
    ResponseShapeError,
)
from anyfast_async.observing import AttemptEnd, AttemptStart, CallEnd, CallInfo, FirstContent, Hold

if TYPE_CHECKING:
    from anyfast_async._call.call import Call
    from anyfast_async._observers.hooks import Hooks

_WORD: Final = r"[A-Za-z0-9_.:-]{1,64}"
"""What a code of an error looks like; anything else may be a sentence, and might quote the prompt."""

_QUOTES: Final = r": '|; the last attempt ended with"
"""What precedes the server's own words in messages of ours: a broken line, what it said before a deadline."""


class Story:
    """How far a call was told of."""

    __slots__ = ("info", "is_over", "request_id", "route", "told")

    def __init__(self, info: CallInfo, route: Route) -> None:
        self.info = info
        self.route = route
        """Where the next request goes, with the headers that observers add to it."""
        self.told = 0
        """Attempts whose end was told."""
        self.request_id: str | None = None
        """Of the last of them."""
        self.is_over = False


def story_of(call: Call[Any]) -> Story:
    """Return that of *call*, begun now if it was not yet."""
    story = call.story
    if story is None:
        spec, identity = call.spec, call.idempotency_key
        if identity is None:
            identity = new_idempotency_key()
            if spec.endpoint.method == "POST":
                call.idempotency_key = identity
        info = maker(CallInfo)(identity, spec.destination, call.ending is not None)
        story = call.story = Story(info, spec.route)
    return story


def hooks_of(call: Call[Any]) -> Hooks:
    """Return who listens to *call*: nobody but the log, where there are no observers."""
    return call.spec.hooks or LOG_ALONE


# -- attempts --------------------------------------------------------------------------------------------------------


def starts(call: Call[Any]) -> Route:
    """Tell that a request is about to be sent; return where it goes, with the headers that are to go with it."""
    spec, story = call.spec, call.story or story_of(call)
    hooks = spec.hooks or LOG_ALONE
    if not hooks.attempt_start and not hooks.request_headers:
        return story.route
    seconds = (call.trying_since or call.began) - call.began
    start = maker(AttemptStart)(story.info, len(call.ledger) + 1, seconds, call.queued)
    hooks.tell(hooks.attempt_start, start)
    if hooks.request_headers:
        more = hooks.headers(start)
        story.route = spec.route.extended(more) if more else spec.route
    return story.route


def has_content(call: Call[Any], seconds: float) -> None:
    """Tell that a stream has its first content."""
    hooks = hooks_of(call)
    hooks.tell(hooks.first_content, maker(FirstContent)(story_of(call).info, len(call.ledger) + 1, seconds))


def attempt_ended(
    call: Call[Any],
    error: BaseException | None,
    retry_in: float | None = None,
    completion: ChatCompletion | None = None,
) -> None:
    """Tell of the end of an attempt, if there was one that was not told of; *completion* is what came of it."""
    story, ledger = call.story or story_of(call), call.ledger
    if len(ledger) <= story.told or story.is_over:
        return
    story.told = len(ledger)
    story.request_id = identity = _request_id(call, error, completion)
    call.head = None  # of this attempt, not of the next
    hooks, attempt = call.spec.hooks or LOG_ALONE, ledger[-1]
    why = None if error is None else why_of(error, attempt)
    end = maker(AttemptEnd)(story.info, attempt, identity, why, retry_in)
    hooks.tell(hooks.attempt_end, end)
    if why is not None or LOGGER.isEnabledFor(DEBUG):
        LOG.on_attempt_end(end)


def held(call: Call[Any], reason: Any, state: Any, seconds: float | None, error: AnyFastError) -> Hold:
    """Tell that the lane of *call* is held because of what its attempt ended with."""
    hooks, info = hooks_of(call), story_of(call).info
    hold = Hold(
        lane=info.lane,
        model=info.model,
        address=info.address,
        port=info.port,
        reason=reason,
        state=state,
        seconds=seconds,
        why=why_of(error),
        call_id=info.id,
        attempt=len(call.ledger) + 1,
        request_id=_request_id(call, error),
    )
    hooks.tell(hooks.hold, hold)
    LOG.on_hold(hold)
    return hold


# -- the end ---------------------------------------------------------------------------------------------------------


def succeeded(call: Call[Any], found: Any) -> None:
    """Tell of the answer of a call that has succeeded; a stream that has begun is told of when it ends."""
    if call.keeps_permit or (call.spec.hooks is None and len(call.ledger) == 1 and not LOGGER.isEnabledFor(DEBUG)):
        return
    completion = found if isinstance(found, ChatCompletion) else None
    hooks, ledger = call.spec.hooks, call.ledger
    if hooks is None or completion is None or completion.trace is None or len(ledger) != 1 or hooks.contents:
        over(call, completion, None)
        return
    # Nearly every call, which :func:`over` would tell of just so.
    story, attempt = call.story or story_of(call), ledger[0]
    identity = completion.request_id
    secret = call.spec.key.fixed
    if identity is not None and (secret is None or secret.may_be_in(identity)):
        identity = _request_id(call, None, completion)
    is_logged = LOGGER.isEnabledFor(DEBUG)
    if hooks.attempt_end or is_logged:
        end = maker(AttemptEnd)(story.info, attempt, identity, None, None)
        hooks.tell(hooks.attempt_end, end)
        if is_logged:
            LOG.on_attempt_end(end)
    story.told, story.is_over = 1, True
    if hooks.call_end:
        trace, usage, answer = completion.trace, completion.usage, _answer(completion)
        made = maker(CallEnd)
        whole = made(story.info, "ok", None, attempt.status_code, identity, trace, attempt.billed, usage, *answer)
        hooks.tell(hooks.call_end, whole)


def over(call: Call[Any], completion: ChatCompletion | None, error: BaseException | None) -> None:
    """Tell that a call is over, once."""
    story = call.story or story_of(call)
    if story.is_over:
        return
    attempt_ended(call, error, None, completion)
    story.is_over = True
    hooks, ledger = call.spec.hooks or LOG_ALONE, call.ledger
    is_news = error is not None or len(ledger) > 1
    if not hooks.call_end and not hooks.contents and not is_news:
        return
    last = ledger[-1] if ledger else _NONE
    end = maker(CallEnd)(
        story.info,
        last.outcome if error is None else _outcome(error),
        None if error is None else why_of(error, last),
        last.status_code,
        story.request_id,
        _trace(call, completion),
        _billed(call, error) if is_news else last.billed,
        None if completion is None else _usage(completion),
        *(_NOTHING if completion is None else _answer(completion)),
    )
    if hooks.contents:
        hooks.tell(hooks.contents, story.info, call.account.request, completion)
    hooks.tell(hooks.call_end, end)
    if is_news:
        LOG.on_call_end(end)


def _outcome(error: BaseException) -> str:
    if isinstance(error, AnyFastError):
        return error.kind
    return "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__


def _answer(completion: ChatCompletion) -> tuple[str | None, str | None, tuple[str | None, ...]]:
    choices = completion.choices
    reasons = (choices[0].finish_reason,) if len(choices) == 1 else tuple(one.finish_reason for one in choices)
    return completion.id, completion.model, reasons


_NOTHING: Final = (None, None, ())
_NONE: Final = Attempt(0, "ok", None, 0.0, "no")
"""In place of the last attempt of a call that made none."""


def _usage(completion: ChatCompletion) -> Usage | None:
    return None if completion.usage_source == "estimate" else completion.usage


def _trace(call: Call[Any], completion: ChatCompletion | None) -> Trace:
    if completion is not None and completion.trace is not None and not call.streams:
        return completion.trace
    total = asyncio.get_running_loop().time() - call.began if call.took is None else call.took
    return Trace(
        queue=call.queued,
        connect=call.connect,
        first_token=call.first_token,
        total=total,
        attempts=call.ledger,
    )


def _billed(call: Call[Any], error: BaseException | None) -> Billed:
    own = [error.billed] if isinstance(error, AnyFastError) else []
    found = {*own, *(attempt.billed for attempt in call.ledger)}
    return "yes" if "yes" in found else "maybe" if "maybe" in found else "no"


def _request_id(call: Call[Any], error: BaseException | None, completion: ChatCompletion | None = None) -> str | None:
    """Return the id of the last request, unless it is an echo of the key."""
    found: str | None = getattr(error, "request_id", None)
    if found is None and call.head is not None:
        return request_id(*call.head)
    secret = call.spec.key.fixed
    if found is None and completion is not None and secret is not None:  # the usual way looks at no head
        return request_id(completion.headers, "", secret.hide)
    return found


# -- why -------------------------------------------------------------------------------------------------------------


def why_of(error: BaseException | None, attempt: Attempt | None = None) -> str | None:
    """Return why something failed, without the server's own words, which may quote what was asked."""
    if error is None:
        return None
    if not isinstance(error, AnyFastError):
        return "it was cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__
    if isinstance(error, NotSentError) and isinstance(error.__cause__, AnyFastError):
        return f"not sent: {why_of(error.__cause__)}"
    if not isinstance(error, APIError | ResponseShapeError):
        return re.split(_QUOTES, str(error), maxsplit=1)[0]
    status = error.status_code if isinstance(error, APIStatusError) else attempt.status_code if attempt else None
    words = [
        error.kind,
        "" if not status else f"({status})",
        f"from the {error.spoken_by}" * (error.spoken_by != "unknown"),
    ]
    code = getattr(error, "code", None)
    if code is not None and re.fullmatch(_WORD, str(code)):
        words.append(f"code {code}")
    asked = getattr(error, "retry_after", None)
    if asked is not None:
        words.append(f"asked to wait {asked:g} s")
    return " ".join(filter(None, words))
