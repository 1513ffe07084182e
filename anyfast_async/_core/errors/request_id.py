"""The gateway's id of a request, which its support asks for; and the key, which is no part of one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

Hide: TypeAlias = Callable[[str], str]
"""Takes the key out of a text; a function, so that no frame that an exception passes through holds the key."""

_REQUEST_ID_HEADERS: Final = ("x-oneapi-request-id", "x-request-id", "cf-ray")
_LONGEST_ID: Final = 128
_REQUEST_ID_TEXT: Final = r"\(request id: ([0-9A-Za-z]+)\)"
_ECHOED: Final = 16
"""Characters of a key that is no word."""


def as_is(text: str) -> str:
    """Return *text*."""
    return text


def request_id(headers: Mapping[str, str], message: str = "", hide: Hide = as_is) -> str | None:
    """Return the gateway's id of the request as it came: from a header, else the last one in the message.

    What holds a key of sixteen characters or more, or is nothing else than a key or its end, is an echo, and no id.
    """
    for name in _REQUEST_ID_HEADERS:
        value = headers.get(name)
        if value and _is_id(value) and (hide is as_is or not _is_echo(value, hide)):
            return value
    found = reversed(re.findall(_REQUEST_ID_TEXT, message)) if message else ()
    return next((one for one in found if not _is_echo(one, hide)), None)


def _is_id(text: str) -> bool:
    """Return whether *text* can be seen whole: ASCII without white space."""
    return len(text) <= _LONGEST_ID and text.isascii() and text.isprintable() and " " not in text


def _is_echo(text: str, hide: Hide) -> bool:
    shown = hide(text)
    return shown == "***" or (shown is not text and holds_long_key(text, hide))


def holds_long_key(text: str, hide: Hide) -> bool:
    """Return whether *text* holds a key that is no word; see ``_http/api_key.Secret.hide``."""
    return len(text) - len(hide(text).replace("***", "")) >= _ECHOED


def shown_headers(headers: Mapping[str, str], hide: Hide) -> dict[str, str]:
    """Return an answer's *headers* for an exception to show: without the key, ids of the request as they came."""
    return {
        name: value if name in _REQUEST_ID_HEADERS and not _is_echo(value, hide) else hide(value)
        for name, value in headers.items()
    }
