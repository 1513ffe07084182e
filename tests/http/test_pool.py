"""aiohttp's pool: TLS by default, the look before a connection is used again, and loops that were left."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from anyfast_async import AnyFast, APIConnectionError, RetryPolicy
from anyfast_async._http import pool
from anyfast_async._http.pool import abandon, is_known, new_session
from anyfast_async._http.tls import default_context

if TYPE_CHECKING:
    from conftest import Connect, RawServers


def test_tls_is_1_2_or_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Python was built to take; the system's authorities and the host's name are checked; it is made once."""
    make = ssl.create_default_context

    def lenient() -> ssl.SSLContext:
        context = make()
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        return context

    monkeypatch.setattr(ssl, "create_default_context", lenient)
    default_context.cache_clear()
    try:
        context = default_context()
        assert ssl.TLSVersion.TLSv1_2 == context.minimum_version
        assert (True, ssl.CERT_REQUIRED) == (context.check_hostname, context.verify_mode)
        assert context is default_context()
    finally:
        default_context.cache_clear()


def test_what_the_system_asks_for_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that allows 1.3 alone goes on doing so."""
    strict = ssl.create_default_context()
    strict.minimum_version = ssl.TLSVersion.TLSv1_3
    monkeypatch.setattr(ssl, "create_default_context", lambda: strict)
    default_context.cache_clear()
    try:
        assert ssl.TLSVersion.TLSv1_3 == default_context().minimum_version
    finally:
        default_context.cache_clear()


async def test_context_is_made_when_tls_is_first_needed(
    connect: Connect, raw_server: RawServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by building a client, and not by calls over plain http; in a thread, because it reads files."""
    made: list[bool] = []

    def counted() -> ssl.SSLContext:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            made.append(True)
        return ssl.create_default_context()

    monkeypatch.setattr("anyfast_async._http.transport.default_context", counted)
    server = await raw_server([raw_server.completion()])
    await connect(server.base_url).complete("Hi")
    closing = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    client = connect(f"https://127.0.0.1:{closing.sockets[0].getsockname()[1]}", retry=RetryPolicy(attempts=1))
    assert [] == made
    for _ in range(2):
        with pytest.raises(APIConnectionError):
            await client.complete("Hi")
    closing.close()
    assert [True] == made


def test_aiohttp_with_another_pool_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where connections are got in another way than the known one, the direct way is not taken."""

    async def get(self: object, key: object) -> None:
        """Of another aiohttp."""

    assert is_known()
    monkeypatch.setattr(aiohttp.BaseConnector, "_get", get)
    assert not is_known()


@pytest.mark.parametrize("what", ["bytes", "end"])
async def test_connection_of_the_sessions_way_is_looked_at(
    connect: Connect, raw_server: RawServers, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Where mocks and tracers hook in, a kept connection on which something lies is not used either."""
    monkeypatch.setattr("anyfast_async._http.transport.is_hooked", lambda: True)
    server = await raw_server(
        [raw_server.completion("first"), ("sleep", 0.005), b"surplus" if what == "bytes" else "fin"]
    )
    client = connect(server.base_url)
    looks: list[bool] = []
    usable = pool._is_usable

    def looked(kept: Any) -> bool:
        looks.append(usable(kept))
        return looks[-1]

    monkeypatch.setattr(pool, "_is_usable", looked)
    for _ in range(3):
        answer = await client.complete("Hi")
        assert answer.trace is not None
        assert ("first", 1) == (answer.text, len(answer.trace.attempts))
        while server.played < 3 * server.connections:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)
    assert 3 == server.connections
    assert True not in looks


async def test_connections_of_a_loop_that_was_left_are_closed(raw_server: RawServers) -> None:
    """The server hears at once that they are not used any more; nothing is awaited that can never come."""
    server = await raw_server([raw_server.completion()])

    def use() -> None:
        loop = asyncio.new_event_loop()
        session = loop.run_until_complete(ask(server.base_url))
        abandon(session)
        assert session.closed
        loop.run_until_complete(asyncio.sleep(0))  # what a loop that is never closed would not do
        loop.close()

    await asyncio.to_thread(use)
    await asyncio.wait_for(server.requests[0].gone.wait(), 2)


async def ask(base_url: str) -> aiohttp.ClientSession:
    session = new_session(None, 1024, aiohttp.TraceConfig())
    async with session.post(f"{base_url}/chat/completions", data=b"{}") as response:
        await response.read()
    return session


# -- one client, one loop after the other ----------------------------------------------------------------------------


async def test_client_serves_one_loop_after_the_other(raw_server: RawServers) -> None:
    """Loops that are left without being closed, as ``datasets.map`` does: each is served over its own connections."""
    server = await raw_server([raw_server.completion("served")])

    def use() -> list[str]:
        client = AnyFast("sk-test-0123456789", base_url=server.base_url, model="m")
        loops = [asyncio.new_event_loop() for _ in range(3)]
        found = [loop.run_until_complete(client.complete("Hi")).text for loop in (*loops, *loops, loops[-1])]
        loops[-1].run_until_complete(client.aclose())
        for loop in loops:
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
        return found

    assert ["served"] * 7 == await asyncio.to_thread(use)
    assert 6 == server.connections
    for request in (*server.requests[:5], server.requests[-1]):  # the last one of each connection
        await asyncio.wait_for(request.gone.wait(), 2)


async def test_client_serves_no_loop_beside_another(raw_server: RawServers, connect: Connect) -> None:
    """A loop that still runs keeps its client."""
    server = await raw_server([raw_server.completion()])
    client = connect(server.base_url)
    await client.complete("Hi")
    with pytest.raises(RuntimeError, match="another event loop, which still runs"):
        await asyncio.to_thread(asyncio.run, client.complete("Hi"))
