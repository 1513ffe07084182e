"""What one part of a test measured. Pure: every time is an argument, of one clock that goes forward.

Names as vLLM's ``bench serve`` and NVIDIA's AIPerf define them. TTFT: to the first piece with content (text, thoughts
or a tool call). TPOT: (last piece - first piece) / (tokens - 1), per answer; AIPerf calls it ITL. ITL: between one
piece and the next, over all; AIPerf calls it inter chunk latency. They count from sending; here TTFT and the whole
count from when the request was *due*: what a slow answer holds up is not left out (coordinated omission). From sending
is told beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import attrs

from anyfast_async.cli.bench.arrivals import Load
from anyfast_async.cli.bench.histogram import Times
from anyfast_async.cli.bench.validity import Checks

PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0)
METRICS: Final = ("first_token", "first_token_sent", "per_token", "between", "whole")
"""Attributes of a :class:`Measurement` that are times of answers."""


@attrs.define
class LoadRequest:
    """One request on its way."""

    due: float
    """When it was meant to start."""
    sent: float
    """When it did."""
    first: float | None = None
    last: float = 0.0
    pieces: int = 0
    gaps: list[float] = attrs.field(factory=list)

    def arrived(self, now: float) -> None:
        """Take in that a piece with content came."""
        if self.first is None:
            self.first = now
        else:
            self.gaps.append(now - self.last)
        self.last = now
        self.pieces += 1


@attrs.frozen
class Said:
    """What an answer says of itself; None: nothing."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    held: bool = False
    """Whether it waited in this client before it was sent."""


@attrs.define
class Measurement:
    """What was measured of one load.

    Args:
        load: what was offered.
        begins: from when on requests count: those that were due before are the warm-up.
        until: to when requests are started.

    """

    load: Load
    begins: float
    until: float
    first_token: Times = attrs.field(factory=Times)
    """TTFT, from when the request was due."""
    first_token_sent: Times = attrs.field(factory=Times)
    """TTFT, from sending."""
    per_token: Times = attrs.field(factory=Times)
    """TPOT."""
    between: Times = attrs.field(factory=Times)
    """ITL."""
    whole: Times = attrs.field(factory=Times)
    """To the last piece, from when the request was due."""
    checks: Checks = attrs.field(factory=Checks)
    answered: int = 0
    failed: Counter[str] = attrs.field(factory=Counter)
    """By the kind of the error."""
    examples: dict[str, str] = attrs.field(factory=dict)
    """What the first error of each kind said, the warm-up's included."""
    warmed: int = 0
    """Requests of the warm-up, which count nowhere."""
    left: int = 0
    """In flight when the test was ended."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0
    """Answers that do not say how many tokens they have: their pieces are taken for tokens."""
    done: int = 0
    """Answers that ended between *begins* and *until*, whenever they were asked for."""
    done_tokens: int = 0
    """Of those."""

    @property
    def requests(self) -> int:
        """Those that count and have ended."""
        return self.answered + self.failed.total()

    @property
    def seconds(self) -> float:
        """From the warm-up's end on, as long as requests were started."""
        return max(0.0, self.until - self.begins)

    @property
    def throughput(self) -> float:
        """Answers a second, while requests were started: neither the warm-up nor what is left at the end slows it."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def token_throughput(self) -> float:
        """Tokens of answers a second, counted with the end of each answer."""
        return self.done_tokens / self.seconds if self.seconds else 0.0

    def counts(self, asked: LoadRequest) -> bool:
        """Tell whether a request is none of the warm-up."""
        return asked.due >= self.begins

    def begun(self, asked: LoadRequest) -> None:
        """Take in that a request was sent."""
        if self.counts(asked):
            self.checks.start_delay.add(asked.sent - asked.due)

    def ended(self, asked: LoadRequest, now: float, said: Said) -> None:
        """Take in that a request was answered."""
        tokens = asked.pieces if said.completion_tokens is None else said.completion_tokens
        if self.begins <= now <= self.until:
            self.done += 1
            self.done_tokens += tokens
        if not self.counts(asked):
            self.warmed += 1
            return
        if asked.first is None:
            self.failed["empty"] += 1
            return
        self.answered += 1
        self.first_token.add(asked.first - asked.due)
        self.first_token_sent.add(asked.first - asked.sent)
        self.whole.add(asked.last - asked.due)
        for gap in asked.gaps:
            self.between.add(gap)
        self.uncounted += said.completion_tokens is None
        if tokens > 1 and asked.pieces > 1:
            self.per_token.add((asked.last - asked.first) / (tokens - 1))
        self.prompt_tokens += said.prompt_tokens or 0
        self.completion_tokens += tokens

    def failure(self, asked: LoadRequest, kind: str, said: str = "") -> None:
        """Take in that a request failed, and what the error *said*."""
        self.examples.setdefault(kind, said)
        if self.counts(asked):
            self.failed[kind] += 1
        else:
            self.warmed += 1

    def verdict(self) -> list[str]:
        """Return why the figures are not those of the gateway, an empty list if they are."""
        return self.checks.problems(self.first_token.percentile(50), self.per_token.percentile(50))

    def as_json(self, round_to: Callable[[float | None], float | None]) -> dict[str, Any]:
        """Return it for a program; times in seconds."""
        return {
            "rate": self.load.rate,
            "concurrency": self.load.concurrency,
            "arrivals": self.load.arrivals if self.load.rate is not None else None,
            "seconds": round_to(self.seconds),
            "requests": self.requests,
            "answered": self.answered,
            "failed": dict(self.failed),
            "errors": self.examples,
            "warm_up": self.warmed,
            "left": self.left,
            "throughput": round_to(self.throughput),
            "token_throughput": round_to(self.token_throughput),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "tokens_counted_as_pieces": self.uncounted,
            **{name: _times_json(getattr(self, name), round_to) for name in METRICS},
            "valid": not self.verdict(),
            "invalid_because": self.verdict(),
            "self_check": self.checks.as_json(round_to),
        }


def _times_json(times: Times, round_to: Callable[[float | None], float | None]) -> dict[str, Any]:
    return {
        "count": times.count,
        "mean": round_to(times.mean),
        **{f"p{percent:g}": round_to(times.percentile(percent)) for percent in (*PERCENTILES, 99.9)},
        "max": round_to(times.longest if times.count else None),
        "hdr": times.encoded() if times.count else None,
    }
