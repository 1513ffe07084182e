"""The request and the response that exceptions, raw responses and streams show, in the shape of the vendor SDK's."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import attrs


class Headers(Mapping[str, str]):
    """Headers, looked up in any case, iterated over in lower case."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self._headers = {name.lower(): value for name, value in (headers or {}).items()}

    def __getitem__(self, name: str) -> str:
        return self._headers[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._headers

    def __repr__(self) -> str:
        return f"Headers({self._headers!r})"


@attrs.frozen(repr=False)
class Request:
    """What was asked. It holds no headers, because the key is among them, and no body."""

    method: str
    url: str
    headers: Headers = attrs.field(factory=Headers)

    def __repr__(self) -> str:
        return f"<Request({self.method!r}, {self.url!r})>"


@attrs.frozen(kw_only=True, repr=False)
class HTTPResponse:
    """The response of the gateway."""

    status_code: int
    headers: Headers
    request: Request
    content: bytes = b""
    """The body. Of an error the key is taken out, should the gateway have echoed it; of a stream there is none."""
    elapsed: dt.timedelta = dt.timedelta()
    """From sending to the end of the body, of a stream to its head."""

    def __repr__(self) -> str:
        return f"<Response [{self.status_code} {self.reason_phrase}]>"

    @property
    def reason_phrase(self) -> str:
        """The standard words for the status."""
        try:
            return HTTPStatus(self.status_code).phrase
        except ValueError:
            return ""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body decoded.

        Raises:
            ValueError: it is no JSON.

        """
        return json.loads(self.content)

    @property
    def url(self) -> str:
        """Where the request went."""
        return self.request.url

    @property
    def http_version(self) -> str:
        """``"HTTP/1.1"``: the client speaks nothing else."""
        return "HTTP/1.1"

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status_code < 300  # noqa: PLR2004

    @property
    def is_error(self) -> bool:
        """Whether the status is 4xx or 5xx."""
        return self.status_code >= 400  # noqa: PLR2004

    @property
    def is_closed(self) -> bool:
        """Whether the body has been read."""
        return True


@attrs.frozen(kw_only=True, repr=False)
class StreamedResponse(HTTPResponse):
    """The response that a stream is read from."""

    close: Callable[[], Awaitable[None]]

    async def aclose(self) -> None:
        """Close the connection; the gateway stops generating."""
        await self.close()
