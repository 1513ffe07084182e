"""An answer that does not fit goes back to the model with what is wrong: the request for it, the ledger of both."""

from __future__ import annotations

from typing import Final

import attrs

from anyfast_async.errors import Attempt, OutputError
from anyfast_async.messages import UserMessage
from anyfast_async.requests import ChatRequest

MOST: Final = 10
"""Times that one answer may be sent back."""
_NAMED: Final = 20
"""Places that are named to the model."""


def can_be_repaired(misfit: OutputError) -> bool:
    """Return whether asking again may help.

    What was cut at ``max_tokens`` would be cut again, what was refused or filtered is no mistake, and a tool call wants
    its result.
    """
    answer = misfit.completion
    return answer is not None and answer.outcome == "ok" and bool(answer.text) and not answer.tool_calls


def asked_again(request: ChatRequest, misfit: OutputError) -> ChatRequest:
    """Return the request that shows the model its answer to *request*, and every place that does not fit."""
    assert misfit.completion is not None  # noqa: S101 - can_be_repaired
    named = [f"- {error}" for error in misfit.errors[:_NAMED]]
    more = len(misfit.errors) - len(named)
    listed = "\n".join([*named, *([f"- and {more} more"] if more else [])])
    said = misfit.completion.message
    correction = UserMessage(
        f"Your answer does not fit the JSON schema that was asked for ($ is the whole answer):\n{listed}\n"
        "Answer again: all of the corrected JSON, and nothing else."
    )
    answer = said if said.role else attrs.evolve(said, role="assistant")
    return attrs.evolve(request, messages=(*request.messages, answer, correction))


def judged(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """Return the ledger of a call whose answer does not fit: the attempt that brought it was billed, and in vain."""
    if not attempts or attempts[-1].outcome != "ok":
        return attempts
    return (*attempts[:-1], attrs.evolve(attempts[-1], outcome=OutputError.kind))


def joined(before: tuple[Attempt, ...], after: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """Return the ledger of two calls for one answer."""
    return (*before, *(attrs.evolve(one, number=len(before) + one.number) for one in after))
