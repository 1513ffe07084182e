"""What an answer is billed for, told from the usage that the gateway reports. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from anyfast_async.completions import Usage
from anyfast_async.errors import Billed


class Used(NamedTuple):
    """Tokens that are paid for."""

    prompt: int
    completion: int
    """Thinking included, also where it is reported beside ``completion_tokens``."""
    cached: int = 0
    """Part of *prompt*."""
    audio: int = 0
    """Part of *prompt*."""
    image: int = 0
    """Part of *completion*."""

    @property
    def tokens(self) -> int:
        """All."""
        return self.prompt + self.completion


SAME_AS: Final = "same_as"
"""In the usage of an answer that was given to more than one row: the row that was sent. The others used nothing."""
_NOTHING: Final = Used(0, 0)
_MOST: Final = 10**15
"""Above this, a number counts no tokens: it is an accident, and what adds it up may hold no such number."""


def used_by(usage: Usage | None) -> Used | None:
    """Return what *usage* says was used, None if it does not say: without a number, or with zeros, it says nothing.

    Nor does it with one number of the two and no total, or with one that is too large for any answer. A number below
    zero is none.
    What the total has beyond prompt and completion is thinking, which is billed as completion.
    """
    if usage is None:
        return None
    prompt, completion, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    if not (prompt and completion and prompt > 0 < completion and total == prompt + completion <= _MOST):
        total = total or 0  # it is not as it should be
        if max(prompt or 0, completion or 0, total) > _MOST or (total <= 0 and None in {prompt, completion}):
            return None
        prompt, completion = max(0, prompt or 0), max(0, completion or 0)
        if total > prompt + completion:
            completion = total - prompt
        if prompt + completion <= 0:
            return _NOTHING if SAME_AS in usage.extra else None
    asked, answered = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = audio = image = 0
    if asked is not None:
        cached, audio = asked.cached_tokens or 0, asked.audio_tokens or 0
    if answered is not None:
        image = answered.image_tokens or 0
    if (cached or audio or image) and not (0 <= cached <= prompt and 0 <= audio <= prompt and 0 <= image <= completion):
        cached, audio, image = (
            max(0, min(part, most)) for part, most in ((cached, prompt), (audio, prompt), (image, completion))
        )
    return Used(prompt, completion, cached, audio, image)


def worst(billed: Iterable[Billed]) -> Billed:
    """Return what several attempts amount to."""
    found = set(billed)
    return "yes" if "yes" in found else "maybe" if "maybe" in found else "no"
