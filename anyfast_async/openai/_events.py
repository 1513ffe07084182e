"""What ``chat.completions.stream()`` gives: chunks, and the events that they amount to."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

import attrs

from anyfast_async.openai._answers import (
    ChatCompletionChunk,
    ChatCompletionTokenLogprob,
    ChoiceDeltaToolCall,
    ChunkChoice,
    ParsedChatCompletion,
)
from anyfast_async.openai._base import BaseModel
from anyfast_async.openai._errors import ContentFilterFinishReasonError, LengthFinishReasonError
from anyfast_async.openai._parsing import arguments_of, parsed_completion, read
from anyfast_async.openai._streaming import AsyncStream


class ChunkEvent(BaseModel):
    """A chunk came."""

    type: Literal["chunk"] = "chunk"
    chunk: ChatCompletionChunk
    _snapshot: Callable[[], ParsedChatCompletion]

    @property
    def snapshot(self) -> ParsedChatCompletion:
        """The completion so far: as of now, not as of the event."""
        return self._snapshot()


class ContentDeltaEvent(BaseModel):
    """Text came; ``snapshot`` is the text so far. ``parsed`` is always None, see ``content.done``."""

    type: Literal["content.delta"] = "content.delta"
    delta: str
    snapshot: str
    parsed: None = None


class ContentDoneEvent(BaseModel):
    """The text of a choice is complete; ``parsed`` is the instance of the class that was asked for."""

    type: Literal["content.done"] = "content.done"
    content: str
    parsed: Any = None


class RefusalDeltaEvent(BaseModel):
    """A piece of a refusal came."""

    type: Literal["refusal.delta"] = "refusal.delta"
    delta: str
    snapshot: str


class RefusalDoneEvent(BaseModel):
    """The refusal of a choice is complete."""

    type: Literal["refusal.done"] = "refusal.done"
    refusal: str


class FunctionToolCallArgumentsDeltaEvent(BaseModel):
    """A piece of a tool call came; ``arguments`` is what there is so far. ``parsed_arguments`` is always None."""

    type: Literal["tool_calls.function.arguments.delta"] = "tool_calls.function.arguments.delta"
    name: str
    index: int
    arguments: str
    parsed_arguments: None
    arguments_delta: str


class FunctionToolCallArgumentsDoneEvent(BaseModel):
    """A tool call is complete; ``parsed_arguments`` is decoded if the tool is ``strict``."""

    type: Literal["tool_calls.function.arguments.done"] = "tool_calls.function.arguments.done"
    name: str
    index: int
    arguments: str
    parsed_arguments: Any


class LogprobsContentDeltaEvent(BaseModel):
    """Log probabilities of the text came."""

    type: Literal["logprobs.content.delta"] = "logprobs.content.delta"
    content: list[ChatCompletionTokenLogprob]
    snapshot: list[ChatCompletionTokenLogprob]


class LogprobsContentDoneEvent(BaseModel):
    """The log probabilities of the text are complete."""

    type: Literal["logprobs.content.done"] = "logprobs.content.done"
    content: list[ChatCompletionTokenLogprob]


class LogprobsRefusalDeltaEvent(BaseModel):
    """Log probabilities of the refusal came."""

    type: Literal["logprobs.refusal.delta"] = "logprobs.refusal.delta"
    refusal: list[ChatCompletionTokenLogprob]
    snapshot: list[ChatCompletionTokenLogprob]


class LogprobsRefusalDoneEvent(BaseModel):
    """The log probabilities of the refusal are complete."""

    type: Literal["logprobs.refusal.done"] = "logprobs.refusal.done"
    refusal: list[ChatCompletionTokenLogprob]


ChatCompletionStreamEvent: TypeAlias = (
    ChunkEvent
    | ContentDeltaEvent
    | ContentDoneEvent
    | RefusalDeltaEvent
    | RefusalDoneEvent
    | FunctionToolCallArgumentsDeltaEvent
    | FunctionToolCallArgumentsDoneEvent
    | LogprobsContentDeltaEvent
    | LogprobsContentDoneEvent
    | LogprobsRefusalDeltaEvent
    | LogprobsRefusalDoneEvent
)


@attrs.define
class _Call:
    """One tool call in the making."""

    name: str = ""
    arguments: str = ""
    done: bool = False


@attrs.define
class _Choice:
    """One choice in the making, and which of its events are out."""

    kind: Any
    """The class that texts are parsed into, or None."""
    strict: frozenset[str]
    arguments: Callable[[int], str]
    """Those of the call at a place, as the reader has them: what came before the last piece may have been replaced."""
    content: str = ""
    refusal: str | None = None
    logprobs: dict[str, list[ChatCompletionTokenLogprob]] = attrs.field(factory=dict)
    calls: list[_Call] = attrs.field(factory=list)
    current: int | None = None
    finish_reason: str | None = None
    said: set[str] = attrs.field(factory=set)

    def take(self, choice: ChunkChoice) -> Iterator[ChatCompletionStreamEvent]:
        """Add what a chunk says and yield the events that it amounts to."""
        delta = choice.delta
        self.finish_reason = choice.finish_reason or self.finish_reason
        if (self.kind is not None or self.strict) and choice.finish_reason == "length":
            raise _CutError(LengthFinishReasonError)
        if (self.kind is not None or self.strict) and choice.finish_reason == "content_filter":
            raise _CutError(ContentFilterFinishReasonError)
        if delta is not None and isinstance(delta.content, str):
            self.content += delta.content
            yield ContentDeltaEvent(delta=delta.content, snapshot=self.content)
        if delta is not None and isinstance(delta.refusal, str):
            self.refusal = (self.refusal or "") + delta.refusal
            yield RefusalDeltaEvent(delta=delta.refusal, snapshot=self.refusal)
        pieces = list(delta.tool_calls or ()) if delta is not None else []
        touched = []
        for piece in pieces:
            index = self._slot(piece)
            touched.append(index)
            yield self._called(index, piece)
        yield from self._probabilities(choice)
        if self.finish_reason:
            yield from self.end()
        for index in touched:
            if self.current != index:
                yield from self._content_done()
                yield from self._call_done(self.current)
            self.current = index

    def end(self) -> Iterator[ChatCompletionStreamEvent]:
        """Yield what is complete with the choice."""
        yield from self._content_done()
        yield from self._call_done(self.current)

    def _slot(self, piece: ChoiceDeltaToolCall) -> int:
        """Return the place of the call that *piece* belongs to; the reader has put it into its index."""
        while len(self.calls) <= piece.index:
            self.calls.append(_Call())
        return piece.index

    def _called(self, index: int, piece: ChoiceDeltaToolCall) -> FunctionToolCallArgumentsDeltaEvent:
        call, function = self.calls[index], piece.function
        added = (function.arguments if function is not None else None) or ""
        call.name += (function.name if function is not None else None) or ""
        call.arguments += added
        return FunctionToolCallArgumentsDeltaEvent(
            name=call.name, index=index, arguments=call.arguments, arguments_delta=added
        )

    def _probabilities(self, choice: ChunkChoice) -> Iterator[ChatCompletionStreamEvent]:
        if choice.logprobs is None:
            return
        if new := choice.logprobs.content:
            so_far = self.logprobs.setdefault("content", [])
            so_far.extend(new)
            yield LogprobsContentDeltaEvent(content=new, snapshot=list(so_far))
        if new := choice.logprobs.refusal:
            so_far = self.logprobs.setdefault("refusal", [])
            so_far.extend(new)
            yield LogprobsRefusalDeltaEvent(refusal=new, snapshot=list(so_far))

    def _first(self, what: str) -> bool:
        """Return whether *what* was not yet said to be done."""
        new = what not in self.said
        self.said.add(what)
        return new

    def _content_done(self) -> Iterator[ChatCompletionStreamEvent]:
        if self.content and self._first("content"):
            parsed = read(self.kind, self.content) if self.kind is not None and not self.refusal else None
            yield ContentDoneEvent(content=self.content, parsed=parsed)
        if self.refusal is not None and self._first("refusal"):
            yield RefusalDoneEvent(refusal=self.refusal)
        if "content" in self.logprobs and self._first("logprobs.content"):
            yield LogprobsContentDoneEvent(content=self.logprobs["content"])
        if "refusal" in self.logprobs and self._first("logprobs.refusal"):
            yield LogprobsRefusalDoneEvent(refusal=self.logprobs["refusal"])

    def _call_done(self, index: int | None) -> Iterator[ChatCompletionStreamEvent]:
        if index is None or self.calls[index].done:
            return
        call = self.calls[index]
        call.done = True
        call.arguments = self.arguments(index)
        parsed = arguments_of(call.name, call.arguments, self.strict)
        yield FunctionToolCallArgumentsDoneEvent(
            name=call.name, index=index, arguments=call.arguments, parsed_arguments=parsed
        )


class _CutError(Exception):
    """A choice that was to be parsed ended early; carries the exception class for it."""

    def __init__(self, kind: type[LengthFinishReasonError | ContentFilterFinishReasonError]) -> None:
        super().__init__()
        self.kind = kind


class AsyncChatCompletionStream:
    """The events of an answer; iterate over it once."""

    def __init__(self, stream: AsyncStream, kind: Any, strict: frozenset[str]) -> None:
        self._stream = stream
        self._kind = kind
        self._strict = strict
        self._choices: dict[int, _Choice] = {}
        self._events = self._iterate()

    def __aiter__(self) -> AsyncIterator[ChatCompletionStreamEvent]:
        return self

    async def __anext__(self) -> ChatCompletionStreamEvent:
        return await anext(self._events)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; the gateway stops generating."""
        await self._stream.close()

    async def until_done(self) -> Self:
        """Read to the end."""
        async for _ in self:
            pass
        return self

    async def get_final_completion(self) -> ParsedChatCompletion:
        """Read to the end and return the completion, parsed if a class was asked for.

        Raises:
            LengthFinishReasonError: it was cut by the token limit.
            ContentFilterFinishReasonError: it was withheld.
            OutputError: it does not fit the class.

        """
        await self.until_done()
        return parsed_completion(self.current_completion_snapshot, self._kind, self._strict)

    @property
    def current_completion_snapshot(self) -> ParsedChatCompletion:
        """The completion that what was read so far amounts to."""
        snapshot = ParsedChatCompletion(**self._stream.completion.to_dict())
        for choice in snapshot.choices:
            for index, call in enumerate(choice.message.tool_calls or ()):
                call.index = index  # as the vendor SDK leaves it in a streamed call
        return snapshot

    async def _iterate(self) -> AsyncIterator[ChatCompletionStreamEvent]:
        async for chunk in self._stream:
            try:
                for event in self._of(chunk):
                    yield event
            except _CutError as cut:
                raise cut.kind(completion=self.current_completion_snapshot) from None
        for state in self._choices.values():
            for event in state.end():
                yield event

    def _of(self, chunk: ChatCompletionChunk) -> Iterator[ChatCompletionStreamEvent]:
        event = ChunkEvent(chunk=chunk)
        event._snapshot = lambda: self.current_completion_snapshot  # noqa: SLF001 - its maker
        yield event
        for position, choice in enumerate(chunk.choices or ()):
            index = choice.index if type(choice.index) is int else position
            state = self._choices.get(index)
            if state is None:
                arguments = functools.partial(self._stream.arguments, index)
                state = self._choices[index] = _Choice(self._kind, self._strict, arguments)
            yield from state.take(choice)


class AsyncChatCompletionStreamManager:
    """What ``chat.completions.stream()`` returns: nothing is sent before it is entered."""

    def __init__(self, opened: Callable[[], Awaitable[AsyncStream]], kind: Any, strict: frozenset[str]) -> None:
        self._opened = opened
        self._kind = kind
        self._strict = strict
        self._stream: AsyncChatCompletionStream | None = None

    async def __aenter__(self) -> AsyncChatCompletionStream:
        self._stream = AsyncChatCompletionStream(await self._opened(), self._kind, self._strict)
        return self._stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stream is not None:
            await self._stream.close()
