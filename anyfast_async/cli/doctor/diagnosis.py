"""From observations to findings. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import attrs

from anyfast_async._values.text import escaped
from anyfast_async.cli.doctor import answer_checks, connection_checks
from anyfast_async.cli.doctor.answer_checks import chunks_of
from anyfast_async.cli.doctor.answer_texts import ANSWERS, Level, Words
from anyfast_async.cli.doctor.connection_checks import Found
from anyfast_async.cli.doctor.connection_texts import CONNECTIONS, unbuffer
from anyfast_async.cli.doctor.error_shapes import error_said
from anyfast_async.cli.doctor.observations import Observations, RawAnswer, events_of

TEXTS: Final[dict[str, Words]] = {**CONNECTIONS, **ANSWERS}
LEVELS: Final[tuple[Level, ...]] = ("problem", "warning", "note", "ok")
"""The worst first."""
PROBES: Final[dict[str, str]] = {
    "whole": "answer in one",
    "stream": "stream",
    "tools": "tool calls in one",
    "tools_stream": "streamed tool calls",
    "thoughts": "stream with thoughts",
}
_DETAIL: Final = 160


@attrs.frozen
class Finding:
    """One thing that was found."""

    name: str
    """What programs know it by."""
    level: Level
    title: str
    detail: str
    """What was seen this time."""
    meaning: str
    advice: str


def diagnosed(seen: Observations) -> list[Finding]:
    """Return what was found, the worst first."""
    found: dict[str, list[str]] = {}
    wrong = connection_checks.wrong_address(seen)
    # What answers there is no gateway: how it takes long heads, or a wrong key, says nothing.
    for one in [*_good(seen), *_odd(seen)] if wrong is None else [connection_checks.proxies(seen), wrong]:
        details = found.setdefault(one.name, [])
        if one.detail and one.detail not in details:
            details.append(one.detail)
    findings = [_finding(name, ", ".join(details), seen) for name, details in found.items()]
    return sorted(findings, key=lambda one: LEVELS.index(one.level))


def counts(findings: list[Finding]) -> dict[Level, int]:
    """Return how many there are of each level."""
    counted = Counter(one.level for one in findings)
    return {level: counted[level] for level in LEVELS}


def _finding(name: str, detail: str, seen: Observations) -> Finding:
    text = TEXTS[name]
    buffered = name in ("streaming-buffered", "streaming-in-lumps")
    advice = unbuffer(connection_checks.on_the_way(seen)) if buffered else text.advice
    return Finding(name, text.level, text.title, detail, text.meaning, advice)


def _odd(seen: Observations) -> Iterator[Found]:
    """What is odd about the answers, with the probes that showed it."""
    for probe, one in seen.answers.items():
        streamed = probe in ("stream", "tools_stream", "thoughts")
        names = list(answer_checks.stream_findings(one) if streamed else answer_checks.whole_findings(one))
        if probe == "tools":
            names += answer_checks.whole_tool_findings(one)
        elif probe == "tools_stream":
            names += answer_checks.stream_tool_findings(one)
        for name in names:
            yield Found(name, PROBES[probe] + _said(name, one))


def _said(name: str, seen: RawAnswer) -> str:
    """What an error says of itself."""
    if TEXTS[name].level != "problem":
        return ""
    said = seen.problem or error_said(seen, events_of(seen) if seen.is_stream else ())
    status = f" {seen.status}" if seen.status is not None and not seen.ok else ""
    return f"{status}: {escaped(said, _DETAIL)}" if said else status


def _good(seen: Observations) -> Iterator[Found]:
    """What is as it should be, and how it is."""
    yield connection_checks.proxies(seen)
    yield from _models(seen)
    stream = seen.answers.get("stream")
    if stream is not None:
        # A stream of thoughts may be the only one that takes its time.
        streams = [stream, *(one for name, one in seen.answers.items() if name == "thoughts")]
        told = [one for one in map(connection_checks.streaming, streams) if one is not None]
        sure = [one for one in told if one.name != "streaming-unknown"]
        yield from (sure or told)[:1]
        for one in (connection_checks.first_token(stream), connection_checks.cut_detection(stream)):
            if one is not None:
                yield one
        yield from _complete(stream)
    tools = seen.answers.get("tools_stream")
    if tools is not None and tools.is_stream and b"tool_calls" in tools.body:
        yield Found("tool-calls")
    left = connection_checks.leaving(seen)
    if left is not None:
        yield left
    yield connection_checks.limit_headers(seen)
    yield from connection_checks.sizes(seen)
    yield from connection_checks.refusals(seen.refusals)


def _models(seen: Observations) -> Iterator[Found]:
    value: Any = seen.models.json() if seen.models.ok else None
    entries = value.get("data") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        yield Found("models-missing", f"status {seen.models.status}")
        return
    yield Found("models", f"{len(entries)}")
    ids = {one.get("id") for one in entries if isinstance(one, dict)}
    if seen.model and seen.model not in ids:
        yield Found("model-unlisted", escaped(seen.model, 80))


def _complete(stream: RawAnswer) -> Iterator[Found]:
    if not stream.ok or not stream.is_stream:
        return
    events = events_of(stream)
    chunks = chunks_of(events)
    if any(one.get("usage") for one in chunks.values):
        yield Found("usage")
    if any(one.is_done for one in events):
        yield Found("done")
    reasons = [str(one["finish_reason"]) for one in chunks.choices() if one.get("finish_reason")]
    if reasons:
        yield Found("finish-reason", escaped(reasons[-1], 40))
