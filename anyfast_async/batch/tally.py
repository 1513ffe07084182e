"""What is counted over a batch. Pure, and of the same size for ten rows and ten million."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import attrs

from anyfast_async._core.histogram import Histogram
from anyfast_async._core.usage import used_by
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import Attempt
from anyfast_async.prices import Spent


def oddity(completion: ChatCompletion) -> Literal["empty", "length"] | None:
    """Return what is odd about an answer, None if nothing is.

    ``"empty"``: neither text nor a tool call nor an image. ``"length"``: what there is was ended by ``max_tokens``.
    """
    if not (completion.text or completion.tool_calls or completion.images):
        return "empty"
    return "length" if completion.finish_reason == "length" else None


@attrs.define
class Tally:
    """How far a batch is."""

    total: int
    """Rows of the input."""
    already: int
    """Of these, answered before this run."""
    answered: int = 0
    """By this run, ``empty`` and ``length`` included."""
    failed: int = 0
    kinds: Counter[str] = attrs.field(factory=Counter)
    """Failed rows by the kind of their error."""
    empty: int = 0
    """Answers with neither text nor a tool call nor an image."""
    length: int = 0
    """Other answers whose finish reason is ``"length"``: max_tokens ended them."""
    retries: int = 0
    """Attempts after the first, over all rows."""
    prompt_tokens: int = 0
    """As the gateway reports them, as the next three."""
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    """Part of ``completion_tokens``."""
    cached_tokens: int = 0
    """Part of ``prompt_tokens``."""
    spent: Spent = attrs.field(factory=Spent)
    """What the answers used by model, for their cost; ``spent.unknown`` of them do not say it."""
    seconds: float = 0.0
    """From the first row to the last result."""
    latency: Histogram = attrs.field(factory=Histogram)
    """Seconds per answered row: waiting for our limits, every attempt and the pauses between them included."""
    first_token: Histogram = attrs.field(factory=Histogram)
    """Seconds from sending to the first content; only with ``via_stream``."""
    queue: Histogram = attrs.field(factory=Histogram)
    """Seconds per answered row of waiting for our own limits; part of ``latency``."""

    @property
    def done(self) -> int:
        """Rows with a result, of this run or an earlier one."""
        return self.already + self.answered + self.failed

    @property
    def left(self) -> int:
        """Rows without a result."""
        return self.total - self.done

    @property
    def tokens(self) -> int:
        """Prompt and completion."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def rate(self) -> float:
        """Rows a second, of this run."""
        return (self.answered + self.failed) / self.seconds if self.seconds > 0 else 0.0

    def count_answer(self, completion: ChatCompletion, model: str = "") -> None:
        """Count an answered row; *model* is the one that was asked."""
        self.answered += 1
        odd = oddity(completion)
        self.empty += odd == "empty"
        self.length += odd == "length"
        usage, used = completion.usage, used_by(completion.usage)
        self.spent.add(model, used)
        if usage is not None and used is not None:
            self.prompt_tokens += used.prompt
            self.completion_tokens += used.completion
            thought, cached = usage.completion_tokens_details, usage.prompt_tokens_details
            self.reasoning_tokens += (thought and thought.reasoning_tokens) or 0
            self.cached_tokens += (cached and cached.cached_tokens) or 0
        trace = completion.trace
        if trace is not None:
            self._count_retries(trace.attempts)
            self.latency.add(trace.total)
            self.queue.add(trace.queue)
            if trace.first_token is not None:
                self.first_token.add(trace.first_token)

    def count_failure(self, kind: str, attempts: tuple[Attempt, ...]) -> None:
        """Count a failed row."""
        self.failed += 1
        self.kinds[kind] += 1
        self._count_retries(attempts)

    def _count_retries(self, attempts: tuple[Attempt, ...]) -> None:
        self.retries += max(0, len(attempts) - 1)
