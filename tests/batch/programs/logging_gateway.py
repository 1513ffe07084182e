"""A gateway in a process of its own that writes down what it was asked, when, and whether it refused.

Usage: logging_gateway.py LOG. One row in fifty is refused with 503 the first time, one in fifty fails with 400.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import sys
import time
from collections import Counter
from typing import Any

USAGE = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
ANSWER: dict[str, Any] = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]
}


async def main(log: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    seen: Counter[str] = Counter()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
                prompt = body["messages"][-1]["content"]
                os.write(file, f"{time.time()} asked {prompt}\n".encode())
                await asyncio.sleep(random.uniform(0.005, 0.06))
                seen[prompt] += 1
                kind = int(prompt.rsplit("r", 1)[1]) % 50
                status, said = 200, ANSWER | {"usage": USAGE}
                if kind == 7 and seen[prompt] == 1:
                    status, said = 503, {"error": {"message": "busy", "type": "new_api_error"}}
                    os.write(file, f"{time.time()} refused {prompt}\n".encode())
                elif kind == 8:
                    status, said = 400, {"error": {"message": "bad", "type": "new_api_error"}}
                    os.write(file, f"{time.time()} refused {prompt}\n".encode())
                raw = json.dumps(said).encode()
                fields = f"Content-Type: application/json\r\nContent-Length: {len(raw)}"
                writer.write(f"HTTP/1.1 {status} X\r\n{fields}\r\n\r\n".encode() + raw)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"http://127.0.0.1:{port}/v1\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    server.close()


asyncio.run(main(sys.argv[1]))
