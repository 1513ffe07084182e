"""What a request asks, as text: reading messages of every documented form.

Total functions: a message of any shape gives a text, at worst an empty one. What is malformed is refused by
``validation``, not here.
"""

from __future__ import annotations

from typing import Any

__all__ = ["all_text", "last_role", "last_text", "last_user_text", "message_text", "prompt_tokens"]

# Gemini counts an image of up to 384 pixels a side as 258 tokens (Gemini API, "Understand and count tokens").
_MEDIA_TOKENS = 258
_TOKENS_PER_MESSAGE = 4
_BYTES_PER_TOKEN = 4


def message_text(message: object) -> str:
    """The text of one message: its string content, or its text parts joined by newlines."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def all_text(body: dict[str, Any]) -> str:
    """The text of all messages, joined by newlines."""
    return "\n".join(message_text(message) for message in _messages(body))


def last_text(body: dict[str, Any]) -> str:
    """The text of the last message, whatever its role: what is new in this request."""
    messages = _messages(body)
    return message_text(messages[-1]) if messages else ""


def last_user_text(body: dict[str, Any]) -> str:
    """The text of the last message of the user; of the last message if there is none of the user."""
    for message in reversed(_messages(body)):
        if isinstance(message, dict) and message.get("role") == "user":
            return message_text(message)
    return last_text(body)


def last_role(body: dict[str, Any]) -> str:
    """The role of the last message."""
    messages = _messages(body)
    role = messages[-1].get("role") if messages and isinstance(messages[-1], dict) else None
    return role if isinstance(role, str) else ""


def prompt_tokens(body: dict[str, Any]) -> int:
    """A plausible token count: a quarter of the UTF-8 bytes, four per message, 258 per image or file."""
    return sum(_message_tokens(message) for message in _messages(body))


def _message_tokens(message: object) -> int:
    size = len(message_text(message).encode("utf-8", "replace"))
    content = message.get("content") if isinstance(message, dict) else None
    parts = content if isinstance(content, list) else []
    media = sum(1 for part in parts if isinstance(part, dict) and part.get("type") != "text")
    return -(-size // _BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE + _MEDIA_TOKENS * media


def _messages(body: dict[str, Any]) -> list[Any]:
    messages = body.get("messages")
    return messages if isinstance(messages, list) else []
