"""One answer: asked for, shown while it comes, and what is said of it afterwards."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from anyfast_async._core.usage import Used, used_by
from anyfast_async._values.text import counted, duration
from anyfast_async.cli.display.terminal import is_live, say, shown, write
from anyfast_async.prices import Prices, Spent

if TYPE_CHECKING:
    from anyfast_async.client import AnyFast
    from anyfast_async.completions import ChatCompletion
    from anyfast_async.messages import JSON


class AnswerView(Protocol):
    """Where an answer is shown."""

    def add(self, text: str) -> None:
        """Take in what came."""


class PlainView:
    """Writes what comes, as it comes."""

    def __init__(self) -> None:
        self._last = "\n"

    def add(self, text: str) -> None:
        """Write it."""
        write(shown(text))
        self._last = text

    def stop(self) -> None:
        """End the line."""
        if not self._last.endswith("\n"):
            write("\n")


@asynccontextmanager
async def shown_answer(*, plain: bool) -> AsyncIterator[AnswerView]:
    """Open the place where an answer is shown: formatted on a terminal, unless it is to be *plain*, else as it is."""
    if plain or not is_live(sys.stdout):
        lines = PlainView()
        try:
            yield lines
        finally:
            lines.stop()
        return
    from anyfast_async.cli.display.markdown import MarkdownView  # noqa: PLC0415 - rich, which a pipe needs not

    view = MarkdownView()
    view.start()
    drawing = asyncio.create_task(_draw(view))
    try:
        yield view
    finally:
        drawing.cancel()
        view.stop()


async def _draw(view: Any) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        view.draw()
        # A block of hundreds of lines takes a while each time: the answer has four fifths of the time.
        await asyncio.sleep(max(view.EVERY, 4 * (clock() - began)))


async def streamed(
    client: AnyFast, messages: Sequence[JSON], model: str, options: dict[str, Any], *, plain: bool
) -> ChatCompletion:
    """Ask for an answer, show it as it comes, and return it whole.

    Raises:
        AnyFastError: there is none, or not all of it; what came of it was shown.

    """
    async with shown_answer(plain=plain) as view, client.stream(messages, model=model, **options) as stream:
        async for token in stream:
            view.add(token)
    completion: ChatCompletion = stream.completion
    return completion


def facts(completion: ChatCompletion, model: str, prices: Prices | None) -> str:
    """Return how long an answer took and what it used, on one line; a cost only where it is known."""
    trace, used = completion.trace, used_by(completion.usage)
    parts = []
    if trace is not None:
        parts += [f"first token {duration(trace.first_token)}"] if trace.first_token is not None else []
        parts.append(f"{duration(trace.total)} in all")
    if used is None:
        return ", ".join([*parts, "tokens not told"])
    parts.append(f"tokens {counted(used.prompt)} + {counted(used.completion)}")
    spent = Spent()
    spent.add(model, used)
    cost = spent.cost(prices)
    if prices is not None and cost is not None:
        parts.append(prices.shown(cost))
    return ", ".join(parts)


def totals(answers: Sequence[tuple[str, Used]], prices: Prices | None) -> str:
    """Return what the answers of a session have used, on one line; a cost only where all of it is known."""
    spent = Spent()
    for model, used in answers:
        spent.add(model, used)
    prompt, completion = (
        sum(values) for values in zip(*((used.prompt, used.completion) for _, used in answers), strict=True)
    )
    parts = [f"{counted(len(answers))} answers", f"tokens {counted(prompt)} + {counted(completion)}"]
    cost = spent.cost(prices)
    if prices is not None and cost is not None:
        parts.append(f"{prices.shown(cost)} ({prices.source})")
    return f"in all: {', '.join(parts)}"


def say_what_is_odd(completion: ChatCompletion) -> None:
    """Say what is odd about an answer that did not fail."""
    diagnosis = completion.diagnosis
    if diagnosis is not None:
        say(f"({diagnosis})" if completion.text else diagnosis)
