"""What every client's file shares: the loads, the clocks, and the one line of JSON that comes out.

It imports next to nothing, since it runs in the environment of each client and in what a cold start times.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import operator
import os
import resource
import sys
import time
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

MODEL = "gemini-2.5-pro"
KEY = "sk-benchmark"
ANSWER = 201
"""Characters of the stub's answer: what a client hands out is looked at, not only counted."""
FIELDS: Mapping[str, Sequence[str]] = {
    "answer": ("id", "object", "created", "model"),
    "choice": ("index", "finish_reason", "logprobs"),
    "usage": ("prompt_tokens", "completion_tokens", "total_tokens"),
    "prompt_tokens_details": ("cached_tokens", "text_tokens", "audio_tokens", "image_tokens"),
    "completion_tokens_details": ("reasoning_tokens", "text_tokens", "audio_tokens"),
}
"""What the stub's answer has beside the message, and every typed client a name for: each client reads all of it."""
TOKEN = 20
"""Characters of every token of a stream."""
OPENED_WITHIN = 90.0
CANCELLED_WITHIN = 20.0
SETTLING = 3.0
"""Seconds: what came while streams were opened is read by then."""


class Client:
    """A client under test. A file overrides what its client can do, each as the client's own documentation shows it."""

    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions are reported."""
    field: Callable[[Any, str], Any] = staticmethod(operator.getitem)
    """Gives a field of what it answers with: a key of dicts; ``getattr`` where it gives objects."""

    def __init__(self, url: str, concurrency: int, variant: str) -> None:
        self.url = url
        self.concurrency = concurrency
        self.variant = variant

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def complete(self, prompt: str) -> tuple[Any, str | None]:
        """Return one answer as the client gives it, and the request id of its headers, None if it does not tell it."""
        raise NotImplementedError

    def read(self, answer: Any) -> str:
        """Read every field of an answer; return its text. For another shape than OpenAI's there is another one."""
        field = self.field
        choice, usage = field(answer, "choices")[0], field(answer, "usage")
        for name in FIELDS["answer"]:
            field(answer, name)
        for name in FIELDS["choice"]:
            field(choice, name)
        for name in FIELDS["usage"]:
            field(usage, name)
        for part in ("prompt_tokens_details", "completion_tokens_details"):
            details = field(usage, part)
            for name in FIELDS[part]:
                field(details, name)
        message = field(choice, "message")
        field(message, "role")
        return field(message, "content") or ""

    async def stream(self, prompt: str, see: Callable[[str], object]) -> None:
        """Hand every text of a streamed answer to *see*."""
        raise NotImplementedError

    async def batch(self, prompts: Iterable[str], see: Callable[[Any], object]) -> None:
        """Hand every answer to *see*, in any order; ``concurrency`` calls at a time; by hand if it has no own way."""
        source = iter(prompts)

        async def worker() -> None:
            for prompt in source:
                answer, _ = await self.complete(prompt)
                see(answer)

        async with asyncio.TaskGroup() as group:
            for _ in range(self.concurrency):
                group.create_task(worker())


def main(kind: type[Client]) -> None:
    """Run the case that the command line holds as JSON, and print what was measured."""
    case = json.loads(sys.argv[1])
    factory = None
    if case.get("loop") == "uvloop":
        import uvloop  # noqa: PLC0415 - only where it is asked for

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            measured = runner.run(run(kind, case))
        except BaseExceptionGroup as group:  # as many of the same as there are workers: one will do
            raise group.exceptions[0] from None
        print(json.dumps(measured | {"versions": versions(kind.packages)}), flush=True)
        if measured.get("stuck"):  # tasks that do not take their cancellation would hold up the end for ever
            os._exit(0)


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of what is installed, Python's own first."""
    return {"python": sys.version.split()[0]} | {name: importlib.metadata.version(name) for name in packages}


async def run(kind: type[Client], case: dict[str, Any]) -> dict[str, Any]:
    """Run one case; its ``load`` names the function below that does it."""
    async with kind(case["url"], case["concurrency"], case.get("variant", "")) as client:
        return await LOADS[case["load"]](client, case)


# -- clocks ----------------------------------------------------------------------------------------------------------


class Clocks:
    """CPU of this process, user and system, all threads, and wall time, between two points."""

    def __init__(self) -> None:
        self.wall = time.perf_counter()
        self.cpu = time.process_time()

    def per(self, count: int) -> dict[str, float]:
        """Return what passed, in microseconds for each of *count*, and the peak of memory."""
        cpu, wall = time.process_time() - self.cpu, time.perf_counter() - self.wall
        return {
            "cpu_us": cpu / count * 1e6,
            "wall_us": wall / count * 1e6,
            "peak_mib": peak_mib(),
        }


def peak_mib() -> float:
    """Return the most memory that this process ever had resident (MiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_kib() -> int:
    """Return the memory that this process has resident now (KiB)."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - pathlib would be imported for it
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which *share* of the ordered values lie."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


# -- loads -----------------------------------------------------------------------------------------------------------


async def workers(count: int, numbers: Iterator[int], work: Callable[[int], Awaitable[None]]) -> None:
    """Have *count* tasks take numbers until there are no more."""

    async def worker() -> None:
        for number in numbers:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(worker())


def asked(prompt: str, **more: Any) -> dict[str, Any]:
    """Return the body of a request, for clients that take it as it is sent."""
    messages = [{"role": "user", "content": prompt}]
    return {"model": MODEL, "messages": messages, "max_tokens": 200, "temperature": 0.7, **more}


def prompt_of(number: int) -> str:
    """Return a prompt like no other."""
    return f"Why is the sky blue, and who asked that for time number {number}?"


def check(client: Client, answer: Any) -> None:
    """Read an answer; refuse one that is not the stub's."""
    text = client.read(answer)
    if len(text) != ANSWER:
        message = f"not the answer that was sent: {text!r}"
        raise ValueError(message)


async def awaited(client: Client, case: dict[str, Any]) -> dict[str, Any]:
    """So many calls at once, as often as ``calls`` says; the first ones open the connections and are not measured."""

    async def call(number: int) -> None:
        answer, _ = await client.complete(prompt_of(number))
        check(client, answer)

    concurrency, calls = case["concurrency"], case["calls"]
    await workers(concurrency, iter(range(2 * concurrency + 50)), call)
    clocks = Clocks()
    await workers(concurrency, iter(range(calls)), call)
    return clocks.per(calls)


async def streamed(client: Client, case: dict[str, Any]) -> dict[str, Any]:
    """So many streams at once, ``calls`` in all; per event."""
    events, calls = case["events"], case["calls"]

    async def read(number: int) -> None:
        texts: list[str] = []
        await client.stream(prompt_of(number), texts.append)
        got = len("".join(texts))
        if got != (events - 2) * TOKEN:  # the first and the last event have no text
            message = f"{got} characters of {(events - 2) * TOKEN}"
            raise ValueError(message)

    await workers(case["concurrency"], iter(range(case["concurrency"])), read)
    clocks = Clocks()
    await workers(case["concurrency"], iter(range(calls)), read)
    return clocks.per(calls * events)


async def opened(client: Client, case: dict[str, Any]) -> dict[str, Any]:
    """Hold many streams open: memory of each, how late their events are seen, and what an event costs."""
    streams = case["calls"]
    late = array(
        "q", bytes(8 * streams * 4 * (case["seconds"] + 1))
    )  # all the memory it will take, before it is weighed
    seen = is_open = failed = 0
    errors: dict[str, str] = {}
    wanted, all_there = 1, asyncio.Event()

    def see(text: str) -> None:
        nonlocal seen, is_open
        if text.isdigit():
            late[seen % len(late)] = time.monotonic_ns() - int(text)
            seen += 1
        elif text:  # the first text of a stream comes at once
            is_open += 1
            count()

    def count() -> None:
        if is_open + failed >= wanted:
            all_there.set()

    async def read(number: int) -> None:
        nonlocal failed
        try:
            await client.stream(prompt_of(number), see)
        except Exception as error:  # noqa: BLE001 - whatever a client raises
            failed += 1
            errors.setdefault(type(error).__name__, str(error))
            count()

    first = asyncio.create_task(read(-1))  # what is loaded at the first stream is not the price of each
    await all_there.wait()
    await asyncio.sleep(1)
    empty, is_open, failed, wanted = resident_kib(), 0, 0, streams
    all_there.clear()
    tasks = [asyncio.create_task(read(number)) for number in range(streams)]
    begin = time.monotonic()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(OPENED_WITHIN):
            await all_there.wait()
    opening = time.monotonic() - begin
    await asyncio.sleep(SETTLING)
    seen = 0
    clocks = Clocks()
    await asyncio.sleep(case["seconds"])
    measured = clocks.per(max(seen, 1))
    full = resident_kib()
    ordered = sorted(late[:seen])
    for task in (first, *tasks):
        task.cancel()
    _, stuck = await asyncio.wait((first, *tasks), timeout=CANCELLED_WITHIN)
    return measured | {
        "opened": is_open,
        "failed": failed,
        "opening_s": opening,
        "events": seen,
        "stuck": len(stuck),
        "errors": errors,
        "kib_per_stream": (full - empty) / streams,
        "p50_us": quantile(ordered, 0.5) / 1000 if ordered else None,
        "p99_us": quantile(ordered, 0.99) / 1000 if ordered else None,
    }


async def batched(client: Client, case: dict[str, Any]) -> dict[str, Any]:
    """Many prompts, the way the client's users write it."""
    calls = case["calls"]
    done = 0

    def see(answer: Any) -> None:
        nonlocal done
        check(client, answer)
        done += 1

    await client.batch((prompt_of(number) for number in range(4 * case["concurrency"])), see)
    empty, done = resident_kib(), 0
    clocks = Clocks()
    await client.batch((prompt_of(number) for number in range(calls)), see)
    measured = clocks.per(calls)
    return measured | {"done": done, "failed": calls - done, "grown_mib": measured["peak_mib"] - empty / 1024}


async def troubled(client: Client, case: dict[str, Any]) -> dict[str, Any]:
    """Calls to a gateway that refuses some or is late with some: how long each took, and how many failed."""
    took: list[float] = []
    kinds: dict[str, int] = {}

    async def call(number: int) -> None:
        begin = time.perf_counter()
        try:
            answer, _ = await client.complete(prompt_of(number))
            check(client, answer)
        except Exception as error:  # noqa: BLE001 - whatever a client raises
            kinds[type(error).__name__] = kinds.get(type(error).__name__, 0) + 1
        else:
            took.append((time.perf_counter() - begin) * 1000)

    await call(-1)  # what is loaded at the first call is no trouble of the gateway's
    await asyncio.sleep(0.5)
    took.clear()
    kinds.clear()
    clocks = Clocks()
    await workers(case["concurrency"], iter(range(case["calls"])), call)
    measured = clocks.per(case["calls"])
    took.sort()
    return measured | {
        "total_s": measured["wall_us"] * case["calls"] / 1e6,
        "failed": sum(kinds.values()),
        "errors": kinds,
        "p50_ms": quantile(took, 0.5) if took else None,
        "p99_ms": quantile(took, 0.99) if took else None,
    }


async def cold(client: Client, case: dict[str, Any]) -> dict[str, Any]:
    """One call; whoever started this process measures it from there."""
    answer, _ = await client.complete(prompt_of(case["calls"]))
    check(client, answer)
    return {"peak_mib": peak_mib()}


LOADS: dict[str, Callable[[Client, dict[str, Any]], Awaitable[dict[str, Any]]]] = {
    "await": awaited,
    "stream": streamed,
    "open": opened,
    "batch": batched,
    "trouble": troubled,
    "cold": cold,
}
