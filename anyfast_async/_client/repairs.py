"""Asking for an object until it fits: what ``client.parse(..., repair=)`` does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from anyfast_async._structured.repair import asked_again, can_be_repaired, joined, judged
from anyfast_async.errors import AnyFastError, Attempt, OutputError

if TYPE_CHECKING:
    from anyfast_async._client.calls import Calls
    from anyfast_async.completions import ChatCompletion
    from anyfast_async.messages import Prompt
    from anyfast_async.requests import ChatRequest

T = TypeVar("T")


async def parsed(
    calls: Calls, messages: Prompt | ChatRequest, kind: type[T], options: Mapping[str, Any], repair: int
) -> T:
    """Return the *kind* that an answer describes; one that does not fit is sent back up to *repair* times.

    ``Timeouts.total`` is for all of it.

    Raises:
        OutputError: the last answer does not fit either.
        AnyFastError: a call failed; what was answered before it is its cause.

    """
    loop = asyncio.get_running_loop()
    total, began = calls.timeouts_of(options).total, loop.time()
    request = calls.request(messages, options, kind)
    ledger: tuple[Attempt, ...] = ()
    rejected: list[ChatCompletion] = []
    misfit: OutputError | None = None
    while True:
        try:
            completion = await calls.complete(request, options)
        except AnyFastError as error:
            if misfit is None:
                raise
            error.attempts, error.billed = joined(ledger, error.attempts), "yes"
            raise error from misfit
        try:
            return completion.parse(kind)
        except OutputError as error:
            misfit = error.with_traceback(None)
        ledger = joined(ledger, judged(completion.trace.attempts if completion.trace is not None else ()))
        misfit.attempts, misfit.rejected = ledger, tuple(rejected)
        left = None if total is None else total - (loop.time() - began)
        if len(rejected) == repair or not can_be_repaired(misfit) or (left is not None and left <= 0):
            raise misfit
        if left is not None:
            options = {**options, "timeout": attrs.evolve(calls.timeouts_of(options), total=left)}
        rejected.append(completion)
        request = asked_again(request, misfit)
