"""Kept connections on which something lies when they are used again: a second answer, a refusal, their end.

``data/cases/reuse.json`` holds what a server says late and what has to come of it. The server is in a thread and the
caller does not let its loop turn until what is late lies in the kernel: nothing has read it then.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import ssl
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import pytest
import trustme

from anyfast_async import AnyFast, AnyFastError, RetryPolicy

if TYPE_CHECKING:
    from conftest import Connect, RawServers

TABLE: Final[list[Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "cases" / "reuse.json").read_text(encoding="utf-8")
)
CALLS: Final = 1000 if os.environ.get("ANYFAST_LONG") else 100
AGAIN: Final = RetryPolicy(backoff=(0, 0))

pytestmark = pytest.mark.filterwarnings("ignore:.*sends more than the answers to its requests")


class Late:
    """A server in threads that says something after its answers.

    Args:
        raw: makes answers.
        given: a row's input.
        context: for TLS.

    """

    def __init__(self, raw: RawServers, given: dict[str, Any], context: ssl.SSLContext | None = None) -> None:
        self._raw = raw
        self._given = given
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.port = self._listening.getsockname()[1]
        self.requests: list[str] = []
        self.connections = 0
        self.due = self.over = 0
        """How often it will say something late, and has done so."""

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                self._open.append(sock)
                self._threads.append(threading.Thread(target=self._serve, args=(sock,), daemon=True))
                self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            for number in range(1, 10**6):
                text = self._read(sock)
                if not getattr(self, f"_{self._given['recipe']}")(sock, self._answer(text), number):
                    break
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
        self.over = max(self.over, self.due)

    def _read(self, sock: socket.socket) -> str:
        data = b""
        while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < self._length(data):
            came = sock.recv(65536)
            if not came:
                raise ConnectionResetError
            data += came
        content = json.loads(data.partition(b"\r\n\r\n")[2])["messages"][0]["content"]
        self.requests.append(content)
        return str(content)

    @staticmethod
    def _length(data: bytes) -> int:
        return int(data.lower().partition(b"content-length:")[2].split()[0])

    def _answer(self, text: str) -> bytes:
        if self._given.get("stream"):
            events = self._raw.event(f"ok:{text}") + self._raw.event(finish="stop") + self._raw.DONE
            return self._raw.stream_head() + self._raw.chunk(events) + self._raw.LAST
        return self._raw.completion(f"ok:{text}")

    def _late_surplus(self, sock: socket.socket, answer: bytes, _: int) -> bool:
        self.due += 1
        sock.sendall(answer)
        time.sleep(self._given["after"])
        surplus = self._given["surplus"]
        sock.sendall(answer if surplus == "copy" else surplus.encode())
        self.over += 1
        return True

    def _idle_close(self, sock: socket.socket, answer: bytes, number: int) -> bool:
        if number < self._given.get("answers", 1):
            sock.sendall(answer)
            return True
        self.due += 1
        sock.sendall(answer)
        return False

    def _idle_answer(self, sock: socket.socket, answer: bytes, _: int) -> bool:
        self.due += 1
        sock.sendall(answer)
        if select.select([sock], [], [], self._given["after"])[0]:
            self.over += 1
            return True
        sock.sendall(self._given["says"].encode())
        return False


async def seen_by(client: AnyFast, server: Late, given: dict[str, Any], calls: int) -> Counter[str]:
    """What *calls* calls in a row have come to, with the caller at work in between."""
    clients = [client] + [client.with_options(api_key=f"sk-another-{n}") for n in range(1, given.get("keys", 1))]
    seen: Counter[str] = Counter()
    for number in range(calls):
        one, tag = clients[number % len(clients)], f"call-{number}"
        try:
            answer = await (one.stream(tag).drain() if given.get("stream") else one.complete(tag))
        except AnyFastError:
            seen["failed"] += 1
        else:
            seen["right" if answer.text == f"ok:{tag}" else "wrong"] += 1
            seen["doubled"] += answer.trace is not None and len(answer.trace.attempts) > 1
        until = time.monotonic() + 2
        while given.get("work") and server.over < server.due and time.monotonic() < until:
            time.sleep(0.0005)  # noqa: ASYNC251 - the loop must not turn
    return seen


@pytest.mark.parametrize("row", TABLE, ids=[row["name"] for row in TABLE])
async def test_reuse(connect: Connect, raw_server: RawServers, row: dict[str, Any]) -> None:
    """What came before a request was written is no answer to it, and no reason to send it twice."""
    given, expect = row["input"], row["expect"]
    policy = AGAIN if "retry" in row.get("call", {}) else RetryPolicy(attempts=1)
    with Late(raw_server, given) as server:
        client = connect(f"http://127.0.0.1:{server.port}", retry=policy)
        seen = await seen_by(client, server, given, given["calls"])

    limits = {name: expect[name] for name in ("wrong", "failed", "doubled") if name in expect and given.get("work")}
    assert {} == {name: seen[name] for name, most in limits.items() if seen[name] > most}
    assert (0, given["calls"]) == (seen["wrong"], seen["right"] + seen["failed"])


COPY: Final = {"recipe": "late_surplus", "surplus": "copy", "after": 0.005, "work": 0.02}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextlib.contextmanager
def served(
    raw: RawServers, connect: Connect, given: dict[str, Any], authority: trustme.CA | None, **settings: Any
) -> Iterator[tuple[Late, AnyFast]]:
    """A server and a client of it, with TLS if there is an authority."""
    context: ssl.SSLContext | None = None
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        settings["ssl_context"] = ssl.create_default_context()
        authority.configure_trust(settings["ssl_context"])
    scheme = "http" if authority is None else "https"
    with Late(raw, given, context) as server:
        yield server, connect(f"{scheme}://localhost:{server.port}", **settings)


@pytest.mark.reliability
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.timeout(300)
async def test_no_surplus_is_an_answer(
    connect: Connect, raw_server: RawServers, authority: trustme.CA, tls: bool
) -> None:
    """1000 calls to a server that says every answer twice, the second time 5 ms late: each gets its own, none fails."""
    with served(raw_server, connect, COPY, authority if tls else None) as (server, client):
        seen = await seen_by(client, server, COPY, CALLS)
    assert Counter(right=CALLS, doubled=0) == seen


@pytest.mark.reliability
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.timeout(300)
async def test_no_call_is_sent_twice_for_a_connection_that_was_closed(
    connect: Connect, raw_server: RawServers, authority: trustme.CA, tls: bool
) -> None:
    """1000 calls to a server that closes after each answer without saying so: one attempt each, no trust is lost."""
    given = {"recipe": "idle_close", "work": 0.02}
    with warnings.catch_warnings(), served(raw_server, connect, given, authority if tls else None) as (server, client):
        warnings.simplefilter("error")
        seen = await seen_by(client, server, given, CALLS)
    assert Counter(right=CALLS, doubled=0) == seen
    assert [f"call-{number}" for number in range(CALLS)] == server.requests


@pytest.mark.reliability
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.timeout(300)
async def test_no_refusal_of_an_idle_connection_is_an_answer(
    connect: Connect, raw_server: RawServers, authority: trustme.CA, tls: bool
) -> None:
    """A 408 that comes while a connection is idle: no call fails for it, none is sent twice, and no trust is lost."""
    says = "HTTP/1.1 408 Too Slow\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    given = {"recipe": "idle_answer", "says": says, "after": 0.002, "work": 0.02}
    once = RetryPolicy(attempts=1)
    with (
        warnings.catch_warnings(),
        served(raw_server, connect, given, authority if tls else None, retry=once) as (server, client),
    ):
        warnings.simplefilter("error")
        seen = await seen_by(client, server, given, CALLS)
    assert Counter(right=CALLS, doubled=0) == seen


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_connections_are_kept_where_nothing_is_said_late(
    connect: Connect, raw_server: RawServers, authority: trustme.CA, tls: bool
) -> None:
    """What TLS says to itself (the tickets of 1.3) is no surplus: one connection for all calls."""
    given = {"recipe": "idle_close", "answers": 10**6}
    with served(raw_server, connect, given, authority if tls else None) as (server, client):
        await seen_by(client, server, given, 20)
        assert 1 == server.connections


async def test_lost_trust_is_said_once(connect: Connect, raw_server: RawServers) -> None:
    """From the second surplus on each request has a connection of its own, which one warning says."""
    with warnings.catch_warnings(record=True) as said, served(raw_server, connect, COPY, None) as (server, client):
        warnings.simplefilter("always")
        await seen_by(client, server, COPY, 10)
        assert 10 == server.connections
    (one,) = [str(warning.message) for warning in said if warning.category is UserWarning]
    assert one.startswith(
        "localhost sends more than the answers to its requests: for a minute each request gets a conn"
    )
