"""Chunks to the completion they amount to, whatever an upstream does to the format.

:class:`Fold` works on decoded chunks as plain dicts, so that text can be handed on without building an object for every
event. It only appends; joining happens once, in :meth:`Fold.completion`: time is linear in the number of chunks.

Shapes: new-api ``relay-gemini.go``, ``relay-openai.go`` and ``relay-claude.go``; OpenAI's streaming reference; the
deviations of OpenRouter, vLLM, Ollama, Azure, Moonshot and Google's compatibility endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from anyfast_async._core import codec
from anyfast_async._core.pieces import Call, Text, merge
from anyfast_async._core.template import Item, Template, payload_of
from anyfast_async.completions import ChatCompletion

_CONTENT: Final = [
    "content",
    "reasoning_content",
    "reasoning",
    "tool_calls",
    "images",
    "refusal",
    "audio",
    "function_call",
]
_AUDIO_TEXTS: Final = frozenset({"data", "transcript"})
"""What OpenAI streams in fragments beside the content."""
_CHOICE_FIELDS: Final = frozenset({"index", "delta", "message", "finish_reason", "logprobs", "usage"})
_HEAD: Final = ("id", "created", "model")
_NOISE: Final = frozenset({"object", "choices", "usage", "obfuscation", *_HEAD})
"""``obfuscation`` is random padding that OpenAI adds against traffic analysis."""


def chunk_choices(payload: Mapping[str, Any]) -> list[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Return (index, choice, delta) of every choice in a chunk.

    ``choices`` may be empty, null or absent (usage chunks, Azure's filter results), an index may be missing, a delta
    null or absent, and some upstreams put a whole ``message`` where the delta belongs.
    """
    choices = payload.get("choices")
    found = []
    for position, choice in enumerate(choices if isinstance(choices, list) else ()):
        if isinstance(choice, dict):
            index = choice.get("index")
            delta = choice.get("delta")
            if not isinstance(delta, dict):
                delta = choice.get("message")
            found.append((index if type(index) is int else position, choice, delta if isinstance(delta, dict) else {}))
    return found


def has_content(payload: Mapping[str, Any]) -> bool:
    """Return whether a chunk carries text, reasoning, a tool call or an image: what the clocks wait for."""
    for _, _, delta in chunk_choices(payload):
        for name in _CONTENT:
            if delta.get(name):
                return True
    return False


class _Choice:
    """One choice in the making."""

    __slots__ = (
        *(
            "_by_id",
            "_by_index",
            "calls",
            "choice_extra",
            "content",
            "extra",
            "finish_reason",
            "function_call",
            "index",
        ),
        *("logprobs", "parts", "role", "roles", "texts"),
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.role: str | None = None
        self.roles = 0
        self.content: Text | None = None
        self.parts: list[Any] = []
        self.texts: dict[str, Text] = {}
        self.calls: list[Call] = []
        self._by_id: dict[str, Call] = {}
        self._by_index: dict[int, Call] = {}  # the newest one at each index
        self.function_call: Call | None = None
        self.extra: dict[str, Any] = {}
        self.choice_extra: dict[str, Any] = {}
        self.logprobs: dict[str, Any] | None = None
        self.finish_reason: str | None = None

    def add(self, choice: Mapping[str, Any], delta: Mapping[str, Any]) -> str:
        shown = ""
        for name, value in delta.items():
            match name:
                case "content":
                    shown = self._content(value)
                case "role":
                    self.roles += 1
                    self.role = self.role or (value if isinstance(value, str) and value else None)
                case "tool_calls":
                    calls = value if isinstance(value, list) else ()
                    for position, call in enumerate(calls):
                        if isinstance(call, Mapping):
                            self._slot(call, position if len(calls) > 1 else -1).add(call)
                case "audio" if isinstance(value, Mapping):
                    merge(self.extra, {name: value}, joined=_AUDIO_TEXTS)
                case "function_call" if isinstance(value, Mapping):
                    self.function_call = self.function_call or Call(None)
                    self.function_call.add({"function": value})
                case "reasoning_content" | "reasoning" | "refusal" if isinstance(value, str):
                    self.texts.setdefault(name, Text()).add(value)
                case _:
                    merge(self.extra, {name: value})
        self._beside(choice)
        return shown

    def _beside(self, choice: Mapping[str, Any]) -> None:
        """Take what stands beside the delta."""
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.finish_reason = reason
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict):
            self.logprobs = self.logprobs if self.logprobs is not None else {}
            merge(self.logprobs, logprobs)
        for name in choice:
            if name not in _CHOICE_FIELDS:
                merge(self.choice_extra, {name: choice[name]})

    def _content(self, value: Any) -> str:
        if isinstance(value, str):
            self.content = self.content or Text()
            return self.content.add(value)
        shown = ""
        for part in value if isinstance(value, list) else ():
            text = part.get("text") if isinstance(part, Mapping) and part.get("type", "text") == "text" else None
            if isinstance(text, str):
                shown += self._content(text)
            else:
                self.parts.append(part)
        return shown

    def _slot(self, delta: Mapping[str, Any], position: int) -> Call:
        """Return the call that a delta belongs to.

        The id wins over the index, because old new-api builds and Ollama number all parallel calls 0: a new id opens a
        new call. Without an id the index decides; without both, a name opens a new call and anything else continues
        the last one.
        """
        given = delta.get("id")
        call_id = given if isinstance(given, str) and given else None
        index = delta.get("index") if type(delta.get("index")) is int else None
        function = delta.get("function")
        named = isinstance(function, Mapping) and bool(function.get("name"))
        found: Call | None
        if call_id is not None:
            found = self._by_id.get(call_id)
            if found is not None and index is not None and found.index not in (None, index):
                found = None  # one id for several calls
            if found is None and index is not None:
                at_index = self._by_index.get(index)
                found = at_index if at_index is not None and not at_index.id else None
        elif index is not None:
            found = self._by_index.get(index)
            if found is not None and named and found.name and found.whole:
                found = None
        else:
            # A list of several anonymous fragments continues the calls in their order, a single one the last call.
            place = position if 0 <= position < len(self.calls) else -1
            found = None if named or not self.calls else self.calls[place]
        if found is None:
            found = Call(index)
            self.calls.append(found)
        if index is not None:
            self._by_index[index] = found
        if call_id is not None:
            self._by_id[call_id] = found
        return found

    @property
    def empty(self) -> bool:
        """Whether nothing was said in it."""
        said = (
            self.content and self.content.pieces,
            self.parts,
            self.calls,
            self.function_call,
            self.extra.get("images"),
        )
        return not any(said) and not any(text.pieces for text in self.texts.values())

    @property
    def reason(self) -> str | None:
        """The finish reason; a stream that ends a tool call with "stop" means "tool_calls" (new-api before 2026-05)."""
        return "tool_calls" if self.calls and self.finish_reason == "stop" else self.finish_reason

    def as_dict(self) -> dict[str, Any]:
        text = None if self.content is None else str(self.content)
        content: Any = text
        if self.parts:
            content = ([{"type": "text", "text": text}] if text else []) + codec.copied(self.parts)
        message: dict[str, Any] = {"role": self.role or "assistant", "content": content}
        message |= codec.copied(self.extra) | {name: str(value) for name, value in self.texts.items()}
        if self.calls:
            message["tool_calls"] = [call.as_dict() for call in self.calls]
        if self.function_call is not None:
            message["function_call"] = self.function_call.as_dict()["function"]
        choice: dict[str, Any] = {"index": self.index, "message": message, "finish_reason": self.reason}
        if self.logprobs is not None:
            choice["logprobs"] = codec.copied(self.logprobs)
        return {**choice, **codec.copied(self.choice_extra)}


class Fold:
    """Collect the chunks of one stream."""

    __slots__ = ("_choices", "_extra", "_head", "_same_id", "_usage", "add_text", "template")

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._head: dict[str, Any] = {}
        self._extra: dict[str, Any] = {}
        self._usage: dict[str, Any] | None = None
        self._same_id = 1
        self.template: Template | None = None
        """What the chunks are like of which nothing but the text is new."""
        self.add_text = Text().add
        """As :meth:`add`, for a chunk of :attr:`template` that says the text given."""

    def take(self, item: Item) -> str:
        """As :meth:`add`, for a chunk that may be of a template; of each template the first is looked into."""
        if type(item) is not tuple:
            return self.add(payload_of(item))
        template, text = item
        if template is self.template:
            return self.add_text(text)
        shown = self.add(template.payload(text))
        content = self._choices[0].content
        if self._same_id > 1 and content is not None:  # before, :meth:`restarts` has to see the id of another one
            self.template, self.add_text = template, content.add
        return shown

    def add(self, payload: Mapping[str, Any]) -> str:
        """Take a chunk; return the text that it adds to choice 0."""
        shown = ""
        for index, choice, delta in chunk_choices(payload):
            state = self._choices.get(index)
            if state is None:
                state = self._choices[index] = _Choice(index)
            text = state.add(choice, delta)
            if index == 0:
                shown += text
            usage = choice.get("usage")  # Moonshot puts it here
            if isinstance(usage, dict):
                self._usage = usage
        usage = payload.get("usage")
        if isinstance(usage, dict):
            self._usage = usage
        self._same_id += payload.get("id") == self._head.get("id")
        if len(self._head) < len(_HEAD):
            self._head = {name: payload[name] for name in _HEAD if payload.get(name)} | self._head
        for name, value in payload.items():
            if name in _NOISE:
                continue
            if value is None:
                self._extra.setdefault(name, None)
            else:
                merge(self._extra, {name: value})
        return shown

    def restarts(self, payload: Mapping[str, Any]) -> bool:
        """Return whether a chunk begins a second answer inside the stream.

        The gateway's Claude path may try another channel after an upstream broke off, and then streams the new answer
        from its start into the same response: another id and a second role chunk. Upstreams that give every chunk an id
        of its own, or repeat the role, do not count.
        """
        new_id = payload.get("id")
        if not new_id or new_id == self._head.get("id") or self._same_id < 2:  # noqa: PLR2004 - the id was a stable one
            return False
        choices = chunk_choices(payload)
        return any(delta.get("role") and self._once_begun(index) for index, _, delta in choices)

    def _once_begun(self, index: int) -> bool:
        state = self._choices.get(index)
        return state is not None and state.roles == 1

    @property
    def begun(self) -> bool:
        """Whether any choice has been seen."""
        return bool(self._choices)

    @property
    def empty(self) -> bool:
        """Whether nothing was said: no text, thought, call or image. A blocked prompt leaves only a role chunk."""
        return all(choice.empty for choice in self._choices.values())

    @property
    def finished(self) -> bool:
        """Whether there are choices, and every one has its finish reason."""
        return bool(self._choices) and all(c.finish_reason for c in self._choices.values())

    def completion(self) -> ChatCompletion:
        """Return the completion so far."""
        value: dict[str, Any] = {"object": "chat.completion", **self._head}
        value["choices"] = [self._choices[i].as_dict() for i in sorted(self._choices)]
        if self._usage is not None:
            value["usage"] = codec.copied(self._usage)
        return codec.structure(value | codec.copied(self._extra), ChatCompletion)
