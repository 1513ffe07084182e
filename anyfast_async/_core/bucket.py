"""Rate limits as arithmetic on a given ``now``.

:class:`Window` keeps one promise: in no 60 seconds is more taken than the limit. It sums what was taken by slots of a
tenth of a second, and lets a slot go 60 seconds after its end, never early: memory is constant, and at most a sixth
of a percent of the limit is lost to the rounding.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

PERIOD: Final = 60.0
SLOT: Final = 0.1
BYTES_PER_TOKEN: Final = 4
"""Bytes of UTF-8 per token: safe across scripts (English 3.6, Chinese 4.1, Russian 5.8 by o200k), unlike characters."""
TOKENS_PER_MESSAGE: Final = 4


@attrs.define
class _Slot:
    end: float
    amount: float


@attrs.define
class Window:
    """A limit over a sliding window of 60 seconds."""

    limit: float
    _slots: deque[_Slot] = attrs.field(factory=deque, init=False)
    _taken: float = attrs.field(default=0.0, init=False)

    def _expire(self, now: float) -> None:
        while self._slots and self._slots[0].end + PERIOD <= now:
            self._taken -= self._slots.popleft().amount
        if not self._slots:
            self._taken = 0.0  # no rounding error outlives an empty window

    def wait(self, now: float, amount: float) -> float:
        """Return the seconds until *amount* may be taken, 0 if it may be now.

        More than the whole limit may be taken from an empty window only, so that a large request is not starved.
        """
        self._expire(now)
        room = self.limit - self._taken
        if amount <= room or not self._slots:
            return 0.0
        for slot in self._slots:
            room += slot.amount
            if amount <= room:
                return slot.end + PERIOD - now
        return self._slots[-1].end + PERIOD - now

    def take(self, now: float, amount: float) -> _Slot:
        """Take *amount* at *now*; the returned slot is for :meth:`settle`."""
        self._expire(now)
        if not self._slots or self._slots[-1].end <= now:
            self._slots.append(_Slot(now + SLOT, 0.0))
        slot = self._slots[-1]
        slot.amount += amount
        self._taken += amount
        return slot

    def settle(self, now: float, slot: _Slot, difference: float) -> None:
        """Correct what was taken in *slot* by *difference*, once it is known what was really used."""
        self._expire(now)
        if self._slots and slot.end >= self._slots[0].end:
            slot.amount += difference
            self._taken += difference


def tokens_of(text: str) -> int:
    """Estimate the tokens of *text*."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def prompt_tokens(body: bytes, messages: int) -> int:
    """Estimate the tokens of an encoded request."""
    return -(-len(body) // BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * messages


@attrs.define
class Expected:
    """What a model's answers and prompts turn out to be, learned from the usage that the gateway reports."""

    output: float = 400.0
    """Mean tokens of an answer; starts at a long paragraph."""
    prompt_factor: float = 1.0
    """Reported prompt tokens over estimated ones."""
    seen: int = 0

    def tokens(self, prompt: int, max_tokens: int | None) -> float:
        """Return the tokens to reserve for a call."""
        output = self.output if max_tokens is None else min(self.output, max_tokens)
        return prompt * self.prompt_factor + output

    def learn(self, prompt: int, used_prompt: int | None, used_output: int | None) -> None:
        """Take in the usage of one answer; recent ones weigh more, the first few at once."""
        self.seen += 1
        weight = max(0.05, 1 / self.seen)
        if used_output is not None:
            self.output += weight * (used_output - self.output)
        if used_prompt and prompt:
            self.prompt_factor += weight * (used_prompt / prompt - self.prompt_factor)
