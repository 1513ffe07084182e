"""What goes in: messages, content parts, ``ChatRequest`` and the options of a call.

This file is the one place where a request is checked: keyword arguments, ``ChatRequest`` objects, plain dicts and
lines of a batch file all end up in :func:`as_request`, and every bad field is reported at once.

To add a documented field: one line in :class:`RequestFields`, one field with its rule in :class:`ChatRequest`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeAlias, TypedDict, get_args

import attrs

from anyfast_async.errors import FieldError, RequestValidationError, escaped
from anyfast_async.policies import Timeouts

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

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""How long a model may think; which words a model takes differs by family."""


# -- content parts ---------------------------------------------------------------------------------------------------


@attrs.frozen
class TextPart:
    """A piece of text in a message."""

    text: str


@attrs.frozen
class ImagePart:
    """An image, or any other file that the model takes through ``image_url`` (PDF, audio, video)."""

    url: str | Path
    """An ``https:`` or ``data:`` URL, or the path of a local file. A ``str`` is never opened."""
    detail: Literal["auto", "low", "high"] | None = attrs.field(default=None, kw_only=True)

    @classmethod
    def from_path(cls, path: str | Path, *, detail: Literal["auto", "low", "high"] | None = None) -> ImagePart:
        """Return the part for a local file, which is read when the request is sent."""
        return cls(Path(path), detail=detail)


@attrs.frozen
class AudioPart:
    """Spoken input."""

    data: str | Path
    """The audio in base64, or the path of a local file."""
    format: Literal["wav", "mp3"]

    @classmethod
    def from_path(cls, path: str | Path) -> AudioPart:
        """Return the part for a local ``.wav`` or ``.mp3`` file, which is read when the request is sent."""
        file = Path(path)
        return cls(file, "mp3" if file.suffix.lower() == ".mp3" else "wav")


@attrs.frozen
class FilePart:
    """A document."""

    filename: str
    file_data: str | Path
    """A ``data:`` URL, such as ``data:application/pdf;base64,...``, or the path of a local file."""

    @classmethod
    def from_path(cls, path: str | Path) -> FilePart:
        """Return the part for a local file, which is read when the request is sent."""
        file = Path(path)
        return cls(file.name, file)


@attrs.frozen
class VideoPart:
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

MAX_FILE = 64 * 1024 * 1024
"""Largest local file in bytes: the gateway's own limit for a file that it downloads."""

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


@attrs.frozen
class SystemMessage:
    """Instructions for the whole conversation."""

    content: Content
    name: str | None = attrs.field(default=None, kw_only=True)
    role: Literal["system"] = attrs.field(default="system", init=False)


@attrs.frozen
class UserMessage:
    """What the user says."""

    content: Content
    name: str | None = attrs.field(default=None, kw_only=True)
    role: Literal["user"] = attrs.field(default="user", init=False)


@attrs.frozen
class ToolMessage:
    """What a tool answered."""

    content: Content
    tool_call_id: str
    name: str | None = attrs.field(default=None, kw_only=True)
    role: Literal["tool"] = attrs.field(default="tool", init=False)


@attrs.frozen(kw_only=True)
class FunctionCall:
    """The function that a model wants called, and with what."""

    name: str | None = None
    arguments: str | None = None
    """JSON text, as the model wrote it: it may be invalid."""
    extra: JSON = attrs.field(factory=dict)
    blank: JSON = attrs.field(factory=dict, repr=False, eq=False)


@attrs.frozen(kw_only=True)
class ToolCall:
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
        """The function's name, ``""`` if the model gave none."""
        return (self.function.name if self.function else None) or ""

    @property
    def arguments(self) -> str:
        """The arguments as JSON text, ``""`` if the model gave none."""
        return (self.function.arguments if self.function else None) or ""


def _content(value: Any) -> Any:
    """Keep a sequence of parts as a tuple, so that the frozen message cannot change under a retry."""
    return tuple(value) if isinstance(value, list) else value


@attrs.frozen
class AssistantMessage:
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
    match part:
        case str():
            return part
        case TextPart():
            return part.text
        case Mapping():
            text = part.get("text")
            return text if isinstance(text, str) else ""
    return ""


Message: TypeAlias = SystemMessage | UserMessage | AssistantMessage | ToolMessage | JSON
Prompt: TypeAlias = str | Message | Sequence[Message]
"""A ``str`` is one user message; else one message or several. A plain dict goes out as it is."""


# -- rules: value -> what is wrong with it, or None ------------------------------------------------------------------

Rule: TypeAlias = Callable[[Any], "str | None"]


_SHOWN_BITS = 128
"""Python refuses to write integers of more than 4300 digits."""


def shown(value: object) -> str:
    """Describe *value* for an error: numbers as they are, text and containers only by type and length."""
    match value:
        case int() if value.bit_length() > _SHOWN_BITS:
            return f"an integer of {value.bit_length()} bits"
        case bool() | int() | float() | None:
            return repr(value)
        case str() | bytes() | Sequence() | Mapping():
            unit = "characters" if isinstance(value, str) else "items"
            return f"{type(value).__name__} of {len(value)} {unit}"
    return type(value).__name__


def number(low: float, high: float) -> Rule:
    """Allow a finite number from *low* to *high*."""

    def rule(value: Any) -> str | None:
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
        return None if good else f"must be a number from {low:g} to {high:g}, not {shown(value)}"

    return rule


def whole(low: int, high: float = math.inf) -> Rule:
    """Allow an integer from *low* to *high*."""
    allowed = f"an integer from {low} to {high:g}" if high < math.inf else f"an integer of at least {low}"

    def rule(value: Any) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if good else f"must be {allowed}, not {shown(value)}"

    return rule


def of_type(kind: type | tuple[type, ...], allowed: str) -> Rule:
    """Allow instances of *kind*."""

    def rule(value: Any) -> str | None:
        return None if isinstance(value, kind) else f"must be {allowed}, not {shown(value)}"

    return rule


def word(*words: str) -> Rule:
    """Allow one of *words*."""

    def rule(value: Any) -> str | None:
        if value in words:
            return None
        got = repr(escaped(value, 40)) if isinstance(value, str) else shown(value)
        return f"must be one of {', '.join(map(repr, words))}, not {got}"

    return rule


_SIGNED_64 = 2**63


def _model(value: Any) -> str | None:
    if isinstance(value, str) and value.strip():
        return None
    return f"must be a non-empty string, not {shown(value)}"


def _stop(value: Any) -> str | None:
    # 16 is the largest documented number of sequences (DeepSeek); Gemini uses the first 5.
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, Sequence) and 0 < len(texts) <= 16 and all(isinstance(t, str) and t for t in texts):  # noqa: PLR2004
        return None
    return f"must be a non-empty string or 1 to 16 of them, not {shown(value)}"


def _response_format(value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return f"must be an object such as {{'type': 'json_object'}}, not {shown(value)}"
    problem = word("text", "json_object", "json_schema")(value.get("type"))
    return f"type {problem}" if problem else None


def _objects(value: Any) -> str | None:
    if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(v, Mapping) for v in value):
        return None
    return f"must be a list of objects, not {shown(value)}"


def _tool_choice(value: Any) -> str | None:
    return None if isinstance(value, Mapping) else word("none", "auto", "required")(value)


_USER_ID = re.compile(r"[a-zA-Z0-9\-_]{1,512}")


def _user_id(value: Any) -> str | None:
    if isinstance(value, str) and _USER_ID.fullmatch(value):
        return None
    return f"must be 1 to 512 letters, digits, '-' or '_', not {shown(value)}"


_object = of_type(Mapping, "an object")
_text = of_type(str, "a string")
_flag = of_type(bool, "True or False")


def _field(rule: Rule) -> Any:
    return attrs.field(default=None, kw_only=True, metadata={"rule": rule})


# -- the options of a call -------------------------------------------------------------------------------------------


class RequestFields(TypedDict, total=False):
    """The documented fields of the wire; ``None`` means not sent. Ranges stand at :class:`ChatRequest`."""

    model: str | None
    max_tokens: int | None
    max_completion_tokens: int | None
    temperature: float | None
    top_p: float | None
    frequency_penalty: float | None
    presence_penalty: float | None
    stop: str | Sequence[str] | None
    n: int | None
    response_format: JSON | None
    tools: Sequence[JSON] | None
    tool_choice: str | JSON | None
    parallel_tool_calls: bool | None
    reasoning_effort: ReasoningEffort | None
    thinking: JSON | None
    enable_thinking: bool | None
    seed: int | None
    logprobs: bool | None
    top_logprobs: int | None
    stream_options: JSON | None
    user: str | None
    user_id: str | None


class CallOptions(TypedDict, total=False):
    """What steers a call, beside the fields of the wire."""

    system: str | None
    """A system message put before the others."""
    timeout: float | Timeouts | None
    """Seconds for the whole call, or a :class:`Timeouts`."""
    via_stream: bool
    """``complete`` only: stream on the wire and fold, for proxies that cut silent answers after 100 s."""
    accept_missing_finish: bool
    """Streams: take an orderly end without ``finish_reason`` for complete (some upstreams never send one)."""
    extra_body: JSON | None
    """Fields put into the body beside the documented ones; they win over them."""
    extra_headers: Mapping[str, str] | None
    """Headers added to this call."""


class ChatOptions(RequestFields, CallOptions, total=False):
    """Every keyword of ``complete``, ``stream`` and ``map``."""


def _as_messages(value: Any) -> Any:
    """Return a prompt as a tuple of messages; what is neither is left for the check to report."""
    if isinstance(value, str):
        return (UserMessage(value),) if value else ()
    if isinstance(value, (SystemMessage, UserMessage, AssistantMessage, ToolMessage, Mapping)):
        return (value,)
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)) else value


@attrs.frozen
class ChatRequest:
    """One request, checked as a whole when it is made.

    ``None`` means not sent. Sources: the AnyFast chat-completions pages, general and per model family.

    Raises:
        RequestValidationError: naming every bad field with its allowed range.

    """

    messages: tuple[Message, ...] = attrs.field(converter=_as_messages)
    """At least one; a ``str`` is one user message."""
    model: str | None = _field(_model)
    """Any id that the key sees; None takes the client's."""
    max_tokens: int | None = _field(whole(1))
    """Longest answer in tokens, from 1. Thinking counts too: a small number can leave no room for any text."""
    max_completion_tokens: int | None = _field(whole(1))
    """As ``max_tokens``, for the models that only honour this name (Kimi, Qwen); it wins over ``max_tokens``."""
    temperature: float | None = _field(number(0, 2))
    """0 to 2; the gateway's default is 1."""
    top_p: float | None = _field(number(0, 1))
    """Nucleus sampling, 0 to 1."""
    frequency_penalty: float | None = _field(number(-2, 2))
    """-2 to 2; positive repeats less what was frequent. Gemini ignores it."""
    presence_penalty: float | None = _field(number(-2, 2))
    """-2 to 2; positive repeats less what was there at all. Gemini ignores it."""
    stop: str | Sequence[str] | None = _field(_stop)
    """A sequence where generation stops, or up to 16 (Gemini uses the first 5)."""
    n: int | None = _field(whole(1))
    """Choices, from 1. Gemini always answers with one."""
    response_format: JSON | None = _field(_response_format)
    """``{"type": "text" | "json_object" | "json_schema"}``."""
    tools: Sequence[JSON] | None = _field(_objects)
    tool_choice: str | JSON | None = _field(_tool_choice)
    """``"none"``, ``"auto"``, ``"required"`` or ``{"type": "function", "function": {"name": ...}}``."""
    parallel_tool_calls: bool | None = _field(_flag)
    reasoning_effort: ReasoningEffort | None = _field(word(*get_args(ReasoningEffort)))
    thinking: JSON | None = _field(_object)
    """``{"type": "enabled" | "disabled"}`` (DeepSeek, Doubao, GLM, Kimi)."""
    enable_thinking: bool | None = _field(_flag)
    """Qwen's switch."""
    seed: int | None = _field(whole(-_SIGNED_64, _SIGNED_64 - 1))
    logprobs: bool | None = _field(_flag)
    top_logprobs: int | None = _field(whole(0, 20))
    """0 to 20, with ``logprobs``."""
    stream_options: JSON | None = _field(_object)
    """``{"include_usage": bool}``; streams ask for usage unless this says otherwise."""
    user: str | None = _field(_text)
    """Your id for your user."""
    user_id: str | None = _field(_user_id)
    """DeepSeek's, up to 512 letters, digits, ``-`` and ``_``."""
    extra_body: JSON | None = _field(_object)
    """Fields put into the body beside the documented ones; they win over them."""

    def __attrs_post_init__(self) -> None:
        problems = list(_message_problems(self.messages))
        problems += [
            FieldError(name, problem)
            for name, rule in _RULES.items()
            if (value := getattr(self, name)) is not None and (problem := rule(value))
        ]
        if problems:
            raise RequestValidationError.of(problems)


_RULES: dict[str, Rule] = {a.name: a.metadata["rule"] for a in attrs.fields(ChatRequest) if "rule" in a.metadata}

WIRE_FIELDS: tuple[str, ...] = tuple(name for name in _RULES if name != "extra_body")
"""The names of the documented body fields beside ``messages``, in the order in which they are sent."""


# -- the check of messages -------------------------------------------------------------------------------------------

_MESSAGE_CLASSES = (SystemMessage, UserMessage, AssistantMessage, ToolMessage)
_URL_FIELDS = {"image_url": "url", "video_url": "url"}
_LOCAL_HINT = (
    "must be an https: or data: URL; nothing was opened: a local file enters as pathlib.Path or by from_path()"
)


def _message_problems(messages: Any) -> list[FieldError]:
    if not isinstance(messages, tuple):
        return [FieldError("messages", f"must be a string, a message or a list of messages, not {shown(messages)}")]
    if not messages:
        return [FieldError("messages", "must not be empty: at least one message with content")]
    return [problem for i, m in enumerate(messages) for problem in _problems_of_message(f"messages[{i}]", m)]


def _problems_of_message(path: str, message: Any) -> list[FieldError]:
    if isinstance(message, Mapping):
        role, content = message.get("role"), message.get("content")
        found: list[FieldError] = []
        if not isinstance(role, str) or not role:
            problem = "is missing" if role is None else f"must be a non-empty string, not {shown(role)}"
            found.append(FieldError(f"{path}.role", f"{problem}; for example 'user'"))
        if "type" in message or any(name in message for name in _URL_FIELDS):
            found.append(FieldError(path, "is a content part, not a message; put it into a message's content list"))
            found += _problems_of_dict_part(path, message)
        elif content is None and role != "assistant":
            found.append(FieldError(f"{path}.content", "is missing"))
        return found + (_problems_of_content(f"{path}.content", content) if content is not None else [])
    if not isinstance(message, _MESSAGE_CLASSES):
        return [FieldError(path, f"must be a message or a dict with role and content, not {shown(message)}")]
    found = _named(f"{path}.name", None if message.name is None else _text(message.name))
    if isinstance(message, AssistantMessage) and not isinstance(message.tool_calls, (tuple, list, NoneType)):
        found.append(FieldError(f"{path}.tool_calls", f"must be a list of ToolCall, not {shown(message.tool_calls)}"))
    if isinstance(message, ToolMessage) and not (isinstance(message.tool_call_id, str) and message.tool_call_id):
        found.append(FieldError(f"{path}.tool_call_id", "must be the id of the tool call that this answers"))
    if message.content is None and isinstance(message, AssistantMessage):
        return found
    return found + _problems_of_content(f"{path}.content", message.content)


def _problems_of_content(path: str, content: Any) -> list[FieldError]:
    if isinstance(content, str):
        return []
    if not isinstance(content, Sequence) or isinstance(content, (bytes, bytearray)):
        return [FieldError(path, f"must be a string or a list of content parts, not {shown(content)}")]
    if not content:
        return [FieldError(path, "must not be an empty list")]
    return [problem for i, part in enumerate(content) for problem in _problems_of_part(f"{path}[{i}]", part)]


def _problems_of_part(path: str, part: Any) -> list[FieldError]:
    match part:
        case str():
            return []
        case TextPart():
            return _named(f"{path}.text", _text(part.text))
        case ImagePart():
            detail = None if part.detail is None else word("auto", "low", "high")(part.detail)
            return _named(f"{path}.url", _url(part.url)) + _named(f"{path}.detail", detail)
        case VideoPart():
            fps = None if part.fps is None else number(0, 1000)(part.fps)
            return _named(f"{path}.url", _url(part.url)) + _named(f"{path}.fps", fps)
        case AudioPart():
            problem = _file(part.data) if isinstance(part.data, Path) else _text(part.data)
            return _named(f"{path}.data", problem) + _named(f"{path}.format", word("wav", "mp3")(part.format))
        case FilePart():
            return _named(f"{path}.filename", _text(part.filename)) + _named(f"{path}.file_data", _url(part.file_data))
        case Mapping():
            return _problems_of_dict_part(path, part)
        case Path():
            return _named(path, _file(part))
    return [FieldError(path, f"must be a content part, a string or a dict, not {shown(part)}")]


def _problems_of_dict_part(path: str, part: JSON) -> list[FieldError]:
    """Check only what would otherwise look like a request to open a local file; a dict goes out as it is."""
    found = []
    if not isinstance(part.get("type"), str):
        found.append(FieldError(f"{path}.type", "is missing; for example 'text' or 'image_url'"))
    for name, inner in _URL_FIELDS.items():
        value = part.get(name)
        where = f"{path}.{name}"
        if isinstance(value, Mapping):
            value, where = value.get(inner), f"{where}.{inner}"
        if isinstance(value, str) and (value.lower().startswith("file:") or not _SCHEME.match(value)):
            found.append(FieldError(where, f"{_LOCAL_HINT}; not {shown(value)}"))
    return found


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:")


def _file(path: Path) -> str | None:
    if path.suffix.lower() in MEDIA_TYPES:
        return None
    return f"must be a file of a type that can be sent ({', '.join(MEDIA_TYPES)}), not {escaped(path.suffix, 20)!r}"


def _url(value: Any) -> str | None:
    if isinstance(value, Path):
        return _file(value)
    if isinstance(value, str) and value.startswith(("https:", "data:")):
        return None
    return f"{_LOCAL_HINT}; not {shown(value)}"


def _named(path: str, problem: str | None) -> list[FieldError]:
    return [FieldError(path, problem)] if problem else []


# -- the one way in --------------------------------------------------------------------------------------------------

_CALL_OPTIONS = tuple(CallOptions.__annotations__)
_KNOWN = ("messages", *_RULES, *_CALL_OPTIONS)


def unknown_option(name: str) -> FieldError:
    """Say what to do about an option that there is not."""
    if name == "stream":
        return FieldError(name, "must be absent or false; to stream, use client.stream(...)")
    shown_name = escaped(str(name), 60)
    if name in _CALL_OPTIONS:
        return FieldError(shown_name, "is an option of the call, not a field of the request's body")
    near = difflib.get_close_matches(shown_name, _KNOWN, n=1)
    hint = f"did you mean {near[0]!r}? Otherwise" if near else "to send a field that is not documented"
    return FieldError(shown_name, f"is no known option; {hint} use extra_body={{{shown_name!r}: ...}}")


def as_request(prompt: Prompt | ChatRequest, fields: Mapping[str, Any], *, system: str | None = None) -> ChatRequest:
    """Return the checked request that *prompt* and the keyword arguments *fields* make.

    A ``ChatRequest`` is taken as it is, with *fields* put over it. *system* goes before the messages.

    Raises:
        RequestValidationError: naming every bad field.

    """
    problems = [unknown_option(name) for name in fields if name not in _RULES]
    given = {name: value for name, value in fields.items() if name in _RULES and value is not None}
    messages: Any = prompt
    if isinstance(prompt, ChatRequest):
        messages = prompt.messages
        given = {n: v for n in _RULES if (v := getattr(prompt, n)) is not None} | given
    if system is not None:
        first = SystemMessage(system)
        rest = _as_messages(messages)
        messages = (first, *rest) if isinstance(rest, tuple) and rest else rest
    try:
        request = ChatRequest(messages, **given)
    except RequestValidationError as error:
        found = [_at_callers_place(e) for e in error.errors] if system is not None else error.errors
        raise RequestValidationError.of([*problems, *found]) from None
    if problems:
        raise RequestValidationError.of(problems)
    return request


def _at_callers_place(error: FieldError) -> FieldError:
    """Count messages as the caller did, who gave the system message beside them."""
    found = re.match(r"messages\[(\d+)\](?:\.content)?", error.path)
    if found is None:
        return error
    if found[1] == "0":
        return FieldError("system" + error.path[found.end() :], error.problem)
    return FieldError(f"messages[{int(found[1]) - 1}]{error.path[len(f'messages[{found[1]}]') :]}", error.problem)


def request_from_body(body: Any) -> ChatRequest:
    """Return the checked request of a JSON *body*, such as that of a line in an OpenAI Batch file.

    Raises:
        RequestValidationError: naming every bad field.

    """
    if not isinstance(body, Mapping):
        raise RequestValidationError.of([FieldError("body", f"must be an object, not {shown(body)}")])
    fields = {name: value for name, value in body.items() if name != "messages" and (name != "stream" or value)}
    if "extra_body" in fields:  # the gateway reads a literal ``extra_body`` key; it must not be unpacked here
        fields["extra_body"] = {"extra_body": fields["extra_body"]}
    return as_request(body.get("messages", ()), fields)
