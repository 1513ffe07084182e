"""A gateway out of its mind: ``python server.py SEED ORIGINS SHARE`` prints its ports, and at the end its log.

*SHARE* of its answers are odd; it ends with its input. Every answer carries the tag of the prompt that it answers. What
the server read and did is a line of the log: the tag, what was done, the status that was answered (None: no head was),
and whether that was a statement of the gateway that it refuses. Where something was written that nobody asked for, the
request that lay in the kernel by then is named: whoever takes the surplus for their answer could not know better.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

Did = tuple[int | None, bool]
"""The status that was answered, and whether it refused."""
Deed = Callable[["Connection", str, bool], Awaitable[Did]]

STALL: Final = 3.0
"""Seconds for which a silent answer is silent; the client's clocks are shorter."""


class GoneError(Exception):
    """The connection is to be closed."""


def completion(tag: str) -> bytes:
    message = {"role": "assistant", "content": f"ok:{tag}"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    value = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return json.dumps(value | {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}).encode()


def events(tag: str, *, end: bool = True) -> list[bytes]:
    """Return the events of a streamed answer, in four pieces of text."""
    text = f"ok:{tag}"
    size = -(-len(text) // 4)

    def data(delta: Mapping[str, str], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        value = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        return b"data: " + json.dumps(value).encode() + b"\n\n"

    pieces = [data({"content": text[at : at + size]}) for at in range(0, len(text), size)]
    return [*pieces, data({}, "stop"), b"data: [DONE]\n\n"] if end else pieces


def head(status: int, kind: str, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} X", f"Content-Type: {kind}", *lines, "", ""]).encode()


def sized(status: int, kind: str, body: bytes, *lines: str) -> bytes:
    return head(status, kind, f"Content-Length: {len(body)}", *lines) + body


def chunked(pieces: list[bytes], *, last: bool = True) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if last else b"")


def whole(tag: str, streamed: bool) -> bytes:
    if streamed:
        return head(200, "text/event-stream", "Transfer-Encoding: chunked") + chunked(events(tag))
    return sized(200, "application/json", completion(tag))


def refusal(status: int, code: str, *lines: str) -> bytes:
    body = {"error": {"message": "not now", "type": "new_api_error", "param": "", "code": code}}
    return sized(status, "application/json", json.dumps(body).encode(), *lines)


class Connection:
    """One connection; what has come of the next request is in ``buffer``."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.buffer = b""
        self.noted = False

    def note(self, tag: str, deed: str, status: int | None, *, refused: bool) -> None:
        """Write down what is done with a request: once, since the client may leave after it was written down."""
        if not self.noted:
            self.noted = True
            self.server.log.append((tag, deed, status, refused))

    async def receive(self) -> tuple[str, bool]:
        """Return the tag of the next request, and whether it asks for a stream."""
        while True:
            found = request_in(self.buffer)
            if found is not None:
                tag, streamed, size = found
                self.buffer = self.buffer[size:]
                return tag, streamed
            data = await self.server.loop.sock_recv(self.sock, 65536)
            if not data:
                raise GoneError
            self.buffer += data

    async def say(self, data: bytes) -> None:
        await self.server.loop.sock_sendall(self.sock, data)

    async def surplus(self, data: bytes) -> None:
        """Say what nobody has asked for; name whose request was there by then."""
        await self.say(data)
        waiting = b""
        with contextlib.suppress(BlockingIOError):
            waiting = self.sock.recv(65536, socket.MSG_PEEK)
        found = request_in(self.buffer + waiting)
        self.server.surplus.append(found[0] if found is not None else None)

    def reset(self) -> None:
        """Have the connection closed by a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise GoneError


_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def request_in(data: bytes) -> tuple[str, bool, int] | None:
    """Return tag, whether it streams, and size of the request that *data* begins with; None if it is not whole."""
    end = data.find(b"\r\n\r\n")
    length = _LENGTH.search(data, 0, end) if end >= 0 else None
    size = end + 4 + int(length[1]) if length else 0
    if not length or len(data) < size:
        return None
    request = json.loads(data[end + 4 : size])
    return request["messages"][0]["content"], bool(request.get("stream")), size


# -- what it does ----------------------------------------------------------------------------------------------------


async def answers(c: Connection, tag: str, streamed: bool) -> Did:
    await c.say(whole(tag, streamed))
    return 200, False


async def in_pieces(c: Connection, tag: str, streamed: bool) -> Did:
    c.note(tag, "in_pieces", 200, refused=False)  # the client may leave when it has the head
    data = whole(tag, streamed)
    for at in range(0, len(data), 37):
        await c.say(data[at : at + 37])
        await asyncio.sleep(0)
    return 200, False


async def after_provisional_heads(c: Connection, tag: str, streamed: bool) -> Did:
    await c.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + whole(tag, streamed))
    return 200, False


async def closes_in_silence(c: Connection, tag: str, streamed: bool) -> Did:
    await answers(c, tag, streamed)
    c.note(tag, "closes_in_silence", 200, refused=False)
    raise GoneError


async def closes_later(c: Connection, tag: str, streamed: bool) -> Did:
    await answers(c, tag, streamed)
    c.note(tag, "closes_later", 200, refused=False)
    await asyncio.sleep(0.005)
    raise GoneError


async def says_it_again(c: Connection, tag: str, streamed: bool) -> Did:
    await answers(c, tag, streamed)
    c.note(tag, "says_it_again", 200, refused=False)
    await asyncio.sleep(0.005)
    await c.surplus(whole(tag, streamed))
    if c.server.rolls.random() < 0.5:
        raise GoneError
    return 200, False


async def says_it_twice(c: Connection, tag: str, streamed: bool) -> Did:
    data = whole(tag, streamed)
    c.note(tag, "says_it_twice", 200, refused=False)
    await c.surplus(data + data)
    return 200, False


async def newline_behind(c: Connection, tag: str, streamed: bool) -> Did:
    await c.say(whole(tag, streamed) + b"\r\n")
    return 200, False


async def idle_408(c: Connection, tag: str, streamed: bool) -> Did:
    await answers(c, tag, streamed)
    c.note(tag, "idle_408", 200, refused=False)
    await asyncio.sleep(0.01)
    await c.surplus(sized(408, "text/html", b"<h1>408 Request Time-out</h1>", "Connection: close"))
    raise GoneError


async def resets_before(c: Connection, tag: str, streamed: bool) -> Did:
    c.note(tag, "resets_before", None, refused=False)
    c.reset()
    raise AssertionError


async def closes_before(c: Connection, tag: str, streamed: bool) -> Did:
    c.note(tag, "closes_before", None, refused=False)
    raise GoneError


async def cut_in_the_head(c: Connection, tag: str, streamed: bool) -> Did:
    c.note(tag, "cut_in_the_head", None, refused=False)
    await c.say(whole(tag, streamed)[:30])
    raise GoneError


async def cut_in_the_body(c: Connection, tag: str, streamed: bool) -> Did:
    c.note(tag, "cut_in_the_body", 200, refused=False)
    await c.say(whole(tag, streamed)[:-40])
    raise GoneError


async def reset_in_the_body(c: Connection, tag: str, streamed: bool) -> Did:
    c.note(tag, "reset_in_the_body", 200, refused=False)
    await c.say(whole(tag, streamed)[:-40])
    await asyncio.sleep(0.01)
    c.reset()
    raise AssertionError


async def malformed_chunk(c: Connection, tag: str, streamed: bool) -> Did:
    c.note(tag, "malformed_chunk", 200, refused=False)
    pieces = events(tag) if streamed else [completion(tag)]
    kind = "text/event-stream" if streamed else "application/json"
    data = head(200, kind, "Transfer-Encoding: chunked") + chunked(pieces[:-1], last=False) + b"xyz\r\n"
    await c.say(data)
    raise GoneError


async def no_end(c: Connection, tag: str, streamed: bool) -> Did:
    if not streamed:
        return await answers(c, tag, streamed)
    data = chunked([*events(tag, end=False), b"data: [DONE]\n\n"])
    await c.say(head(200, "text/event-stream", "Transfer-Encoding: chunked") + data)
    return 200, False


async def stalls(c: Connection, tag: str, streamed: bool) -> Did:
    c.note(tag, "stalls", None, refused=False)
    await asyncio.sleep(STALL)
    raise GoneError


async def stalls_in_the_body(c: Connection, tag: str, streamed: bool) -> Did:
    c.note(tag, "stalls_in_the_body", 200, refused=False)
    await c.say(whole(tag, streamed)[:-40])
    await asyncio.sleep(STALL)
    raise GoneError


async def broken(c: Connection, tag: str, streamed: bool) -> Did:
    await c.say(refusal(500, "do_request_failed"))
    return 500, True


async def overloaded(c: Connection, tag: str, streamed: bool) -> Did:
    await c.say(refusal(503, "system_cpu_overloaded", "Retry-After: 0.05"))
    return 503, True


async def throttles(c: Connection, tag: str, streamed: bool) -> Did:
    await c.say(refusal(429, "", "Retry-After: 0.05"))
    return 429, True


async def page_502(c: Connection, tag: str, streamed: bool) -> Did:
    page = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"
    await c.say(sized(502, "text/html", page))
    return 502, False


async def page_504(c: Connection, tag: str, streamed: bool) -> Did:
    await c.say(sized(504, "text/html", b"<h1>504 Gateway Time-out</h1>", "Connection: close"))
    c.note(tag, "page_504", 504, refused=False)
    raise GoneError


async def error_inside(c: Connection, tag: str, streamed: bool) -> Did:
    body = json.dumps({"error": {"message": "upstream fell over", "type": "upstream_error", "code": 500}}).encode()
    if streamed:
        await c.say(
            head(200, "text/event-stream", "Transfer-Encoding: chunked") + chunked([b"data: " + body + b"\n\n"])
        )
    else:
        await c.say(sized(200, "application/json", body))
    return 500, True


async def html_200(c: Connection, tag: str, streamed: bool) -> Did:
    await c.say(sized(200, "text/html", b"<html><title>Welcome</title>captive portal</html>"))
    return 200, False


async def empty_200(c: Connection, tag: str, streamed: bool) -> Did:
    await c.say(sized(200, "application/json", b""))
    return 200, False


COMMON: Final[tuple[Deed, ...]] = (
    *(
        in_pieces,
        after_provisional_heads,
        closes_in_silence,
        closes_later,
        newline_behind,
        resets_before,
        closes_before,
    ),
    *(cut_in_the_head, cut_in_the_body, reset_in_the_body, malformed_chunk, no_end, stalls, stalls_in_the_body, broken),
    *(overloaded, throttles, page_502, page_504, error_inside, html_200, empty_200),
)
SURPLUS: Final[tuple[Deed, ...]] = (says_it_again, says_it_twice, idle_408)
"""Only some origins do this: their connections are not reused any more, which would hide everything else."""


class Server:
    """All origins, in one loop."""

    def __init__(self, seed: int, origins: int, share: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.rolls = random.Random(seed)
        self.origins = origins
        self.share = share
        self.log: list[tuple[str, str, int | None, bool]] = []
        self.surplus: list[str | None] = []

    async def serve(self, listener: socket.socket, deeds: tuple[Deed, ...]) -> None:
        tasks: set[asyncio.Task[None]] = set()
        while True:
            sock, _ = await self.loop.sock_accept(listener)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self.loop.create_task(self.talk(Connection(self, sock), deeds))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def talk(self, connection: Connection, deeds: tuple[Deed, ...]) -> None:
        try:
            while True:
                tag, streamed = await connection.receive()
                connection.noted = False
                deed = self.rolls.choice(deeds) if self.rolls.random() < self.share else answers
                try:
                    status, refused = await deed(connection, tag, streamed)
                except OSError:  # the client left meanwhile
                    connection.note(tag, deed.__name__, None, refused=False)
                    raise
                connection.note(tag, deed.__name__, status, refused=refused)
        except (GoneError, OSError):
            pass
        finally:
            connection.sock.close()

    async def run(self) -> None:
        servers = []
        ports = []
        for number in range(self.origins):
            listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
            listener.setblocking(False)
            ports.append(listener.getsockname()[1])
            deeds = COMMON + SURPLUS if number % 4 == 3 else COMMON
            servers.append(self.loop.create_task(self.serve(listener, deeds)))
        print(json.dumps(ports), flush=True)  # noqa: T201
        await asyncio.to_thread(sys.stdin.read)
        for server in servers:
            server.cancel()
        log: dict[str, Any] = {"requests": self.log, "surplus": self.surplus}
        print(json.dumps(log), flush=True)  # noqa: T201


async def main() -> None:
    await Server(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])).run()


if __name__ == "__main__":
    asyncio.run(main())
