"""What happened in a stretch of a run's time: noted in its log while it runs, read by the report. Pure.

Stretches grow with the run, so that a log has some hundreds of them for a run of any length, and a run that is killed
loses what happened in its last minute at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Self

import attrs

from anyfast_async._core.histogram import Histogram
from anyfast_async._core.usage import Used

NOTE: Final = "figures"
"""What a record of a stretch is called in the log."""
_SHORTEST, _LONGEST = 0.25, 60.0
_SHARE: Final = 40
"""A stretch is this part of the time before it."""


def width_after(seconds: float) -> float:
    """Return how long a stretch is that begins *seconds* after the start of its run."""
    return min(_LONGEST, max(_SHORTEST, seconds / _SHARE))


@attrs.define
class ModelFigures:
    """What came of the rows that were sent to one model."""

    answered: int = 0
    failed: int = 0
    priced: int = 0
    """Answers that say what they used."""
    used: Used = Used(0, 0)
    """By all of them."""
    latency: Histogram = attrs.field(factory=Histogram)
    """Seconds per answered row: waiting, every attempt and the pauses between them included."""
    queue: Histogram = attrs.field(factory=Histogram)
    """Of these, waiting for our own limits."""
    first_token: Histogram = attrs.field(factory=Histogram)
    """Seconds from sending to the first content, where answers are streamed."""

    def add_used(self, used: Used) -> None:
        """Count what an answer used."""
        self.priced += 1
        self.used = Used(*map(sum, zip(self.used, used, strict=True)))

    def merge(self, other: ModelFigures) -> None:
        """Count what *other* has counted."""
        self.answered += other.answered
        self.failed += other.failed
        self.priced += other.priced
        self.used = Used(*map(sum, zip(self.used, other.used, strict=True)))
        for name in ("latency", "queue", "first_token"):
            getattr(self, name).merge(getattr(other, name))

    def as_json(self) -> list[Any]:
        """Return it as a JSON value."""
        times = [one.as_list() if one.count else [] for one in (self.latency, self.queue, self.first_token)]
        return [self.answered, self.failed, self.priced, list(self.used), *times]

    @classmethod
    def of_json(cls, value: list[Any]) -> Self:
        """Return what :meth:`as_json` told."""
        answered, failed, priced, used, *times = value
        return cls(answered, failed, priced, Used(*used), *map(Histogram.of_list, times))


@attrs.define
class Stretch:
    """What happened in a stretch of time, and what was sampled in it."""

    run: float = 0.0
    """When its run began, as Unix time: runs are told apart by it."""
    start: float = 0.0
    """Seconds after that, as the next one."""
    end: float = 0.0
    models: dict[str, ModelFigures] = attrs.field(factory=dict)
    """By the model that was asked."""
    retried: Counter[str] = attrs.field(factory=Counter)
    """Attempts that were followed by another one, of rows that ended here: by outcome, and HTTP status if any."""
    throttled: int = 0
    """Of these, those that the gateway throttled."""
    in_doubt: int = 0
    """Attempts that ended in an error and may have cost money."""
    samples: int = 0
    in_flight: int = 0
    """Sum over the samples, as the next one."""
    queued: int = 0
    peak: int = 0
    """Most calls in flight in any sample."""
    held: int = 0
    """Samples in which throttling held calls back."""
    limits: Counter[str] = attrs.field(factory=Counter)
    """Samples by what limited the run, as in ``limited_by``; ``""`` for nothing of ours."""

    def model(self, name: str) -> ModelFigures:
        """Return what to count the rows of a model in."""
        found = self.models.get(name)
        if found is None:
            found = self.models[name] = ModelFigures()
        return found

    def merge(self, other: Stretch) -> None:
        """Count what *other* has counted; the times stay."""
        for name, figures in other.models.items():
            self.model(name).merge(figures)
        self.retried.update(other.retried)
        self.limits.update(other.limits)
        self.peak = max(self.peak, other.peak)
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON value; what is zero is left out."""
        values: dict[str, Any] = {"run": self.run, "from": round(self.start, 3), "to": round(self.end, 3)}
        values["models"] = {name: figures.as_json() for name, figures in self.models.items()}
        values |= {"retried": dict(self.retried), "limits": dict(self.limits)}
        values |= {name: getattr(self, name) for name in ("peak", *_NUMBERS)}
        return {name: value for name, value in values.items() if value or name in ("run", "from", "to")}

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_json` told."""
        models = {name: ModelFigures.of_json(figures) for name, figures in value.get("models", {}).items()}
        made = cls(value["run"], value["from"], value["to"], models)
        made.retried.update(value.get("retried", {}))
        made.limits.update(value.get("limits", {}))
        for name in ("peak", *_NUMBERS):
            setattr(made, name, value.get(name, 0))
        return made


_NUMBERS: Final = ("throttled", "in_doubt", "samples", "in_flight", "queued", "held")
