"""What may be heard of the attempts of a call, by who has to see what went over the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol


class Hooks(Protocol):
    """Told of every attempt, in the task that makes it; what they raise ends the call."""

    def on_attempt_start(self) -> None:
        """Hear that a request is about to be sent."""

    def on_attempt_head(self, status: int, headers: Mapping[str, str], hide: Callable[[str], str]) -> None:
        """Hear the head of the answer; *hide* takes the key out of what is shown of it."""

    def on_attempt_end(self, content: bytes) -> None:
        """Hear the body of an answer that was read in one piece."""
