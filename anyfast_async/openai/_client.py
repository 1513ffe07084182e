"""``AsyncOpenAI``: the vendor SDK's client over an ``AnyFast``."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from anyfast_async import errors
from anyfast_async._call.endpoint import CHAT
from anyfast_async._http.api_key import KeySource
from anyfast_async.client import AnyFast
from anyfast_async.openai._caller import Caller, Settings, advised
from anyfast_async.openai._errors import ConfigurationError, NotSupportedError
from anyfast_async.openai._line import Lifetime
from anyfast_async.openai._options import (
    DEFAULT_MAX_RETRIES,
    DEFAULT_TIMEOUT,
    NOT_GIVEN,
    NotGiven,
    TimeoutLike,
    given,
    headers_over,
)
from anyfast_async.openai._resources import (
    AsyncChat,
    AsyncChatWithRawResponse,
    AsyncModels,
    AsyncModelsWithRawResponse,
    missing,
)
from anyfast_async.policies import Limits, Timeouts


class AsyncOpenAI:
    """The vendor SDK's client, for programs that move over: chat completions and the list of models.

    Args:
        api_key: the key, a ``pathlib.Path`` to it, an async function, or ``anyfast_async.NO_KEY``; else
            ``ANYFAST_API_KEY``. The vendor's own variables are never read: its key must not reach this gateway.
        base_url: the gateway; else ``ANYFAST_BASE_URL``, else https://www.anyfast.ai/v1.
        timeout: seconds of silence before a call fails, for a whole answer or between two events of a stream, and for
            a connection; default 600 and 5 for the connection. A ``Timeout`` names them one by one; None: no clock.
        max_retries: attempts after the first; default 2. With more than 0, throttling waits and uses none of them up.
        default_headers: sent with every request.
        default_query: put into the URL of every request.
        limits: beyond the vendor SDK: what the client allows itself.
        proxy: beyond the vendor SDK: the URL of a proxy, or ``"env"``.
        ssl_context: beyond the vendor SDK: another certificate authority, client certificates.
        allow_http: beyond the vendor SDK: hosts to which plain http is allowed; loopback always is.
        observers: beyond the vendor SDK: objects that are told of attempts, holds and calls, as for ``AnyFast``.
        **unsupported: the vendor SDK's other arguments, refused unless None with advice.

    Raises:
        ConfigurationError: no key, or an argument that cannot be; the message says what to do.
        TypeError: there is no such argument, or ``max_retries`` is None.

    """

    def __init__(
        self,
        *,
        api_key: KeySource | None = None,
        base_url: Any = None,
        timeout: float | TimeoutLike | Timeouts | NotGiven | None = NOT_GIVEN,
        max_retries: int = DEFAULT_MAX_RETRIES,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        proxy: str | None = None,
        ssl_context: ssl_module.SSLContext | None = None,
        allow_http: Sequence[str] = (),
        observers: Iterable[object] = (),
        **unsupported: Any,
    ) -> None:
        _refuse("AsyncOpenAI", unsupported)
        settings = Settings(
            timeout=timeout if given(timeout) else DEFAULT_TIMEOUT,  # type: ignore[arg-type]  # then it is no sentinel
            max_retries=_checked_retries(max_retries),
            headers=headers_over({}, default_headers),
            query=dict(default_query or {}),
        )
        try:
            root = AnyFast(
                _key(api_key),
                base_url=_url(base_url),
                limits=limits,
                proxy=proxy,
                ssl_context=ssl_context,
                allow_http=allow_http,
                observers=observers,
                **settings.policies(),
            )
        except errors.ConfigurationError as error:
            raise advised(error) from error
        self._caller = Caller(Lifetime(root), root, settings)
        self._caller.line(CHAT, {})  # checks the headers

    def __repr__(self) -> str:
        return f"AsyncOpenAI(base_url={self.base_url!r}, max_retries={self.max_retries})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __getattr__(self, name: str) -> Any:
        raise missing(self, "client", name, _INSTEAD)

    # -- what there is -----------------------------------------------------------------------------------------------

    @property
    def chat(self) -> AsyncChat:
        """The chat completions, in ``.completions``."""
        return AsyncChat(self._caller)

    @property
    def models(self) -> AsyncModels:
        """The models."""
        return AsyncModels(self._caller)

    @property
    def beta(self) -> AsyncBeta:
        """``beta.chat``, the older name of ``chat``."""
        return AsyncBeta(self._caller)

    @property
    def with_raw_response(self) -> AsyncOpenAIWithRawResponse:
        """The same calls, giving the response together with the answer."""
        return AsyncOpenAIWithRawResponse(self._caller)

    @property
    def anyfast(self) -> AnyFast:
        """Beyond the vendor SDK: the client underneath, with ``map``, ``stats`` and the rest."""
        return self._caller.client

    @property
    def base_url(self) -> str:
        """The gateway, ending in a slash."""
        return self._caller.line(CHAT, {}).base_url

    @property
    def max_retries(self) -> int:
        """Attempts after the first."""
        return self._caller.settings.max_retries

    @property
    def timeout(self) -> float | TimeoutLike | Timeouts | None:
        """As it was given."""
        return self._caller.settings.timeout

    def copy(
        self,
        *,
        api_key: KeySource | None = None,
        base_url: Any = None,
        timeout: float | TimeoutLike | Timeouts | NotGiven | None = NOT_GIVEN,
        max_retries: int | NotGiven = NOT_GIVEN,
        default_headers: Mapping[str, str] | None = None,
        set_default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        set_default_query: Mapping[str, object] | None = None,
        **unsupported: Any,
    ) -> Self:
        """Return a client with other settings that shares connections and limits with this one. It costs nothing.

        Args:
            api_key: another key.
            base_url: another gateway.
            timeout: as at construction.
            max_retries: as at construction.
            default_headers: put over those of this client.
            set_default_headers: in place of those of this client.
            default_query: put over that of this client.
            set_default_query: in place of that of this client.
            **unsupported: as at construction.

        Raises:
            ValueError: *default_headers* and *set_default_headers*, or both queries.
            ConfigurationError: as at construction.

        """
        _refuse("with_options", unsupported)
        for name, one, other in (
            ("headers", default_headers, set_default_headers),
            ("query", default_query, set_default_query),
        ):
            if one is not None and other is not None:
                message = f"The `default_{name}` and `set_default_{name}` arguments are mutually exclusive"
                raise ValueError(message)
        old = self._caller.settings
        headers = headers_over(old.headers, default_headers)
        query = {**old.query, **(default_query or {})}
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        settings = Settings(
            timeout=timeout if given(timeout) else old.timeout,  # type: ignore[arg-type]  # then it is no sentinel
            max_retries=_checked_retries(max_retries) if given(max_retries) else old.max_retries,
            headers=headers if set_default_headers is None else headers_over({}, set_default_headers),
            query=query if set_default_query is None else dict(set_default_query),
        )
        changes = settings.policies()
        if _url(base_url) is not None:
            changes["base_url"] = _url(base_url)
        try:
            client = self._caller.client.with_options(**changes)
            if _key(api_key) is not None:
                client = client.with_options(api_key=_key(api_key))
        except errors.ConfigurationError as error:
            raise advised(error) from error
        made._caller = Caller(self._caller.lifetime, client, settings)
        made._caller.line(CHAT, {})  # checks the headers
        return made

    with_options = copy

    async def close(self) -> None:
        """Close the connections, which the copies share, as in the vendor SDK; calls in flight end."""
        await self._caller.lifetime.end()

    def is_closed(self) -> bool:
        """Return whether it, or one that shares its connections, is closed."""
        return self._caller.lifetime.ended


class AsyncBeta:
    """``client.beta``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def __getattr__(self, name: str) -> Any:
        raise missing(self, "client.beta", name, _INSTEAD)

    @property
    def chat(self) -> AsyncChat:
        """The same as ``client.chat``."""
        return AsyncChat(self._caller)


class AsyncOpenAIWithRawResponse:
    """``client.with_raw_response``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @property
    def chat(self) -> AsyncChatWithRawResponse:
        """The chat completions."""
        return AsyncChatWithRawResponse(self._caller)

    @property
    def models(self) -> AsyncModelsWithRawResponse:
        """The models."""
        return AsyncModelsWithRawResponse(self._caller)


# -- arguments -------------------------------------------------------------------------------------------------------


def _key(value: Any) -> Any:
    return value if given(value) else None


def _url(value: Any) -> str | None:
    return None if value is None or not given(value) else str(value)


def _checked_retries(value: Any) -> int:
    if value is None:
        message = "max_retries cannot be None; 0 switches retries off"
        raise TypeError(message)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        message = f"max_retries must be a whole number from 0 up, not {value!r}"
        raise ConfigurationError(message)
    return value


def _refuse(function: str, unsupported: Mapping[str, Any]) -> None:
    for name, value in unsupported.items():
        if name not in _ARGUMENTS:
            message = f"{function}() got an unexpected keyword argument {name!r}"
            raise TypeError(message)
        if value is not None and value is not False and given(value):
            message = f"{name}= is not supported: {_ARGUMENTS[name]}"
            raise NotSupportedError(message)


_ACCOUNT: Final = "the gateway has no such thing; the key alone says who asks"
_ONE_KEY: Final = "the gateway knows one kind of key: pass it as api_key="
_ARGUMENTS: Final[Mapping[str, str]] = {
    "organization": _ACCOUNT,
    "project": _ACCOUNT,
    "webhook_secret": "the gateway sends no webhooks",
    "websocket_base_url": "the gateway has no websockets; use chat.completions with stream=True",
    "data_residency": "set base_url= to the gateway that you use",
    "admin_api_key": _ONE_KEY,
    "workload_identity": f"{_ONE_KEY}, or an async function that returns it",
    "provider": "set base_url= to the gateway that you use",
    "http_client": "pass proxy=, ssl_context=, timeout= or limits= instead; connections are pooled by the client",
    "_strict_response_validation": "answers are always checked",
    "_enforce_credentials": "for a server that wants no key pass api_key=anyfast_async.NO_KEY",
    "_extra_kwargs": "pass the arguments by name",
}
"""The vendor SDK's other arguments, and what to do instead. None, False and the sentinels are taken."""

_CHAT: Final = "use chat.completions"
_NOT_STORED: Final = "the gateway keeps nothing between calls; keep the history as a list and use chat.completions"
_BATCH: Final = "use client.anyfast.map(...), or `anyfast batch` for a file of requests in the same format"
_INSTEAD: Final[Mapping[str, str]] = {
    "responses": f"{_CHAT}; create(...).choices[0].message.content is the output_text",
    "completions": f"{_CHAT} with one user message",
    "embeddings": "this client has chat completions only; ask the gateway's /v1/embeddings with an HTTP client",
    "images": "an image model answers in chat.completions; client.anyfast.complete(...).images holds the pictures",
    "audio": "this client has chat completions only; audio goes in as an input_audio part of a message",
    "moderations": "this client has chat completions only; ask a model to judge the text",
    "files": "local files go into a message: anyfast_async.ImagePart.from_path and FilePart.from_path",
    "uploads": "local files go into a message: anyfast_async.ImagePart.from_path and FilePart.from_path",
    "batches": _BATCH,
    "assistants": _NOT_STORED,
    "threads": _NOT_STORED,
    "conversations": _NOT_STORED,
    "vector_stores": "the gateway stores no documents; put what the model shall know into the messages",
    "containers": "the gateway runs no code; run it yourself as a tool of chat.completions",
    "skills": "the gateway runs no code; run it yourself as a tool of chat.completions",
    "fine_tuning": "the gateway trains no models",
    "evals": _BATCH,
    "realtime": "the gateway has no websockets; use chat.completions with stream=True",
    "live": "the gateway has no websockets; use chat.completions with stream=True",
    "videos": "this client has chat completions only; a video goes in as anyfast_async.VideoPart",
    "webhooks": "the gateway sends no webhooks",
    "decisions": "this client has chat completions only",
    "safety": "this client has chat completions only",
    "content_provenance_checks": "this client has chat completions only",
    "admin": "use the gateway's console",
    "with_streaming_response": "use with_raw_response for headers, or create(stream=True), whose .response has them",
    "organization": _ACCOUNT,
    "project": _ACCOUNT,
    "api_key": "the key is never shown; keep it where you took it from",
    "post": "this client has chat completions and models only; use an HTTP client for other paths",
    "get": "this client has chat completions and models only; use an HTTP client for other paths",
}
"""The vendor SDK's other parts, and what to use instead."""
