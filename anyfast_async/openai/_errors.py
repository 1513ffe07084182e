"""The vendor SDK's exceptions, chosen by status alone, and the translation of ours into them.

They are ``AnyFastError`` too: ``.attempts``, ``.billed``, ``.partial`` and the rest are there, and ``__cause__`` is the
exception of this library that says what happened in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from anyfast_async import errors
from anyfast_async._core.answer import SUCCESS
from anyfast_async._core.errors.failures import status_error
from anyfast_async._core.json import codec
from anyfast_async.openai._http import Headers, HTTPResponse, Request
from anyfast_async.openai._line import Wire


class OpenAIError(errors.AnyFastError):
    """Base of everything that the door raises on purpose."""


class ConfigurationError(OpenAIError, errors.ConfigurationError):
    """The client cannot be built or used as it is configured; the message names the setting."""


class NotSupportedError(ConfigurationError, AttributeError):
    """A part of the vendor SDK that there is not here; the message says what to use instead."""


class APIError(OpenAIError):
    """The gateway reported an error, or could not be reached."""

    request: Request
    body: Any
    """The error object of the answer, or its text; None without an answer."""
    code: str | None = None
    param: str | None = None
    type: str | None = None

    def __init__(self, message: str, request: Request, *, body: object | None) -> None:
        super().__init__(message)
        self.request = request
        self.body = body
        if isinstance(body, Mapping):
            code = body.get("code")
            self.code = None if code is None else str(code)
            self.param, self.type = body.get("param"), body.get("type")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args), self.__dict__


def _rebuilt(kind: type[APIError], args: tuple[Any, ...]) -> APIError:
    return kind.__new__(kind, *args)


class APIResponseValidationError(APIError):
    """A success that is no completion: HTML, broken JSON, another object."""

    def __init__(self, response: HTTPResponse, body: object | None, *, message: str | None = None) -> None:
        super().__init__(message or "Data returned by API invalid for expected schema.", response.request, body=body)
        self.response = response
        self.status_code: int = response.status_code


class APIStatusError(APIError):
    """The gateway answered with an error status."""

    response: HTTPResponse
    status_code: int

    def __init__(self, message: str, *, response: HTTPResponse, body: object | None) -> None:
        super().__init__(message, response.request, body=body)
        self.response = response
        self.status_code = response.status_code
        self.request_id: str | None = response.headers.get("x-request-id")


class APIConnectionError(APIError):
    """No usable answer came; ``__cause__`` says why."""

    def __init__(self, *, message: str = "Connection error.", request: Request) -> None:
        super().__init__(message, request, body=None)


class APITimeoutError(APIConnectionError):
    """One of the clocks ran out; ``__cause__`` says which."""

    def __init__(self, request: Request) -> None:
        super().__init__(message="Request timed out.", request=request)


class BadRequestError(APIStatusError):
    """400, also for a request that this library refuses to send."""


class AuthenticationError(APIStatusError):
    """401."""


class PermissionDeniedError(APIStatusError):
    """403."""


class NotFoundError(APIStatusError):
    """404."""


class ConflictError(APIStatusError):
    """409."""


class UnprocessableEntityError(APIStatusError):
    """422."""


class RateLimitError(APIStatusError):
    """429, whatever the code: also a quota that is used up."""


class InternalServerError(APIStatusError):
    """500 and above, whatever the code: also a model that no channel serves."""


class LengthFinishReasonError(OpenAIError):
    """An answer that was to be parsed was cut by the token limit; ``.completion`` is what came."""

    def __init__(self, *, completion: Any) -> None:
        usage = f" - {completion.usage}" if completion.usage else ""
        super().__init__(f"Could not parse response content as the length limit was reached{usage}")
        self.completion = completion

    def __reduce__(self) -> tuple[Any, ...]:
        return _finished, (type(self), self.completion), self.__dict__


class ContentFilterFinishReasonError(OpenAIError):
    """An answer that was to be parsed was withheld; ``.completion`` is what came."""

    def __init__(self, *, completion: Any = None) -> None:
        super().__init__("Could not parse response content as the request was rejected by the content filter")
        self.completion = completion

    def __reduce__(self) -> tuple[Any, ...]:
        return _finished, (type(self), self.completion), self.__dict__


def _finished(kind: type[OpenAIError], completion: Any) -> OpenAIError:
    return kind(completion=completion)  # type: ignore[call-arg]  # the two classes above


_BY_NAME: Final = {kind.__name__: kind for kind in APIStatusError.__subclasses__()}
_LEDGER: Final = ("kind", "retryable", "billed", "retry_class", "spoken_by", "attempts", "partial")
_UNSENT: Final = 400


def translated(error: errors.AnyFastError, wire: Wire) -> OpenAIError:
    """Return the vendor SDK's exception for *error*, which ended the call that *wire* saw."""
    found = error if isinstance(error, OpenAIError) else _counterpart(error, wire)
    for name in _LEDGER:
        setattr(found, name, getattr(error, name))
    found.request_id = found.request_id or error.request_id
    return found


def _counterpart(error: errors.AnyFastError, wire: Wire) -> OpenAIError:
    request = wire.request
    match error:
        case errors.RequestValidationError():
            return _refused(error, request)
        case errors.ConfigurationError():
            return ConfigurationError(str(error))
        case errors.APITimeoutError():
            return APITimeoutError(request)
        case errors.APIConnectionError():
            return APIConnectionError(request=request)
        case errors.APIStatusError() if wire.status not in SUCCESS:
            return _status_error(error, wire)
        case errors.APIError():
            body = _inner(error.body)
            return APIError(error.message or "An error occurred during streaming", request, body=body)
        case errors.ResponseShapeError():
            return APIResponseValidationError(wire.response(_encoded(error.body)), error.body, message=str(error))
        case errors.IncompleteStreamError() if error.reason == "cut":
            return APIConnectionError(request=request)
        case errors.IncompleteStreamError() | errors.ClientStateError():
            return APIConnectionError(message=str(error), request=request)
    return OpenAIError(str(error))


def _status_error(error: errors.APIStatusError, wire: Wire) -> APIStatusError:
    status, body = error.status_code, error.body
    if isinstance(body, str):
        body = body.strip()
    message = body.get("error", body) if isinstance(body, Mapping) else None
    said = message.get("message") if isinstance(message, Mapping) else None
    text = f"Error code: {status}" + (f" - {said}" if isinstance(said, str) and said else "")
    kind = _BY_NAME.get(status_error(status).__name__, APIStatusError)
    return kind(text, response=wire.response(_encoded(body)), body=_inner(body))


def _refused(error: errors.RequestValidationError, request: Request) -> BadRequestError:
    """Return what the gateway would have said to a request that was not sent, so that programs handle it alike."""
    body = {
        "message": f"{error} (nothing was sent)",
        "type": "invalid_request_error",
        "param": error.errors[0].path if error.errors else None,
        "code": None,
    }
    content = codec.dumps({"error": body})
    response = HTTPResponse(status_code=_UNSENT, headers=Headers(), request=request, content=content)
    return BadRequestError(f"Error code: {_UNSENT} - {body['message']}", response=response, body=body)


def _inner(body: Any) -> Any:
    return body.get("error", body) if isinstance(body, Mapping) else body


def _encoded(body: Any) -> bytes:
    return body.encode("utf-8", "replace") if isinstance(body, str) else codec.dumps(body)
