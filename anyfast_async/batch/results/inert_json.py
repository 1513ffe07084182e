"""What models and gateways said, as JSON that does nothing. Pure."""

from __future__ import annotations

from typing import Any

from anyfast_async._core.json import codec
from anyfast_async._values.text import printable


def json_text(value: Any) -> str:
    """Return *value* as JSON on one line that means the same and steers no terminal."""
    return printable(codec.dumps(value).decode())
