"""The gateway's endpoints: where each is, and how an answer of it is read. Another one is another row."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Final, Generic, Protocol, TypeVar

import attrs

from anyfast_async._core.errors.request_id import Hide
from anyfast_async._core.usual_answer import usual_completion
from anyfast_async._values.bases import Shown
from anyfast_async.completions import ChatCompletion, Model, Usage

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Usual(Protocol[T_co]):
    """Makes an answer of what came if that is as it should be, None if it takes a closer look."""

    def __call__(self, status: int, headers: Mapping[str, str], body: bytes, /) -> T_co | None: ...


class Decode(Protocol[T_co]):
    """Makes an answer of what came, or raises the right exception."""

    def __call__(self, status: int, headers: Mapping[str, str], body: bytes, hide: Hide) -> T_co: ...


@attrs.frozen(eq=False, repr=False)
class Endpoint(Shown, Generic[T]):
    """One of them."""

    path: str
    """Behind the client's ``base_url``."""
    method: str
    operation: str
    """What observers call it."""
    decode: Decode[T]
    """Reads an answer that came in one piece; raises ``AnyFastError``."""
    usual: Usual[T] = lambda *_: None
    """Reads one that is as it should be."""
    usage_of: Callable[[T], Usage | None] | None = None
    """Gives what an answer says that it used; None: it costs nothing."""


def _completion(status: int, headers: Mapping[str, str], body: bytes, hide: Hide) -> ChatCompletion:
    from anyfast_async._core import answer  # noqa: PLC0415 - loaded by `_client/shared`

    return answer.completion_of(status, headers, body, now=time.time(), hide=hide)


def _models(status: int, headers: Mapping[str, str], body: bytes, hide: Hide) -> list[Model]:
    from anyfast_async._core import answer  # noqa: PLC0415 - as above

    return answer.models_of(status, headers, body, now=time.time(), hide=hide)


CHAT: Final[Endpoint[ChatCompletion]] = Endpoint(
    "chat/completions", "POST", "chat", _completion, usual_completion, attrgetter("usage")
)
MODELS: Final[Endpoint[list[Model]]] = Endpoint("models", "GET", "models", _models)
