#!/bin/sh
# Starlette 1.10.0 under uvicorn 0.54.0: whether a visitor has left, asked by request.is_disconnected().
#
# Guess before the run: an endpoint that polls hears of it within a few polls, whatever middleware stands before it.
# Seen: without middleware at the next poll. Behind a BaseHTTPMiddleware that does nothing, not in 40 polls (4 s): the
# endpoint goes on for somebody who is gone. A task that awaits receive() itself hears of it in both.
# What it means: a service that pays for what it awaits should listen on receive(), and not poll.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q starlette==1.10.0 uvicorn==0.54.0 anyio==4.16.0 h11==0.16.0
cat > "$folder/run.py" <<'PY'
import asyncio
import socket

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

POLLS = 40
heard = {}


class Nothing(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        return await call_next(request)


async def polled(request):
    name = request.query_params["name"]
    for poll in range(1, POLLS + 1):
        await asyncio.sleep(0.1)
        if await request.is_disconnected():
            heard[name].set_result(poll)
            break
    else:
        heard[name].set_result(None)
    return PlainTextResponse("")


async def listened(request):
    name = request.query_params["name"]
    try:
        async with asyncio.timeout(POLLS * 0.1):
            while (await request.receive())["type"] != "http.disconnect":
                pass
        heard[name].set_result(True)
    except TimeoutError:
        heard[name].set_result(None)
    return PlainTextResponse("")


async def asked(middleware, path):
    app = Starlette(routes=[Route("/polled", polled), Route("/listened", listened)], middleware=middleware)
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    name = f"{path} {'behind a BaseHTTPMiddleware' if middleware else 'alone'}"
    heard[name] = asyncio.get_running_loop().create_future()
    _, writer = await asyncio.open_connection(*sock.getsockname())
    writer.write(f"GET /{path}?name={name.replace(' ', '%20')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await asyncio.sleep(0.35)
    writer.close()  # the visitor leaves
    found = await heard[name]
    server.should_exit = True
    await serving
    return name, found


async def main():
    for path in ("polled", "listened"):
        for middleware in ([], [Middleware(Nothing)]):
            name, found = await asked(middleware, path)
            print(f"{name}: {'not heard of' if found is None else 'heard of'}")


asyncio.run(main())
PY
cat > "$folder/expected" <<'TXT'
polled alone: heard of
polled behind a BaseHTTPMiddleware: not heard of
listened alone: heard of
listened behind a BaseHTTPMiddleware: heard of
TXT
"$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
