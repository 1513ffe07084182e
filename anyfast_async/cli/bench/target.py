"""What is asked in a load test: a gateway, with prompts of one length that are all different."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import click

from anyfast_async._core.usage import used_by
from anyfast_async._values.reasoning import thoughts_of
from anyfast_async.cli.bench.measurement import Said
from anyfast_async.cli.bench.validity import LEAST
from anyfast_async.policies import Limits, RetryPolicy

if TYPE_CHECKING:
    from anyfast_async.client import AnyFast
    from anyfast_async.completions import ChatCompletionChunk

RETRY: Final = RetryPolicy(attempts=1, throttle_patience=0)
"""A load test counts what fails, and does not try again."""
_WORDS: Final = (
    *("amber", "brook", "cedar", "delta", "ember", "fjord", "grove", "harbor", "island", "jetty", "kelp", "lagoon"),
    *(
        "meadow",
        "north",
        "orchard",
        "pebble",
        "quarry",
        "river",
        "stone",
        "tide",
        "upland",
        "valley",
        "willow",
        "yarrow",
    ),
)
"""A token each, or nearly."""
_TASK: Final = "Tell a long story in which these words occur: "
_TASK_TOKENS: Final = 14


def limits(in_flight: int) -> Limits:
    """Return what a client of a load test allows itself: it must never be the one that waits."""
    return Limits(concurrency=in_flight)


def says(chunk: ChatCompletionChunk) -> bool:
    """Tell a piece with content: text, thoughts or a tool call."""
    for choice in chunk.choices:
        delta = choice.delta
        if delta is not None and (delta.content or delta.tool_calls or thoughts_of(delta)):
            return True
    return False


class LoadTarget:
    """Asks a gateway.

    Args:
        client: that is used.
        prompt: of request number so and so.
        fields: of every request.

    """

    def __init__(self, client: AnyFast, prompt: Callable[[int], str], fields: dict[str, Any]) -> None:
        self._client = client
        self._prompt = prompt
        self._fields = fields

    async def __call__(self, number: int, arrived: Callable[[], None]) -> Said:
        """Make one request, and read its answer to the end."""
        async with self._client.stream(self._prompt(number), **self._fields) as stream:
            async for chunk in stream.chunks():
                if says(chunk):
                    arrived()
        completion = stream.completion
        used, trace = used_by(completion.usage), completion.trace
        held = trace is not None and trace.queue > LEAST
        return Said(held=held) if used is None else Said(used.prompt, used.completion, held)


def made_up(tokens: int, seed: int) -> Callable[[int], str]:
    """Return what makes prompts of about so many tokens; no two begin alike, so that no cache answers."""
    count = max(1, tokens - _TASK_TOKENS)

    def prompt(number: int) -> str:
        words = Random(f"{seed} {number}").choices(_WORDS, k=count)  # noqa: S311 - words
        return f"{number:06d}. {_TASK}{' '.join(words)}"

    return prompt


def read(path: str) -> Sequence[str]:
    """Return the prompts of a file, one a line.

    Raises:
        click.UsageError: it cannot be read, or has none.

    """
    try:
        lines = [line for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        message = f"--input {path}: {getattr(error, 'strerror', None) or error}"
        raise click.UsageError(message) from None
    if not lines:
        message = f"--input {path}: there is no prompt in it; write one a line"
        raise click.UsageError(message)
    return lines
