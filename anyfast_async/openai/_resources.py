"""``client.chat.completions`` and ``client.models``."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Generator, Iterable, Mapping
from typing import Any, Generic, Literal, TypeVar, Unpack, overload

import attrs

from anyfast_async._call.endpoint import CHAT, MODELS
from anyfast_async._core.json import codec
from anyfast_async.errors import AnyFastError
from anyfast_async.openai._answers import AsyncPage, ChatCompletion, Model, ParsedChatCompletion
from anyfast_async.openai._base import BaseModel
from anyfast_async.openai._caller import Caller
from anyfast_async.openai._errors import NotSupportedError, translated
from anyfast_async.openai._events import AsyncChatCompletionStreamManager
from anyfast_async.openai._http import Headers, HTTPResponse, Request
from anyfast_async.openai._options import CreateOptions, NotGiven, Omit, as_wire, fields_of, given
from anyfast_async.openai._parsing import is_class, parsed_completion, response_format_of, strict_tools
from anyfast_async.openai._streaming import AsyncStream

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


# -- raw responses ---------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True, repr=False)
class APIResponse(Generic[T]):
    """An answer together with the response that brought it."""

    http_response: HTTPResponse
    request_id: str | None
    """The gateway's id of the request."""
    retries_taken: int
    """Attempts after the first."""
    _parsed: T = attrs.field(alias="parsed")

    def __repr__(self) -> str:
        response = self.http_response
        return f"<APIResponse [{response.status_code} {response.reason_phrase}] type={type(self._parsed)}>"

    def parse(self) -> T:
        """Return the answer: what the same call without ``with_raw_response`` returns."""
        return self._parsed

    @property
    def headers(self) -> Headers:
        """The headers of the response."""
        return self.http_response.headers

    @property
    def status_code(self) -> int:
        """The status of the response."""
        return self.http_response.status_code

    @property
    def http_request(self) -> Request:
        """Method and URL of the request."""
        return self.http_response.request

    @property
    def url(self) -> str:
        """Where the request went."""
        return self.http_response.url

    @property
    def method(self) -> str:
        """``"POST"`` or ``"GET"``."""
        return self.http_response.request.method

    @property
    def content(self) -> bytes:
        """The body as it came; nothing for a stream."""
        return self.http_response.content

    @property
    def text(self) -> str:
        """The body as text."""
        return self.http_response.text

    @property
    def http_version(self) -> str:
        """``"HTTP/1.1"``."""
        return self.http_response.http_version

    @property
    def is_closed(self) -> bool:
        """Whether the body has been read."""
        return self.http_response.is_closed

    @property
    def elapsed(self) -> dt.timedelta:
        """From sending to the end of the body, of a stream to its head."""
        return self.http_response.elapsed


# -- chat completions ------------------------------------------------------------------------------------------------


def _identified(model: M, request_id: str | None) -> M:
    model._request_id = request_id  # noqa: SLF001 - public in the vendor SDK
    return model


async def _asked(caller: Caller, messages: Any, model: Any, options: Mapping[str, Any]) -> APIResponse[Any]:
    """Send a request that is not streamed."""
    fields = fields_of(options)
    line = caller.line(CHAT, options)
    try:
        asked = line.calls.request(as_wire(messages), {"model": as_wire(model), **fields})
        completion = await line.calls.complete(asked, fields)
    except AnyFastError as error:
        raise translated(error, line.wire) from error
    identity = line.wire.headers.get("x-request-id") or completion.request_id
    found = _identified(ChatCompletion(**codec.as_dict(completion)), identity)
    return APIResponse(
        http_response=line.wire.response(),
        request_id=identity,
        retries_taken=line.wire.attempts - 1,
        parsed=found,
    )


async def _streamed(caller: Caller, messages: Any, model: Any, options: Mapping[str, Any]) -> APIResponse[AsyncStream]:
    """Send a request that is streamed."""
    fields = fields_of(options)
    line = caller.line(CHAT, options)
    try:
        asked = line.calls.request(as_wire(messages), {"model": as_wire(model), **fields})
        stream = await line.calls.stream(asked, fields)
    except AnyFastError as error:
        raise translated(error, line.wire) from error
    found = AsyncStream(stream, line.wire, caller.lifetime)
    return APIResponse(
        http_response=found.response,
        request_id=line.wire.headers.get("x-request-id") or stream.completion.request_id,
        retries_taken=line.wire.attempts - 1,
        parsed=found,
    )


async def _parsed(caller: Caller, messages: Any, model: Any, options: Mapping[str, Any]) -> APIResponse[Any]:
    """Send a request whose answer is parsed."""
    sent, kind, strict = _with_class(options, model)
    response = await _asked(caller, messages, model, sent)
    found = parsed_completion(response.parse(), kind, strict)
    return attrs.evolve(response, parsed=_identified(found, response.request_id))


def _with_class(options: Mapping[str, Any], model: Any) -> tuple[dict[str, Any], Any, frozenset[str]]:
    """Return the options with a JSON object as ``response_format``, the class that it came from, the strict tools."""
    sent = dict(options)
    wanted = sent.get("response_format")
    kind = wanted if given(wanted) and is_class(wanted) else None
    if kind is not None:
        sent["response_format"] = response_format_of(kind, model)
    tools = sent.get("tools")
    if tools is not None and given(tools):
        sent["tools"] = list(tools)
    return sent, kind, strict_tools(sent.get("tools"))


class AsyncCompletions:
    """``client.chat.completions``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def __getattr__(self, name: str) -> Any:
        raise missing(self, "chat.completions", name, _STORED)

    @property
    def with_raw_response(self) -> AsyncCompletionsWithRawResponse:
        """The same calls, giving the response together with the answer."""
        return AsyncCompletionsWithRawResponse(self._caller)

    @overload
    async def create(
        self,
        *,
        messages: Iterable[Any],
        model: str,
        stream: Literal[False] | NotGiven | Omit | None = None,
        **options: Unpack[CreateOptions],
    ) -> ChatCompletion: ...
    @overload
    async def create(
        self, *, messages: Iterable[Any], model: str, stream: Literal[True], **options: Unpack[CreateOptions]
    ) -> AsyncStream: ...
    @overload
    async def create(
        self, *, messages: Iterable[Any], model: str, stream: bool, **options: Unpack[CreateOptions]
    ) -> ChatCompletion | AsyncStream: ...

    async def create(
        self,
        *,
        messages: Iterable[Any],
        model: str,
        stream: bool | NotGiven | Omit | None = None,
        **options: Unpack[CreateOptions],
    ) -> ChatCompletion | AsyncStream:
        """Send *messages* and return the completion, or with ``stream=True`` its chunks as they come.

        Args:
            messages: dicts, answers' messages, or messages of this library.
            model: any id that the key sees.
            stream: whether to stream.
            **options: the fields of the wire; ``extra_headers``, ``extra_query``, ``extra_body``, and ``timeout`` in
                seconds for silence.

        Raises:
            APIStatusError: the subclass for the status; 400 also for what this library refuses to send.
            APIConnectionError: no usable answer came.
            TypeError: there is no such argument.

        """
        if stream:
            return (await _streamed(self._caller, messages, model, options)).parse()
        completion: ChatCompletion = (await _asked(self._caller, messages, model, options)).parse()
        return completion

    async def parse(
        self, *, messages: Iterable[Any], model: str, **options: Unpack[CreateOptions]
    ) -> ParsedChatCompletion:
        """Send *messages* and return the completion with ``.choices[i].message.parsed``.

        Args:
            messages: as for :meth:`create`.
            model: as for :meth:`create`.
            **options: as for :meth:`create`; ``response_format`` is a class: attrs, dataclass, pydantic model.

        Raises:
            LengthFinishReasonError: the answer was cut by the token limit.
            ContentFilterFinishReasonError: the answer was withheld.
            OutputError: it does not fit; a pydantic model raises its own exception.
            APIError: as for :meth:`create`.

        """
        completion: ParsedChatCompletion = (await _parsed(self._caller, messages, model, options)).parse()
        return completion

    def stream(
        self, *, messages: Iterable[Any], model: str, **options: Unpack[CreateOptions]
    ) -> AsyncChatCompletionStreamManager:
        """Return a context manager over the events of a streamed answer; nothing is sent before it is entered.

        Args:
            messages: as for :meth:`create`.
            model: as for :meth:`create`.
            **options: as for :meth:`create`; ``response_format`` may be a class.

        """
        sent, kind, strict = _with_class(options, model)

        async def opened() -> AsyncStream:
            return (await _streamed(self._caller, messages, model, sent)).parse()

        return AsyncChatCompletionStreamManager(opened, kind, strict)


class AsyncCompletionsWithRawResponse:
    """``client.chat.completions.with_raw_response``: what it returns has ``.headers`` and ``.parse()``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(
        self,
        *,
        messages: Iterable[Any],
        model: str,
        stream: bool | NotGiven | Omit | None = None,
        **options: Unpack[CreateOptions],
    ) -> APIResponse[Any]:
        """Do what ``create`` does, and return the response with the answer in ``.parse()``."""
        if stream:
            return await _streamed(self._caller, messages, model, options)
        return await _asked(self._caller, messages, model, options)

    async def parse(
        self, *, messages: Iterable[Any], model: str, **options: Unpack[CreateOptions]
    ) -> APIResponse[ParsedChatCompletion]:
        """Do what ``parse`` does, and return the response with the answer in ``.parse()``."""
        return await _parsed(self._caller, messages, model, options)


class AsyncChat:
    """``client.chat``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @property
    def completions(self) -> AsyncCompletions:
        """The chat completions."""
        return AsyncCompletions(self._caller)

    @property
    def with_raw_response(self) -> AsyncChatWithRawResponse:
        """The same, giving the response together with the answer."""
        return AsyncChatWithRawResponse(self._caller)


class AsyncChatWithRawResponse:
    """``client.chat.with_raw_response``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @property
    def completions(self) -> AsyncCompletionsWithRawResponse:
        """The chat completions."""
        return AsyncCompletionsWithRawResponse(self._caller)


# -- models ----------------------------------------------------------------------------------------------------------


async def _listed(caller: Caller, options: Mapping[str, Any]) -> APIResponse[AsyncPage]:
    line = caller.line(MODELS, options)
    try:
        await line.calls.models()
    except AnyFastError as error:
        raise translated(error, line.wire) from error
    headers = line.wire.headers
    identity = headers.get("x-request-id") or headers.get("x-oneapi-request-id")
    page = _identified(AsyncPage(**codec.loads(line.wire.content)), identity)
    return APIResponse(
        http_response=line.wire.response(),
        request_id=identity,
        retries_taken=line.wire.attempts - 1,
        parsed=page,
    )


class AsyncPaginator:
    """What ``client.models.list()`` returns: await it for the page, or iterate over it."""

    def __init__(self, caller: Caller, options: Mapping[str, Any]) -> None:
        self._caller = caller
        self._options = options

    def __await__(self) -> Generator[Any, None, AsyncPage]:
        return self._page().__await__()

    async def __aiter__(self) -> AsyncIterator[Model]:
        async for model in await self._page():
            yield model

    async def _page(self) -> AsyncPage:
        return (await _listed(self._caller, self._options)).parse()


def _list_options(headers: Any, query: Any, timeout: Any) -> dict[str, Any]:
    return {"extra_headers": headers, "extra_query": query, "timeout": timeout}


class AsyncModels:
    """``client.models``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def __getattr__(self, name: str) -> Any:
        raise missing(self, "models", name, _OF_A_MODEL)

    @property
    def with_raw_response(self) -> AsyncModelsWithRawResponse:
        """The same, giving the response together with the answer."""
        return AsyncModelsWithRawResponse(self._caller)

    def list(
        self,
        *,
        extra_headers: Mapping[str, Any] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        timeout: Any = NotGiven(),  # noqa: B008 - a sentinel
    ) -> AsyncPaginator:
        """Return the models that the key may use: await it for the page, or iterate over it.

        Raises:
            APIError: from the awaiting or iterating.

        """
        return AsyncPaginator(self._caller, _list_options(extra_headers, extra_query, timeout))


class AsyncModelsWithRawResponse:
    """``client.models.with_raw_response``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(
        self,
        *,
        extra_headers: Mapping[str, Any] | None = None,
        extra_query: Mapping[str, Any] | None = None,
        timeout: Any = NotGiven(),  # noqa: ASYNC109, B008 - the vendor SDK's name; a sentinel
    ) -> APIResponse[AsyncPage]:
        """Return the response with the page of models in ``.parse()``."""
        return await _listed(self._caller, _list_options(extra_headers, extra_query, timeout))


# -- what there is not -----------------------------------------------------------------------------------------------

_STREAMING = "use with_raw_response for headers, or create(stream=True), whose .response has them"
_NOT_STORED = "the gateway keeps no completions; keep the answers that you get"
_STORED = {
    "with_streaming_response": _STREAMING,
    "retrieve": _NOT_STORED,
    "update": _NOT_STORED,
    "list": _NOT_STORED,
    "delete": _NOT_STORED,
    "messages": _NOT_STORED,
}


_OF_A_MODEL = {
    "retrieve": "use models.list(), which says all that the gateway tells of a model",
    "delete": "the gateway's models are not yours to delete",
}


def missing(owner: object, path: str, name: str, instead: Mapping[str, str]) -> AttributeError:
    """Return the exception for an attribute that there is not: with advice where the vendor SDK has it."""
    if name not in instead:
        return AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")
    return NotSupportedError(f"{path}.{name} is not supported: {instead[name]}")
