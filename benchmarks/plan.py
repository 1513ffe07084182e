"""What is measured, and with whom: workloads and clients, as tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REFERENCE = "raw_aiohttp"
"""The client that counts as 1.00."""


@dataclass(frozen=True)
class Workload:
    """A load on the clients (a function of ``clients/measure.py``), and how the stub answers it."""

    name: str
    title: str
    load: str
    calls: int
    concurrency: int = 64
    unit: str = "call"
    stub: dict[str, Any] = field(default_factory=dict)
    case: dict[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ("cpu_us", "wall_us", "peak_mib")
    """What is shown; the first one is what the clients are compared by."""
    slow_part: int = 8
    """Slow clients do this part of the calls."""
    streams: bool = False
    most_rounds: int = 99
    compared: bool = True
    """Whether what the reference takes is a measure for the others."""


def streamed(name: str, title: str, **stub: Any) -> Workload:
    """Return a workload of whole streams of 200 events."""
    return Workload(
        name, title, "stream", 1024, unit="event", stub={"events": 200, **stub}, case={"events": 200}, streams=True
    )


def held_open(count: int) -> Workload:
    """Return a workload of streams that stay open, each with an event a second, in bursts of 100 streams."""
    stub = {"mode": "paced", "events": 1_000_000, "interval_us": 1_000_000, "burst": 100, "stamp": 1}
    title = f"{count} open streams, one event a second each, 100 streams at a time"
    columns = ("kib_per_stream", "p50_us", "p99_us", "cpu_us", "opened", "failed", "opening_s")
    case, rest = {"seconds": 5}, {"slow_part": 1, "streams": True, "most_rounds": 12}
    return Workload(f"open-{count}", title, "open", count, count, "event", stub, case, columns, **rest)


def throttled(name: str, title: str, **stub: int) -> Workload:
    """Return a workload against a gateway that takes 100 requests a second."""
    columns = ("total_s", "failed", "requests", "refused", "cpu_us")
    stub = {"limit": 20, "window_ms": 200, **stub}
    return Workload(name, title, "trouble", 500, stub=stub, columns=columns, slow_part=1, most_rounds=3, compared=False)


def weighed(count: int) -> Workload:
    """Return a batch whose memory is looked at; it is done in full, so once."""
    title = f"Memory of a batch of {count} prompts, 64 in flight"
    columns = ("grown_mib", "peak_mib", "cpu_us", "wall_us", "failed")
    return Workload(
        f"batch-{count}", title, "batch", count, columns=columns, slow_part=1, most_rounds=1, compared=False
    )


BATCH = ("cpu_us", "wall_us", "grown_mib", "peak_mib", "failed")
TROUBLE = ("p50_ms", "p99_ms", "total_s", "failed", "cpu_us")

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("await-1", "One completion at a time", "await", 2000, 1),
        Workload("await-64", "Completions, 64 in flight", "await", 5000, 64),
        Workload("await-512", "Completions, 512 in flight", "await", 8000, 512),
        streamed("stream-once", "A stream of 200 events written at once, 64 in flight", mode="once"),
        streamed("stream-each", "A stream of 200 events, one write each, 64 in flight", mode="each"),
        Workload(
            "stream-paced",
            "A stream of 100 events, one every 20 ms, 64 in flight",
            "stream",
            64,
            unit="event",
            stub={"events": 100, "mode": "paced", "interval_us": 20_000},
            case={"events": 100},
            slow_part=1,
            streams=True,
        ),
        held_open(2000),
        held_open(5000),
        Workload("batch", "A batch of 50 000 prompts, 64 in flight", "batch", 50_000, columns=BATCH),
        weighed(10_000),
        weighed(100_000),
        Workload("import", "Import, in a fresh process", "import", 1, 1, "import", columns=("cpu_us", "wall_us")),
        Workload(
            "cold", "Fresh process to first answer", "cold", 1, 1, "run", columns=("cpu_us", "wall_us", "peak_mib")
        ),
        throttled(
            "throttled", "500 calls, 100 a second are taken, 429 with Retry-After: 1 for the others", retry_after=1
        ),
        throttled("throttled-silent", "500 calls, 100 a second are taken, 429 without Retry-After for the others"),
        Workload(
            "tail",
            "One answer in a hundred takes 2 s, the others 20 ms, 64 in flight",
            "trouble",
            3000,
            stub={"delay_ms": 20, "tail_ms": 2000, "tail_every": 100},
            columns=TROUBLE,
            slow_part=2,
            most_rounds=3,
        ),
    )
}


@dataclass(frozen=True)
class Peer:
    """A client: the environment it runs in, and what it can do."""

    name: str
    """Its file in ``clients/``."""
    title: str
    statement: str
    """How it is imported, for the import workload."""
    needs: str = ""
    """The requirements file of its environment; the interpreter of this program if it is empty."""
    calls: tuple[str, ...] = ("",)
    """Variants that make a difference where nothing is streamed."""
    streams: tuple[str, ...] = ("",)
    """Variants that make a difference in streams."""
    lacks: frozenset[str] = frozenset()
    """Loads that it has nothing for."""
    slow: bool = False
    python: str = ""
    """The version of Python that it needs, if not any: its ``python3.x`` is looked for on the path."""


OPENAI = "from openai import AsyncOpenAI"
STREAMS = frozenset({"stream", "open"})

PEERS = {
    peer.name: peer
    for peer in (
        Peer("ours", "anyfast_async", "from anyfast_async import AnyFast", streams=("tokens", "chunks")),
        Peer("raw_aiohttp", "bare aiohttp + orjson", "import aiohttp"),
        Peer("raw_protocol", "bare asyncio.Protocol + orjson", "", lacks=frozenset({"import", "trouble"})),
        Peer("pyreqwest_http", "pyreqwest + orjson", "from pyreqwest.client import ClientBuilder", "pyreqwest"),
        Peer("wreq_http", "wreq + orjson", "import wreq", "wreq"),
        Peer(
            *("lothc_http", "lothc", "import lothc", "lothc"),
            calls=("struct", "dict"),
            lacks=STREAMS,
            python="3.13",
        ),
        Peer("impit_http", "impit + orjson", "import impit", "impit", lacks=STREAMS),
        Peer("primp_http", "primp + orjson", "import primp", "primp", lacks=STREAMS),
        Peer("openai_sdk", "openai", OPENAI, "openai", calls=("", "aiohttp"), streams=("", "aiohttp"), slow=True),
        Peer("litellm_sdk", "litellm", "from litellm import acompletion", "litellm", slow=True),
        Peer("langchain", "langchain-openai", "from langchain_openai import ChatOpenAI", "langchain", slow=True),
        Peer("lm_deluge_sdk", "lm-deluge", "from lm_deluge import LLMClient", "lm_deluge", lacks=STREAMS, slow=True),
    )
}


def title_of(entry: str) -> str:
    """Return the title of a client as the command line names it."""
    name, _, how = entry.partition(":")
    return f"{PEERS[name].title}, {how}" if how else PEERS[name].title
