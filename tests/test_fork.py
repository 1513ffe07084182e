"""A client that is used on both sides of a fork."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest

from anyfast_async.simulator import Simulator

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

PROGRAM: Final = """
import asyncio, os, sys
from anyfast_async import AnyFast

client = AnyFast("sk-test-0123456789", base_url=sys.argv[1], model="gemini-2.5-pro")

async def child():
    print("child", (await client.complete("from the child")).text, flush=True)
    await client.aclose()

async def parent():
    async with client:
        await client.complete("before")
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(child())
            finally:
                sys.stdout.flush()
                os._exit(0 if sys.exc_info()[0] is None else 1)
        _, status = os.waitpid(pid, 0)
        print("status", status)
        await client.complete("after")
    print("parent done")

asyncio.run(parent())
"""


def test_child_has_connections_of_its_own() -> None:
    """A fork in the middle of a service: the child opens its own connection, and the parent goes on with its."""
    with Simulator.in_thread() as sim:
        for text in ("before", "from the child", "after"):
            sim.reply(text.upper(), when=text)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM, sim.base_url],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        connections = [request.connection for request in sim.requests]

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "child FROM THE CHILD\nstatus 0\nparent done\n"
    assert connections == [1, 2, 1]
