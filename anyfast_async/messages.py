"""What is said: messages, and the parts of their content.

Nothing is opened or fetched here: a local file is a path, which is read when the request is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs

from anyfast_async._values.bases import Brief
from anyfast_async._values.reasoning import said_in

JSON: TypeAlias = Mapping[str, Any]
"""A JSON object."""

GEMINI_MODELS = (
    "gemini-3.1-pro-preview",
    "gemini-3.1-flash-image-preview",
    "gemini-3.1-flash-lite-preview",
    "gemini-3-pro-preview",
    "gemini-3-pro-image-preview",
    "gemini-3-flash-preview",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-2.0-flash",
)
"""The Gemini ids that the gateway's chat page documents. Any other id may be used too: keys differ in what they see."""

# -- content parts ---------------------------------------------------------------------------------------------------


@attrs.frozen(eq=False, repr=False)
class TextPart(Brief):
    """A piece of text in a message."""

    text: str


@attrs.frozen(eq=False, repr=False)
class ImagePart(Brief):
    """An image, or any other file that the model takes through ``image_url`` (PDF, audio, video)."""

    url: str | Path
    """An ``https:`` or ``data:`` URL, or the path of a local file. A ``str`` is never opened."""
    detail: Literal["auto", "low", "high"] | None = attrs.field(default=None, kw_only=True)

    @classmethod
    def from_path(cls, path: str | Path, *, detail: Literal["auto", "low", "high"] | None = None) -> ImagePart:
        """Return the part for a local file, which is read when the request is sent."""
        return cls(Path(path), detail=detail)


@attrs.frozen(eq=False, repr=False)
class AudioPart(Brief):
    """Spoken input."""

    data: str | Path
    """The audio in base64, or the path of a local file."""
    format: Literal["wav", "mp3"]

    @classmethod
    def from_path(cls, path: str | Path) -> AudioPart:
        """Return the part for a local ``.wav`` or ``.mp3`` file, which is read when the request is sent."""
        file = Path(path)
        return cls(file, "mp3" if file.suffix.lower() == ".mp3" else "wav")


@attrs.frozen(eq=False, repr=False)
class FilePart(Brief):
    """A document."""

    filename: str
    file_data: str | Path
    """A ``data:`` URL, such as ``data:application/pdf;base64,...``, or the path of a local file."""

    @classmethod
    def from_path(cls, path: str | Path) -> FilePart:
        """Return the part for a local file, which is read when the request is sent."""
        file = Path(path)
        return cls(file.name, file)


@attrs.frozen(eq=False, repr=False)
class VideoPart(Brief):
    """A video. Gemini takes the plain URL, Doubao, Qwen and Kimi an object, which ``fps`` makes it."""

    url: str | Path
    """An ``https:`` or ``data:`` URL, or the path of a local file."""
    fps: float | None = attrs.field(default=None, kw_only=True)

    @classmethod
    def from_path(cls, path: str | Path, *, fps: float | None = None) -> VideoPart:
        """Return the part for a local file, which is read when the request is sent."""
        return cls(Path(path), fps=fps)


MEDIA_TYPES: dict[str, str] = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".pdf": "application/pdf",
    ".txt": "text/plain",
    ".mp3": "audio/mp3",
    ".wav": "audio/wav",
    ".mov": "video/mov",
    ".mpeg": "video/mpeg",
    ".mpg": "video/mpg",
    ".mp4": "video/mp4",
    ".avi": "video/avi",
    ".wmv": "video/wmv",
    ".flv": "video/flv",
}
"""The local files that may be sent, by suffix: the types that the gateway's Gemini translation takes (new-api
``relay/channel/gemini``); anything else it would refuse with a 500."""


Part: TypeAlias = TextPart | ImagePart | AudioPart | FilePart | VideoPart | Path | str | JSON
"""A content part; a ``str`` is text, a ``pathlib.Path`` a local file, a dict goes out as it is."""


def part_of_path(path: Path) -> ImagePart | AudioPart | FilePart | VideoPart:
    """Return the part for a local file by its suffix."""
    family = MEDIA_TYPES.get(path.suffix.lower(), "").partition("/")[0]
    match family:
        case "image":
            return ImagePart(path)
        case "audio":
            return AudioPart.from_path(path)
        case "video":
            return VideoPart(path)
    return FilePart.from_path(path)


Content: TypeAlias = str | Sequence[Part]


# -- messages --------------------------------------------------------------------------------------------------------


@attrs.frozen(eq=False, repr=False)
class SystemMessage(Brief):
    """Instructions for the whole conversation."""

    content: Content
    name: str | None = attrs.field(default=None, kw_only=True)
    role: Literal["system"] = attrs.field(default="system", init=False)


@attrs.frozen(eq=False, repr=False)
class UserMessage(Brief):
    """What the user says."""

    content: Content
    name: str | None = attrs.field(default=None, kw_only=True)
    role: Literal["user"] = attrs.field(default="user", init=False)


@attrs.frozen(eq=False, repr=False)
class ToolMessage(Brief):
    """What a tool answered."""

    content: Content
    tool_call_id: str
    name: str | None = attrs.field(default=None, kw_only=True)
    role: Literal["tool"] = attrs.field(default="tool", init=False)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class FunctionCall(Brief):
    """The function that a model wants called, and with what."""

    name: str | None = None
    arguments: str | None = None
    """JSON text, as the model wrote it: it may be invalid. An object, which some upstreams send, is in ``extra``."""
    extra: JSON = attrs.field(factory=dict)
    blank: JSON = attrs.field(factory=dict, repr=False, eq=False)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ToolCall(Brief):
    """A call that a model asks for."""

    id: str | None = None
    type: str | None = None
    function: FunctionCall | None = None
    index: int | None = None
    extra: JSON = attrs.field(factory=dict)
    """Unknown fields, such as Google's ``extra_content`` with a thought signature; they go back out unchanged."""
    blank: JSON = attrs.field(factory=dict, repr=False, eq=False)

    @property
    def name(self) -> str:
        """The name of the function or custom tool, ``""`` if the model gave none."""
        if self.function is None and isinstance(custom := self.extra.get("custom"), Mapping):
            return str(custom.get("name") or "")
        return (self.function.name if self.function else None) or ""

    @property
    def arguments(self) -> str:
        """The arguments as JSON text, ``""`` if the model gave none."""
        return (self.function.arguments if self.function else None) or ""


def _content(value: Any) -> Any:
    """Keep a sequence of parts as a tuple, so that the frozen message cannot change under a retry."""
    return tuple(value) if isinstance(value, list) else value


@attrs.frozen(eq=False, repr=False)
class AssistantMessage(Brief):
    """What the model said; ``choices[0].message`` of an answer is one, and goes back into the history as it is."""

    content: str | Sequence[Part] | None = attrs.field(default=None, converter=_content)
    tool_calls: tuple[ToolCall, ...] | None = attrs.field(default=None, kw_only=True)
    reasoning_content: str | None = attrs.field(default=None, kw_only=True)
    """The model's thoughts, where it shows them."""
    refusal: str | None = attrs.field(default=None, kw_only=True)
    name: str | None = attrs.field(default=None, kw_only=True)
    role: str | None = attrs.field(default="assistant", kw_only=True)
    """``"assistant"``; None where an upstream left it out."""
    extra: JSON = attrs.field(factory=dict, kw_only=True)
    """Unknown fields of an answer (``thought_signature``, ``images`` ...); they go back out with the message."""
    blank: JSON = attrs.field(factory=dict, kw_only=True, repr=False, eq=False)

    @property
    def text(self) -> str:
        """The text, joined where the content came in parts; ``""`` if there is none."""
        if isinstance(self.content, str):
            return self.content
        return "".join(map(_text_of_part, self.content or ()))


def _text_of_part(part: Part) -> str:
    return part.text if isinstance(part, TextPart) else said_in(part) or ""


Message: TypeAlias = SystemMessage | UserMessage | AssistantMessage | ToolMessage | JSON
Prompt: TypeAlias = str | Message | Sequence[Message]
"""A ``str`` is one user message; else one message or several. A plain dict goes out as it is."""


def as_messages(value: Any) -> Any:
    """Return a prompt as a tuple of messages; what is neither is left for the check to report."""
    if isinstance(value, str):
        return (UserMessage(value),) if value else ()
    if isinstance(value, (list, tuple)):
        return tuple(value)
    if isinstance(value, (SystemMessage, UserMessage, AssistantMessage, ToolMessage, Mapping)):
        return (value,)
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)) else value


def plain_text(message: Any) -> str | None:
    """Return the text of a message that is nothing but a role and a text, as most are; None for any other."""
    kind = type(message)
    if kind is dict:
        role = message.get("role") if len(message) == 2 else None  # noqa: PLR2004 - role and content
        content = message.get("content") if type(role) is str and role else None
    elif kind is UserMessage or kind is SystemMessage:
        content = message.content if message.name is None else None
    elif kind is AssistantMessage:
        more = (message.tool_calls, message.reasoning_content, message.refusal, message.name)
        content = message.content if more == (None, None, None, None) and not message.extra else None
    else:
        return None
    return content if type(content) is str else None
