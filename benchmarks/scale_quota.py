"""One quota over four workers of Dask, one killed and one added, as the gateway counts: ``nox -s scale_runs``.

    python benchmarks/scale_quota.py [--store valkey|none] [--rows N] [requests] [tokens]

``run_sharded`` on a real scheduler, with 600 requests and 100 000 tokens a minute; of *requests* the requests bind, of
*tokens* the tokens. With a store each worker asks it; without one limits are divided. A third through, a worker is
killed, and ten seconds later another one joins. What was used is counted in whole minutes, after the first and before
the last: a limit's first minute may be sent at once, and the last one is not full.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from dask_cluster import KEY, running
from shared_processes import PROMPT, REQUESTS, TOKENS, Arrival, Gateway, Store, worst

WORKERS = 4
WINDOW = 61.2
"""Seconds in which the limit is granted once: a minute and the slack of a store."""
LENGTHS = {"requests": 100, "tokens": 390}


def write_rows(path: Path, rows: int, length: int) -> None:
    """Write an input."""
    with path.open("w") as file:
        for n in range(rows):
            body = {"messages": [{"role": "user", "content": f"row-{n}:0:how far is it?"}], "max_tokens": length}
            line = {"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")


def send(address: str, folder: Path, store: str | None, say: Callable[[str], None]) -> int:
    """Send all rows; return how often a worker was lost."""
    from distributed import Client  # noqa: PLC0415 - after the cluster is there

    from anyfast_async import Limits  # noqa: PLC0415
    from anyfast_async.scale import BatchSettings, run_sharded  # noqa: PLC0415

    limits = Limits(requests_per_minute=REQUESTS, tokens_per_minute=TOKENS, store=store)
    settings = BatchSettings(model="model", limits=limits, concurrency=200)
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(WORKERS)
        executor = client.get_executor(pure=False)
        result = run_sharded(
            folder / "in.jsonl", folder / "out.jsonl", settings, executor=executor, slots=WORKERS, shards=16, say=say
        )
    if result.exit_code:
        message = f"the run ended with {result.exit_code}: {result.stopped}"
        raise RuntimeError(message)
    return result.lost


async def run(name: str, kind: str, rows: int) -> list[str]:
    """Print the row of a run; return what was out of bounds."""
    gateway = Gateway()
    with tempfile.TemporaryDirectory(prefix="af") as made:
        folder = Path(made)
        store = None if kind == "none" else Store(kind, folder)
        server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        write_rows(folder / "in.jsonl", rows, LENGTHS[name])
        try:
            with running(folder, url) as cluster:
                for number in range(WORKERS):
                    cluster.worker(str(number))
                address = None if store is None else store.url
                sending = asyncio.create_task(
                    asyncio.to_thread(send, cluster.address, folder, address, lambda said: print("  ", said))
                )
                while len(gateway.arrived) < rows / 3 and not sending.done():  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                cluster.stop("0")
                await asyncio.sleep(10)
                cluster.worker(str(WORKERS))
                lost = await sending
        finally:
            server.close()
            if store is not None:
                store.end()
        answered = [json.loads(line)["custom_id"] for line in (folder / "out.jsonl").open()]
    return judge(name, kind, rows, gateway.arrived, answered, lost)


def judge(  # noqa: PLR0917
    name: str, kind: str, rows: int, arrived: list[Arrival], answered: list[str], lost: int
) -> list[str]:
    """Print what was seen; return what was out of bounds."""
    requests, tokens = worst([(one.at, 1) for one in arrived]), worst([(one.at, one.tokens) for one in arrived])
    began = arrived[0].at
    seconds = arrived[-1].at - began
    whole = int(seconds / WINDOW)
    by_minute = [[0, 0] for _ in range(whole + 1)]
    for one in arrived:
        place = int((one.at - began) / WINDOW)
        by_minute[place][0] += 1
        by_minute[place][1] += one.tokens
    shares = [max(n / REQUESTS, cost / TOKENS) for n, cost in by_minute[1:whole]]
    used = sum(shares) / len(shares) if shares else math.nan
    again = sum(n - 1 for n in Counter(one.who for one in arrived).values())
    print(f"| {name} | {kind} | {rows} | {seconds:.0f} | {requests} | {tokens} | {used:.1%} | {again} | {lost} |")
    ends = [one.at for one in arrived]
    full = max(ends, key=lambda end: sum(one.tokens for one in arrived if end - 60 < one.at <= end)) - began
    first = Counter(one.who for one in arrived if full - 60 < one.at - began <= full)
    resent = sum(n - 1 for n in first.values())
    print(f"   the fullest minute ends after {full:.1f} s, {resent} of its requests were made for the second time")
    print("   minute by minute:", " ".join(f"{n}/{cost}" for n, cost in by_minute), flush=True)
    wrong = []
    if requests > REQUESTS or tokens > TOKENS:
        wrong.append(f"{name}: {requests} requests, {tokens} tokens in 60 s")
    if not used >= 0.95 and kind != "none":
        wrong.append(f"{name}: {used:.1%} used")
    if Counter(answered) != Counter(f"r{n}" for n in range(rows)):
        wrong.append(f"{name}: rows lost, or there twice")
    return wrong


def main() -> None:
    """Make the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN", help=", ".join(LENGTHS))
    parser.add_argument("--store", default="valkey", choices=("valkey", "redis", "sqlite", "none"))
    parser.add_argument("--rows", type=int, default=3600)
    given = parser.parse_args()
    print("| binds | store | rows | seconds | worst 60 s | tokens in 60 s | used | again | lost |", flush=True)
    wrong = []
    for name in given.runs or LENGTHS:
        rows = given.rows if name == "requests" else int(given.rows * TOKENS / REQUESTS / (PROMPT + LENGTHS[name]))
        wrong += asyncio.run(run(name, given.store, rows))
    print("\n".join(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    assert KEY
    main()
