"""A stream of chunks, as ``create(stream=True)`` gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from anyfast_async._core.json import codec
from anyfast_async._stream.chat_stream import ChatStream
from anyfast_async.errors import AnyFastError
from anyfast_async.openai._answers import ChatCompletion, ChatCompletionChunk
from anyfast_async.openai._errors import translated
from anyfast_async.openai._http import StreamedResponse
from anyfast_async.openai._line import Lifetime, Wire


class AsyncStream:
    """The chunks of an answer; iterate over it once, and use it as a context manager if you may leave early."""

    response: StreamedResponse

    def __init__(self, stream: ChatStream, wire: Wire, lifetime: Lifetime) -> None:
        self._lifetime = lifetime  # as long as it is read, the client is in use
        self._stream = stream
        self._wire = wire
        self._chunks = stream.chunks()
        self.response = StreamedResponse(
            status_code=wire.status or 0,
            headers=wire.headers,
            request=wire.request,
            elapsed=wire.response().elapsed,
            close=stream.aclose,
        )

    def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        try:
            chunk = await anext(self._chunks)
        except AnyFastError as error:
            raise translated(error, self._wire) from error
        return ChatCompletionChunk(**codec.as_dict(chunk))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; the gateway stops generating. Calling it again does nothing."""
        await self._stream.aclose()

    async def aclose(self) -> None:
        """Do the same as :meth:`close`."""
        await self.close()

    def arguments(self, choice: int, place: int) -> str:
        """Return the arguments, so far, of the tool call at *place* of a choice."""
        return self._stream._arguments(choice, place) or ""  # noqa: SLF001 - a view of it

    @property
    def completion(self) -> ChatCompletion:
        """The completion that what was read so far amounts to; the vendor SDK has it only in ``.stream()``."""
        return ChatCompletion(**codec.as_dict(self._stream.completion))
