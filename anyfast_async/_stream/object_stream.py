"""A streamed answer that is an object: what has arrived of it with every piece, and at the end the instance."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from anyfast_async._structured.json_schema import schema_of
from anyfast_async._structured.partial_json import PartialJson
from anyfast_async._structured.type_hints import is_object
from anyfast_async.errors import ClientStateError

if TYPE_CHECKING:
    from types import TracebackType

    from anyfast_async._stream.chat_stream import ChatStream
    from anyfast_async.completions import ChatCompletion

T = TypeVar("T")


class ObjectStream(Generic[T]):
    """What :meth:`AnyFast.stream <anyfast_async.AnyFast.stream>` returns for a class, with ``into=``.

    Use it as a context manager and iterate over it: every item is what has arrived so far, a
    :class:`~anyfast_async.Partial` (of a list a :class:`~anyfast_async.PartialList`), unchecked. At the end the whole
    answer is read into the class: iterating ends with ``OutputError`` if it does not fit, and else :attr:`value` is the
    instance. Nothing is asked again: what was shown cannot be taken back. Otherwise it is as a
    :class:`~anyfast_async.ChatStream`, also awaitable.
    """

    def __init__(self, stream: ChatStream, kind: type[T]) -> None:
        schema_of(kind)  # refuses a class that cannot be read, whatever the answer is
        self._stream: ChatStream = stream
        self._kind = kind
        self._json = PartialJson(wrapped=not is_object(kind))
        self._values: list[T] = []
        """The instance, once it is there."""

    async def __aenter__(self) -> Self:
        self._stream = await self._stream
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stream.aclose()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    def __aiter__(self) -> ObjectStream[T]:
        return self

    async def __anext__(self) -> Any:
        while True:
            try:
                text = await self._stream.__anext__()
            except StopAsyncIteration:
                self._end()
                raise
            if self._json.feed(text):
                return self._json.so_far()

    def _end(self) -> None:
        if not self._values:
            self._values.append(self._stream.completion.parse(self._kind))

    @property
    def value(self) -> T:
        """The instance that the whole answer describes.

        Raises:
            ClientStateError: the stream was not read to its end, or the answer did not fit.

        """
        if not self._values:
            message = "there is no value before the stream has ended: iterate to its end, or await drain()"
            raise ClientStateError(message)
        return self._values[0]

    @property
    def partial(self) -> Any:
        """What has arrived so far; None if that is nothing."""
        return self._json.so_far()

    @property
    def completion(self) -> ChatCompletion:
        """The completion that what was read so far amounts to."""
        return self._stream.completion

    async def drain(self) -> T:
        """Read to the end and return the value.

        Raises:
            OutputError: the answer does not fit; ``.errors`` names every place, ``.completion`` is the answer.
            AnyFastError: the stream failed; ``.partial`` holds what had come.

        """
        async for _ in self._stream:
            pass
        self._end()
        return self.value

    async def aclose(self) -> None:
        """Close the connection; the gateway stops generating. Calling it again does nothing."""
        await self._stream.aclose()
