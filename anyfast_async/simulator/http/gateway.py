"""What the gateway answers to one HTTP request: routing, checks, script, answer.

Pure but for the state it is given (script, limiter) and the clock value that comes with the request. No
network, no sleeping: the result says what is due when, and ``server`` delivers it.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from random import Random
from typing import TYPE_CHECKING, Any

import attrs

from anyfast_async.simulator.http.encoding import DONE, canonical, encode, gunzip
from anyfast_async.simulator.http.refusals import GatewayError, error_for, in_band, middleware_error, not_found, render
from anyfast_async.simulator.http.request_ids import request_id
from anyfast_async.simulator.http.validation import check_body, check_key, check_model
from anyfast_async.simulator.model.latency import Timing
from anyfast_async.simulator.model.replies import answer, digest
from anyfast_async.simulator.model.schema_values import SchemaError
from anyfast_async.simulator.model.wire_shapes import chunks, completion, model_entry, model_list
from anyfast_async.simulator.quirks.catalogue import changed
from anyfast_async.simulator.quirks.draft import AnswerDraft, Piece, Quirk
from anyfast_async.simulator.script.exchange import request_value
from anyfast_async.simulator.script.rules import BreakOff, Cut, Drop, Failure, Stall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyfast_async.simulator.model.latency import Latency
    from anyfast_async.simulator.model.replies import Answer
    from anyfast_async.simulator.script.exchange import RecordedExchange
    from anyfast_async.simulator.script.rules import Fault, Reply, Script

__all__ = ["Delivery", "Gateway", "Incoming", "Settings", "TimedEvent"]

_VERSION = "v0.10.8-alpha.9"
_JSON = "application/json; charset=utf-8"
_CHAT = "/v1/chat/completions"
_MODELS = "/v1/models"
# router/web-router.go: below these an unknown path is an API error, elsewhere it is the web console.
_API_PREFIXES = ("/v1", "/api", "/assets")
_CONSOLE = (
    b'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8" />\n<title>AnyFast</title>\n</head>\n'
    b'<body>\n<noscript>You need to enable JavaScript to run this app.</noscript>\n<div id="root"></div>\n'
    b"</body>\n</html>\n"
)
# relay/helper/common.go: SetEventStreamHeaders
_STREAM_HEADERS: Mapping[str, str] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",
}
_MINUTE = 60
_BAD_GZIP = GatewayError(400, "", stage="middleware", body=b"")
_UNSCRIPTED = GatewayError(
    501,
    "The simulator is strict and no scripted reply matches this request",
    "unscripted_request",
    "simulator_error",
)


@attrs.frozen(kw_only=True)
class Incoming:
    """One HTTP request, read to its end."""

    method: str
    path: str
    """Without the query."""

    query: str = ""
    """As sent, without the question mark."""

    headers: Mapping[str, str]
    """Looked up in lower case."""

    raw: bytes
    too_large: bool = False
    """The body was beyond the limit and was thrown away."""

    now: float
    """Monotonic seconds."""


@attrs.frozen
class TimedEvent:
    """Bytes of a stream, and the seconds after the request was read at which they are due."""

    due: float
    data: bytes


@attrs.frozen(kw_only=True)
class Delivery:
    """What goes back."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    events: tuple[TimedEvent, ...] | None = None
    """A streamed answer, one write each; the last is ``[DONE]``."""

    delay: float = 0.0
    """Seconds until an answer that is not streamed."""

    fault: Cut | Stall | Drop | None = None
    """What happens to the connection on the way."""

    request_body: Any = None
    """The decoded body of the request."""

    ping: float | None = None
    """Seconds of silence in a stream after which a comment is sent, and again."""

    unscripted: bool = False
    """A strict simulator had no scripted answer for it."""

    difference: str = ""
    """Why no recorded exchange answers it."""


@attrs.frozen(kw_only=True)
class Settings:
    """What one simulator was built with."""

    seed: int
    created: int
    models: tuple[str, ...] | None
    api_keys: frozenset[str] | None
    strict: bool
    latency: Latency | None
    quirks: tuple[Quirk, ...] = ()
    answer_tokens: int | None
    ping: float | None
    max_body: int
    timing: bool = False
    ignore: frozenset[str] = frozenset()


def _pieces(body: dict[str, Any], said: Answer, timing: Timing, fault: Fault | None, identity: str) -> list[Piece]:
    """The stream of an answer, as far as a provider that fails lets it come."""
    pieces = [Piece(timing.due(chunk.tokens_before), chunk.data) for chunk in chunks(said)]
    # The usage chunk comes unless the client declined it (relay/compatible_handler.go).
    if (body.get("stream_options") or {}).get("include_usage") is False:
        pieces.pop()
    if isinstance(fault, Failure):
        # A provider's error object in the middle of a stream is relayed as one more event.
        pieces = [*pieces[: fault.after], Piece(pieces[0].due, in_band(fault.error, identity))]
    elif isinstance(fault, BreakOff):
        pieces = pieces[: fault.after]
    # [DONE] is also written after an upstream that broke off: it is no proof of completeness.
    return [*pieces, Piece(pieces[-1].due if pieces else 0.0, DONE)]


def _played(exchange: RecordedExchange, *, timing: bool) -> Delivery:
    """A recorded answer: whole if its head said how long it is, else piece by piece."""
    last = exchange.chunks[-1].at if timing and exchange.chunks else 0.0
    if exchange.status is None:
        fault = Drop(rst=False) if exchange.end == "cut" else Stall(0, None)
        return Delivery(status=502, headers={}, fault=fault)
    if exchange.end == "whole" and "content-length" in {name.lower() for name in exchange.headers}:
        headers = {name: value for name, value in exchange.headers.items() if name.lower() != "content-length"}
        return Delivery(status=exchange.status, headers=headers, body=exchange.body, delay=last)
    return Delivery(
        status=exchange.status,
        headers=exchange.headers,
        events=tuple(TimedEvent(chunk.at if timing else 0.0, chunk.data) for chunk in exchange.chunks),
        fault=None if exchange.end == "whole" else Cut(len(exchange.chunks), rst=False),
    )


def _within(fault: Cut | Stall | Drop | None, events: int) -> Cut | Stall | Drop | None:
    """A fault at the latest before ``[DONE]``, the last event: a stream that is cut is never whole."""
    return attrs.evolve(fault, after=min(fault.after, events - 1)) if isinstance(fault, Cut | Stall) else fault


class Gateway:
    """The gateway's behaviour, with the state that it keeps from request to request."""

    def __init__(self, settings: Settings, script: Script) -> None:
        self._settings = settings
        self._script = script
        self._sendings: Counter[bytes] = Counter()

    def reset(self) -> None:
        """Forget how often each request was sent."""
        self._sendings.clear()

    def handle(self, request: Incoming) -> Delivery:
        """The answer to one request."""
        key = digest(self._settings.seed, request.method.encode(), request.path.encode(), request.raw)
        if self._script.recorded:
            return self._recorded(request, key)
        if request.path == _CHAT and request.method == "POST":
            return self._chat(request, key)
        if request.path == _MODELS and request.method == "GET":
            return self._models(request, key)
        if request.path.startswith(_MODELS + "/") and request.method == "GET":
            return self._model(request, key)
        if request.path.startswith(_API_PREFIXES):
            return self._refusal(not_found(request.method, request.path), key)
        # No API below this path: the web console answers, with status 200 (router/web-router.go).
        return Delivery(status=200, headers=self._headers(key, "text/html; charset=utf-8"), body=_CONSOLE)

    # -- what was recorded ------------------------------------------------------------------------------------

    def _recorded(self, request: Incoming, key: bytes) -> Delivery:
        raw, error = self._unpacked(request)
        if error is not None:
            return self._refusal(error, key)
        body = request_value(raw)
        forms = self._script.forms(request.headers, request.path, request.query, body)
        found = self._script.next_exchange(request.method, forms, self._settings.ignore)
        if isinstance(found, str):
            refusal = self._refusal(attrs.evolve(_UNSCRIPTED, message=found), key)
            return attrs.evolve(refusal, request_body=body, unscripted=True, difference=found)
        return attrs.evolve(_played(found, timing=self._settings.timing), request_body=body)

    # -- chat completions ------------------------------------------------------------------------------------

    def _chat(self, request: Incoming, key: bytes) -> Delivery:
        # The order of the gateway's middleware: key, limiter, body and model, then the relay's own checks.
        error = self._key_error(request) or self._limit_error(request.now)
        if error is not None:
            return self._refusal(error, key)
        raw, error = self._unpacked(request)
        if error is not None:
            return self._refusal(error, key)
        body, error = check_model(request.headers.get("content-type", ""), raw, self._settings.models)
        if error is None:
            key = digest(self._settings.seed, canonical(body))
            error = check_body(body)
        if error is not None:
            return attrs.evolve(self._refusal(error, key), request_body=body)
        return attrs.evolve(self._scripted_chat(body, key), request_body=body)

    def _unpacked(self, request: Incoming) -> tuple[bytes, GatewayError | None]:
        """The body without its compression (middleware/gzip.go), or why it is refused."""
        raw, limit = request.raw, self._settings.max_body
        if request.headers.get("content-encoding") == "gzip":
            try:
                raw = gunzip(raw, limit)
            except ValueError:
                return b"", _BAD_GZIP
        return raw, error_for(413) if request.too_large or len(raw) > limit else None

    def _scripted_chat(self, body: dict[str, Any], key: bytes) -> Delivery:
        fault = self._script.next_fault(body)
        streamed = bool(body.get("stream"))
        if isinstance(fault, Failure) and not (streamed and fault.after is not None):
            return self._refusal(fault.error, key, streamed=streamed)
        if isinstance(fault, BreakOff) and not streamed:
            return self._refusal(error_for(500, code="read_response_body_failed"), key)
        reply = self._script.next_reply(body)
        quirks = self._script.next_quirks(body)
        if reply is None and fault is None and not quirks and self._settings.strict:
            return attrs.evolve(self._refusal(_UNSCRIPTED, key), unscripted=True)
        quirks = [*self._settings.quirks, *quirks]
        try:
            return self._answered(body, key, reply, fault, quirks)
        except SchemaError as error:
            return self._refusal(error_for(400, message=f"Invalid schema: {error}"), key, streamed=streamed)

    def _answered(
        self, body: dict[str, Any], key: bytes, reply: Reply | None, fault: Fault | None, quirks: list[Quirk]
    ) -> Delivery:
        identity = request_id(self._settings.created, key)
        said = answer(
            body,
            request_id=identity,
            created=self._settings.created,
            seed=self._settings.seed,
            length=self._settings.answer_tokens,
            reply=reply,
        )
        timing = self._timing(key, reply)
        broken = fault if isinstance(fault, Cut | Stall | Drop) else None
        streamed = bool(body.get("stream"))
        wire = AnswerDraft(
            request=body,
            streamed=streamed,
            whole=completion(said) if quirks or not streamed else None,
            pieces=_pieces(body, said, timing, fault, identity) if quirks or streamed else [],
        )
        if quirks:
            wire = changed(attrs.evolve(wire, whole=deepcopy(wire.whole), pieces=deepcopy(wire.pieces)), quirks)
        if not wire.streamed:
            return Delivery(
                status=wire.status,
                headers=self._headers(key, _JSON if wire.content_type is None else wire.content_type, wire.headers),
                body=wire.body(),
                delay=timing.due(max(one.tokens for one in said.candidates)),
                fault=broken,
            )
        return Delivery(
            status=200,
            headers={**self._headers(key), **_STREAM_HEADERS},
            events=tuple(TimedEvent(due, data) for due, data in wire.encoded()),
            fault=Cut(len(wire.pieces), rst=False) if wire.cut else _within(broken, len(wire.pieces)),
            ping=self._settings.ping,
        )

    def _timing(self, key: bytes, reply: Reply | None) -> Timing:
        timing, latency = Timing(), self._settings.latency
        if latency is not None:
            self._sendings[key] += 1
            timing = latency.timing(Random(digest(key, self._sendings[key])))  # noqa: S311  # seeded on purpose
        return timing if reply is None or reply.ttft is None else attrs.evolve(timing, ttft=reply.ttft)

    # -- models ----------------------------------------------------------------------------------------------

    def _models(self, request: Incoming, key: bytes) -> Delivery:
        error = self._key_error(request)
        fault = None if error is not None else self._script.next_fault(None)
        if isinstance(fault, Failure):
            error = fault.error
        if error is not None:
            return self._refusal(error, key)
        broken = fault if isinstance(fault, Cut | Stall | Drop) else None
        return attrs.evolve(self._json(model_list(self._settings.models or ()), key), fault=broken)

    def _model(self, request: Incoming, key: bytes) -> Delivery:
        error = self._key_error(request)
        if error is not None:
            return self._refusal(error, key)
        model = request.path.removeprefix(_MODELS + "/")
        if self._settings.models is None or model in self._settings.models:
            return self._json(model_entry(model), key)
        # An error object with status 200: so it is in controller/model.go (RetrieveModel).
        missing = {
            "message": f"The model '{model}' does not exist",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
        return self._json({"error": missing}, key)

    # -- refusals --------------------------------------------------------------------------------------------

    def _key_error(self, request: Incoming) -> GatewayError | None:
        return check_key(request.headers.get("authorization"), self._settings.api_keys)

    def _limit_error(self, now: float) -> GatewayError | None:
        limiter = self._script.limiter
        full = None if limiter is None else limiter.refusing(now)
        if limiter is None or full is None:
            return None
        span = f"{full.seconds / 60:g} minutes" if full.seconds >= _MINUTE else f"{full.seconds:g} seconds"
        error = middleware_error(429, f"You have reached the request limit: at most {full.limit} requests in {span}")
        # Counting in memory the gateway sets the status and nothing else (memoryRateLimitHandler).
        return attrs.evolve(error, body=b"") if limiter.empty_body else error

    def _refusal(self, error: GatewayError, key: bytes, *, streamed: bool = False) -> Delivery:
        # The head of an event stream is set before the provider is called (relay/channel/api_request.go), so
        # a later failure of a streamed request is JSON under that content type.
        headers = _STREAM_HEADERS if streamed and error.upstream_called else {"Content-Type": error.content_type}
        body = render(error, request_id(self._settings.created, key))
        if not body:
            headers = {}
        return Delivery(status=error.status, headers={**self._headers(key), **headers, **error.headers}, body=body)

    def _json(self, value: object, key: bytes) -> Delivery:
        return Delivery(status=200, headers=self._headers(key, _JSON), body=encode(value))

    def _headers(
        self, key: bytes, content_type: str | None = None, others: dict[str, str] | None = None
    ) -> dict[str, str]:
        # middleware/request-id.go; the version since January 2026 (router/main.go)
        headers = others or {
            "X-Oneapi-Request-Id": request_id(self._settings.created, key),
            "X-New-Api-Version": _VERSION,
        }
        return headers if content_type is None else {"Content-Type": content_type, **headers}
