"""The command as users start it: in this process, in another one, and on a terminal of its own."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import signal
import struct
import sys
import termios
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import pytest

from anyfast_async.cli import main
from anyfast_async.simulator import Latency, Simulator

SECONDS = 60.0


@attrs.frozen
class Ran:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Anyfast: TypeAlias = Callable[..., Ran]
"""``anyfast("chat", "Hi", stdin="...")``."""


@pytest.fixture
def anyfast(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Anyfast:
    """Runs the command in this process."""

    def run(*arguments: object, stdin: str = "") -> Ran:
        path = tmp_path / "stdin"
        path.write_text(stdin, encoding="utf-8")
        with path.open(encoding="utf-8") as file, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", file)
            code = main([str(argument) for argument in arguments])
        path.unlink()
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


class Started:
    """A command in a process of its own, on a terminal of its own if wanted."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int | None) -> None:
        self.process = process
        self._terminal = terminal
        self._shown = b""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def type(self, text: str) -> None:
        """Type *text* on its terminal."""
        assert self._terminal is not None
        os.write(self._terminal, text.encode())

    async def ended(self) -> Ran:
        """Wait for its end."""
        if self._terminal is not None:
            await self.shows(None)
            return Ran(await self.process.wait(), self.screen, "")
        out, err = await asyncio.wait_for(self.process.communicate(), SECONDS)
        assert self.process.returncode is not None
        return Ran(self.process.returncode, out.decode(), err.decode())

    @property
    def screen(self) -> str:
        """All that the terminal was sent so far."""
        return self._shown.decode(errors="replace")

    async def shows(self, text: str | None) -> None:
        """Wait until the terminal shows *text*; None: until nothing comes any more."""
        assert self._terminal is not None
        until = time.monotonic() + SECONDS
        while text is None or text not in self.screen:
            assert time.monotonic() < until, self.screen
            try:
                self._shown += os.read(self._terminal, 65536)
            except BlockingIOError:
                await asyncio.sleep(0.005)
            except OSError:  # the other side is closed
                assert text is None, self.screen
                return


Start: TypeAlias = Callable[..., Awaitable[Started]]
"""``await start("chat", "Hi", terminal=True)``."""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the command in a process of its own, in an empty directory."""
    started: list[Started] = []
    descriptors: list[int] = []

    async def run(
        *arguments: object, terminal: bool = False, stdin: bytes | None = None, **environment: str
    ) -> Started:
        streams: dict[str, Any] = {"stdin": asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE}
        ours = theirs = None
        if terminal:
            ours, theirs = pty.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
            os.set_blocking(ours, False)
            descriptors.append(ours)
            streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        else:
            streams |= {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "anyfast_async",
            *map(str, arguments),
            cwd=tmp_path,
            env={
                **os.environ,
                "TERM": "xterm-256color",
                "PYTHONPATH": "",
                "XDG_STATE_HOME": str(tmp_path / "state"),
                **environment,
            },
            **streams,
        )
        if theirs is not None:
            os.close(theirs)
        if stdin is not None:
            process.stdin.write(stdin)  # type: ignore[union-attr]  # it is a pipe
            process.stdin.close()  # type: ignore[union-attr]
        one = Started(process, ours)
        started.append(one)
        return one

    yield run
    for one in started:
        if one.process.returncode is None:
            one.process.kill()
    for descriptor in descriptors:
        os.close(descriptor)


WriteBatch: TypeAlias = Callable[..., Path]
"""``write_batch("one prompt", "another")``: the path of an input file with the rows r1, r2 ..."""


@pytest.fixture
def write_batch(tmp_path: Path) -> WriteBatch:
    """Writes the input file of a batch."""

    def write(*prompts: str, **body: Any) -> Path:
        path = tmp_path / "in.jsonl"
        values = [
            {
                "custom_id": f"r{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": prompt}], **body},
            }
            for number, prompt in enumerate(prompts, 1)
        ]
        path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
        return path

    return write


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """The gateway that the environment points to, in a thread."""
    with Simulator.in_thread() as simulator:
        monkeypatch.setenv("ANYFAST_BASE_URL", simulator.base_url)
        monkeypatch.setenv("ANYFAST_API_KEY", "sk-made-up")
        yield simulator


@pytest.fixture
def slow_gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """One whose answers take a while."""
    with Simulator.in_thread(latency=Latency(ttft=0.05, jitter=0.5)) as simulator:
        monkeypatch.setenv("ANYFAST_BASE_URL", simulator.base_url)
        monkeypatch.setenv("ANYFAST_API_KEY", "sk-made-up")
        yield simulator


@pytest.fixture
def examples() -> Path:
    """The directory of examples."""
    return Path(__file__).parents[2] / "examples"


@pytest.fixture
def closed_gateway(monkeypatch: pytest.MonkeyPatch) -> str:
    """Points the environment to a port where nobody listens; retries do not wait."""
    monkeypatch.setattr("anyfast_async._retry.retries.backoff", lambda *_: 0.0)
    monkeypatch.setenv("ANYFAST_API_KEY", "sk-made-up")
    monkeypatch.setenv("ANYFAST_BASE_URL", "http://127.0.0.1:9/v1")
    return "127.0.0.1"


@pytest.fixture
def bodies(gateway: Simulator) -> Callable[[], list[Any]]:
    """Returns the bodies that the gateway was sent."""
    return lambda: [request.body for request in gateway.requests]
