"""A simulator in a process of its own that writes down the text of every request as it comes.

Usage: counting_gateway.py LOG SECONDS [ANSWER]. Rows whose text begins with ``bad`` are refused.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from anyfast_async.simulator import Latency, Simulator


async def serve(log: str, seconds: float, answer: str | None = None) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def refused(body: dict[str, Any]) -> bool:
        text: str = body["messages"][-1]["content"]
        os.write(file, text.encode() + b"\n")
        return text.startswith("bad")

    async with Simulator(latency=Latency(ttft=seconds, jitter=0.5), max_recorded=0) as sim:
        sim.fail(400, message="refused", when=refused, times=None)
        if answer is not None:
            sim.reply(answer)
        sys.stdout.write(f"{sim.base_url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(serve(sys.argv[1], float(sys.argv[2]), *sys.argv[3:]))
