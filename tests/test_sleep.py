"""A process that is stopped in the middle of its work, as a laptop that sleeps, and a gateway that has forgotten it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Final

import pytest

LONG: Final = bool(os.environ.get("ANYFAST_LONG"))

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="stops a process by a signal")

PROGRAM: Final = """
import asyncio, json, sys, time
import anyfast_async._client.in_flight as running
import anyfast_async._clocks.machine_sleep as sleep
from anyfast_async import AnyFast

if sys.argv[2] == "quick":
    running.LOOK = sleep.LOOK = 0.1
    sleep.ASLEEP, running.AWAKE = 0.8, 0.2

async def main():
    async with AnyFast("sk-test-0123456789", base_url=sys.argv[1], model="gemini-2.5-pro") as client:
        async with client.map((str(n) for n in range(120)), concurrency=8) as results:
            async for result in results:
                said = {"ok": result.ok, "attempts": [a.outcome for a in result.attempts], "error": str(result.error)}
                print(json.dumps(said), flush=True)

asyncio.run(main())
"""

ANSWER: Final = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "gemini-2.5-pro",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    },
).encode()


class Gateway:
    """Answers after 50 ms, but not on connections from before it forgot them."""

    def __init__(self) -> None:
        self.forgotten = 0
        self.connections = 0
        self.base_url = ""

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        return server

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                await asyncio.sleep(0.05)
                if number > self.forgotten:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
                    writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.mark.timeout(300 if LONG else 60)
async def test_stopped_process_goes_on_where_it_was() -> None:
    """Stopped in the middle of a map while its connections die silently: it goes on, and no row pays for it."""
    gateway = Gateway()
    server = await gateway.start()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        gateway.base_url,
        "real" if LONG else "quick",
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        rows = [json.loads(await process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGSTOP)
        gateway.forgotten = gateway.connections
        await asyncio.sleep(120 if LONG else 1.5)
        process.send_signal(signal.SIGCONT)
        loop = asyncio.get_running_loop()
        woke = loop.time()
        waited = 0.0
        while line := await process.stdout.readline():
            rows.append(json.loads(line))
            # What was printed before the stop stands in the pipe; the gap is before the first that was sent again.
            if "connection" in rows[-1]["attempts"] and not waited:
                waited = loop.time() - woke
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        server.close()
        await server.wait_closed()

    assert len(rows) == 120
    assert [row["error"] for row in rows if not row["ok"]] == []
    again = [row["attempts"] for row in rows if row["attempts"] != ["ok"]]
    assert 1 <= len(again) <= 8
    assert {tuple(attempts) for attempts in again} == {("connection", "ok")}
    assert waited <= 15
