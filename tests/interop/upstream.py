"""A gateway of raw sockets: ``python upstream.py LOG`` prints its port and serves until it is ended.

A prompt's first word says what happens. The prompt of every request whose last byte was read becomes a line in *LOG*.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import sys
from pathlib import Path

SILENCE = 4.0
"""Seconds for which the upstream is silent: far longer than the proxies wait."""
LONG = 60_000
"""Characters of a header that is longer than most proxies take."""


def completion(text: str) -> bytes:
    value = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    return json.dumps(value).encode()


def event(text: str | None, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
    value = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    data = b"data: " + json.dumps(value).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


async def answer(writer: asyncio.StreamWriter, prompt: str, *, streamed: bool) -> None:
    word, extra = prompt.split(maxsplit=1)[0], b""
    if word == "silent":
        await asyncio.sleep(SILENCE)
    elif word == "work":
        await asyncio.sleep(0.05)
    elif word == "long":
        extra = b"X-Long: %b\r\n" % (b"y" * LONG)
    if not streamed:
        body = completion(prompt)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
        writer.write(head % (extra, len(body)) + body)
        return
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%bTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head % extra)
    for number in range(3):
        writer.write(event(f"{number} "))
        await writer.drain()
        await asyncio.sleep(0.05)
    if word == "cut":
        await asyncio.sleep(0.3)  # so that the proxy has handed on what came
        if prompt.endswith("reset"):
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionError
    writer.write(event(None, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


async def serve(log: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1])) if length else b""
                if body:
                    request = json.loads(body)
                    prompt = request["messages"][0]["content"]
                    with log.open("a") as file:
                        file.write(f"{prompt}\n")
                    await answer(writer, prompt, streamed=bool(request.get("stream")))
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
