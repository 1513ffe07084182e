"""OpenTelemetry: spans and metrics of calls, and one story in the log, in spans, in metrics and in observers."""

from __future__ import annotations

import asyncio
import builtins
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from anyfast_async import AnyFast, AnyFastError, ConfigurationError, RetryPolicy, Timeouts
from anyfast_async._observers.hooks import PUBLIC
from anyfast_async.otel import OpenTelemetry
from anyfast_async.otel import _conventions as names
from anyfast_async.simulator import Simulator

KEY = "sk-test-0123456789-abcdefgh"
MODEL = "gemini-2.5-pro"
PROMPT = "What is the capital of Zembla?"
PAGE = "<html><head><title>503 Service Temporarily Unavailable</title></head><body><center>nginx</center></body></html>"


@attrs.define
class Recorded:
    """What an SDK in memory has."""

    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    tracers: TracerProvider
    meters: MeterProvider

    def observer(self, **options: Any) -> OpenTelemetry:
        return OpenTelemetry(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def total(self, name: str, **wanted: Any) -> float:
        """Sum what is counted by points with such attributes: the count of a histogram, else the value."""
        found = {key.replace("__", "."): value for key, value in wanted.items()}
        counted = [point for point in self.points(name) if found.items() <= dict(point.attributes).items()]
        return sum(float(point.count if hasattr(point, "count") else point.value) for point in counted)


@pytest.fixture
def sdk() -> Iterator[Recorded]:
    """Record in memory."""
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    meters = MeterProvider([reader])
    yield Recorded(exporter, reader, tracers, meters)
    tracers.shutdown()
    meters.shutdown()


class Everything:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []
        for name in PUBLIC:
            setattr(self, name, lambda value, name=name: self.heard.append((name, value)))

    def of(self, name: str) -> list[Any]:
        return [value for hook, value in self.heard if hook == name]


def about(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.name == "anyfast_async"]


async def test_the_same_story_everywhere(sdk: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """A 429, a 503 page, a first-token timeout and a cut stream are told alike by all four, with the same ids."""
    caplog.set_level(logging.DEBUG, logger="anyfast_async")
    observer = Everything()
    async with (
        Simulator() as sim,
        AnyFast(
            KEY,
            base_url=sim.base_url,
            model=MODEL,
            retry=RetryPolicy(first_hold=0.1, backoff=(0.01, 0.02)),
            timeouts=Timeouts(first_token=0.3),
            observers=[observer, sdk.observer()],
        ) as client,
    ):
        sim.fail(429)
        await client.complete(PROMPT)
        sim.fail(503, body=PAGE)
        await client.complete(PROMPT)
        sim.stall(after=0)
        with pytest.raises(AnyFastError, match=r"Timeouts\.first_token"):
            async with client.stream(PROMPT):
                pass
        sim.cut(after=3)
        with pytest.raises(AnyFastError, match="the stream broke off"):
            async with client.stream(PROMPT) as stream:
                await stream.drain()

    outcomes = ["ok", "ok", "first_token_timeout", "incomplete"]
    ends, spans = observer.of("on_call_end"), sdk.spans
    assert outcomes == [end.outcome for end in ends]

    # observers and spans: the same calls, in the same order
    assert [end.call.id for end in ends] == [about(span)[names.CALL_ID] for span in spans]
    assert [end.request_id for end in ends] == [about(span)[names.REQUEST_ID] for span in spans]
    assert [None, None, *outcomes[2:]] == [about(span).get(names.ERROR_TYPE) for span in spans]
    assert [StatusCode.UNSET] * 2 + [StatusCode.ERROR] * 2 == [span.status.status_code for span in spans]
    assert [end.why for end in ends] == [span.status.description for span in spans]
    assert all(end.request_id for end in ends)

    # attempts: observers, the log and events tell of the same ones
    told = [
        (end.call.id, end.attempt.number, end.request_id, end.why, end.retry_in)
        for end in observer.of("on_attempt_end")
    ]
    assert [1, 2, 1, 2, 1, 1] == [number for _, number, *_ in told]
    lines = [one for one in logged(caplog) if one["message"].startswith("attempt ")]
    fields = ("call_id", "attempt", "request_id", "why", "wait")
    assert told == [tuple(one[field] for field in fields) for one in lines]
    again = [one for one in told if one[4] is not None]
    retries = [
        (
            about(span)[names.CALL_ID],
            *(dict(event.attributes or {}).get(name) for name in (names.ATTEMPT, names.REQUEST_ID)),
        )
        for span in spans
        for event in span.events
        if event.name == names.RETRY
    ]
    assert [one[:3] for one in again] == retries

    # holds
    holds = observer.of("on_hold")
    assert [("throttling", "began"), ("throttling", "over")] == [(hold.reason, hold.state) for hold in holds][:2]
    held = [event for event in spans[0].events if event.name == names.HOLD]
    assert ["began", "over"] == [dict(event.attributes or {})[names.STATE] for event in held]
    assert {ends[0].call.id} == {hold.call_id for hold in holds[:2]}

    # metrics
    assert len(told) == sdk.total(names.ATTEMPTS)
    for outcome in ("rate_limit", "server", "first_token_timeout", "incomplete"):
        assert sdk.total(names.ATTEMPTS, error__type=outcome) == 1
    assert sdk.total(names.PUBLISHED.duration, gen_ai__request__model=MODEL) == 4
    assert sdk.total(names.PUBLISHED.duration, error__type="incomplete") == 1
    assert sdk.total(names.HOLDS, anyfast__hold__reason="throttling") == len([h for h in holds if h.state == "began"])

    # and nobody tells what was asked or answered, or with which key
    everything = repr(logged(caplog)) + "".join(span.to_json() for span in spans) + repr(observer.heard)
    assert not [one for one in ("Zembla", KEY, KEY[-8:], "nginx") if one in everything]


async def test_span_of_a_call(sdk: Recorded) -> None:
    """One client span of each call, in the context of its caller, named and described as the conventions say."""
    tracer = sdk.tracers.get_tracer("test")
    async with (
        Simulator() as sim,
        AnyFast(KEY, base_url=sim.base_url, model=MODEL, observers=[sdk.observer()]) as client,
    ):
        with tracer.start_as_current_span("request"):
            completion = await client.complete(PROMPT, max_tokens=50, temperature=0.5, stop="END", seed=7)
        port = int(sim.base_url.rsplit(":", 1)[1].removesuffix("/v1"))

    span, outer = sdk.spans
    assert completion.usage is not None
    assert (f"chat {MODEL}", SpanKind.CLIENT) == (span.name, span.kind)
    assert span.parent is not None
    assert outer.context is not None
    assert span.parent.span_id == outer.context.span_id
    found = about(span)
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anyfast",
        "gen_ai.request.model": MODEL,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.response.finish_reasons": (completion.finish_reason,),
        "gen_ai.response.id": completion.id,
        "gen_ai.response.model": completion.model,
        "gen_ai.usage.input_tokens": completion.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": completion.usage.completion_tokens,
        "server.address": "127.0.0.1",
        "server.port": port,
        "http.response.status_code": 200,
    }.items() <= found.items()
    assert {"gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.reasoning.output_tokens"} <= set(found)
    assert not {"gen_ai.input.messages", "gen_ai.output.messages", "error.type", "gen_ai.request.stream"} & set(found)
    assert outer.start_time is not None
    assert span.start_time is not None
    assert span.end_time is not None
    assert outer.start_time - 1_000_000 <= span.start_time <= span.end_time


@pytest.mark.parametrize("opt_in", ["", "gen_ai_latest_experimental"])
async def test_metrics_of_both_states(opt_in: str, sdk: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times and tokens are counted by the names of the state that was asked for, with the buckets that it advises."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", opt_in)
    spoken = names.wanted(opt_in)
    other = names.LATEST if spoken is names.PUBLISHED else names.PUBLISHED
    async with (
        Simulator() as sim,
        AnyFast(KEY, base_url=sim.base_url, model=MODEL, observers=[sdk.observer()]) as client,
    ):
        usage = (await client.complete(PROMPT)).usage
        async with client.stream(PROMPT) as stream:
            streamed = (await stream.drain()).usage

    assert usage is not None
    assert streamed is not None
    (times,), (first,) = sdk.points(spoken.duration), sdk.points(spoken.time_to_first_chunk)
    assert (2, 1) == (times.count, first.count)
    assert names.SECONDS == times.explicit_bounds == first.explicit_bounds
    assert [] == sdk.points(other.duration)
    spent = (usage.prompt_tokens or 0) + (streamed.prompt_tokens or 0)
    if spoken.tokens is not None:
        by_type = {point.attributes["gen_ai.token.type"]: point for point in sdk.points(spoken.tokens)}
        assert spent == by_type["input"].sum
        assert tuple(map(float, names.TOKENS)) == by_type["output"].explicit_bounds
    else:
        (counted,) = sdk.points(spoken.spent[names.INPUT_TOKENS])
        assert (spent, "unknown") == (counted.value, counted.attributes["gen_ai.token.modality"])
        (distribution,) = sdk.points(spoken.input_tokens)
        assert (2, spent) == (distribution.count, distribution.sum)


@pytest.mark.parametrize("way", ["complete", "via_stream", "stream", "map"])
async def test_content_is_recorded_where_it_was_asked_for(
    way: str, sdk: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompt and answer stand on the span if the conventions' variable says so, by every way."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    async with (
        Simulator() as sim,
        AnyFast(KEY, base_url=sim.base_url, model=MODEL, observers=[sdk.observer()]) as client,
    ):
        sim.reply("Onhava")
        if way == "stream":
            async with client.stream(PROMPT) as stream:
                await stream.drain()
        elif way == "map":
            await client.map([PROMPT])
        else:
            await client.complete(PROMPT, via_stream=way == "via_stream")

    (span,) = sdk.spans
    asked = json.loads(about(span)[names.INPUT_MESSAGES])
    answered = json.loads(about(span)[names.OUTPUT_MESSAGES])
    assert [{"role": "user", "parts": [{"type": "text", "content": PROMPT}]}] == asked
    assert [{"type": "text", "content": "Onhava"}] == answered[0]["parts"]
    assert "stop" == answered[0]["finish_reason"]
    assert KEY not in span.to_json()


@pytest.mark.parametrize(
    ("options", "goes"),
    [({}, True), ({"propagate_to": []}, False), ({"propagate_to": ["gateway.internal"]}, False)],
)
async def test_the_trace_goes_on_at_hosts_that_were_named(
    options: Mapping[str, Any],
    goes: bool,
    sdk: Recorded,
) -> None:
    """``traceparent`` names the span of the call, on every attempt, new connection or not; else none is sent."""
    observer = sdk.observer(**options)
    async with (
        Simulator() as sim,
        AnyFast(
            KEY, base_url=sim.base_url, model=MODEL, observers=[observer], retry=RetryPolicy(first_hold=0.01)
        ) as client,
    ):
        sim.fail(429)
        await client.complete(PROMPT)
        async with client.stream(PROMPT) as stream:
            await stream.drain()
        sent = [{name.lower(): value for name, value in one.headers.items()} for one in sim.requests]

    found = [headers.get("traceparent") for headers in sent]
    if not goes:
        assert [None] * 3 == found
        return
    ids = [
        f"{span.context.trace_id:032x}-{span.context.span_id:016x}" for span in sdk.spans if span.context is not None
    ]
    assert [ids[0], ids[0], ids[1]] == [str(one)[3:-3] for one in found]


def test_the_gateway_is_foreign() -> None:
    """The default gateway gets no trace unless it is named."""
    observer = OpenTelemetry()

    assert "www.anyfast.ai" not in observer._propagate_to
    with pytest.raises(ConfigurationError, match=r"propagate_to must be a list of hosts, such as \['a.b'\]"):
        OpenTelemetry(propagate_to="a.b")


async def test_a_call_that_was_cancelled_ends_its_span(sdk: Recorded) -> None:
    """No span is left open: cancelled calls, streams that were left, and calls that never went out have ended ones."""
    observer = sdk.observer()
    async with Simulator() as sim, AnyFast(KEY, base_url=sim.base_url, model=MODEL, observers=[observer]) as client:
        sim.stall(after=0)
        call = asyncio.create_task(client.complete(PROMPT))
        while not sim.requests:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with client.stream(PROMPT) as stream:
            await anext(aiter(stream))
        await client.models()
    with pytest.raises(AnyFastError, match="closed"):
        await client.complete(PROMPT)

    assert {} == observer._spans
    assert [("cancelled", True), (None, False), (None, False)] == [
        (about(span).get(names.ERROR_TYPE), span.status.status_code is StatusCode.ERROR) for span in sdk.spans
    ]
    assert "models" == sdk.spans[-1].name
    assert about(sdk.spans[1])[names.REQUEST_STREAM] is True


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where opentelemetry-api is not installed, the error names the extra."""
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(ConfigurationError, match=r"pip install 'anyfast-async\[otel\]'"):
        OpenTelemetry()


async def test_without_an_sdk_nothing_is_recorded() -> None:
    """With opentelemetry-api alone, calls go as they do without it."""
    async with (
        Simulator() as sim,
        AnyFast(KEY, base_url=sim.base_url, model=MODEL, observers=[OpenTelemetry()]) as client,
    ):
        assert (await client.complete(PROMPT)).text
