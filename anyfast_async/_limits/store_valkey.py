"""A store of limits in Valkey or Redis: the only file that imports redis-py.

Its habits are switched off here: it repeats a command that timed out, up to ten times, each time after a longer wait;
its pool refuses what it has no connection for; and a client belongs to the loop in which it was first used. The server
runs the script; one that has forgotten it (``SCRIPT FLUSH``, a restart) is sent the whole once more.

Its pool, and its way of a command, take as much time as all of the rest. So one connection is taken out of the pool
for good, for whoever asks, and what is said over it is one piece of bytes.
"""

from __future__ import annotations

import asyncio
import os
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final

from anyfast_async._core.limits.budget_amounts import Amounts
from anyfast_async._core.limits.budget_script import SCRIPT as BUDGET
from anyfast_async._core.limits.shared_budget import Draw, DrawReply
from anyfast_async._core.limits.shared_quota import Question, StoreReply
from anyfast_async._core.limits.shared_script import SCRIPT
from anyfast_async.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from anyfast_async._values.store_url import StoreURL

CONNECT: Final = 1.0
"""Seconds for a connection: a store that needs longer is away."""
CONNECTIONS: Final = 8
"""At once: one asks, the others wait for news; whoever finds none waits for one."""


def arguments(question: Question, now: int = 0) -> tuple[str, str]:
    """Return a question as the script reads it: who asks, and all numbers; *now*: 0 for the server's own clock."""
    q = question
    requests, tokens = -1 if q.requests is None else q.requests, -1 if q.tokens is None else q.tokens
    text = (
        f"{now} {q.number} {requests} {tokens} {q.places} {q.interval} {q.lease} {q.busy} {q.want} {q.gives} {q.born}"
        f" {q.seen} {int(q.away)} {int(q.leaving)} {len(q.wanted)}"
    )
    for amount in q.wanted:
        text += f" {amount}"
    for triples in (q.corrections, q.history):
        text += f" {len(triples)}"
        for first, second, third in triples:
            text += f" {first} {second} {third}"
    return q.client, text


def _packed(*words: bytes) -> bytes:
    """Return words as a command has them, each after its length."""
    return b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def reply_of(text: bytes) -> StoreReply:
    """Return the answer of the script."""
    born, opens, held, others, clients, expires, requests, tokens, asked, *permits = map(int, text.split())
    return StoreReply(
        born=born,
        opens=opens,
        held=held,
        others=others,
        clients=clients,
        expires=expires,
        requests=requests,
        tokens=tokens,
        asked=asked,
        permits=tuple(zip(permits[::2], permits[1::2], strict=True)),
    )


def draw_arguments(draw: Draw, now: int = 0) -> tuple[str, str]:
    """Return a question about a budget as its script reads it; *now*: 0 for the server's own clock."""
    q = draw
    values = now, q.number, q.lease, q.born, int(q.leaving), *q.limits, *q.total, *q.held, *q.least, *q.want
    return q.client, " ".join(map(str, values))


def drawn_of(text: bytes) -> DrawReply:
    """Return the answer of that script."""
    born, opens, others, short, *rest = map(int, text.split())
    granted, left, outstanding = (_amounts(rest[at : at + 3]) for at in (0, 3, 6))
    return DrawReply(
        born=born,
        opens=opens,
        granted=granted,
        left=left,
        others=others,
        outstanding=outstanding,
        short=bool(short),
    )


def _amounts(values: list[int]) -> Amounts:
    tokens, nanos, requests = values
    return tokens, nanos, requests


class ValkeyStore:
    """Keeps quotas in Valkey or Redis, under keys that begin with ``anyfast:``."""

    def __init__(self, url: StoreURL) -> None:
        try:
            import redis.asyncio  # noqa: PLC0415 - an extra
        except ImportError:
            message = f"Limits(store={url!r}) needs redis-py: pip install 'anyfast-async[redis]'"
            raise ConfigurationError(message) from None
        self._redis: Any = redis
        self._url = url
        self._heads: dict[str, bytes] = {}
        """How a command begins that runs a script the server has."""
        for script in (SCRIPT, BUDGET):
            digest = sha1(script.encode(), usedforsecurity=False).hexdigest()
            self._heads[script] = b"*6\r\n" + _packed(b"EVALSHA", digest.encode(), b"1")
        self._client: Any = None
        self._line: Any = None
        """The connection of whoever asks, unless somebody does; who comes meanwhile has one of the pool."""
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None

    def __repr__(self) -> str:
        return f"ValkeyStore({self._url!r})"

    def _connected(self) -> Any:
        """Return a client of this loop, in this process."""
        home = os.getpid(), asyncio.get_running_loop()
        if self._home != home:
            redis, url = self._redis, self._url.whole()
            for ours, theirs in (("valkeys://", "rediss://"), ("valkey://", "redis://")):
                if url.startswith(ours):
                    url = theirs + url.removeprefix(ours)
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=None,
                socket_connect_timeout=CONNECT,
                socket_timeout=None,  # ours is the clock
                retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0),
                retry_on_error=[],
                protocol=2,
                driver_info=None,  # else it reads its own version from the disk, for every connection
            )
            self._client, self._home, self._line = redis.asyncio.Redis.from_pool(pool), home, None
        return self._client

    async def ask(self, scope: str, question: Question) -> StoreReply:
        """Answer a question, by one command.

        Raises:
            StoreError: the server cannot be reached, or does not do it.

        """
        return reply_of(await self._answer(SCRIPT, scope, arguments(question)))

    async def draw(self, budget: str, draw: Draw) -> DrawReply:
        """Answer a question about a budget, by one command.

        Raises:
            StoreError: the server cannot be reached, or does not do it.

        """
        return drawn_of(await self._answer(BUDGET, budget, draw_arguments(draw)))

    async def _answer(self, script: str, name: str, values: tuple[str, str]) -> Any:
        said = _packed(f"anyfast:{{{name}}}".encode(), values[0].encode(), values[1].encode())
        client = self._connected()
        pool, errors = client.connection_pool, self._redis.exceptions
        line, self._line = self._line, None
        try:
            is_kept = line is not None
            if not is_kept:
                line = await pool.get_connection()
            try:
                try:
                    return await _said(line, self._heads[script] + said)
                except errors.ConnectionError:
                    if not is_kept:
                        raise
                    # It was cut since it was used; what has a number counts once, however often it is said.
                    return await _said(line, self._heads[script] + said)
            except errors.NoScriptError:
                return await _said(line, b"*6\r\n" + _packed(b"EVAL", script.encode(), b"1") + said)
            except errors.ResponseError:
                await line.disconnect(nowait=True)  # the next one may reach another server, after a failover
                raise
        except (errors.RedisError, OSError) as error:
            raise self._error(error) from None
        finally:
            if line is not None:
                if self._line is None and client is self._client:
                    self._line = line
                else:
                    await pool.release(line)

    async def news(self, scope: str, client: str, seconds: float) -> None:
        """Return when *client* has been given places, or after so many seconds.

        Raises:
            StoreError: the server cannot be reached.

        """
        try:
            async with asyncio.timeout(seconds + CONNECT):
                await self._connected().blpop(f"anyfast:{{{scope}}}:news:{client}", seconds)
        except TimeoutError:
            return
        except (self._redis.exceptions.RedisError, OSError) as error:
            raise self._error(error) from None

    def _error(self, error: Exception) -> StoreError:
        words = str(error).replace(self._url.whole(), str(self._url))
        password = self._connected().connection_pool.connection_kwargs.get("password")
        if password:
            words = words.replace(password, "***")
        if isinstance(error, self._redis.exceptions.AskError):
            words = (
                "it is one node of a cluster, and another one has what is asked for: take a server that stands alone"
            )
        elif "unauthenticated" in words or isinstance(error, self._redis.exceptions.AuthenticationError):
            words += " (user and password stand in the address: redis://user:password@host)"
        return StoreError(f"{self._url}: {words or type(error).__name__}")

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client, self._line = self._client, None, None
        if client is not None and self._home == (os.getpid(), asyncio.get_running_loop()):
            await client.aclose()
            await client.connection_pool.aclose()
        self._home = None


async def _said(line: Any, command: bytes) -> Any:
    """Return the answer to a command; a connection over which none came is closed, and opened with the next one."""
    await line.send_packed_command(command)
    return await line.read_response(disable_decoding=True)
