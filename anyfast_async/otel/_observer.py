"""The observer that makes spans and metrics. The only file that imports OpenTelemetry."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from anyfast_async._values.bases import Shown
from anyfast_async._version import __version__
from anyfast_async.errors import ConfigurationError
from anyfast_async.otel import _content
from anyfast_async.otel import _conventions as names

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, Meter, MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from anyfast_async.completions import ChatCompletion, Usage
    from anyfast_async.observing import AttemptEnd, AttemptStart, CallEnd, CallInfo, FirstContent, Hold
    from anyfast_async.requests import ChatRequest

_MISSING: Final = "OpenTelemetry needs opentelemetry-api, which is not installed: pip install 'anyfast-async[otel]'"
_MOST: Final = 100_000
"""Calls on their way that are traced at once; more than that are calls of loops that were left."""


class OpenTelemetry:
    """Makes one span of each call, with its retries and holds as events, and metrics, by the GenAI conventions.

    Give it to a client: ``AnyFast(observers=[OpenTelemetry()])``. It uses ``opentelemetry-api`` alone: where spans and
    metrics go is what the program's SDK says. No prompt and no answer is recorded, unless
    ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` says ``true`` or ``SPAN_ONLY``. Names are those of version
    1.41.0 of the conventions; with ``OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental`` those in development.
    Both variables are read when it is made.

    Args:
        tracer_provider: makes the spans, None for the program's.
        meter_provider: makes the metrics, None for the program's.
        propagate_to: hosts that get the headers by which the trace goes on there (``traceparent``). By default
            loopback alone: what a trace id tells is nobody's business elsewhere.
        provider: the ``gen_ai.provider.name`` of what is recorded.

    Raises:
        ConfigurationError: opentelemetry-api is not installed.

    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        propagate_to: Iterable[str] = ("localhost", "127.0.0.1", "::1"),
        provider: str = "anyfast",
    ) -> None:
        try:
            from opentelemetry import metrics, propagate, trace  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigurationError(_MISSING) from None
        if isinstance(propagate_to, str):
            message = f"propagate_to must be a list of hosts, such as [{propagate_to!r}]"
            raise ConfigurationError(message)
        spoken = names.wanted(os.environ.get(names.OPT_IN, ""))
        self._trace = trace
        self._inject = propagate.inject
        self._tracer = trace.get_tracer("anyfast_async", __version__, tracer_provider, spoken.schema)
        self._instruments = _Instruments(
            metrics.get_meter("anyfast_async", __version__, meter_provider, spoken.schema), spoken
        )
        self._propagate_to = frozenset(host.lower() for host in propagate_to)
        self._provider = provider
        self._has_content = names.wants_content(os.environ.get(names.CONTENT_OPT_IN, ""))
        self._spans: dict[str, Span] = {}
        """Those of calls on their way, by their ids."""
        self._shared: dict[tuple[str, str, str, int | None], Mapping[str, Any]] = {}
        """Attributes of calls that ask alike."""

    # -- spans -------------------------------------------------------------------------------------------------------

    def on_attempt_start(self, start: AttemptStart) -> None:
        """Begin the span of a call with its first attempt."""
        if start.number == 1 or start.call.id not in self._spans:
            self._begin(start.call, start.seconds)

    def on_first_content(self, first: FirstContent) -> None:
        """Note when the first content came."""
        if (span := self._spans.get(first.call.id)) is not None:
            span.set_attribute(names.TIME_TO_FIRST_CHUNK, first.seconds)

    def on_attempt_end(self, end: AttemptEnd) -> None:
        """Count an attempt; one that is followed by another is an event of the span."""
        attempt = end.attempt
        found: dict[str, Any] = {**self._about(end.call), names.RETRIED: end.retry_in is not None}
        if end.why is not None:
            found[names.ERROR_TYPE] = attempt.outcome
        if attempt.status_code is not None:
            found[names.STATUS_CODE] = attempt.status_code
        self._instruments.attempts.add(1, found)
        span = self._spans.get(end.call.id)
        if span is not None and end.retry_in is not None:
            event = {
                names.ATTEMPT: attempt.number,
                names.ERROR_TYPE: attempt.outcome,
                names.STATUS_CODE: attempt.status_code,
                names.REQUEST_ID: end.request_id,
                names.WAIT: end.retry_in,
                names.WHY: end.why,
                names.BILLED: attempt.billed,
            }
            span.add_event(names.RETRY, _given(event))

    def on_hold(self, hold: Hold) -> None:
        """Count a hold; while the call that brought it about is on its way, it is an event of its span."""
        about = {
            names.REQUEST_MODEL: hold.model,
            names.SERVER_ADDRESS: hold.address,
            names.SERVER_PORT: hold.port,
            names.REASON: hold.reason,
        }
        if hold.state == "began":
            self._instruments.holds.add(1, _given(about))
        if (span := self._spans.get(hold.call_id)) is not None:
            event = {
                names.REASON: hold.reason,
                names.STATE: hold.state,
                names.LANE: hold.lane,
                names.ATTEMPT: hold.attempt,
                names.REQUEST_ID: hold.request_id,
                names.WAIT: hold.seconds,
                names.WHY: hold.why,
            }
            span.add_event(names.HOLD, _given(event))

    def on_call_end(self, end: CallEnd) -> None:
        """End the span, and count."""
        call, trace = end.call, end.trace
        span = self._spans.pop(call.id, None)
        if span is None:
            span = self._begin(call, trace.total)
            del self._spans[call.id]
        usage = _tokens(end.usage)
        if span.is_recording():
            attributes = {
                names.RESPONSE_ID: end.response_id,
                names.RESPONSE_MODEL: end.response_model,
                names.STATUS_CODE: end.status_code,
                names.REQUEST_ID: end.request_id,
                names.BILLED: end.billed,
                names.QUEUED: trace.queue,
                names.RESEND_COUNT: len(trace.attempts) - 1 if len(trace.attempts) > 1 else None,
                names.FINISH_REASONS: [reason or "error" for reason in end.finish_reasons] or None,
                **usage,
            }
            span.set_attributes(_given(attributes))
            if not end.ok:
                span.set_attribute(names.ERROR_TYPE, end.outcome)
                span.set_status(self._trace.StatusCode.ERROR, end.why)
        span.end()
        about: dict[str, Any] = dict(self._about(call))
        if end.response_model is not None:
            about[names.RESPONSE_MODEL] = end.response_model
        self._instruments.count(end, usage, about)

    def _begin(self, call: CallInfo, ago: float) -> Span:
        """Begin the span of a call that began so many seconds *ago*, in the context of whoever made it."""
        attributes = {**self._about(call), names.CALL_ID: call.id, names.LANE: call.lane}
        if call.streamed:
            attributes[names.REQUEST_STREAM] = True
        span = self._tracer.start_span(
            f"{call.operation} {call.model}".strip(),
            kind=self._trace.SpanKind.CLIENT,
            attributes=attributes,
            start_time=time.time_ns() - int(ago * 1e9),
        )
        if len(self._spans) >= _MOST:
            self._spans.pop(next(iter(self._spans))).end()
        self._spans[call.id] = span
        return span

    def _about(self, call: CallInfo) -> Mapping[str, Any]:
        key = (call.operation, call.model, call.address, call.port)
        found = self._shared.get(key)
        if found is None:
            if len(self._shared) >= 1000:  # noqa: PLR2004 - models that nobody asks any more
                self._shared.clear()
            given = {
                names.OPERATION: call.operation,
                names.PROVIDER: self._provider,
                names.REQUEST_MODEL: call.model or None,
                names.SERVER_ADDRESS: call.address,
                names.SERVER_PORT: call.port,
            }
            found = self._shared[key] = _given(given)
        return found

    # -- what only the house is told ---------------------------------------------------------------------------------

    def _request_headers(self, start: AttemptStart) -> Mapping[str, str]:
        """Return the headers by which the trace goes on at the gateway, if that may see them."""
        headers: dict[str, str] = {}
        span = self._spans.get(start.call.id)
        if span is not None and start.call.address.lower() in self._propagate_to:
            self._inject(headers, self._trace.set_span_in_context(span))
        return headers

    def _on_contents(self, call: CallInfo, request: ChatRequest | None, completion: ChatCompletion | None) -> None:
        """Note how it was asked; what was asked and answered only if that was asked for."""
        span = self._spans.get(call.id)
        if span is None or request is None or not span.is_recording():
            return
        asked = {name: getattr(request, field) for field, name in names.REQUEST_FIELDS.items()}
        stop = request.stop
        asked[names.STOP_SEQUENCES] = [stop] if isinstance(stop, str) else None if stop is None else list(stop)
        asked[names.CHOICE_COUNT] = None if request.n == 1 else request.n
        if request.response_format is not None and request.response_format.get("type") != "text":
            asked[names.OUTPUT_TYPE] = "json"
        if self._has_content:
            asked[names.INPUT_MESSAGES] = _content.input_messages(request)
            if completion is not None:
                asked[names.OUTPUT_MESSAGES] = _content.output_messages(completion)
        span.set_attributes(_given(asked))


@attrs.frozen(init=False, repr=False)
class _Instruments(Shown):
    """What is counted."""

    attempts: Counter
    holds: Counter
    _spoken: names.Conventions
    _duration: Histogram
    _first: Histogram
    _tokens: Mapping[str, tuple[Histogram, str | None]]
    """By the attribute of a span: the histogram, and the value of the token's type."""
    _spent: Mapping[str, Counter]

    def __init__(self, meter: Meter, spoken: names.Conventions) -> None:
        def histogram(name: str, unit: str, what: str, bounds: Iterable[float]) -> Histogram:
            return meter.create_histogram(
                name, unit, what, explicit_bucket_boundaries_advisory=list(map(float, bounds))
            )

        tokens: dict[str, tuple[Histogram, str | None]]
        if spoken.tokens is not None:
            used = histogram(spoken.tokens, "{token}", "Tokens that a call used.", names.TOKENS)
            tokens = {names.INPUT_TOKENS: (used, "input"), names.OUTPUT_TOKENS: (used, "output")}
        else:
            asked = histogram(spoken.input_tokens, "{token}", "Tokens of a prompt.", names.TOKENS)
            answered = histogram(spoken.output_tokens, "{token}", "Tokens of an answer.", names.TOKENS)
            tokens = {names.INPUT_TOKENS: (asked, None), names.OUTPUT_TOKENS: (answered, None)}
        made: Any = self  # for type checkers, which know no method of this name
        made.__attrs_init__(
            meter.create_counter(names.ATTEMPTS, "{attempt}", "Requests that were sent, retries included."),
            meter.create_counter(names.HOLDS, "{hold}", "Times that a lane was held, by throttling or an outage."),
            spoken,
            histogram(spoken.duration, "s", "How long calls take, with their retries and waits.", names.SECONDS),
            histogram(spoken.time_to_first_chunk, "s", "Of streams: until the first content.", names.SECONDS),
            tokens,
            {attribute: meter.create_counter(name, "{token}") for attribute, name in spoken.spent.items()},
        )

    def count(self, end: CallEnd, usage: Mapping[str, int], about: Mapping[str, Any]) -> None:
        """Count one call, told as *about*."""
        ended = about if end.ok else {**about, names.ERROR_TYPE: end.outcome}
        self._duration.record(end.trace.total, ended)
        if end.call.streamed and end.trace.first_token is not None:
            self._first.record(end.trace.first_token, about)
        for attribute, (histogram, kind) in self._tokens.items():
            if attribute in usage:
                typed = about if kind is None else {**about, names.TOKEN_TYPE: kind}
                histogram.record(usage[attribute], typed)
        if self._spoken.modality is not None:
            counted = {**about, self._spoken.modality: "unknown"}
            for attribute, counter in self._spent.items():
                if attribute in usage or (attribute in self._tokens and end.call.operation == "chat"):
                    counter.add(usage.get(attribute, 0), counted)


def _tokens(usage: Usage | None) -> dict[str, int]:
    """Return what was used as attributes, as far as it is known."""
    if usage is None or not usage.known:
        return {}
    before, after = usage.prompt_tokens_details, usage.completion_tokens_details
    found = {
        names.INPUT_TOKENS: usage.prompt_tokens,
        names.OUTPUT_TOKENS: usage.completion_tokens,
        names.CACHED_TOKENS: None if before is None else before.cached_tokens,
        names.REASONING_TOKENS: None if after is None else after.reasoning_tokens,
    }
    return {name: max(0, value) for name, value in found.items() if value is not None}


def _given(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return those that have a value."""
    return {name: value for name, value in attributes.items() if value is not None}
