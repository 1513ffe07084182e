"""Starts the gateway of ``server.py`` in a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs


@attrs.define
class Gateway:
    """The running server, and once it has ended what it saw."""

    ports: list[int]
    requests: list[tuple[str, str, int | None, bool]] = attrs.field(factory=list)
    surplus: list[str | None] = attrs.field(factory=list)


@contextlib.contextmanager
def running(seed: int, origins: int, share: float) -> Iterator[Gateway]:
    """Run *origins* of it, *share* of the answers of which are odd."""
    program = Path(__file__).with_name("server.py")
    command = [sys.executable, str(program), str(seed), str(origins), str(share)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        gateway = Gateway(json.loads(process.stdout.readline()))
        try:
            yield gateway
            log = json.loads(process.communicate(timeout=60)[0])
            gateway.requests, gateway.surplus = log["requests"], log["surplus"]
        finally:
            process.kill()
