"""What calls with the same options have in common, made once: the checked request and its body, but for the prompt.

A plan is found by the options' values, which therefore cannot change: text, numbers, booleans, tuples of text, clocks.
It is made when they come for the second time, because options that come once are not worth it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final

from anyfast_async._core.json import codec
from anyfast_async._core.limits.token_estimate import Asked, asked
from anyfast_async._http.request_body import OFF_LOOP
from anyfast_async._limits.reservation import limits_of
from anyfast_async.messages import UserMessage
from anyfast_async.policies import Timeouts
from anyfast_async.requests import ChatRequest

if TYPE_CHECKING:
    from anyfast_async._call.spec import Spec

MOST: Final = 64
"""Plans that a client keeps."""
LARGEST: Final = 256 * 1024
"""Bytes of a body without its prompt, up to which it is kept."""
PLACE: Final = "\x02prompt\x03"
"""What a plan's body is made with in place of the prompt."""

_KEPT: Final = frozenset({str, int, float, bool, type(None), Timeouts})
"""Types of values that cannot change."""
_SEEN: Final = 1024
_EACH: Final = frozenset({"user", "user_id", "seed"})
"""Options that differ from call to call."""
_new = object.__new__


class CallPlan:
    """Of calls whose prompt is a text, a user's message by itself.

    Args:
        request: one of them, which says :data:`PLACE`.
        spec: what they are made of.
        streams: whether their answers are streamed on the wire.
        says_whole: whether their bodies say that they ask for a whole answer.

    Raises:
        ValueError: the place of the prompt cannot be told, or the rest is large.

    """

    __slots__ = ("_after", "_before", "_counted", "_fields", "_first", "spec", "streams")

    def __init__(self, request: ChatRequest, spec: Spec, *, streams: bool, says_whole: bool) -> None:
        self.spec: Spec = spec
        self.streams: bool = streams
        self._fields = {name: value for name, value in vars(request).items() if name != "messages"}
        self._first = request.messages[:-1]
        """The system's message, if there is one."""
        self._counted: tuple[Asked, tuple[int | None, int]] | None = None
        """What they ask beside the prompt, and how much they may answer; once somebody wanted to know."""
        body = codec.encode(request, stream=streams)
        self._before, _, self._after = (body if says_whole else codec.unsaid(body)).partition(codec.dumps(PLACE))
        if body.count(codec.dumps(PLACE)[1:-1]) != 1 or len(body) > LARGEST:
            message = "no plan can be made of it"
            raise ValueError(message)

    def body(self, prompt: Any) -> bytes | None:
        """Return the body of the request that asks *prompt*, None if that has to be looked at."""
        if type(prompt) is not str or not prompt or len(prompt) >= OFF_LOOP:
            return None
        return self._before + codec.dumps(prompt) + self._after

    def request(self, prompt: str) -> ChatRequest:
        """Return that request."""
        return self._request(*self._first, UserMessage(prompt))

    def _request(self, *messages: Any) -> ChatRequest:
        request = _new(ChatRequest)
        fields = vars(request)
        fields.update(self._fields)
        fields["messages"] = messages
        return request

    def counted(self, prompt: str) -> tuple[Asked, tuple[int | None, int]]:
        """Return what that request asks, the longest answer that it allows and how many; see ``limits_of``."""
        if self._counted is None:
            rest = self._request(*self._first)
            self._counted = asked(rest), limits_of(rest)
        others, bounds = self._counted
        return others.and_message(prompt), bounds


class Plans:
    """Those of one client."""

    __slots__ = ("_plans", "_seen")

    def __init__(self) -> None:
        self._plans: dict[Hashable, CallPlan] = {}
        self._seen: set[int] = set()

    def get(self, options: Mapping[str, Any], into: type[Any] | None = None) -> CallPlan | None:
        """Return the plan for such calls, None if there is none, or the options hold something that can change."""
        try:
            return self._plans.get(_key_of(options, into))
        except TypeError:
            return None

    def is_due(self, options: Mapping[str, Any], into: type[Any] | None) -> bool:
        """Return whether one is to be made for such calls, for which there was none."""
        if not can_plan(options) or not _EACH.isdisjoint(options):
            return False
        found = hash(_key_of(options, into))
        if found in self._seen:
            return True
        if len(self._seen) >= _SEEN:
            self._seen.clear()
        self._seen.add(found)
        return False

    def add(self, options: Mapping[str, Any], into: type[Any] | None, plan: CallPlan) -> None:
        """Keep a plan for such calls, in place of the oldest if there are too many."""
        if len(self._plans) >= MOST:
            del self._plans[next(iter(self._plans))]
        self._plans[_key_of(options, into)] = plan


def _key_of(options: Mapping[str, Any], into: type[Any] | None) -> Hashable:
    """Return what options and the class of the answer are known by: equal numbers of two types are two."""
    return (into, *options, *options.values(), *map(type, options.values()))


def can_plan(options: Mapping[str, Any]) -> bool:
    """Return whether all values stay as they are."""
    return all(type(value) in _KEPT or _is_tuple_of_texts(value) for value in options.values())


def _is_tuple_of_texts(value: Any) -> bool:
    return type(value) is tuple and all(type(item) is str for item in value)
