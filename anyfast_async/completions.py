"""What comes out: frozen answers that keep every field they do not know.

A known field with a value of another type than the one written here, and every unknown field, stands in ``extra``;
``blank`` holds the known fields that came as ``null`` or ``[]``. So an answer turned back into JSON has the same
values, null distinct from absent. Shapes: the OpenAI chat-completion object as this gateway and its upstreams send it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import attrs

from anyfast_async._values.bases import Brief, brief
from anyfast_async._values.outcome import Outcome, diagnosis_of, outcome_of
from anyfast_async._values.reasoning import thoughts_of
from anyfast_async.errors import Attempt, FieldError, OutputError
from anyfast_async.messages import JSON, AssistantMessage, ToolCall

T = TypeVar("T")


def _extra() -> Any:
    return attrs.field(factory=dict, kw_only=True)


def _blank() -> Any:
    return attrs.field(factory=dict, kw_only=True, repr=False, eq=False)


class _TokenCounts(Brief):
    """Of which zeros are not shown, nor what has nothing else: of most kinds of tokens there are none."""

    __slots__ = ()
    extra: JSON

    def __repr__(self) -> str:
        kind: Any = type(self)
        fields = [(a.name, getattr(self, a.name)) for a in attrs.fields(kind) if a.repr and a.name != "extra"]
        said = {name: shown for name, value in fields if value and (shown := repr(value))[-2:] != "()"}
        said |= {"extra": brief(more)} if (more := {name: value for name, value in self.extra.items() if value}) else {}
        return f"{kind.__name__}({', '.join(f'{name}={shown}' for name, shown in said.items())})"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PromptTokensDetails(_TokenCounts):
    """Where the prompt's tokens went."""

    cached_tokens: int | None = None
    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    extra: JSON = _extra()
    blank: JSON = _blank()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class CompletionTokensDetails(_TokenCounts):
    """Where the answer's tokens went."""

    reasoning_tokens: int | None = None
    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    extra: JSON = _extra()
    blank: JSON = _blank()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Usage(_TokenCounts):
    """What the call used, as the gateway reports it. Reasoning is part of ``completion_tokens``.

    A number that came as ``9.0`` or ``"9"`` is read as 9, and stands in ``extra`` as it came; what was not told is
    None.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    """The upstream's own total: it need not be the sum of the other two."""
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None
    extra: JSON = _extra()
    blank: JSON = _blank()

    @property
    def known(self) -> bool:
        """Whether the gateway counted at all: no request has a prompt of no tokens, so zeros alone say nothing."""
        return bool(self.prompt_tokens or self.completion_tokens or self.total_tokens)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Choice(Brief):
    """One of the answers to a request."""

    index: int | None = None
    message: AssistantMessage | None = None
    finish_reason: str | None = None
    """``"stop"``, ``"length"``, ``"tool_calls"``, ``"content_filter"``, or any other word an upstream uses."""
    logprobs: JSON | None = None
    extra: JSON = _extra()
    blank: JSON = _blank()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Trace(Brief):
    """How a call went, in seconds."""

    queue: float = 0.0
    """Waiting for admission by our own limits, over all attempts."""
    connect: float | None = None
    """Name lookup, TCP and TLS of the last attempt; None on a reused connection."""
    first_token: float | None = None
    """Streams: from sending to the first content, in the last attempt."""
    total: float = 0.0
    """The whole call."""
    attempts: tuple[Attempt, ...] = ()
    """Every try, oldest first."""
    ignored: int = 0
    """Events of the last attempt that said nothing: heartbeats, events of unknown types, what came after the end."""


@attrs.frozen(eq=False, repr=False)
class Image(Brief):
    """An image in an answer."""

    url: str
    """A ``data:`` URL, or an ``https:`` URL where the gateway stores the file."""

    @property
    def media_type(self) -> str | None:
        """Such as ``"image/png"``; None for a URL that is not ``data:``."""
        found = re.match(_DATA_URL, self.url)
        return found[1] if found else None

    @property
    def data(self) -> bytes:
        """The file.

        Raises:
            OutputError: it is elsewhere (nothing is fetched), or not valid base64.

        """
        found = re.match(_DATA_URL, self.url)
        if not found:
            message = "the image is not in the answer but at a URL, which is not fetched for you; see .url"
            raise OutputError(message)
        try:
            return base64.b64decode("".join(self.url[found.end() :].split()), validate=True)
        except ValueError as error:
            message = f"the image in the answer is not valid base64: {error}"
            raise OutputError(message) from None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:  # noqa: ARG002 - IPython's
        """Show the picture in a notebook, where it is in the answer and of a kind that browsers show."""
        shown: dict[str, Any] = {"text/plain": repr(self)}
        if self.media_type in {"image/png", "image/jpeg", "image/gif"}:
            with suppress(OutputError):
                shown[self.media_type] = base64.b64encode(self.data).decode()
        return shown

    def save(self, path: str | Path) -> Path:
        """Write the file to *path*, which must not exist yet, and return it.

        Raises:
            OutputError: as :attr:`data`.
            FileExistsError: there is such a file.

        """
        data = self.data
        file = Path(path)
        with file.open("xb") as output:
            output.write(data)
        return file


_DATA_URL = r"data:([\w.+-]+/[\w.+-]+)?;base64,"
_MARKDOWN_IMAGE = r"!\[[^\[\]]*\]\((data:image/[\w.+-]+;base64,[A-Za-z0-9+/=\s]+|https://[^\s)]+)\)"
"""How the gateway puts images into the text (new-api ``relay-gemini.go``)."""


def _images_of(message: AssistantMessage) -> tuple[Image, ...]:
    beside = message.extra.get("images")
    parts = message.content if isinstance(message.content, tuple) else ()
    urls = [_url_of_part(part) for part in (*parts, *(beside if isinstance(beside, list) else ()))]
    urls += [found[1] for found in re.finditer(_MARKDOWN_IMAGE, message.text)]
    return tuple(Image(url) for url in urls if url)


def _url_of_part(part: Any) -> str | None:
    value = part.get("image_url") if isinstance(part, Mapping) else None
    url = value.get("url") if isinstance(value, Mapping) else value
    return url if isinstance(url, str) else None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ChatCompletion(Brief):
    """The answer to a request."""

    id: str | None = None
    object: str | None = attrs.field(default=None, repr=False)
    created: int | None = attrs.field(default=None, repr=False)
    """Unix seconds."""
    model: str | None = None
    """The model that answered; gateways may name another one than was asked for."""
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    extra: JSON = _extra()
    blank: JSON = _blank()
    usage_source: Literal["gateway", "estimate"] | None = attrs.field(
        default=attrs.Factory(lambda self: None if self.usage is None else "gateway", takes_self=True),
        eq=False,
        repr=False,
        metadata={"wire": False},
    )
    """Where ``usage`` comes from: ``"estimate"`` after a stream that was left before the gateway reported it."""
    request_id: str | None = attrs.field(default=None, eq=False, metadata={"wire": False})
    """The gateway's id of the request, for its support."""
    headers: Mapping[str, str] = attrs.field(factory=dict, eq=False, repr=False, metadata={"wire": False})
    """The answer's HTTP headers, with lower-case names. ``x-ratelimit-*`` describe the gateway's account, not yours."""
    trace: Trace | None = attrs.field(default=None, eq=False, repr=False, metadata={"wire": False})
    """How the call went; no part of equality or JSON."""

    @property
    def _first(self) -> Choice | None:
        """The choice with the index 0, wherever it stands; else the one that stands first."""
        first = self.choices[0] if self.choices else None
        if first is None or not first.index:
            return first
        return next((choice for choice in self.choices if choice.index == 0), first)

    @property
    def message(self) -> AssistantMessage:
        """The first choice's message; an empty one if there is none."""
        first = self._first
        return (first.message if first is not None else None) or AssistantMessage()

    @property
    def text(self) -> str:
        """The first choice's text, ``""`` if there is none."""
        return self.message.text

    @property
    def reasoning(self) -> str:
        """The first choice's thoughts, wherever the upstream put them; ``""`` if there are none."""
        return thoughts_of(self.message)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The first choice's tool calls."""
        return self.message.tool_calls or ()

    @property
    def finish_reason(self) -> str | None:
        """The first choice's finish reason."""
        first = self._first
        return first.finish_reason if first is not None else None

    @property
    def diagnosis(self) -> str | None:
        """What is wrong with the answer, in words, and what helps; None if nothing is.

        With ``n`` above 1 it is that of the first choice that is not ok.
        """
        return diagnosis_of(self)

    @property
    def outcome(self) -> Outcome:
        """What the answer amounts to: ``"ok"``, ``"refused"`` (by the model), ``"filtered"``, ``"cut"`` or ``"empty"``.

        With ``n`` above 1 it is that of the first choice that is not ok.
        """
        return outcome_of(self)

    @property
    def images(self) -> tuple[Image, ...]:
        """The images in the first choice, whether the upstream put them into the text or beside it."""
        return _images_of(self.message)

    def parse(self, kind: type[T]) -> T:
        """Return the *kind* that the first choice's JSON text describes.

        Args:
            kind: an attrs class, a dataclass, a pydantic model, or anything made of them and of plain values.

        Raises:
            OutputError: the text does not fit; ``.errors`` names every place, ``.completion`` is this.
            ConfigurationError: *kind* holds a type that JSON has no shape for.

        """
        from anyfast_async._structured.parsing import FieldMismatchError, parse  # noqa: PLC0415 - with the first class

        cut, text = "; the answer was cut by max_tokens" if self.finish_reason == "length" else "", self.text
        try:
            value = parse(text, kind)
        except FieldMismatchError as mismatch:
            found = mismatch.errors
        else:
            if not cut or not text.rstrip()[-1:].isdigit():
                return value
            found = (FieldError("$", "is a number that may go on"),)
        lines = "".join(f"\n  {e}" for e in found)
        error = OutputError(f"the answer is no {getattr(kind, '__name__', kind)}{cut}:{lines}")
        error.completion, error.errors, error.request_id = self, found, self.request_id
        error.attempts = self.trace.attempts if self.trace is not None else ()
        raise error


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ChunkChoice(Brief):
    """What one event adds to one choice."""

    index: int | None = None
    delta: AssistantMessage | None = None
    """Only what is new; ``role`` is None on most chunks."""
    finish_reason: str | None = None
    logprobs: JSON | None = None
    extra: JSON = _extra()
    blank: JSON = _blank()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ChatCompletionChunk(Brief):
    """One event of a stream."""

    id: str | None = None
    object: str | None = attrs.field(default=None, repr=False)
    created: int | None = attrs.field(default=None, repr=False)
    model: str | None = None
    choices: tuple[ChunkChoice, ...] = ()
    usage: Usage | None = None
    extra: JSON = _extra()
    blank: JSON = _blank()

    @property
    def text(self) -> str:
        """The text that this event adds to choice 0."""
        text = ""
        for choice in self.choices:
            delta = choice.delta
            if delta is not None and not choice.index:
                content = delta.content
                text += content if type(content) is str else delta.text
        return text


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Model(Brief):
    """A model that the key sees, from ``GET /v1/models``."""

    id: str | None = None
    object: str | None = None
    created: int | None = None
    owned_by: str | None = None
    extra: JSON = _extra()
    blank: JSON = _blank()


__all__ = [
    "ChatCompletion",
    "ChatCompletionChunk",
    "Choice",
    "ChunkChoice",
    "CompletionTokensDetails",
    "Image",
    "Model",
    "PromptTokensDetails",
    "Trace",
    "Usage",
]
