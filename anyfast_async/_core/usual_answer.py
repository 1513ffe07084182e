"""The usual answer: a success with a completion as JSON, in which nothing stands in an odd place.

What is none is read by ``answer``, which importing the client does not load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from anyfast_async._core.errors.request_id import request_id
from anyfast_async._core.json import codec
from anyfast_async.completions import ChatCompletion

SUCCESS: Final = range(200, 300)
_ODD: Final = frozenset({"delta", "error", "usage"})
"""Fields of a choice that say something, and have no place in a whole answer."""


def usual_completion(status: int, headers: Mapping[str, str], body: bytes) -> ChatCompletion | None:
    """Return the completion that answers a request which was not streamed, None if it takes a closer look."""
    if status not in SUCCESS or not body.startswith(b"{"):
        return None
    try:
        completion = codec.decode_completion(body)
    except codec.InvalidJSONError:
        return None
    if completion is None or (completion.extra and completion.extra.get("error")) or not is_usual(completion):
        return None
    codec.put(completion, "request_id", request_id(headers))
    codec.put(completion, "headers", headers)
    return completion


def is_usual(completion: ChatCompletion) -> bool:
    """Return whether nothing in the choices has to be looked into; what is said in an odd place counts all the same."""
    for choice in completion.choices:
        message = choice.message
        if message is None or choice.finish_reason == "error" or (choice.extra and not _ODD.isdisjoint(choice.extra)):
            return False
        if message.extra and "tool_calls" in message.extra:
            return False
    return bool(completion.choices)
