"""Many calls at once against a server that does everything wrong: to each its own answer, and the ledger is true.

The server is another process and keeps a log (``server.py``); every answer carries the tag of its prompt.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from anyfast_async import AnyFast, AnyFastError, Attempt, Limits, RetryPolicy, Timeouts
from anyfast_async.batch import BatchRun, RowDone, open_batch, open_source, rows, survey

from .gateway import Gateway, running

LONG: Final = bool(os.environ.get("ANYFAST_LONG"))
WIDE: Final = 2000 if LONG else 100
SECONDS: Final = 300 if LONG else 4
ORIGINS: Final = 12
SEED: Final = int(os.environ.get("ANYFAST_SEED", "1"))

pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.timeout(900 if LONG else 60)]


@attrs.define
class Seen:
    """What the callers saw of each call, by its tag."""

    wrong: list[str] = attrs.field(factory=list)
    """Tags of calls that got an answer which is not theirs."""
    ledgers: dict[str, tuple[Attempt, ...]] = attrs.field(factory=dict)
    unknown: list[str] = attrs.field(factory=list)
    """Calls that the caller cancelled: nobody gets their ledger."""
    ends: Counter[str] = attrs.field(factory=Counter)


async def call(client: AnyFast, tag: str, rolls: random.Random, seen: Seen) -> None:
    """Make a call or a stream."""
    expected = f"ok:{tag}"
    try:
        if rolls.random() < 0.4:
            async with client.stream(tag) as stream:
                text = "".join([token async for token in stream])
                completion = stream.completion
        else:
            completion = await client.complete(tag, via_stream=rolls.random() < 0.2)
            text = completion.text
        assert completion.trace is not None
        seen.ledgers[tag] = completion.trace.attempts
        seen.ends["ok"] += 1
    except AnyFastError as error:
        text = error.partial.text if error.partial is not None else ""
        seen.ledgers[tag] = error.attempts
        seen.ends[error.kind] += 1
        expected = expected[: len(text)]
    if text != expected:
        seen.wrong.append(tag)


async def mapped(client: AnyFast, tags: list[str], seen: Seen) -> None:
    """Make a map of all the tags; it raises nothing."""
    async with client.map(tags, concurrency=len(tags)) as results:
        async for result in results:
            tag = tags[result.index]
            seen.ledgers[tag] = result.attempts
            seen.ends["ok" if result.error is None else result.error.kind] += 1
            if result.completion is not None and result.completion.text != f"ok:{tag}":
                seen.wrong.append(tag)


async def batch(client: AnyFast, folder: Path, tags: list[str], seen: Seen) -> None:
    """Make a batch of all the tags, and look at its files."""
    lines = [
        {"custom_id": tag, "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [m]}}
        for tag in tags
        for m in ({"role": "user", "content": tag},)
    ]
    (folder / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = survey(open_source(folder / "in.jsonl"))

    def done(row: RowDone) -> None:
        seen.ledgers[row.custom_id] = row.attempts
        seen.ends["ok" if row.error is None else row.error.kind] += 1
        if row.completion is not None and row.completion.text != f"ok:{row.custom_id}":
            seen.wrong.append(row.custom_id)

    with open_batch(folder / "out.jsonl", folder / "err.jsonl") as files:
        run = BatchRun(client, rows(found, skip=files.done), files, total=found.count)
        tally = await run.run(done)
    assert (tally.answered + tally.failed, run.stopped) == (len(tags), None)
    for line in (folder / "out.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        text = row["response"]["body"]["choices"][0]["message"]["content"]
        if text != f"ok:{row['custom_id']}":
            seen.wrong.append(row["custom_id"])


async def storm(clients: list[AnyFast], seen: Seen, folder: Path) -> None:
    """Keep so many calls in flight for so long, maps among them and a batch beside; one in ten is cancelled."""
    rolls = random.Random(SEED)
    loop = asyncio.get_running_loop()
    until = loop.time() + SECONDS
    numbers = iter(range(10**9))

    async def worker() -> None:
        while loop.time() < until:
            tag = f"tag-{next(numbers):07}"
            if rolls.random() < 0.02:
                await mapped(rolls.choice(clients), [tag, *(f"tag-{next(numbers):07}" for _ in range(4))], seen)
                continue
            task = loop.create_task(call(rolls.choice(clients), tag, rolls, seen))
            if rolls.random() < 0.1:
                await asyncio.wait({task}, timeout=rolls.uniform(0, 0.2))
                task.cancel()
            await asyncio.wait({task})
            if task.cancelled():
                seen.unknown.append(tag)
            else:
                task.result()

    async with asyncio.TaskGroup() as group:
        group.create_task(
            batch(clients[0], folder, [f"row-{number:07}" for number in range(WIDE if not LONG else 10 * WIDE)], seen)
        )
        for _ in range(WIDE):
            group.create_task(worker())


def differences(gateway: Gateway, seen: Seen) -> dict[str, Any]:
    """Return where a ledger says something else than the server's log."""
    at_work: Counter[str] = Counter(tag for tag, _, _, refused in gateway.requests if not refused)
    answered: dict[str, Counter[int]] = {}
    for tag, _, status, _ in gateway.requests:
        if status is not None:
            answered.setdefault(tag, Counter())[status] += 1
    excused = {tag for tag in gateway.surplus if tag is not None}
    found: dict[str, Any] = {}
    for tag, ledger in seen.ledgers.items():
        billed = sum(attempt.billed != "no" for attempt in ledger)
        told = Counter(attempt.status_code for attempt in ledger if attempt.status_code is not None)
        # Nothing that the server worked on is called free, and no status is told that it did not answer.
        if (at_work[tag] > billed or told - answered.get(tag, Counter())) and tag not in excused:
            found[tag] = (ledger, [entry for entry in gateway.requests if entry[0] == tag])
    return found


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.filterwarnings("ignore:.*sends more than the answers:UserWarning")
async def test_no_answer_under_another_prompt_and_no_false_ledger(
    connect: Callable[..., AnyFast], tmp_path: Path
) -> None:
    """Everybody gets their own answer, whatever 25 kinds of fault do, but where the server's log excuses it.

    Excused is only a surplus that was written when the next request lay in the server's kernel already.
    """
    seen = Seen()
    with running(SEED, ORIGINS, 0.25) as gateway:
        root = connect(
            f"http://127.0.0.1:{gateway.ports[0]}/v1",
            limits=Limits(concurrency=WIDE),
            retry=RetryPolicy(backoff=(0.01, 0.1), throttle_patience=5),
            timeouts=Timeouts(connect=5, first_token=2, idle=2, response=2, total=20),
        )
        clients = [root, *(root.with_options(base_url=f"http://127.0.0.1:{port}/v1") for port in gateway.ports[1:])]
        await storm(clients, seen, tmp_path)
        assert root.stats().in_flight == root.stats().queued == 0
        await root.aclose()
    excused = {tag for tag in gateway.surplus if tag is not None}
    print(  # noqa: T201 - the figures
        f"{len(seen.ledgers)} calls, {len(seen.unknown)} cancelled, {len(gateway.requests)} requests, "
        f"{len(gateway.surplus)} surplus ({len(excused)} excused), ends {dict(seen.ends)}"
    )

    assert [tag for tag in seen.wrong if tag not in excused] == []
    assert differences(gateway, seen) == {}
    assert seen.ends["ok"] > 0.5 * len(seen.ledgers)
    assert {deed for _, deed, _, _ in gateway.requests} >= {"stalls", "cut_in_the_body"}
