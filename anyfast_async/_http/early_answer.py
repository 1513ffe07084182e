"""What a server says before it has read a request: on a new connection, or instead of hearing a request to its end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from anyfast_async._http.exchange import ERROR_PATIENCE, Exchange

if TYPE_CHECKING:
    from anyfast_async._http.keepalive import Kept
    from anyfast_async._http.wire import Wire
    from anyfast_async.errors import AnyFastError

MOMENT: Final = 0.005
"""Seconds that a server without TLS gets to speak before it is asked, until it was silent once: what it says then is no
answer, and cannot be told from one later. With TLS the handshake takes longer than that."""


async def listen(kept: Kept, exchange: Exchange, *, is_secure: bool) -> None:
    """Hear whether a server speaks on a new connection before it is asked; with TLS that shows at once."""
    wire, trust = kept.wire, kept.trust
    if kept.early or not (is_secure or trust.is_silent) or not wire.is_quiet():
        trust.heard(silent=await _is_silent(wire, exchange, kept.early, 0 if is_secure else MOMENT))


async def _is_silent(wire: Wire, exchange: Exchange, early: bytes, moment: float) -> bool:
    """Hear what a server says before it is asked: what TLS has to say, the end, a refusal; else it is nonsense."""
    try:
        if early:
            wire.hear(early)
        for seconds in (0, moment):  # turns of the loop, in which what is there is read
            await asyncio.sleep(seconds)
        if not wire.is_answering:
            return True
        async with asyncio.timeout(ERROR_PATIENCE):
            await exchange.opened()
    except TimeoutError:
        exchange.close()
    except BaseException:
        exchange.close()
        raise
    return False


async def refusal(exchange: Exchange) -> AnyFastError:
    """Return what a server said instead of hearing the request to its end: nothing can have come of it."""
    from anyfast_async._core.errors.exceptions import error_of  # noqa: PLC0415 - loaded by `_client/shared`

    body = await exchange.read_error(None)
    error = error_of(exchange.status, exchange.headers, body, now=time.time(), hide=exchange.hide)
    error.billed = "no"
    if error.retry_class == "ambiguous":
        error.retry_class = "refused"
    return error
