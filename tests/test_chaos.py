"""Many calls at once against a server that does everything wrong: to each its own answer, and the ledger is true.

The server is another process and keeps a log (programs/chaos_server.py); every answer carries the tag of its prompt.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from anyfast_async import AnyFast, AnyFastError, Attempt, Limits, RetryPolicy, Timeouts

LONG: Final = bool(os.environ.get("ANYFAST_LONG"))
WIDE: Final = 2000 if LONG else 100
SECONDS: Final = 300 if LONG else 6
ORIGINS: Final = 12
SEED: Final = int(os.environ.get("ANYFAST_SEED", "1"))

pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.timeout(900 if LONG else 60)]


@attrs.define
class Gateway:
    """The running server, and once it has ended what it saw."""

    ports: list[int]
    requests: list[tuple[str, str, int | None, bool]] = attrs.field(factory=list)
    surplus: list[str | None] = attrs.field(factory=list)


@contextlib.contextmanager
def running() -> Iterator[Gateway]:
    program = Path(__file__).parent / "programs" / "chaos_server.py"
    command = [sys.executable, str(program), str(SEED), str(ORIGINS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        gateway = Gateway(json.loads(process.stdout.readline()))
        try:
            yield gateway
            log = json.loads(process.communicate(timeout=60)[0])
            gateway.requests, gateway.surplus = log["requests"], log["surplus"]
        finally:
            process.kill()


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


async def storm(clients: list[AnyFast], seen: Seen) -> None:
    """Keep so many calls in flight for so long; one in ten is cancelled."""
    rolls = random.Random(SEED)
    loop = asyncio.get_running_loop()
    until = loop.time() + SECONDS
    numbers = iter(range(10**9))

    async def worker() -> None:
        while loop.time() < until:
            tag = f"tag-{next(numbers):07}"
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
async def test_no_answer_under_another_prompt_and_no_false_ledger(connect: Callable[..., AnyFast]) -> None:
    """Everybody gets their own answer, whatever 25 kinds of fault do, but where the server's log excuses it.

    Excused is only a surplus that was written when the next request lay in the server's kernel already.
    """
    seen = Seen()
    with running() as gateway:
        root = connect(
            f"http://127.0.0.1:{gateway.ports[0]}/v1",
            limits=Limits(concurrency=WIDE),
            retry=RetryPolicy(backoff=(0.01, 0.1), throttle_patience=5),
            timeouts=Timeouts(connect=5, first_token=2, idle=2, response=2, total=20),
        )
        clients = [root, *(root.with_options(base_url=f"http://127.0.0.1:{port}/v1") for port in gateway.ports[1:])]
        await storm(clients, seen)
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
