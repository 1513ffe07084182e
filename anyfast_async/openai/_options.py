"""The vendor SDK's keyword arguments, turned into ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Any, Final, Protocol, TypeAlias, TypedDict, TypeVar

import attrs

from anyfast_async._core.json import codec
from anyfast_async._values.json_values import MAX_VALUES
from anyfast_async.openai._answers import ChatCompletionMessage
from anyfast_async.openai._base import BaseModel
from anyfast_async.openai._errors import ConfigurationError
from anyfast_async.policies import Timeouts
from anyfast_async.requests import RequestFields

T = TypeVar("T")

# -- sentinels -------------------------------------------------------------------------------------------------------


class NotGiven:
    """What stands for an argument that was not given."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"


class Omit:
    """What stands for an argument that is not to be sent; as a header's value it takes a default header away."""

    def __bool__(self) -> bool:
        return False


NOT_GIVEN: Final = NotGiven()
not_given: Final = NOT_GIVEN
omit: Final = Omit()

Maybe: TypeAlias = T | NotGiven | Omit | None


def given(value: object) -> bool:
    """Return whether *value* is none of the sentinels, this library's or the vendor SDK's."""
    return type(value).__name__ not in ("NotGiven", "Omit")


# -- timeouts --------------------------------------------------------------------------------------------------------


class TimeoutLike(Protocol):
    """What has clocks: ours, or an HTTP library's."""

    @property
    def connect(self) -> float | None:
        """Seconds for a connection."""

    @property
    def read(self) -> float | None:
        """Seconds of silence."""


_ALL: Final[Any] = object()


def _or_all(value: Any, me: Timeout) -> float | None:
    return me.timeout if value is _ALL else value


def _clock() -> Any:
    return attrs.field(default=_ALL, converter=attrs.Converter(_or_all, takes_self=True), kw_only=True)  # type: ignore[call-overload]


@attrs.frozen
class Timeout:
    """Seconds; None switches a clock off. ``timeout`` is for those that are not given."""

    timeout: float | None = None
    connect: float | None = _clock()
    read: float | None = _clock()
    write: float | None = _clock()
    """Taken and ignored: a request that is being sent has no clock of its own."""
    pool: float | None = _clock()
    """Taken and ignored: no clock runs while a call queues."""


DEFAULT_TIMEOUT: Final = Timeout(600.0, connect=5.0)
DEFAULT_MAX_RETRIES: Final = 2
_LEAST: Final = 0.001


def timeouts_of(value: float | TimeoutLike | Timeouts | None) -> Timeouts:
    """Return the clocks for *value*: silence counts as in the vendor SDK, a whole call may last any time.

    Raises:
        ConfigurationError: it is no timeout.

    """
    if isinstance(value, Timeouts):
        return value
    if value is None or isinstance(value, (int, float)):
        connect = read = value
    elif hasattr(value, "connect") and hasattr(value, "read"):
        connect, read = value.connect, value.read
    else:
        message = f"timeout must be seconds, a Timeout or None, not {type(value).__name__}"
        raise ConfigurationError(message)
    connect, read = (None if v is None else max(float(v), _LEAST) for v in (connect, read))
    return Timeouts(connect=connect, first_token=read, idle=read, response=read)


# -- headers and query -----------------------------------------------------------------------------------------------


def headers_over(base: Mapping[str, Any], *others: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return *base* with the *others* put over it, names compared in any case; an ``omit`` takes a header away."""
    found = {name.lower(): (name, value) for name, value in base.items()}
    for other in others:
        found |= {name.lower(): (name, value) for name, value in (other or {}).items()}
    return {name: value for name, value in found.values() if given(value)}


def query_of(*queries: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return the pairs of the query that *queries* make, later ones over earlier ones; nested names in brackets."""
    merged: dict[str, Any] = {}
    for query in queries:
        merged |= query or {}
    return [pair for name, value in merged.items() if given(value) for pair in _pairs(name, value)]


def _pairs(name: str, value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case None:
            return
        case bool():
            yield name, "true" if value else "false"
        case Mapping():
            for inner, item in value.items():
                yield from _pairs(f"{name}[{inner}]", item)
        case list() | tuple():
            for item in value:
                yield from _pairs(f"{name}[]", item)
        case _:
            yield name, str(value)


# -- the fields of a request -----------------------------------------------------------------------------------------


class CreateOptions(TypedDict, total=False):
    """The keyword arguments of ``create``, ``parse`` and ``stream``, beside ``messages``, ``model`` and ``stream``.

    What the gateway documents is checked; the rest goes out as it is.
    """

    audio: Maybe[Mapping[str, Any]]
    frequency_penalty: Maybe[float]
    function_call: Maybe[str | Mapping[str, Any]]
    functions: Maybe[Iterable[Mapping[str, Any]]]
    logit_bias: Maybe[Mapping[str, int]]
    logprobs: Maybe[bool]
    max_completion_tokens: Maybe[int]
    max_tokens: Maybe[int]
    metadata: Maybe[Mapping[str, str]]
    modalities: Maybe[Sequence[str]]
    moderation: Maybe[Mapping[str, Any]]
    n: Maybe[int]
    parallel_tool_calls: Maybe[bool]
    prediction: Maybe[Mapping[str, Any]]
    presence_penalty: Maybe[float]
    prompt_cache_key: Maybe[str]
    prompt_cache_options: Maybe[Mapping[str, Any]]
    prompt_cache_retention: Maybe[str]
    reasoning_effort: Maybe[str]
    response_format: Any
    """A JSON object; for ``parse`` and ``stream`` also a class."""
    safety_identifier: Maybe[str]
    seed: Maybe[int]
    service_tier: Maybe[str]
    stop: Maybe[str | Sequence[str]]
    store: Maybe[bool]
    stream_options: Maybe[Mapping[str, Any]]
    temperature: Maybe[float]
    tool_choice: Maybe[str | Mapping[str, Any]]
    tools: Maybe[Iterable[Mapping[str, Any]]]
    top_logprobs: Maybe[int]
    top_p: Maybe[float]
    user: Maybe[str]
    verbosity: Maybe[str]
    web_search_options: Maybe[Mapping[str, Any]]
    extra_headers: Mapping[str, str | Omit] | None
    extra_query: Mapping[str, Any] | None
    extra_body: Mapping[str, Any] | None
    timeout: float | TimeoutLike | Timeouts | NotGiven | None


_STEERING: Final = frozenset({"extra_headers", "extra_query", "extra_body", "timeout"})
_CHECKED: Final = frozenset(RequestFields.__annotations__)
_NOT_SENT: Final = {"parsed": True, "tool_calls": {"__all__": {"function": {"parsed_arguments": True}}}}


def fields_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of ``AnyFast.complete`` for those of ``create``.

    Raises:
        TypeError: there is no such argument, as any function says it.

    """
    if unknown := options.keys() - CreateOptions.__annotations__.keys():
        message = f"create() got an unexpected keyword argument {min(unknown)!r}; to send other fields use extra_body"
        raise TypeError(message)
    checked: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in options.items():
        if name not in _STEERING and value is not None and given(value):
            wire = as_wire(value)
            if wire != [] or name != "stop":  # an empty list stops nowhere, and is what frameworks pass on
                (checked if name in _CHECKED else others)[name] = wire
    others |= as_wire(options.get("extra_body") or {})
    return checked | ({"extra_body": others} if others else {})


_MOST: Final = MAX_VALUES + 1
"""Items taken out of an iterable: one more than can be sent."""


def as_wire(value: Any) -> Any:
    """Return *value* with the answers in it turned into JSON objects, ours or other libraries', and no sentinels.

    What contains itself, or the same thing twice, does so in the copy, too; the check of the request finds it there.
    """
    holder: list[Any] = [value]
    left: list[tuple[Any, Any]] = [(holder, 0)]
    made: dict[int, tuple[Any, Any]] = {}
    """By identity: a container, kept so that its identity stays its own, and its copy."""
    while left:
        container, place = left.pop()
        item = container[place]
        if item is None or isinstance(item, (str, int, float)):
            continue
        known = made.get(id(item))
        if known is None:
            copy = _opened(item)
            made[id(item)] = known = item, copy
            if copy is not item and isinstance(copy, (dict, list)):
                left += [(copy, name) for name in (copy if isinstance(copy, dict) else range(len(copy)))]
        container[place] = known[1]
    return holder[0]


def _opened(value: Any) -> Any:
    """Return a shallow copy of a container as a dict or list, the JSON of an answer, and anything else as it is."""
    match value:
        case str() | bytes() | bytearray() | Set():
            return value
        case ChatCompletionMessage():
            return codec.answer_to_wire(value.model_dump(mode="json", exclude_unset=True, exclude=_NOT_SENT))
        case BaseModel():
            return value.model_dump(mode="json", exclude_unset=True, exclude=_NOT_SENT)
        case Mapping():
            # Numbers as names (``logit_bias``) are text in JSON, as the vendor SDK writes them.
            return {str(name) if type(name) is int else name: item for name, item in value.items() if given(item)}
    if callable(getattr(value, "model_dump", None)):
        return value.model_dump(mode="json", exclude_unset=True)
    return list(islice(value, _MOST)) if isinstance(value, Iterable) else value
