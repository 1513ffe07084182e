"""What goes through the recording server: passed on as it is, written down without keys, whatever the upstream does."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from anyfast_async.testing import Cassette

KEY = "sk-live/0123+4567=89_abc.defghij"
PATHS = ("gzip", "redirect", "empty", "bytes", "echo")


async def answer(request: web.Request) -> web.StreamResponse:
    """An upstream that shows the key wherever it can."""
    key = request.headers["Authorization"].partition(" ")[2]
    match request.path.rpartition("/")[2]:
        case "gzip":
            packed = gzip.compress(json.dumps({"key": key}).encode())
            headers = {"Content-Encoding": "gzip", "X-Request-Id": key, "Set-Cookie": f"session={key}"}
            return web.Response(body=packed, headers=headers, content_type="application/json")
        case "redirect":
            return web.Response(status=302, headers={"Location": f"/v1/elsewhere?key={quote(key)}"})
        case "empty":
            return web.Response(status=204)
        case "url":
            return web.json_response({"error": {"message": f"no such place: {request.rel_url}"}}, status=404)
        case "bytes":
            return web.Response(body=bytes(range(256)))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    packed = base64.b64encode(b"x" + key.encode())
    text = b"data: %b %b %b\n\n" % (json.dumps(key).encode(), packed, quote(key, safe="").encode())
    for place in range(0, len(text), 7):
        await response.write(text[place : place + 7])
    return response


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


async def used(url: str, key: str) -> list[Any]:
    """All that the upstream can do, seen from outside."""
    seen: list[Any] = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
        for path in PATHS:
            body = b"\xff\xfe" if path == "bytes" else json.dumps({"path": path}).encode()
            async with session.post(f"{url}/{path}?a=1&a=2", data=body, allow_redirects=False) as response:
                seen.append((response.status, await response.read(), response.headers.get("Location")))
        async with session.head(f"{url}/empty") as response:
            seen.append(response.status)
    return seen


async def test_nothing_shows_the_key(upstream: str, tmp_path: Path) -> None:
    """The client gets the answers as they are; on the cassette there is no key, and all else is the same."""
    path = tmp_path / "tape.toml"
    async with Cassette(path, record=True, upstream=upstream) as cassette:
        live = await used(cassette.base_url, KEY)
    direct = await used(upstream, KEY)
    assert direct == live

    async with Cassette(path) as cassette:
        played = await used(cassette.base_url, "another-key")
    assert [(one[0], len(one[1])) for one in live[:-1]] == [(one[0], len(one[1])) for one in played[:-1]]
    assert live[2:4] == played[2:4]
    assert live[-1] == played[-1]
    assert None is played[1][2]  # a place to go is no header that is kept
    text = await asyncio.to_thread(path.read_text, encoding="utf-8")
    packed = base64.b64encode(b"x" + KEY.encode()).decode()[4:-4]
    assert [] == [one for one in (KEY, quote(KEY, safe=""), packed, "0123", "defghij", "session") if one in text]


async def test_many_at_once(upstream: str, tmp_path: Path) -> None:
    """What goes on at the same time is kept apart, in the order in which it was asked."""
    path = tmp_path / "tape.toml"

    async def ask(session: aiohttp.ClientSession, url: str, number: int) -> bytes:
        async with session.post(f"{url}/echo", json={"number": number}) as response:
            return await response.read()

    async with aiohttp.ClientSession(headers={"Authorization": "Bearer sk-x"}) as session:
        async with Cassette(path, record=True, upstream=upstream) as cassette:
            await asyncio.gather(*(ask(session, cassette.base_url, number) for number in range(40)))
        async with Cassette(path) as cassette:
            await asyncio.gather(*(ask(session, cassette.base_url, number) for number in reversed(range(40))))
            assert {200} == {request.status for request in cassette.requests}


@pytest.mark.parametrize(
    "key", ["q83v/EjRWeJq+3fA9z0x/7uYkLmN+pQrStUvWxYz012=", "abc@def:0123/4567+89ab,cdef;ghij~klmn", "p@ss/w+rd", "a b"]
)
async def test_keys_in_the_query(upstream: str, tmp_path: Path, key: str) -> None:
    """A key in the query is neither in the path nor in an answer that repeats it, and any other key plays it."""
    path = tmp_path / "tape.toml"

    async def get(url: str, key: str) -> tuple[int, int]:
        async with (
            aiohttp.ClientSession(headers={"Authorization": "Bearer any-key"}) as session,
            session.get(URL(f"{url}/url?n=%2f&sig={quote(key, safe='')}", encoded=True)) as response,
        ):
            return response.status, len(await response.read())

    async with Cassette(path, record=True, upstream=upstream) as cassette:
        live = await get(cassette.base_url, key)
    text = await asyncio.to_thread(path.read_text, encoding="utf-8")
    assert 'path = "/v1/url?n=%2f&sig=⟦key⟧"' in text
    assert "sig=" + "*" * len(str(URL.build(query={"sig": key}))[5:]) in text
    assert not [part for part in (key[:3], key[-4:], quote(key[-4:], safe="")) if part in text]
    async with Cassette(path) as cassette:
        assert live == await get(cassette.base_url, "another")


async def test_keys_that_come_late(upstream: str, tmp_path: Path) -> None:
    """A key that a later request shows is blanked out in the exchanges before it, too."""
    path, late = tmp_path / "tape.toml", "sk-minted-0123456789-abcdef"
    async with Cassette(path, record=True, upstream=upstream) as cassette:
        for key, told in ((KEY, late), (late, "")):
            async with (
                aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session,
                session.post(f"{cassette.base_url}/url?of={told}", json={"told": told}) as response,
            ):
                await response.read()
    text = await asyncio.to_thread(path.read_text, encoding="utf-8")
    assert not [one for one in (KEY, late, late[-8:]) if one in text]


async def test_gzip_that_is_none(upstream: str, tmp_path: Path) -> None:
    """A request that says gzip and is none is passed on as it is."""
    async with (
        Cassette(tmp_path / "tape.toml", record=True, upstream=upstream) as cassette,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
        session.post(f"{cassette.base_url}/empty", data=b"no", headers={"Content-Encoding": "gzip"}) as response,
    ):
        assert 204 == response.status
