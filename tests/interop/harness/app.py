"""The upstream as an ASGI application, for servers that run those. INTEROP_LOG names its log.

What it says stands in answers.py; what is done to it on the way is as in upstream.py, as far as an application can.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from answers import LONG, SILENCE, Log, chunks, completion, event, gap, prompt_of, refusal

LOG = Log(Path(os.environ.get("INTEROP_LOG", os.devnull)))


class Broken(Exception):  # noqa: N818 - what an application that fails in the middle raises
    """The application fails in the middle of an answer."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if not body:
        models = {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "upstream"}]}
        await whole(send, 200, {}, json.dumps(models).encode())
        return
    request = json.loads(body)
    prompt = prompt_of(request)
    LOG.write("asked", prompt)
    key = dict(scope["headers"]).get(b"authorization", b"").decode().removeprefix("Bearer ")
    if refused := refusal(request, key):
        status, headers, value = refused
        await whole(send, status, headers, json.dumps(value).encode())
        return
    word = prompt.split(maxsplit=1)[0]
    await asyncio.sleep({"silent": SILENCE, "work": 0.05}.get(word, 0))
    extra = {"X-Long": "y" * LONG} if word == "long" else {}
    if request.get("stream"):
        await stream(receive, send, request, extra)
    else:
        await whole(send, 200, extra, json.dumps(completion(request)).encode(), cut=word == "cut")


def fields(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), text.encode()) for name, text in headers.items()]


async def whole(send: Any, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
    told = fields({"Content-Type": "application/json", **headers, "Content-Length": str(len(body))})
    await send({"type": "http.response.start", "status": status, "headers": told})
    if cut:
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        raise Broken
    await send({"type": "http.response.body", "body": body})


async def stream(receive: Any, send: Any, request: dict[str, Any], extra: dict[str, str]) -> None:
    prompt = prompt_of(request)
    word = prompt.split(maxsplit=1)[0]
    head = fields({"Content-Type": "text/event-stream", "Cache-Control": "no-cache", **extra})
    await send({"type": "http.response.start", "status": 200, "headers": head})
    leaving = asyncio.ensure_future(receive()) if word == "leave" else None
    for number, value in enumerate(chunks(request) * (40 if leaving else 1)):
        if number == 0:
            LOG.write("first", prompt)
        elif number == 2 and word == "pause":
            await asyncio.sleep(SILENCE)
        elif number == 3 and word == "cut":
            if prompt.endswith("early"):
                await send({"type": "http.response.body", "body": b""})
                return
            await asyncio.sleep(0.4)
            raise Broken
        elif leaving and leaving.done():
            LOG.write("left", prompt)
            return
        await send({"type": "http.response.body", "body": event(value), "more_body": True})
        await asyncio.sleep(gap(prompt))
    if leaving:
        leaving.cancel()
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
