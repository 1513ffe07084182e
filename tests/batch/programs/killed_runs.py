"""Begins the same batch again and again, and kills each run with SIGKILL at a random moment.

Usage: killed_runs.py URL FOLDER KILLS LONGEST CONCURRENCY SEED. The input is in.jsonl in FOLDER; every row that was
reported as done is written to acked. Prints, as JSON, how many runs it took to kill that many.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from anyfast_async import AnyFast
from anyfast_async.batch import BatchRun, RowDone, open_batch, open_source, rows, survey

URL, FOLDER = sys.argv[1], Path(sys.argv[2])
KILLS, LONGEST, CONCURRENCY, SEED = int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]), sys.argv[6]
FOUND = survey(open_source(FOLDER / "in.jsonl"))


async def one_run() -> None:
    acked = os.open(FOLDER / "acked", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def on_row(event: RowDone) -> None:
        text = event.completion.text if event.completion is not None else None
        os.write(acked, json.dumps([event.custom_id, text]).encode() + b"\n")

    files = open_batch(FOLDER / "out.jsonl", FOLDER / "err.jsonl", header={"input": FOUND.sha256}, retry_failed="none")
    with files:
        async with AnyFast("sk-test-0123456789", base_url=URL) as client:
            todo = rows(FOUND, skip=files.done)
            run = BatchRun(client, todo, files, total=FOUND.count, concurrency=CONCURRENCY, on_row=on_row)
            await run.run()
        assert run.stopped is None, run.stopped


def killed(after: float | None) -> bool:
    """Make a run in a child; return whether it had to be killed."""
    child = os.fork()
    if child == 0:
        asyncio.run(one_run())
        sys.exit(0)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "a run failed"
    return False


rand = random.Random(SEED)
kills = runs = 0
while kills < KILLS:  # a run with little to do may be over before it is killed
    kills += killed(LONGEST * rand.random() ** 2)
    runs += 1
assert not killed(None)
sys.stdout.write(json.dumps({"runs": runs}))
