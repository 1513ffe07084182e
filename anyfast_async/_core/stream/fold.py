"""Chunks to the completion they amount to, whatever an upstream does to the format.

:class:`Fold` works on decoded chunks as plain dicts, so that text can be handed on without building an object for every
event. It only appends; joining happens once, in :meth:`Fold.completion`: time is linear in the number of chunks.

Shapes: new-api ``relay-gemini.go``, ``relay-openai.go`` and ``relay-claude.go``; OpenAI's streaming reference; the
deviations of OpenRouter, vLLM, Ollama, Azure, Moonshot and Google's compatibility endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from anyfast_async._core.json import codec
from anyfast_async._core.stream.choice import ChoiceDraft
from anyfast_async._core.stream.chunk_template import ChunkTemplate, Item, payload_of
from anyfast_async._core.stream.fragments import Text, merge, merge_usage
from anyfast_async.completions import ChatCompletion

_HEAD: Final = ("id", "created", "model")
_NOISE: Final = frozenset({"object", "choices", "usage", "obfuscation", *_HEAD})
"""``obfuscation`` is random padding that OpenAI adds against traffic analysis."""


def choices_of(payload: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield index and object of every choice in a chunk.

    ``choices`` may be empty, null or absent (usage chunks, Azure's filter results), and an index may be missing.
    """
    choices = payload.get("choices")
    for position, choice in enumerate(choices if isinstance(choices, list) else ()):
        if isinstance(choice, dict):
            index = choice.get("index")
            yield (index if type(index) is int else position), choice


def text_of(chunk: Mapping[str, Any]) -> str:
    """Return the text that a chunk, as :class:`Fold` returns it, adds to choice 0."""
    shown = ""
    for index, choice in choices_of(chunk):
        if index == 0:
            content = choice["delta"].get("content")
            parts = content if isinstance(content, list) else ()
            shown += content if isinstance(content, str) else ""
            shown += "".join(p["text"] for p in parts if isinstance(p, dict) and p.get("type") == "text")
    return shown


class Fold:
    """Collect the chunks of one stream."""

    __slots__ = ("_choices", "_extra", "_head", "_same_id", "_usage", "add_text", "template")

    def __init__(self) -> None:
        self._choices: dict[int, ChoiceDraft] = {}
        self._head: dict[str, Any] = {}
        self._extra: dict[str, Any] = {}
        self._usage: dict[str, Any] | None = None
        self._same_id = 1
        self.template: ChunkTemplate | None = None
        """What the chunks are like of which nothing but the text is new."""
        self.add_text = Text().pieces.append
        """As :meth:`add`, for a chunk of :attr:`template` that says the text given, if it says any."""

    def take(self, item: Item) -> Item:
        """Take what may be of a template; return it as :meth:`add` does. Of each template the first is looked into."""
        if type(item) is not tuple:
            return self.add(payload_of(item))
        template, text = item
        if template is self.template:
            if text:
                self.add_text(text)
            return item
        payload = template.payload(text)
        chunk = self.add(payload)
        content = self._choices[0].content
        if self._same_id > 1 and content is not None and not content.waits:
            # Not before, because :meth:`restarts` has to see the id of another one. What is recognised is whole text.
            self.template, self.add_text = template, content.pieces.append
        return item if chunk is payload else chunk

    def add(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Take a chunk; return it as OpenAI would have sent it: the same one, unless its upstream deviates."""
        changed, usage = False, None
        choices = []
        for index, choice in choices_of(payload):
            state = self._choices.get(index)
            if state is None:
                state = self._choices[index] = ChoiceDraft(index)
            found = state.add(choice)
            changed = changed or found is not choice
            choices.append(found)
            usage = self._take_usage(choice.get("usage")) or usage  # Moonshot puts it here
            if index == 0 and state.waits:
                self.template = None  # the other half of a character may come in what is like the template
        usage = self._take_usage(payload.get("usage")) or usage
        self._same_id += payload.get("id") == self._head.get("id")
        if len(self._head) < len(_HEAD):
            self._head = {name: payload[name] for name in _HEAD if payload.get(name)} | self._head
        for name, value in payload.items():
            if name not in _NOISE:
                merge(self._extra, {name: value})
        if changed or not isinstance(payload.get("choices"), list):
            payload = {**payload, "object": "chat.completion.chunk", "choices": choices}
        if usage and usage != payload.get("usage"):
            payload = {**payload, "usage": codec.copied(usage)}
        if "error" in payload:  # some gateways' word for none; a browser would take it for one
            payload = {name: value for name, value in payload.items() if name != "error"}
        return payload

    def _take_usage(self, usage: Any) -> dict[str, Any] | None:
        """Take the numbers that a chunk tells; return those that are known by now, None if it tells none."""
        if not isinstance(usage, dict):
            return None
        self._usage = {} if self._usage is None else self._usage
        merge_usage(self._usage, usage)
        return self._usage

    def end(self) -> dict[str, Any] | None:
        """Say that nothing more comes; return a chunk of what was held back for it, None if nothing was."""
        found = [{"index": index, "delta": delta} for index, c in self._choices.items() if (delta := c.end())]
        return {**self._head, "object": "chat.completion.chunk", "choices": found} if found else None

    def restarts(self, payload: Mapping[str, Any]) -> bool:
        """Return whether a chunk begins a second answer inside the stream.

        The gateway's Claude path may try another channel after an upstream broke off, and then streams the new answer
        from its start into the same response: another id and a second role chunk. Upstreams that give every chunk an id
        of its own, or repeat the role, do not count.
        """
        new_id = payload.get("id")
        if not new_id or new_id == self._head.get("id") or self._same_id < 2:  # noqa: PLR2004 - the id was a stable one
            return False
        return any(self._once_begun(index) and _has_role(choice) for index, choice in choices_of(payload))

    def _once_begun(self, index: int) -> bool:
        state = self._choices.get(index)
        return state is not None and state.roles == 1

    def arguments(self, index: int, place: int) -> str | None:
        """Return the arguments, so far, of the tool call at *place* of a choice; None if there is none."""
        choice = self._choices.get(index)
        calls = choice.calls.calls if choice is not None else []
        return calls[place].arguments if place < len(calls) else None

    @property
    def begun(self) -> bool:
        """Whether any choice has been seen."""
        return bool(self._choices)

    @property
    def count(self) -> int:
        """How many choices have been seen."""
        return len(self._choices)

    @property
    def empty(self) -> bool:
        """Whether nothing was said: no text, thought, call or image. A blocked prompt leaves only a role chunk."""
        return all(choice.empty for choice in self._choices.values())

    @property
    def unfinished(self) -> list[int]:
        """The indices of the choices that have no finish reason."""
        return [index for index, choice in sorted(self._choices.items()) if not choice.finish_reason]

    @property
    def finished(self) -> bool:
        """Whether there are choices, and every one has its finish reason."""
        return bool(self._choices) and not self.unfinished

    def completion(self) -> ChatCompletion:
        """Return the completion so far."""
        value: dict[str, Any] = {"object": "chat.completion", **self._head}
        value["choices"] = [self._choices[i].as_dict() for i in sorted(self._choices)]
        if self._usage is not None:
            value["usage"] = codec.copied(self._usage)
        return codec.structure(value | codec.mended_value(self._extra), ChatCompletion)


def _has_role(choice: Mapping[str, Any]) -> bool:
    delta = choice.get("delta")
    return isinstance(delta, dict) and bool(delta.get("role"))
