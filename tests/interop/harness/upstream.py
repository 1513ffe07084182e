"""A gateway of raw sockets: ``python upstream.py LOG`` prints its port and serves until it is ended.

What it says stands in answers.py; what is done to it on the way, here:

=========== ================================================================================
silent      nothing for SILENCE seconds, then the answer
pause       two events, nothing for SILENCE seconds, then the rest
work        an answer after 50 ms
long        a header of LONG characters
cut         three events, then the connection is closed (`... close`) or reset (`... reset`), or the
            body ends in good order (`... early`); not streamed: half of the body
=========== ================================================================================
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from answers import LONG, SILENCE, Log, chunks, completion, event, gap, prompt_of, refusal

INFO = {
    "/v1/models": {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "upstream"}]},
    "/get_server_info": {"model_path": "m", "served_model_name": "m"},
    "/server_info": {"model_path": "m", "served_model_name": "m"},
    "/get_model_info": {"model_path": "m", "tokenizer_path": "m", "is_generation": True},
    "/model_info": {"model_path": "m", "tokenizer_path": "m", "is_generation": True},
}
"""What routers ask of the servers behind them."""


class Upstream:
    """One process that answers, and writes down what it was asked."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
                body = await (reader.readexactly(int(length[1])) if length else self._chunked(reader, head))
                if head.count(b" ") < 2:
                    return  # HTTP/2, say
                path = head.split(b" ", 2)[1].decode().split("?")[0]
                if body:
                    key = re.search(rb"\r\nauthorization: *bearer (\S+)", head, re.IGNORECASE)
                    await self._answer(reader, writer, json.loads(body), key[1].decode() if key else None)
                else:
                    self._whole(writer, 200, {}, INFO.get(path, {"status": "ok"}))
                await writer.drain()
                if head.split(b"\r\n", 1)[0].endswith(b"1.0") and b"keep-alive" not in head.lower():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _chunked(self, reader: asyncio.StreamReader, head: bytes) -> bytes:
        if not re.search(rb"\r\ntransfer-encoding: *chunked", head, re.IGNORECASE):
            return b""
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return body

    def _whole(self, writer: asyncio.StreamWriter, status: int, headers: dict[str, str], value: Any) -> None:
        body = json.dumps(value).encode()
        fields = {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}
        head = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
        writer.write(f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + body)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: dict[str, Any], key: str | None
    ) -> None:
        prompt = prompt_of(request)
        self._log.write("asked", prompt)
        if refused := refusal(request, key):
            self._whole(writer, *refused)
            return
        word = prompt.split(maxsplit=1)[0]
        await asyncio.sleep({"silent": SILENCE, "work": 0.05}.get(word, 0))
        extra = {"X-Long": "y" * LONG} if word == "long" else {}
        if request.get("stream"):
            await self._stream(reader, writer, request, extra)
        elif word == "cut":
            body = json.dumps(completion(request)).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body[: len(body) // 2])
            await writer.drain()
            await self._break(writer, prompt)
        else:
            self._whole(writer, 200, extra, completion(request))

    async def _stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: dict[str, Any], extra: dict[str, str]
    ) -> None:
        prompt = prompt_of(request)
        word = prompt.split(maxsplit=1)[0]
        fields = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", **extra}
        head = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
        writer.write(f"HTTP/1.1 200 OK\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        told = chunks(request)
        leaving = asyncio.ensure_future(reader.read(1)) if word == "leave" else None
        for number, value in enumerate(told * (40 if leaving else 1)):
            if number == 0:
                self._log.write("first", prompt)
            elif number == 2 and word == "pause":
                await asyncio.sleep(SILENCE)
            elif number == 3 and word == "cut":
                if prompt.endswith("early"):
                    writer.write(b"0\r\n\r\n")
                    return
                await self._break(writer, prompt)
            elif leaving and leaving.done():
                self._log.write("left", prompt)
                raise ConnectionError
            data = event(value)
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await writer.drain()
            await asyncio.sleep(gap(prompt))
        if leaving:
            leaving.cancel()
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    async def _break(self, writer: asyncio.StreamWriter, prompt: str) -> None:
        await asyncio.sleep(0.4)  # so that the proxy has handed on what came
        if prompt.endswith("reset"):
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionError


async def serve(log: Path) -> None:
    server = await asyncio.start_server(Upstream(Log(log)).talk, "127.0.0.1", 0, limit=2**20)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
