"""``run_shard``: one shard on one worker, wherever its files are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from anyfast_async.scale.lease import LeaseLostError
from anyfast_async.scale.object_store import is_address
from anyfast_async.scale.settings import BatchSettings, Turn
from anyfast_async.scale.shard import ShardRun
from anyfast_async.scale.shard_result import ShardResult, said_of
from anyfast_async.scale.stored_shard import run_stored

if TYPE_CHECKING:
    from os import PathLike

    from anyfast_async.batch.input.survey import Survey


def run_shard(
    input: str | PathLike[str],  # noqa: A002 - what it is
    output: str | PathLike[str],
    settings: BatchSettings = BatchSettings(),  # noqa: B008 - frozen
    *,
    found: Survey | None = None,
    turn: Turn | None = None,
) -> ShardResult:
    """Send the rows of one file and write their answers into another, as ``anyfast batch`` does; wait for the end.

    For any engine that calls a function somewhere: it takes paths and plain values and returns counts, and it can be
    called again after whatever happened to the call before. Rows with an answer are not sent again. Of several calls
    for one output only one works at a time, wherever they run: it has a lease, kept up by a heartbeat in
    ``OUTPUT.shard/``; the others wait until it ends, or stands still for ``settings.lease`` seconds. One that is cut
    off from the files sends nothing any more before that time is over.

    Args:
        input: a file of rows, of any kind that ``anyfast batch`` reads without a template. It must not change.
        output: the answers; beside it failed rows (``OUTPUT.errors.jsonl``) and the log (``OUTPUT.run``). They are
            put there when a call ends in order; meanwhile they grow in ``OUTPUT.shard/``. Both may be addresses in an
            object store (``s3://bucket/out.jsonl``, the extra ``[fsspec]``): what is there is copied to a temporary
            folder of the worker, and what has been answered is copied back every ``settings.copy_every`` seconds.
        settings: how rows are sent.
        found: the input, looked at already; None: it is looked at now.
        turn: what this call may do, where its limits are a part of others'; None: what *settings* say.

    Returns:
        What became of it. Errors are in it, as words, and not raised: engines change exceptions on their way.

    """
    try:
        if is_address(input) or is_address(output):
            return run_stored(str(input), str(output), settings, found, turn or _whole(settings))
        return ShardRun(Path(input), Path(output), settings, found, turn or _whole(settings)).run()
    except asyncio.CancelledError:
        return ShardResult(status="interrupted")
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not travel as it is
        return ShardResult(status="lost" if isinstance(error, LeaseLostError) else "stopped", stopped=said_of(error))


def _whole(settings: BatchSettings) -> Turn:
    budget = settings.budget
    return Turn(
        limits=settings.limits,
        concurrency=settings.concurrency,
        tokens=None if budget is None else budget.tokens,
        usd=None if budget is None else budget.usd,
        requests=None if budget is None else budget.requests,
        budget=None if budget is None else budget.name,
    )
