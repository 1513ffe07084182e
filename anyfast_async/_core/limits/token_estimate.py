"""How many tokens a call will take, before it is sent: what is asked counted by kind, and answers as they turn out.

Limits per minute want what is likely, a budget what is possible: both are here, for text and for each kind of media.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, TypeAlias

import attrs

from anyfast_async._core.json import codec
from anyfast_async._core.limits.answer_lengths import Lengths, Pending
from anyfast_async._values.bases import Shown, Value
from anyfast_async.messages import MEDIA_TYPES, AudioPart, FilePart, ImagePart, VideoPart, plain_text
from anyfast_async.requests import ChatRequest

BYTES_PER_TOKEN: Final = 4
"""Bytes of UTF-8 per token: safe across scripts (English 3.6, Chinese 4.1, Russian 5.8 by o200k), unlike characters."""
TOKENS_PER_MESSAGE: Final = 4
MOST_PER_MESSAGE: Final = 8
"""Role, name and the marks around a message, in any chat template; once more for the beginning of the answer."""
ASSUMED: Final = 400
"""Tokens of an answer of which nothing is known: a long paragraph."""

TEXT: Final = "text"


@attrs.frozen(eq=False, repr=False)
class Media(Shown):
    """What a part of one kind is taken for. Base64 is not text: a model counts pictures, seconds and pages."""

    least: int
    """Tokens of one, however small."""
    likely: float
    """Characters of base64 per token above that."""
    most: int
    """As ``least``, for a budget."""
    possible: float
    """As ``likely``, for a budget."""

    def tokens(self, size: int) -> float:
        """Return what one with *size* characters of base64 is likely to take."""
        return max(self.least, size / self.likely)

    def bound(self, size: int) -> float:
        """Return what it may take."""
        return max(self.most, size / self.possible)


_NEVER: Final = float("inf")
MEDIA: Final[Mapping[str, Media]] = {
    # Gemini: 258 for a small image and for each tile of a large one, 2 240 for one at its highest resolution.
    "image": Media(258, _NEVER, 3000, _NEVER),
    # 32 tokens a second; 128 kbit/s are 21 000 characters a second, 16 kbit/s of speech 2 700.
    "audio": Media(258, 700, 1500, 80),
    # 258 a page, of 50 kB with pictures, of 4 kB with text alone.
    "file": Media(258, 250, 2580, 20),
    # 290 a second; 2 Mbit/s are 330 000 characters a second, 200 kbit/s 33 000.
    "video": Media(258, 1100, 9000, 110),
}
"""By kind; what a scope learns from the usage that is reported goes over it."""

_PARTS: Final = {"image_url": "image", "input_audio": "audio", "file": "file", "video_url": "video"}
_FAMILIES: Final = frozenset({"image", "audio", "video"})

Counts: TypeAlias = "dict[str, list[float]]"
"""By kind: what is likely, and what is possible."""


def tokens_of(text: str) -> int:
    """Estimate the tokens of *text*."""
    return -(-_size(text) // BYTES_PER_TOKEN)


def tokens_of_each(texts: Sequence[str]) -> list[int]:
    """Return what :func:`tokens_of` says of each of many texts."""
    if "".join(texts).isascii():
        return [-(-len(text) // BYTES_PER_TOKEN) for text in texts]
    return [*map(tokens_of, texts)]


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


# -- what is asked ---------------------------------------------------------------------------------------------------


@attrs.frozen(eq=False, repr=False)
class Asked(Value):
    """The tokens of a prompt by kind."""

    likely: Mapping[str, float]
    possible: Mapping[str, float]
    """No tokenizer makes more than a token of a byte of text; of media it is what their size allows for."""

    @property
    def tokens(self) -> int:
        """What is likely, all in all."""
        return round(sum(self.likely.values()))

    def and_message(self, text: str) -> Asked:
        """Return it with one more message, of *text* alone."""
        likely, possible = {**self.likely}, {**self.possible}
        _count_message(likely, possible)
        _count_text(likely, possible, text)
        return Asked(likely, possible)


def asked(request: ChatRequest | None) -> Asked:
    """Count the prompt of a request; None asks nothing."""
    if request is None:
        return _NOTHING
    likely: dict[str, float] = {TEXT: 0.0}
    possible: dict[str, float] = {TEXT: float(MOST_PER_MESSAGE)}
    for message in request.messages:
        _count_message(likely, possible)
        plain = plain_text(message)
        if plain is not None:
            _count_text(likely, possible, plain)
            continue
        for kind, value in _pieces(_field(message, "content")):
            if kind == TEXT:
                _count_text(likely, possible, value)
                continue
            media, size = MEDIA[kind], _base64(value)
            likely[kind] = likely.get(kind, 0.0) + media.tokens(size)
            possible[kind] = possible.get(kind, 0.0) + media.bound(size)
        if calls := _calls_of(message):
            _count_text(likely, possible, codec.dumps(calls).decode())
    for described in (request.tools, request.response_format):
        if described:
            _count_text(likely, possible, codec.dumps(described).decode())
    return Asked(likely, possible)


def _count_message(likely: dict[str, float], possible: dict[str, float]) -> None:
    likely[TEXT] += TOKENS_PER_MESSAGE
    possible[TEXT] += MOST_PER_MESSAGE


def _count_text(likely: dict[str, float], possible: dict[str, float], text: str) -> None:
    size = _size(text)
    likely[TEXT] += -(-size // BYTES_PER_TOKEN)
    possible[TEXT] += size


def _calls_of(message: Any) -> Any:
    """Return the tool calls of a message as they are sent: those of an answer are objects."""
    calls = _field(message, "tool_calls")
    sent_as_it_is = not calls or isinstance(message, Mapping)
    return calls if sent_as_it_is else codec.message_to_wire(message).get("tool_calls")


_NOTHING: Final = Asked({TEXT: 0.0}, {TEXT: 0.0})


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _pieces(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield the kind of each piece of a message's content, and its text, or where its bytes are."""
    if not content:
        return
    if isinstance(content, str):
        yield TEXT, content
    elif isinstance(content, (list, tuple)):
        for part in content:
            yield from _pieces(part)
    elif isinstance(text := _field(content, "text"), str):
        yield TEXT, text
    else:
        kind, source = _source(content)
        yield _kind_of(source, kind), source


def _source(part: Any) -> tuple[str, Any]:
    """Return what kind a part says that it is, and where its bytes are."""
    match part:
        case ImagePart() | VideoPart():
            return ("image" if isinstance(part, ImagePart) else "video"), part.url
        case AudioPart():
            return "audio", part.data
        case FilePart():
            return "file", part.file_data
        case Mapping():
            name = str(part.get("type"))
            inner = part.get(name)
            for key in ("url", "data", "file_data"):
                if isinstance(inner, Mapping) and isinstance(inner.get(key), str):
                    inner = inner[key]
            return _PARTS.get(name, "image" if "image" in name else "file"), inner
    return "file", part


def _kind_of(source: Any, said: str) -> str:
    """Return the kind by the media type, because ``image_url`` takes anything."""
    if isinstance(source, Path):
        media_type = MEDIA_TYPES.get(source.suffix.lower(), "")
    elif isinstance(source, str) and source.startswith("data:"):
        media_type = source[5 : 5 + 80].partition(";")[0]
    else:
        return said
    family = media_type.partition("/")[0].lower()
    return family if family in _FAMILIES else "file" if family else said


def _base64(source: Any) -> int:
    # What is elsewhere, at a URL or in a local file, is not looked at: it is taken for a small one.
    return len(source) if isinstance(source, str) and not source.startswith(("http:", "https:")) else 0


# -- what comes ------------------------------------------------------------------------------------------------------


class Factor:
    """Reported tokens over estimated ones, of one kind; recent ones weigh more, the first few at once."""

    __slots__ = ("seen", "value")

    def __init__(self) -> None:
        self.value = 1.0
        self.seen = 0

    def learn(self, ratio: float) -> None:
        """Take in one."""
        self.seen += 1
        self.value += max(0.02, 1 / self.seen) * (ratio - self.value)


class Expected:
    """What the prompts and answers of a scope turn out to take, learned from the usage that the gateway reports."""

    __slots__ = ("_factors", "_lengths")

    SLOW_START: ClassVar[int] = 4
    """Parts of what is free that calls of unknown length reserve each, and two more for each length that is known: so
    a few go first, then three times as many with each round trip."""
    MARGIN: ClassVar[float] = 1.25
    """What a budget adds to the learned size of media."""
    CAUTION: ClassVar[float] = 2.5
    """See :meth:`~anyfast_async._core.limits.answer_lengths.Lengths.share`."""
    CAUTION_UNBOUND: ClassVar[float] = 4.5
    """The same where no ``max_tokens`` bounds the longest answer."""

    def __init__(self) -> None:
        self._factors: dict[str, Factor] = {}
        self._lengths: dict[int, Lengths] = {}
        """Of one choice, by the size of ``max_tokens`` in powers of two; 0: not given."""

    def likely(self, prompt: Asked, max_tokens: int | None, n: int, limit: float) -> float:
        """Return the tokens to reserve of *limit* a minute: what the calls in flight will hardly exceed together."""
        caution = self.CAUTION_UNBOUND if max_tokens is None else self.CAUTION
        return self._prompt(prompt) + self._answer(max_tokens, n, limit, lambda lengths: lengths.share(caution))

    def longest(self, prompt: Asked, max_tokens: int | None, n: int) -> float | None:
        """Return the tokens that a call by itself will hardly exceed; None if :meth:`likely` is no less than that."""
        lengths = self._known(max_tokens)
        if lengths is None:
            return None
        answer = n * lengths.upper()
        return self._prompt(prompt) + (answer if max_tokens is None else min(answer, max_tokens * n))

    def _prompt(self, prompt: Asked) -> float:
        total = 0.0
        for kind, tokens in prompt.likely.items():
            factor = self._factors.get(kind)
            # Until a prompt of its kind was counted, what is possible: a limit holds from the first second.
            total += prompt.possible[kind] if factor is None else tokens * factor.value
        return total

    def possible(self, prompt: Asked, max_tokens: int | None, n: int, left: float) -> tuple[float, float]:
        """Return the tokens to reserve of a budget of which *left* is not spent: what a call may take at most.

        They are those of the prompt and of the answer. Without *max_tokens* nobody can tell the latter, and it is what
        an answer will hardly exceed.
        """
        total = 0.0
        for kind, tokens in prompt.possible.items():
            factor = None if kind == TEXT else self._factors.get(kind)
            total += tokens if factor is None else max(tokens, prompt.likely[kind] * factor.value * self.MARGIN)
        return total, max_tokens * n if max_tokens is not None else self._answer(None, n, left, Lengths.upper)

    def _answer(self, max_tokens: int | None, n: int, limit: float, length: Callable[[Lengths], float]) -> float:
        lengths = self._known(max_tokens)
        if lengths is None and max_tokens is not None:
            return float(max_tokens * n)
        seen = 0 if lengths is None else lengths.seen
        slow = limit / (self.SLOW_START + 2 * seen)
        found = max(slow, n * (ASSUMED if lengths is None else length(lengths)))
        return found if max_tokens is None else min(found, max_tokens * n)

    def _known(self, max_tokens: int | None) -> Lengths | None:
        """Return the lengths to go by: of calls with such a ``max_tokens``, else of those with the next larger one."""
        own = _size_of(max_tokens)
        found = self._lengths.get(own)
        if found is not None and found.known:
            return found
        if own:
            larger = [size for size, lengths in self._lengths.items() if size > own and lengths.known]
            found = self._lengths.get(min(larger, default=0))
        return found if found is not None and (found.known or (max_tokens is None and found.seen)) else None

    def begin(self, max_tokens: int | None, now: float) -> Pending:
        """Take in that a call is sent at *now*; the result is for :meth:`end`."""
        size = _size_of(max_tokens)
        lengths = self._lengths.get(size)
        if lengths is None:
            lengths = self._lengths[size] = Lengths()
        return lengths.begin(now)

    def end(self, pending: Pending, n: int, now: float, output: int | None) -> None:
        """Take in how long its answer was, all *n* choices together; None if that cannot be told."""
        pending.lengths.end(now, pending, None if output is None else output / n)

    def asked(self, prompt: Asked, used: int) -> None:
        """Take in how many tokens a prompt was counted for. What was asked in pictures says nothing about text."""
        media = [kind for kind in prompt.likely if kind != TEXT]
        text = prompt.likely[TEXT]
        if not media:
            self._learn(TEXT, used, text)
        elif len(media) == 1 and prompt.likely[media[0]] >= text:
            known = self._factors.get(TEXT)
            rest = used - text * (1.0 if known is None else known.value)
            self._learn(media[0], max(0.0, rest), prompt.likely[media[0]])

    def _learn(self, kind: str, used: float, estimated: float) -> None:
        if estimated <= 0 or used <= 0:
            return
        factor = self._factors.get(kind)
        if factor is None:
            factor = self._factors[kind] = Factor()
        factor.learn(used / estimated)


def _size_of(max_tokens: int | None) -> int:
    return 0 if max_tokens is None else max_tokens.bit_length()
