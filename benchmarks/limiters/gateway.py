"""A gateway on loopback that notes when each request arrived, and answers after half a second."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from loads import ANSWER, Work


@asynccontextmanager
async def gateway(
    arrive: Callable[[int], None], works: Mapping[int, Work], answer_time: float = ANSWER
) -> AsyncIterator[str]:
    """Run it; give its address. *works* tells what the calls take."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                request = json.loads(await reader.readexactly(size))
                content = request["messages"][-1]["content"]
                text = content if isinstance(content, str) else content[0]["text"]
                number = int(text.partition(":")[0])
                arrive(number)
                await asyncio.sleep(answer_time)
                answer = json.dumps(completion(request["model"], works[number])).encode()
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
                writer.write(head + answer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # it has gone, or the run is over
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**22, backlog=1000)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


def completion(model: str, work: Work) -> dict[str, object]:
    message = {"role": "assistant", "content": "far"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": work.prompt, "completion_tokens": work.answer, "total_tokens": work.used},
    }
