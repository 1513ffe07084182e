"""For services on ASGI (FastAPI, Starlette, Litestar ...): what nobody waits for any more is not waited for.

An ASGI server says that a visitor has left by a message, ``http.disconnect``, to whoever asks it for the next one; some
servers say it once. An endpoint that awaits an answer asks for none, so the answer is made, and paid for, to be thrown
away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeAlias, TypeVar

from anyfast_async.errors import AnyFastError, Billed, ClientStateError, escaped

__all__ = ["DisconnectedError", "Receive", "unless_disconnected"]

T = TypeVar("T")

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""How an ASGI server hands its messages to an application."""


class DisconnectedError(AnyFastError):
    """The visitor of a service has left, and what was awaited for them was cancelled."""

    kind = "disconnected"
    billed: Billed = "maybe"


async def unless_disconnected(receive: Receive, awaitable: Awaitable[T]) -> T:
    """Return what *awaitable* gives; if the visitor leaves before, cancel it at once.

    The body of the request has to be read by then, as it is where a framework hands it to the endpoint: what is left of
    it is thrown away. And nobody else may ask *receive* meanwhile, as ``request.is_disconnected()`` does.

    Args:
        receive: what gives the server's messages: ``request.receive`` in FastAPI and Starlette.
        awaitable: what is waited for, such as ``client.complete(...)``, or ``client.stream(...)`` until it has begun.

    Raises:
        DisconnectedError: the visitor has left. Whatever is answered now, nobody reads it.
        ClientStateError: *receive* is that of a WebSocket, whose messages have a reader.

    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in one
    before = task.cancelling()
    found: Exception | None = None
    is_over = False

    async def listen() -> None:
        nonlocal found
        try:
            found = await _departure(receive)
        except Exception as error:  # noqa: BLE001 - raised below, where somebody waits
            found = error
        if not is_over:
            task.cancel()

    listener = asyncio.create_task(listen())
    try:
        if not asyncio.isfuture(awaitable):
            await asyncio.sleep(0)  # for who has left by now nothing is begun
        return await awaitable
    except asyncio.CancelledError:
        if found is None or task.cancelling() - 1 > before:
            raise
    finally:
        is_over = True
        if found is not None:
            task.uncancel()
        if isinstance(awaitable, Coroutine):
            awaitable.close()  # does nothing, unless it was never begun
        listener.cancel()
        await asyncio.wait({listener})
    try:
        raise found
    finally:
        del found  # it holds this frame


async def _departure(receive: Receive) -> DisconnectedError:
    """Return once the visitor has left."""
    while (kind := (await receive())["type"]) != "http.disconnect":
        if kind != "http.request":
            message = f"only the visitor of an HTTP request leaves it; the server sent {escaped(kind, 80)!r}"
            raise ClientStateError(message)
    return DisconnectedError("the visitor left before the answer was there")
