"""The client as one call of the door uses it: it adds a query, and keeps what came over the wire."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from anyfast_async._call.endpoint import Endpoint
from anyfast_async._client.calls import Calls
from anyfast_async._core.errors.request_id import as_is, shown_headers
from anyfast_async._observers.hooks import LOG_ALONE
from anyfast_async.client import AnyFast
from anyfast_async.observing import AttemptStart
from anyfast_async.openai._http import Headers, HTTPResponse, Request


@attrs.define
class Wire:
    """The last attempt of a call, as it was on the wire; it hears of each."""

    request: Request
    status: int | None = None
    """None as long as there is no answer."""
    headers: Headers = attrs.field(factory=Headers)
    content: bytes = b""
    attempts: int = 0
    began: float = 0.0
    """Loop time."""
    seconds: float = 0.0
    hide: Callable[[str], str] = as_is
    """Takes the key out of what an exception shows."""

    def on_attempt_start(self, start: AttemptStart) -> None:
        """Forget the attempt before."""
        self.status, self.attempts = None, start.number
        self.began = asyncio.get_running_loop().time()

    def _on_head(self, status: int, headers: Mapping[str, str], hide: Callable[[str], str]) -> None:
        """Keep the head of the answer."""
        self.status, self.headers, self.hide = status, Headers(headers), hide
        self.seconds = asyncio.get_running_loop().time() - self.began

    def _on_body(self, content: bytes) -> None:
        """Keep the body of an answer that was read in one piece."""
        self.content = content
        self.seconds = asyncio.get_running_loop().time() - self.began

    def response(self, content: bytes | None = None) -> HTTPResponse:
        """Return the response; for an exception with *content*, which is fit to be shown, and such headers."""
        return HTTPResponse(
            status_code=self.status or 0,
            headers=self.headers if content is None else Headers(shown_headers(self.headers, self.hide)),
            request=self.request,
            content=self.content if content is None else content,
            elapsed=dt.timedelta(seconds=self.seconds),
        )


class Lifetime:
    """Ends a client: when it is closed, or when a program that never closes it has let go of it."""

    def __init__(self, client: AnyFast) -> None:
        self.client = client
        self.ended: bool = False

    async def end(self) -> None:
        """Close the client."""
        self.ended = True
        await self.client.aclose()

    def __del__(self) -> None:
        if not self.ended:  # programs for the vendor SDK do not close it, and nothing is said then
            self.client._shared.transport.let_go()  # noqa: SLF001 - the door is of the house


@attrs.frozen
class Line:
    """For one call: what makes it, within the limits and over the connections of a client, and what came of it."""

    calls: Calls
    wire: Wire

    @property
    def base_url(self) -> str:
        """The gateway, ending in a slash."""
        return f"{self.calls.setup.base_url}/"

    @classmethod
    def of(cls, client: AnyFast, endpoint: Endpoint[Any], query: Sequence[tuple[str, str]], **settings: Any) -> Line:
        """Return a line for a call; *settings* are those of ``AnyFast.with_options``.

        Raises:
            ConfigurationError: as ``AnyFast.with_options``.

        """
        # A request for a whole answer does not say that it is one, as with the vendor SDK.
        calls = client.with_options(**settings)._calls.changed(query=tuple(query), says_whole=False)  # noqa: SLF001
        wire = Wire(Request(endpoint.method, str(calls.url_of(endpoint))))
        return cls(calls.changed(hooks=(calls.setup.hooks or LOG_ALONE).and_also(wire)), wire)
