"""The classes of the vendor SDK's answers: names, order of fields and defaults as it prints and dumps them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

from anyfast_async.openai._base import BaseModel

# -- usage -----------------------------------------------------------------------------------------------------------


class CompletionTokensDetails(BaseModel):
    """Where the answer's tokens went."""

    accepted_prediction_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None
    rejected_prediction_tokens: int | None = None
    text_tokens: int | None = None


class PromptTokensDetails(BaseModel):
    """Where the prompt's tokens went."""

    audio_tokens: int | None = None
    cache_write_tokens: int | None = None
    cached_tokens: int | None = None
    image_tokens: int | None = None
    text_tokens: int | None = None


class CompletionUsage(BaseModel):
    """What the call used."""

    completion_tokens: int
    prompt_tokens: int
    total_tokens: int
    completion_tokens_details: CompletionTokensDetails | None = None
    prompt_tokens_details: PromptTokensDetails | None = None


# -- log probabilities -----------------------------------------------------------------------------------------------


class TopLogprob(BaseModel):
    """A token that might have stood there."""

    token: str
    bytes: list[int] | None = None
    logprob: float


class ChatCompletionTokenLogprob(BaseModel):
    """A token and how likely it was."""

    token: str
    bytes: list[int] | None = None
    logprob: float
    top_logprobs: list[TopLogprob]


class ChoiceLogprobs(BaseModel):
    """The log probabilities of a choice."""

    content: list[ChatCompletionTokenLogprob] | None = None
    refusal: list[ChatCompletionTokenLogprob] | None = None


# -- messages --------------------------------------------------------------------------------------------------------


class Function(BaseModel):
    """The function that a model wants called; ``arguments`` is JSON text as the model wrote it."""

    arguments: str
    name: str


class ChatCompletionMessageFunctionToolCall(BaseModel):
    """A call to a function."""

    id: str
    function: Function
    type: Literal["function"]


class Custom(BaseModel):
    """The custom tool that a model wants called."""

    input: str
    name: str


class ChatCompletionMessageCustomToolCall(BaseModel):
    """A call to a custom tool."""

    id: str
    custom: Custom
    type: Literal["custom"]


class AnnotationURLCitation(BaseModel):
    """A place in the web."""

    end_index: int
    start_index: int
    title: str
    url: str


class Annotation(BaseModel):
    """Where something in the message comes from."""

    type: Literal["url_citation"]
    url_citation: AnnotationURLCitation


class ChatCompletionAudio(BaseModel):
    """A spoken answer."""

    id: str
    data: str
    expires_at: int
    transcript: str


class FunctionCall(BaseModel):
    """The old form of a tool call."""

    arguments: str
    name: str


class ChatCompletionMessage(BaseModel):
    """What the model said; it goes back into the history as it is."""

    content: str | None = None
    refusal: str | None = None
    role: Literal["assistant"]
    annotations: list[Annotation] | None = None
    audio: ChatCompletionAudio | None = None
    function_call: FunctionCall | None = None
    tool_calls: list[ChatCompletionMessageFunctionToolCall | ChatCompletionMessageCustomToolCall] | None = None


# -- completions -----------------------------------------------------------------------------------------------------


class Choice(BaseModel):
    """One of the answers to a request."""

    finish_reason: str
    index: int
    logprobs: ChoiceLogprobs | None = None
    message: ChatCompletionMessage


class ChatCompletion(BaseModel):
    """The answer to a request. ``_request_id`` is the gateway's id of the request."""

    id: str
    choices: list[Choice]
    created: int
    model: str
    object: Literal["chat.completion"]
    metadata: dict[str, str] | None = None
    moderation: BaseModel | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    usage: CompletionUsage | None = None


class ParsedFunction(Function):
    """A function to call, its arguments decoded if the tool is ``strict``."""

    parsed_arguments: Any = None


class ParsedFunctionToolCall(ChatCompletionMessageFunctionToolCall):
    """A call to a function."""

    function: ParsedFunction  # pyright: ignore[reportIncompatibleVariableOverride]


class ParsedChatCompletionMessage(ChatCompletionMessage):
    """What the model said, parsed into the class of ``response_format``."""

    tool_calls: list[ParsedFunctionToolCall | ChatCompletionMessageCustomToolCall] | None = None  # type: ignore[assignment]
    parsed: Any = None


class ParsedChoice(Choice):
    """One of the answers to a request."""

    message: ParsedChatCompletionMessage  # pyright: ignore[reportIncompatibleVariableOverride]


class ParsedChatCompletion(ChatCompletion):
    """The answer to a request, parsed."""

    choices: list[ParsedChoice]  # type: ignore[assignment]


# -- chunks ----------------------------------------------------------------------------------------------------------


class ChoiceDeltaAudio(BaseModel):
    """A piece of a spoken answer."""

    id: str | None = None
    data: str | None = None
    expires_at: int | None = None
    transcript: str | None = None


class ChoiceDeltaFunctionCall(BaseModel):
    """A piece of the old form of a tool call."""

    arguments: str | None = None
    name: str | None = None


class ChoiceDeltaToolCallFunction(BaseModel):
    """A piece of a function to call."""

    arguments: str | None = None
    name: str | None = None


class ChoiceDeltaToolCall(BaseModel):
    """A piece of a tool call."""

    index: int
    id: str | None = None
    function: ChoiceDeltaToolCallFunction | None = None
    type: Literal["function"] | None = None


class ChoiceDelta(BaseModel):
    """What a chunk adds to a choice."""

    audio: ChoiceDeltaAudio | None = None
    content: str | None = None
    function_call: ChoiceDeltaFunctionCall | None = None
    refusal: str | None = None
    role: str | None = None
    tool_calls: list[ChoiceDeltaToolCall] | None = None


class ChunkChoice(BaseModel):
    """One choice in a chunk; printed as ``Choice``, which is its name in the vendor SDK."""

    delta: ChoiceDelta
    index: int
    finish_reason: str | None = None
    logprobs: ChoiceLogprobs | None = None


ChunkChoice.__name__ = ChunkChoice.__qualname__ = "Choice"


class ChatCompletionChunk(BaseModel):
    """One event of a stream."""

    id: str
    choices: list[ChunkChoice]
    created: int
    model: str
    object: Literal["chat.completion.chunk"]
    moderation: BaseModel | None = None
    obfuscation: str | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    usage: CompletionUsage | None = None


# -- models ----------------------------------------------------------------------------------------------------------


class Model(BaseModel):
    """A model that the key may use."""

    id: str
    created: int
    object: Literal["model"]
    owned_by: str
    shutdown_date: str | None = None


class AsyncPage(BaseModel):
    """The models, all on one page."""

    data: list[Model]
    object: str

    async def __aiter__(self) -> AsyncIterator[Model]:
        for model in self.data:
            yield model

    async def iter_pages(self) -> AsyncIterator[AsyncPage]:
        """Iterate over the pages, of which there is one."""
        yield self

    def __repr__(self) -> str:
        return super().__repr__().replace("AsyncPage(", "AsyncPage[Model](", 1)

    def has_next_page(self) -> bool:
        """Return False: there is one page."""
        return False
