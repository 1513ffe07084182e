"""What conftest.py forbids the code under test: blocking the event loop, and talking to anything but this machine."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from blockbuster import BlockingError

import anyfast_async

BLOCKING = {
    "time.sleep": "import time; time.sleep(0)",
    "io.open": "import pathlib; pathlib.Path(__file__).read_bytes()",
    "builtins.open": "open(__file__)",
    "os.stat": "import os; os.stat(__file__)",
    "os.fsync": "import os; os.fsync(0)",
    "socket.getaddrinfo": "import socket; socket.getaddrinfo('localhost', 80)",
    "socket.socket.recv": "import socket\nwith socket.socket() as one: one.recv(1)",
    "subprocess.Popen.__init__": "import subprocess; subprocess.run(['true'])",
    "lock.acquire": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
}
"""What blocks, and a program that does it."""


def planted(program: str, file: str | None = None) -> tuple[CodeType, dict[str, Any]]:
    """Return a program as if it stood in a file, by default in one of the package."""
    path = file or str(Path(anyfast_async.__file__).with_name("planted.py"))
    return compile(program, path, "exec"), {"__file__": __file__}


@pytest.mark.parametrize("call", BLOCKING)
async def test_blocking_call_fails(call: str) -> None:
    """A call of the package that blocks the loop it runs in fails, and is named."""
    with pytest.raises(BlockingError, match=f"^Blocking call to {call}$"):
        exec(*planted(BLOCKING[call]))  # noqa: S102 - the programs above


async def test_blocking_call_in_a_thread() -> None:
    """In a thread, the same call is right."""
    await asyncio.to_thread(exec, *planted(BLOCKING["io.open"]))


async def test_blocking_call_of_a_test() -> None:
    """A test may block its loop."""
    exec(*planted(BLOCKING["io.open"], __file__))  # noqa: S102 - the program above


def test_no_loop_no_blocking() -> None:
    """Without a loop there is nothing to block."""
    exec(*planted(BLOCKING["io.open"]))  # noqa: S102 - the program above


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
async def test_other_machines_are_out_of_reach(host: str) -> None:
    """Connecting and sending to another machine fails before anything is sent, and so does listening to others."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tcp, socket.socket(family, socket.SOCK_DGRAM) as udp:
        tcp.setblocking(False)
        with pytest.raises(AssertionError, match=f"a test tried to reach {host}"):
            tcp.connect_ex((host, 443))
        with pytest.raises(AssertionError, match=f"a test tried to reach {host}"):
            await asyncio.get_running_loop().sock_connect(tcp, (host, 443))
        with pytest.raises(AssertionError, match=f"a test tried to reach {host}"):
            udp.sendto(b"x", (host, 53))
        with pytest.raises(AssertionError, match="a test tried to reach"):
            tcp.bind(("::" if ":" in host else "0.0.0.0", 0))  # noqa: S104 - that is what is refused


async def test_other_names_are_unknown() -> None:
    """A name that is not this machine's is looked up nowhere; localhost is."""
    with pytest.raises(socket.gaierror, match="not known"):
        socket.getaddrinfo("example.com", 443)
    with pytest.raises(socket.gaierror, match="not known"):
        socket.gethostbyname("example.com")
    assert await asyncio.to_thread(socket.getaddrinfo, "localhost", 80)
