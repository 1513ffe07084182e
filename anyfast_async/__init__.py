"""Asyncio client for the AnyFast gateway's chat completions: await, stream and map.

The names below are loaded when they are first used: pytest loads the plugin of this package in every run, and must not
pay for the client where nobody uses it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from anyfast_async._version import __version__

if TYPE_CHECKING:
    from anyfast_async._client.explanation import Explanation, Waiting
    from anyfast_async._client.stats import Phase, Stats
    from anyfast_async._http.api_key import NO_KEY
    from anyfast_async._map.map_run import MapRun
    from anyfast_async._map.result import Progress, Result
    from anyfast_async._stream.chat_stream import ChatStream
    from anyfast_async._stream.object_stream import ObjectStream
    from anyfast_async._structured.partial_values import Partial, PartialList
    from anyfast_async._values.tool_run import ToolRun, ToolUse
    from anyfast_async.client import AnyFast
    from anyfast_async.completions import (
        ChatCompletion,
        ChatCompletionChunk,
        Choice,
        ChunkChoice,
        CompletionTokensDetails,
        Image,
        Model,
        PromptTokensDetails,
        Trace,
        Usage,
    )
    from anyfast_async.errors import (
        AnyFastError,
        APIConnectionError,
        APIError,
        APIStatusError,
        APITimeoutError,
        Attempt,
        AuthenticationError,
        BadRequestError,
        BudgetExceeded,
        ClientStateError,
        ConfigurationError,
        ConflictError,
        ConnectTimeout,
        DeadlineExceeded,
        FieldError,
        FirstTokenTimeout,
        ForeignFileError,
        IdleTimeout,
        IncompleteStreamError,
        InsufficientQuotaError,
        InternalServerError,
        LockedError,
        MismatchError,
        ModelNotFoundError,
        NotFoundError,
        NotSentError,
        OutputError,
        PermissionDeniedError,
        QueueFullError,
        RateLimitError,
        RequestValidationError,
        ResponseShapeError,
        ResponseTimeout,
        StoreError,
        ToolRoundsError,
        UnprocessableEntityError,
    )
    from anyfast_async.messages import (
        GEMINI_MODELS,
        AssistantMessage,
        AudioPart,
        FilePart,
        FunctionCall,
        ImagePart,
        SystemMessage,
        TextPart,
        ToolCall,
        ToolMessage,
        UserMessage,
        VideoPart,
    )
    from anyfast_async.policies import AutoConcurrency, Budget, Hedge, Limits, RetryPolicy, Timeouts
    from anyfast_async.prices import Price, Prices, PricesError
    from anyfast_async.requests import CallOptions, ChatOptions, ChatRequest, RequestFields
    from anyfast_async.tools import Tool, tool

_HOMES = {
    "_http.api_key": ("NO_KEY",),
    "_client.explanation": ("Explanation", "Waiting"),
    "_client.stats": ("Phase", "Stats"),
    "_map.map_run": ("MapRun",),
    "_map.result": ("Progress", "Result"),
    "_stream.chat_stream": ("ChatStream",),
    "_stream.object_stream": ("ObjectStream",),
    "_structured.partial_values": ("Partial", "PartialList"),
    "_values.tool_run": ("ToolRun", "ToolUse"),
    "client": ("AnyFast",),
    "completions": (
        "ChatCompletion",
        "ChatCompletionChunk",
        "Choice",
        "ChunkChoice",
        "CompletionTokensDetails",
        "Image",
        "Model",
        "PromptTokensDetails",
        "Trace",
        "Usage",
    ),
    "errors": (
        "APIConnectionError",
        "APIError",
        "APIStatusError",
        "APITimeoutError",
        "AnyFastError",
        "Attempt",
        "AuthenticationError",
        "BadRequestError",
        "BudgetExceeded",
        "ClientStateError",
        "ConfigurationError",
        "ConflictError",
        "ConnectTimeout",
        "DeadlineExceeded",
        "FieldError",
        "FirstTokenTimeout",
        "ForeignFileError",
        "IdleTimeout",
        "IncompleteStreamError",
        "InsufficientQuotaError",
        "InternalServerError",
        "LockedError",
        "MismatchError",
        "ModelNotFoundError",
        "NotFoundError",
        "NotSentError",
        "OutputError",
        "PermissionDeniedError",
        "QueueFullError",
        "RateLimitError",
        "RequestValidationError",
        "ResponseShapeError",
        "ResponseTimeout",
        "StoreError",
        "ToolRoundsError",
        "UnprocessableEntityError",
    ),
    "messages": (
        "AssistantMessage",
        "AudioPart",
        "FilePart",
        "FunctionCall",
        "GEMINI_MODELS",
        "ImagePart",
        "SystemMessage",
        "TextPart",
        "ToolCall",
        "ToolMessage",
        "UserMessage",
        "VideoPart",
    ),
    "policies": ("AutoConcurrency", "Budget", "Hedge", "Limits", "RetryPolicy", "Timeouts"),
    "prices": ("Price", "Prices", "PricesError"),
    "requests": ("CallOptions", "ChatOptions", "ChatRequest", "RequestFields"),
    "tools": ("Tool", "tool"),
}
"""Modules, and the public names that they define."""

_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name (PEP 562)."""
    if name not in _HOME:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(f"anyfast_async.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "GEMINI_MODELS",
    "NO_KEY",
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "AnyFast",
    "AnyFastError",
    "AssistantMessage",
    "Attempt",
    "AudioPart",
    "AuthenticationError",
    "AutoConcurrency",
    "BadRequestError",
    "Budget",
    "BudgetExceeded",
    "CallOptions",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatOptions",
    "ChatRequest",
    "ChatStream",
    "Choice",
    "ChunkChoice",
    "ClientStateError",
    "CompletionTokensDetails",
    "ConfigurationError",
    "ConflictError",
    "ConnectTimeout",
    "DeadlineExceeded",
    "Explanation",
    "FieldError",
    "FilePart",
    "FirstTokenTimeout",
    "ForeignFileError",
    "FunctionCall",
    "Hedge",
    "IdleTimeout",
    "Image",
    "ImagePart",
    "IncompleteStreamError",
    "InsufficientQuotaError",
    "InternalServerError",
    "Limits",
    "LockedError",
    "MapRun",
    "MismatchError",
    "Model",
    "ModelNotFoundError",
    "NotFoundError",
    "NotSentError",
    "ObjectStream",
    "OutputError",
    "Partial",
    "PartialList",
    "PermissionDeniedError",
    "Phase",
    "Price",
    "Prices",
    "PricesError",
    "Progress",
    "PromptTokensDetails",
    "QueueFullError",
    "RateLimitError",
    "RequestFields",
    "RequestValidationError",
    "ResponseShapeError",
    "ResponseTimeout",
    "Result",
    "RetryPolicy",
    "Stats",
    "StoreError",
    "SystemMessage",
    "TextPart",
    "Timeouts",
    "Tool",
    "ToolCall",
    "ToolMessage",
    "ToolRoundsError",
    "ToolRun",
    "ToolUse",
    "Trace",
    "UnprocessableEntityError",
    "Usage",
    "UserMessage",
    "VideoPart",
    "Waiting",
    "__version__",
    "tool",
]
