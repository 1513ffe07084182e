"""A conversation: what was said so far, as it goes out with the next question, into a file, and to a reader. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

import attrs

from anyfast_async._core.json import codec
from anyfast_async.messages import JSON

VERSION: Final = 1
_SHOWN: Final = 60
"""Characters of a question by which a conversation is told."""


@attrs.define
class Conversation:
    """Whole exchanges only: a question whose answer failed or was stopped is no part of it."""

    model: str
    system: str | None = None
    messages: list[JSON] = attrs.field(factory=list)
    """In the form in which they go out, question and answer in turn."""

    def asked(self, question: JSON) -> list[JSON]:
        """Return the messages of the request that asks *question*."""
        system: list[JSON] = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, *self.messages, question]

    def add(self, question: JSON, answer: JSON) -> None:
        """Take in an exchange."""
        self.messages += [question, answer]

    @property
    def title(self) -> str:
        """The beginning of the first question, on one line; ``""`` if nothing was asked."""
        said = " ".join(text_of(self.messages[0]).split()) if self.messages else ""
        return said if len(said) <= _SHOWN else f"{said[: _SHOWN - 1]}…"

    def as_json(self) -> bytes:
        """Return it as the text of a file."""
        value = {"version": VERSION, "model": self.model, "system": self.system, "messages": self.messages}
        return codec.dumps(value) + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Return the conversation of a file.

        Raises:
            ValueError: it is none; says what is wrong.

        """
        try:
            value = codec.loads(data)
        except codec.InvalidJSONError as error:
            message = f"is not JSON: {error}"
            raise ValueError(message) from None
        if not isinstance(value, dict):
            message = "is no JSON object"
            raise ValueError(message)  # noqa: TRY004 - what stands in a file is no type of a caller's
        problem = _problem(value)
        if problem is not None:
            raise ValueError(problem)
        return cls(value["model"], value.get("system"), value["messages"])

    def as_markdown(self) -> str:
        """Return it as a person reads it."""
        parts = [f"# {self.title}" if self.title else "# Conversation", f"Model: {self.model}"]
        if self.system is not None:
            parts += ["## System", self.system]
        for message in self.messages:
            parts += ["## You" if message["role"] == "user" else "## Model", text_of(message).strip()]
        return "\n\n".join(parts) + "\n"


def _problem(value: dict[str, Any]) -> str | None:
    """Return what is wrong with the object of a file."""
    if value.get("version") != VERSION:
        return f"version: must be {VERSION}; another version of anyfast wrote it, or something else"
    if not isinstance(value.get("model"), str) or not value["model"]:
        return "model: must be the id of a model"
    if not isinstance(value.get("system"), str | None):
        return "system: must be text or null"
    messages = value.get("messages")
    if not isinstance(messages, list):
        return "messages: must be a list"
    for number, message in enumerate(messages, 1):
        role = message.get("role") if isinstance(message, dict) else None
        expected = "user" if number % 2 else "assistant"
        if role != expected:
            return f"messages: the role of number {number} must be {expected}"
    return "messages: the last question has no answer" if len(messages) % 2 else None


def text_of(message: JSON) -> str:
    """Return what a message says, with a word for each part that is no text."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts: Sequence[Any] = content if isinstance(content, list) else ()
    return "\n\n".join(_said(part) for part in parts)


def _said(part: Any) -> str:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, dict) else None
    return f"[{str(kind).removesuffix('_url').removeprefix('input_')}]"


def question(text: str, attached: Sequence[JSON] = ()) -> JSON:
    """Return the message that asks *text* about what is attached; texts make one text, which every model takes."""
    parts = [*attached, {"type": "text", "text": text}] if text else [*attached]
    if all(part.get("type") == "text" for part in parts):
        return {"role": "user", "content": "\n\n".join(part["text"] for part in parts)}
    return {"role": "user", "content": parts}
