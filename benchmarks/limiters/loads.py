"""What every limiter is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

REQUESTS, TOKENS = 600, 100_000
"""What all workers together may send in any minute."""
MINUTE = 60.0
ANSWER = 0.5
"""Seconds that an answer takes."""
BEGINS = 50.0
"""Every load begins at this second of a minute: who counts by the minute of the day is not to be lucky."""


@dataclass(frozen=True)
class Work:
    """What a call may take, and what it turns out to take, in tokens."""

    prompt: int
    max_tokens: int
    answer: int

    @property
    def reserved(self) -> int:
        return self.prompt + self.max_tokens

    @property
    def used(self) -> int:
        return self.prompt + self.answer


@dataclass(frozen=True)
class Load:
    """So many callers in each of so many workers; each asks again as soon as it has its answer."""

    name: str
    title: str
    callers: int
    work: Work
    seconds: float
    workers: int = 1
    pace: float | None = None
    """Without limits: each caller calls once in so many seconds."""
    large: Work | None = None
    """A call of another size, by one more caller, once."""
    large_at: float = 70.0
    killed_at: float | None = None
    """When the first of the workers ends by SIGKILL."""


SMALL = Work(prompt=50, max_tokens=50, answer=50)
LOADS = {
    load.name: load
    for load in (
        Load("free", "no limits, 10 calls a second: what a call takes besides", 60, SMALL, 65, pace=6),
        Load("burst", "60 callers from the first second on", 60, SMALL, 125),
        Load("settle", "calls that may take 1 000 tokens and take 300", 60, Work(100, 900, 200), 125),
        Load(
            "large",
            "one call of 90 000 tokens among calls of 5 000",
            10,
            Work(2_500, 2_500, 2_500),
            310,
            large=Work(87_500, 2_500, 2_500),
        ),
        # After the kill the last minute is judged. Where a minute's calls go all at once, their fourth burst begins
        # some seconds after the third minute, and as much later as the first one did, by which a fast clock counts
        # each moment of starting several times: it must not be cut by the end.
        Load("shared", "four processes, one of them killed after two minutes", 15, SMALL, 210, 4, killed_at=120),
    )
}
