"""Builds the stub gateway when it is first needed, and runs it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("stub.c")


class NoStubError(RuntimeError):
    """The stub gateway cannot be built here."""


def cache() -> Path:
    """Return the folder for what is built or installed on demand; ``ANYFAST_BENCH_CACHE`` names another one."""
    named = os.environ.get("ANYFAST_BENCH_CACHE")
    folder = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "anyfast-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def build() -> Path:
    """Return the stub's program, compiled if its source is new.

    Raises:
        NoStubError: there is no C compiler, this is not Linux, or the source does not compile.

    """
    if sys.platform != "linux":
        message = f"the stub gateway needs epoll, which is Linux's; this is {sys.platform}"
        raise NoStubError(message)
    source = SOURCE.read_bytes()
    program = cache() / f"stub-{hashlib.sha256(source).hexdigest()[:16]}"
    if program.exists():
        return program
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        message = "the stub gateway is a C program and there is no compiler: install one, or name it in CC"
        raise NoStubError(message)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        fresh = Path(folder) / "stub"
        command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(fresh), str(SOURCE)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the C compiler
        if ended.returncode:
            message = f"{compiler} could not build the stub gateway:\n{ended.stderr}"
            raise NoStubError(message)
        fresh.replace(program)  # whole or not at all: two runs may build at once
    return program


class Stub:
    """A running stub: where it listens, and, when it has ended, what it counted."""

    def __init__(self, port: int, pid: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.pid = pid
        self.counts: dict[str, Any] = {}


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Have what is started inside run on one core only, where the system can do that."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    if core in allowed:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextmanager
def running(*, core: int | None = None, **options: int | str) -> Iterator[Stub]:
    """Run a stub; options are those of ``stub.c`` without their dashes. It ends with this process at the latest."""
    command = [str(build())]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    with on_core(core):
        process = start(command)
    with process:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            message = f"the stub gateway did not start: {' '.join(command)}"
            raise NoStubError(message)
        stub = Stub(int(first), process.pid)
        try:
            yield stub
        finally:
            rest, _ = process.communicate()  # closes its input, which ends it
            stub.counts = json.loads(rest)


def start(command: list[str]) -> subprocess.Popen[str]:
    """Start a stub."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)  # noqa: S603 - what build() has built


if __name__ == "__main__":
    by_hand = start([str(build()), *sys.argv[1:]])
    assert by_hand.stdout is not None
    print(f"http://127.0.0.1:{by_hand.stdout.readline().strip()}/v1", flush=True)
    try:
        by_hand.wait()
    except KeyboardInterrupt:
        print(by_hand.communicate()[0].strip())
