"""What the tests share: a simulator and a client on it, a scripted raw server, virtual time, and the guards.

A raw server plays bytes exactly as given, so that faults look as they do on the wire. Tests that wait are marked
``virtual``: an hour passes in milliseconds there, and no socket may be used.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import gc
import importlib
import io
import ipaddress
import json
import os
import selectors
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias
from unittest.mock import patch

import aiohttp
import aioresponses
import attrs
import forbiddenfruit  # type: ignore[import-untyped]  # comes with blockbuster
import pytest
from blockbuster import BlockBuster, BlockBusterFunction
from hypothesis import HealthCheck, settings

from anyfast_async import AnyFast, RequestValidationError, RetryPolicy
from anyfast_async.requests import as_request
from anyfast_async.simulator import Simulator

if TYPE_CHECKING:
    import ssl

sys.path.append(str(Path(__file__).parent / "helpers"))
KEY = "sk-test-0123456789-abcdefgh"
MODEL = "gemini-2.5-pro"
UVLOOP = bool(os.environ.get("TEST_UVLOOP"))

# No test judges by time, on a busy machine least of all.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40)
settings.register_profile("in full", settings.get_profile("any machine"), max_examples=400)
settings.load_profile("in full" if os.environ.get("ANYFAST_LONG") else "any machine")


# -- guards ----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine reaches a test."""
    for name in list(os.environ):
        if name.startswith("ANYFAST_") or name.lower() in (
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
            "netrc",
        ):
            monkeypatch.delenv(name)


def _is_loopback(host: object) -> bool:
    text = host.decode() if isinstance(host, bytes) else host
    if text is None or text == "localhost":
        return True
    try:
        return ipaddress.ip_address(str(text)).is_loopback
    except ValueError:
        return False


def _refuse_address(sock: socket.socket, address: Any) -> None:
    if sock.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
        message = f"a test tried to reach {address[0]}"
        raise AssertionError(message)


def _refuse_name(host: object, *_: object) -> None:
    if not _is_loopback(host):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def _loopback_only(event: str, arguments: tuple[Any, ...]) -> None:
    check = _OUTWARD.get(event)
    if check is not None:
        check(*arguments)


_OUTWARD: dict[str, Callable[..., None]] = {
    "socket.bind": _refuse_address,
    "socket.connect": _refuse_address,
    "socket.sendto": _refuse_address,
    "socket.getaddrinfo": _refuse_name,
    "socket.gethostbyname": _refuse_name,
}

sys.addaudithook(_loopback_only)  # for good: in this process nothing gets further than this machine


class _Every(frozenset[str]):
    """The names of all functions of a file."""

    def __contains__(self, name: object) -> bool:
        return True


OWN_LOOP = ["anyfast_async.batch", "anyfast_async.cli", "anyfast_async.scale"]
"""Edges whose loop serves nobody else: rows are read and results recorded in between."""
MAY_BLOCK: list[tuple[str, Iterable[str]]] = [
    ("anyfast_async/_journal/disk.py", {"replace"}),  # once, when a run ends
    (
        "anyfast_async/_http/api_key.py",
        {"__init__"},
    ),  # a short file, when a client is built: what is wrong with it shows then
    ("anyfast_async/_map/map_run.py", {"_pull", "_pull_in_turn"}),  # what the caller's source does
    ("anyfast_async/simulator/script/script_file.py", {"load_script"}),  # synchronous, and public as that
    (
        "<frozen importlib._bootstrap>",
        {"_find_and_load", "_lock_unlock_module"},
    ),  # once: a module that comes with its first use
    ("coverage/collector.py", {"lock_data"}),
]
RECORDS = ["anyfast_async/_journal/disk.py", "anyfast_async/_journal/journal.py"]
"""Opened and closed once a run, and appended to through the page cache; what waits for the disk is a thread."""
MORE_CALLS = ["builtins.open", "io.open", "os.open", "os.fsync", "socket.getaddrinfo", "subprocess.Popen.__init__"]
"""Besides those that blockbuster knows: reading and writing files, sleeping, locks, sockets that block."""


@pytest.fixture(autouse=True, scope="session")
def _nothing_blocks() -> Iterator[None]:
    """Where a loop runs, a call that blocks it fails if it comes from the package (``blockbuster.BlockingError``)."""
    guard = BlockBuster("anyfast_async", excluded_modules=OWN_LOOP)
    for name in MORE_CALLS:
        guard.functions[name] = BlockBusterFunction(
            None, name, scanned_modules="anyfast_async", excluded_modules=OWN_LOOP
        )
    for name, function in guard.functions.items():
        records: list[tuple[str, Iterable[str]]] = [] if name == "os.fsync" else [(file, _Every()) for file in RECORDS]
        for file, callers in MAY_BLOCK + records:
            function.can_block_in(file, callers)
    guard.activate()
    yield
    guard.deactivate()
    for function in guard.functions.values():
        kept = f"_c_{function.func_name}"
        if hasattr(function.module, kept):  # its wrapper: at the interpreter's end it would outlive what it refers to
            forbiddenfruit.reverse(function.module, kept)


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_arrives() -> None:
    """A run in the background of a script inherits that SIGINT is ignored; the commands that tests start must not."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _descriptors() -> int:
    if not os.path.isdir("/proc/self/fd"):  # noqa: PTH112 - cheap
        return 0
    names = os.listdir("/proc/self/fd")  # noqa: PTH208
    if not UVLOOP:
        return len(names)
    # uvloop opens files of its own when it first needs them, so there it is sockets alone that are counted.
    return sum(map(_is_socket, names))


def _is_socket(name: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{name}").startswith("socket:")  # noqa: PTH115
    except FileNotFoundError:  # the one that lists them
        return False


@pytest.fixture
async def no_leaks() -> AsyncIterator[None]:
    """After the test, tasks and descriptors are those from before it."""
    tasks, descriptors = asyncio.all_tasks(), _descriptors()
    yield
    left: set[asyncio.Task[Any]] = set()
    for _ in range(100):
        left = asyncio.all_tasks() - tasks - {asyncio.current_task()}
        if not left and _descriptors() <= descriptors:
            return
        await asyncio.sleep(0.002)
    assert left == set(), "tasks are left"
    assert _descriptors() <= descriptors, "descriptors are left"


# -- virtual time ----------------------------------------------------------------------------------------------------


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer whenever there is nothing else to do.

    With neither work nor timers nothing can ever happen again: that is a deadlock, and raised as one.
    """

    def __init__(self) -> None:
        super().__init__(selectors.DefaultSelector())
        self.now = 0.0

    def time(self) -> float:
        return self.now

    @property
    def timers(self) -> list[asyncio.TimerHandle]:
        """The timers that are set."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]  # asyncio's heap
        return [handle for handle in scheduled if not handle.cancelled()]

    def _run_once(self) -> None:
        if not self._ready:  # type: ignore[attr-defined]
            scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
            first = scheduled[0] if scheduled else None
            if first is not None and first.cancelled():
                first = min(self.timers, key=asyncio.TimerHandle.when, default=None)
            if first is None:
                message = "deadlock: tasks wait and no timer is set"
                raise RuntimeError(message)
            self.now = max(self.now, first.when())
        super()._run_once()  # type: ignore[misc]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual: runs in virtual time, without sockets")


SLOW_FILES = {
    "test_boundaries.py",
    "test_examples.py",
    "test_garbage.py",
    "test_limits.py",
    "test_load.py",
    "test_lossless.py",
    "test_openai.py",
    "test_proxy.py",
    "test_quirks.py",
    "test_realservers.py",
    "test_retries_matrix.py",
    "test_secrets.py",
    "test_server.py",
    "test_sleep.py",
    "test_chat_stream_cuts.py",
    "test_testing.py",
    "test_tls.py",
    "test_transport.py",
}
"""Matrices, loads and faults over sockets: half of the time of all tests, which `nox -s quick` leaves out."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # "start" runs the command in a process of its own
        if item.path.name in SLOW_FILES or "start" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


REAL_LOOP: Callable[[], asyncio.AbstractEventLoop] = (
    importlib.import_module("uvloop").new_event_loop if UVLOOP else asyncio.new_event_loop
)
"""``nox -s uvloop`` runs the tests on another loop than asyncio's own."""


def pytest_collection_finish() -> None:
    """Twelve thousand tests and all that is imported stay: no collection of garbage goes through them again."""
    gc.collect()
    gc.freeze()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("virtual") is not None:
        return {"virtual": VirtualTimeLoop}
    return {"real": REAL_LOOP}


# -- mocked aiohttp --------------------------------------------------------------------------------------------------


class _Response(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not know an argument of aiohttp 3.14's response (pnuckowski/aioresponses#289)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*args, **kwargs)


@pytest.fixture
def mocked() -> Iterator[aioresponses.aioresponses]:
    """aioresponses, mended for this aiohttp."""
    with patch.object(aioresponses.core, "ClientResponse", _Response), aioresponses.aioresponses() as mock:
        yield mock


# -- servers ---------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class RawRequest:
    """One request as a raw server saw it."""

    method: str
    target: str
    lines: tuple[str, ...]
    """The header lines as sent."""
    body: bytes
    connection: int
    """Number of its connection, from 1."""
    gone: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set when the client closed the connection."""
    written: int = 0
    """Bytes of the answer that the kernel took, by steps that count."""

    @property
    def headers(self) -> dict[str, str]:
        """With lower-case names; of equal names the last."""
        pairs = (line.partition(":") for line in self.lines)
        return {name.lower(): value.strip() for name, _, value in pairs}

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


Step: TypeAlias = "bytes | str | tuple[Any, ...] | Callable[[RawRequest, asyncio.StreamWriter], Awaitable[None]]"
"""``bytes`` to write, ``("sleep", seconds)``, ``("drip", bytes, n)`` n at a time, ``("flood", bytes, times)`` as fast
as the client reads, ``"fin"``, ``"rst"``, ``"hang"`` until the client goes, or a function."""


class RawServer:
    """Plays one script per request; the last one is repeated."""

    def __init__(self, scripts: tuple[list[Step], ...]) -> None:
        self._scripts = scripts
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()
        self.requests: list[RawRequest] = []
        self.connections = 0
        self.played = 0
        """Steps so far."""

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context, limit=2**22)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._handlers):
            task.cancel()
        if self._handlers:
            await asyncio.wait(self._handlers)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self.connections += 1
        try:
            await self._connection(reader, writer, self.connections)
        except asyncio.CancelledError:
            pass  # stop() ends it; a cancelled handler would be reported by asyncio.streams
        finally:
            self._handlers.discard(task)
            writer.transport.abort()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        last: RawRequest | None = None
        try:
            while (request := await self._read(reader, number)) is not None:
                last = request
                script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
                self.requests.append(request)
                for step in script:
                    if writer.is_closing():
                        raise ConnectionResetError  # writing would raise another error on uvloop
                    goes_on = await self._play(step, request, reader, writer)
                    self.played += 1
                    if not goes_on:
                        return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went
        if last is not None:
            last.gone.set()

    @staticmethod
    async def _read(reader: asyncio.StreamReader, number: int) -> RawRequest | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        request = RawRequest(method, target, tuple(lines), b"", number)
        request.body = await reader.readexactly(int(request.headers.get("content-length", 0)))
        return request

    @staticmethod
    async def _play(
        step: Step, request: RawRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Play one step; False if the connection is over."""
        match step:
            case bytes():
                writer.write(step)
                await writer.drain()
            case ("sleep", seconds):
                await asyncio.sleep(seconds)
            case ("drip", data, size):
                for start in range(0, len(data), size):
                    writer.write(data[start : start + size])
                    await asyncio.sleep(0)
            case ("flood", data, times):
                for _ in range(times):
                    writer.write(data)
                    await writer.drain()
                    request.written += len(data)
            case "fin":
                writer.close()
                return False
            case "rst":
                sock = writer.get_extra_info("socket")
                # A linger time of 0 makes closing send RST instead of FIN (socket(7)).
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.close()
                return False
            case "hang":
                await reader.read()
                request.gone.set()
                return False
            case _:
                assert callable(step)
                await step(request, writer)
        return True


class RawServers:
    """Makes raw servers, and the bytes that they play."""

    LAST = b"0\r\n\r\n"
    """The end of a chunked body."""
    DONE = b"data: [DONE]\n\n"

    def __init__(self) -> None:
        self.made: list[RawServer] = []

    async def __call__(self, *scripts: list[Step], context: ssl.SSLContext | None = None) -> RawServer:
        server = RawServer(scripts)
        await server.start(context)
        self.made.append(server)
        return server

    @staticmethod
    def head(status: int = 200, /, **headers: str) -> bytes:
        """A status line and headers; ``content_type=`` is written ``Content-Type:``."""
        lines = [f"HTTP/1.1 {status} X"] + [f"{k.replace('_', '-').title()}: {v}" for k, v in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    @classmethod
    def answer(cls, body: Any, status: int = 200, **headers: str) -> bytes:
        """A whole answer; what is not bytes goes out as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return cls.head(status, **{"content_type": "application/json"} | headers, content_length=str(len(raw))) + raw

    @classmethod
    def completion(cls, text: str = "Hi.", **message: Any) -> bytes:
        """A whole answer that is a completion."""
        return cls.answer(cls.completion_body(text, **message))

    @staticmethod
    def completion_body(text: str = "Hi.", **message: Any) -> dict[str, Any]:
        choice = {"index": 0, "message": {"role": "assistant", "content": text} | message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        head = {"id": "c-1", "object": "chat.completion", "created": 1, "model": MODEL}
        return head | {"choices": [choice], "usage": usage}

    @classmethod
    def stream_head(cls, **headers: str) -> bytes:
        """The head of a chunked event stream."""
        return cls.head(200, **{"content_type": "text/event-stream", "transfer_encoding": "chunked"} | headers)

    @staticmethod
    def chunk(data: bytes) -> bytes:
        """One piece of a chunked body."""
        return f"{len(data):x}\r\n".encode() + data + b"\r\n"

    @staticmethod
    def event(text: str | None = None, finish: str | None = None, **delta: Any) -> bytes:
        """An event with a delta of choice 0."""
        added = delta | ({} if text is None else {"content": text})
        choice = {"index": 0, "delta": added, "finish_reason": finish}
        payload = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}
        return b"data: " + json.dumps(payload).encode() + b"\n\n"

    @classmethod
    def stream(cls, *texts: str, finish: str | None = "stop", done: bool = True) -> bytes:
        """A whole streamed answer, every event in a chunk of its own."""
        events = [cls.event(text) for text in texts]
        events += [cls.event(finish=finish)] if finish else []
        events += [cls.DONE] if done else []
        return cls.stream_head() + b"".join(map(cls.chunk, events)) + cls.LAST


@pytest.fixture
async def raw_server(no_leaks: None) -> AsyncIterator[RawServers]:
    """Makes servers that play exact bytes."""
    servers = RawServers()
    yield servers
    for server in servers.made:
        await server.stop()


@pytest.fixture
async def sim(no_leaks: None) -> AsyncIterator[Simulator]:
    """A gateway on loopback, in the loop of the test."""
    async with Simulator() as simulator:
        yield simulator


Connect: TypeAlias = "Callable[..., AnyFast]"
"""``connect(base_url, **settings)``; retries do not wait."""


@pytest.fixture
async def connect(no_leaks: None) -> AsyncIterator[Connect]:
    """Makes clients, and closes them."""
    clients: list[AnyFast] = []

    def make(base_url: str, **settings: Any) -> AnyFast:
        defaults: Mapping[str, Any] = {"model": MODEL, "retry": RetryPolicy(backoff=(0, 0))}
        client = AnyFast(settings.pop("api_key", KEY), base_url=base_url, **{**defaults, **settings})
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def client(sim: Simulator, connect: Connect) -> AnyFast:
    """A client of the simulator."""
    return connect(sim.base_url)


Until: TypeAlias = "Callable[[Callable[[], bool]], Awaitable[None]]"


@pytest.fixture
def until() -> Until:
    """Waits until a condition holds, for two seconds at the most."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(2):
            while not condition():
                await asyncio.sleep(0.001)

    return wait


# -- checking requests -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _nothing_opened() -> Iterator[None]:
    def refuse(*args: object, **kwargs: object) -> Any:
        opened.append(args)
        raise PermissionError

    opened: list[object] = []
    names = ((builtins, "open"), (os, "open"), (os, "stat"), (io, "open"), (Path, "open"), (Path, "stat"))
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in names:
            patch.setattr(owner, name, refuse)
        yield
    assert [] == opened


NothingOpened: TypeAlias = "Callable[[], contextlib.AbstractContextManager[None]]"


@pytest.fixture
def nothing_opened() -> NothingOpened:
    """Fails if anything is opened or looked up on the disk inside of it."""
    return _nothing_opened


Problems: TypeAlias = "Callable[..., dict[str, str]]"
"""``problems(prompt, **fields)``: what is wrong with a request, by path."""


@pytest.fixture
def problems() -> Problems:
    """Has a bad request checked, without anything being opened, and returns what is wrong with it."""

    def check(prompt: Any, **fields: Any) -> dict[str, str]:
        with pytest.raises(RequestValidationError) as found, _nothing_opened():
            as_request(prompt, fields)
        assert all(error.path in str(found.value) for error in found.value.errors)
        return {error.path: error.problem for error in found.value.errors}

    return check
