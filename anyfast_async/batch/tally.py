"""What is counted over a batch. Pure, and of the same size for ten rows and ten million."""

from __future__ import annotations

from collections import Counter

import attrs

from anyfast_async._core.histogram import Histogram
from anyfast_async._core.usage import used_by
from anyfast_async._limits.spent import Spent
from anyfast_async._values.outcome import Outcome
from anyfast_async.batch.counts import Counts, Standing
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import Attempt


@attrs.define
class Tally:
    """How far a batch is."""

    total: int
    """Rows of the input."""
    already: int
    """Of these, not to be sent by this run: they have a result that stays."""
    answered: int = 0
    """By this run, ``empty`` and ``length`` included."""
    failed: int = 0
    """In this run."""
    kinds: Counter[str] = attrs.field(factory=Counter)
    """Rows that failed in this run by the kind of their error."""
    empty: int = 0
    """Answers of this run with neither text nor a tool call nor an image."""
    length: int = 0
    """Other answers of this run whose finish reason is ``"length"``: max_tokens ended them."""
    unsent: int = 0
    """Of the failed rows of this run, those of which nothing was sent."""
    same: int = 0
    """Of the rows of this run, those that were not sent because an equal one was."""
    carried: int = 0
    """Rows that were answered by an earlier run of the same command."""
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
    """From the first row to the end of the run, or to now while it goes on; by the clock on the wall."""
    latency: Histogram = attrs.field(factory=Histogram)
    """Seconds per answered row: waiting for our limits, every attempt and the pauses between them included."""
    first_token: Histogram = attrs.field(factory=Histogram)
    """Seconds from sending to the first content; only with ``via_stream``."""
    queue: Histogram = attrs.field(factory=Histogram)
    """Seconds per answered row of waiting for our own limits; part of ``latency``."""
    file: Counts = attrs.field(default=attrs.Factory(lambda self: self._counts(), takes_self=True))
    """What stands in the files for the rows of the input, whichever run wrote it."""

    def _counts(self) -> Counts:
        good = self.already + self.answered - self.empty - self.length
        outcomes: dict[Outcome, int] = {
            "ok": good,
            "empty": self.empty,
            "cut": self.length,
            "failed": self.failed,
        }
        return Counts(Counter(outcomes), Counter(self.kinds))

    @property
    def answered_before(self) -> int:
        """Rows whose answer was there before the command began, and stays."""
        return max(0, self.file.answered - self.answered - self.carried)

    @property
    def done(self) -> int:
        """Rows that this run need not send any more."""
        return self.already + self.answered + self.failed

    @property
    def left(self) -> int:
        """Rows that this run has still to send, or to hear of."""
        return self.total - self.done

    @property
    def without(self) -> int:
        """Rows without a result in the files."""
        return self.total - self.file.results

    @property
    def tokens(self) -> int:
        """Prompt and completion."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def rate(self) -> float:
        """Rows a second, of those that this run has sent."""
        return self.sent / self.seconds if self.seconds > 0 else 0.0

    @property
    def sent(self) -> int:
        """Rows that this run has sent and that have ended."""
        return max(0, self.answered + self.failed - self.unsent - self.same)

    def carry_on(self, before: Tally) -> None:
        """Count what an earlier run of the same command did, too: answers, attempts, tokens and what they cost."""
        self.carried += before.answered
        self.retries += before.retries
        self.prompt_tokens += before.prompt_tokens
        self.completion_tokens += before.completion_tokens
        self.reasoning_tokens += before.reasoning_tokens
        self.cached_tokens += before.cached_tokens
        self.spent = before.spent

    def count_answer(self, completion: ChatCompletion, before: Standing | None = None, model: str = "") -> None:
        """Count an answered row; *before* is what stood in the files for it, *model* the one that was asked."""
        self.answered += 1
        outcome = completion.outcome
        self.empty += outcome == "empty"
        self.length += outcome == "cut"
        self.file.add(Standing(outcome), before)
        self.count_usage(completion, model)
        trace = completion.trace
        if trace is not None:
            self._count_retries(trace.attempts)
            self.latency.add(trace.total)
            self.queue.add(trace.queue)
            if trace.first_token is not None:
                self.first_token.add(trace.first_token)

    def count_usage(self, completion: ChatCompletion, model: str) -> None:
        """Count what an answer used, one that does not fit included."""
        usage, used = completion.usage, used_by(completion.usage)
        self.spent.add(model, used)
        if usage is not None and used is not None:
            self.prompt_tokens += used.prompt
            self.completion_tokens += used.completion
            thought, cached = usage.completion_tokens_details, usage.prompt_tokens_details
            self.reasoning_tokens += (thought and thought.reasoning_tokens) or 0
            self.cached_tokens += (cached and cached.cached_tokens) or 0

    def count_failure(self, kind: str, attempts: tuple[Attempt, ...], before: Standing | None = None) -> None:
        """Count a failed row; *before* is what stood in the files for it."""
        self.failed += 1
        self.unsent += not attempts
        self.kinds[kind] += 1
        self.file.add(Standing("failed", kind), before)
        self._count_retries(attempts)

    def _count_retries(self, attempts: tuple[Attempt, ...]) -> None:
        self.retries += max(0, len(attempts) - 1)
