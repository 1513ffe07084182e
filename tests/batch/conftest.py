"""Lines of a batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

MakeLine: TypeAlias = Callable[..., bytes]
"""``make_line(custom_id, top_level={...}, **body)``: a line of an input file, with its line end."""


@pytest.fixture
def make_line() -> MakeLine:
    """Makes lines of an input file; a field that is None is left out."""

    def make(custom_id: Any = "a", top_level: dict[str, Any] | None = None, **body: Any) -> bytes:
        full = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hi"}]} | body
        value = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": full}
        value |= top_level or {}
        return json.dumps({name: item for name, item in value.items() if item is not None}).encode() + b"\n"

    return make
