"""The vendor SDK's shape, for programs that move over: change the import line and keep the rest.

::

    from anyfast_async.openai import AsyncOpenAI, RateLimitError

    client = AsyncOpenAI()                                       # key from ANYFAST_API_KEY
    completion = await client.chat.completions.create(model="gemini-2.5-pro", messages=[...])

It is a translation over :class:`anyfast_async.AnyFast`, with its limits, retries and clocks; what there is not says
what to use instead.
"""

from __future__ import annotations

from typing import NoReturn

from anyfast_async.openai._base import BaseModel
from anyfast_async.openai._client import AsyncOpenAI
from anyfast_async.openai._errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    ContentFilterFinishReasonError,
    InternalServerError,
    LengthFinishReasonError,
    NotFoundError,
    NotSupportedError,
    OpenAIError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)
from anyfast_async.openai._options import (
    DEFAULT_MAX_RETRIES,
    DEFAULT_TIMEOUT,
    NOT_GIVEN,
    NotGiven,
    Omit,
    Timeout,
    not_given,
    omit,
)
from anyfast_async.openai._streaming import AsyncStream

AsyncClient = AsyncOpenAI

_SYNC = "there is no synchronous client: use AsyncOpenAI inside of asyncio.run(...)"
_GATEWAY = "this gateway is no Azure or Bedrock: use AsyncOpenAI"
_HTTP = "pass proxy=, ssl_context=, timeout= or limits= to AsyncOpenAI instead of an HTTP client"
_INSTEAD = {
    "OpenAI": _SYNC,
    "Client": _SYNC,
    "Stream": _SYNC,
    "AzureOpenAI": _GATEWAY,
    "AsyncAzureOpenAI": _GATEWAY,
    "BedrockOpenAI": _GATEWAY,
    "AsyncBedrockOpenAI": _GATEWAY,
    "DefaultHttpxClient": _HTTP,
    "DefaultAsyncHttpxClient": _HTTP,
    "DefaultAioHttpClient": _HTTP,
    "DefaultHttpx2Client": _HTTP,
    "DefaultAsyncHttpx2Client": _HTTP,
    "DEFAULT_CONNECTION_LIMITS": "pass limits=anyfast_async.Limits(concurrency=...) to AsyncOpenAI",
    "pydantic_function_tool": "write the tool as a dict; 'parameters' takes the class's model_json_schema()",
    "types": "messages and tools are plain dicts here; the classes of answers need no import",
    "file_from_path": "local files go into a message: anyfast_async.ImagePart.from_path and FilePart.from_path",
}


def __getattr__(name: str) -> NoReturn:
    if name in _INSTEAD:
        message = f"anyfast_async.openai has no {name}: {_INSTEAD[name]}"
        raise ImportError(message, name=__name__)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


__all__ = [
    "DEFAULT_MAX_RETRIES",
    "DEFAULT_TIMEOUT",
    "NOT_GIVEN",
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncClient",
    "AsyncOpenAI",
    "AsyncStream",
    "AuthenticationError",
    "BadRequestError",
    "BaseModel",
    "ConfigurationError",
    "ConflictError",
    "ContentFilterFinishReasonError",
    "InternalServerError",
    "LengthFinishReasonError",
    "NotFoundError",
    "NotGiven",
    "NotSupportedError",
    "Omit",
    "OpenAIError",
    "PermissionDeniedError",
    "RateLimitError",
    "Timeout",
    "UnprocessableEntityError",
    "not_given",
    "omit",
]
