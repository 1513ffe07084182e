"""One choice in the making: what each chunk adds to it, and the message that all of them amount to.

What :meth:`ChoiceDraft.add` returns is the same chunk as OpenAI would have sent it. So whoever puts those together the
plain way, text to text and call to call by their index, gets the message that stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from anyfast_async._core.json import codec
from anyfast_async._core.stream.fragments import Halves, Text, is_label, is_signature, merge
from anyfast_async._core.stream.tool_calls import Fragment, ToolCallDraft, ToolCallDrafts
from anyfast_async._values.reasoning import said_in, thought_in

_CHOICE_FIELDS: Final = frozenset({"index", "delta", "message", "finish_reason", "logprobs", "usage"})
_KNOWN: Final = frozenset({"content", "tool_calls", "images", "audio", "function_call", "refusal"})
"""Fields of a delta that are content however little they hold."""
_SILENT: Final = frozenset({"role", "name"})


def says(delta: Mapping[str, Any]) -> bool:
    """Return whether a delta carries text, thoughts, a tool call or an image: what the clocks wait for."""
    for name, value in delta.items():
        if value and name not in _SILENT and (name in _KNOWN or (not is_label(name) and _holds_text(value))):
            return True
    return False


def _holds_text(value: Any) -> bool:
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            if item:
                return True
        elif isinstance(item, Mapping):
            todo += [inner for name, inner in item.items() if not is_label(name)]
        elif isinstance(item, list):
            todo += item
    return False


class ChoiceDraft:
    """One choice in the making."""

    __slots__ = (
        *("_choice_extra", "_extra", "_halves", "_logprobs", "_parts", "_streamed", "_texts", "_thought", "_thoughts"),
        *("calls", "content", "finish_reason", "function_call", "index", "role", "roles"),
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.role: str | None = None
        self.roles = 0
        self.content: Text | None = None
        self.calls = ToolCallDrafts()
        self.function_call: ToolCallDraft | None = None
        self.finish_reason: str | None = None
        self._thoughts: dict[str, Any] = {"parts": []}  # content parts that are thoughts; they stand before the text
        self._thought = Text()  # what they say
        self._parts: list[Any] = []  # other parts, behind it
        self._texts: dict[str, Text] = {}
        self._extra: dict[str, Any] = {}
        self._halves = Halves()
        self._choice_extra: dict[str, Any] = {}
        self._logprobs: dict[str, Any] | None = None
        self._streamed = False  # whether there were deltas

    def add(self, choice: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take what a chunk says of the choice; return it as OpenAI would say it."""
        delta = choice.get("delta")
        found: Mapping[str, Any] = {}
        if isinstance(delta, dict):
            found = self._delta(delta)
            self._streamed = self._streamed or self.begun
        message = choice.get("message")
        if message is not None:
            if isinstance(message, dict):
                whole = self._message(message, ended=bool(choice.get("finish_reason")))
                found = _plus(found, whole) if found else whole
            choice = {name: value for name, value in choice.items() if name != "message"}
        self._beside(choice)
        if self.finish_reason and self.calls and (held := self.calls.settle()):
            found = {**found, "tool_calls": [*(found.get("tool_calls") or ()), *held]}
        given, reason = choice.get("index"), choice.get("finish_reason")
        if found is delta and type(given) is int and given == self.index and (reason != "stop" or not self.calls):
            return choice
        news = {**choice, "index": self.index, "delta": found}
        return news | {"finish_reason": self.reason} if reason == "stop" else news

    # -- a delta -----------------------------------------------------------------------------------------------------

    def _delta(self, delta: Mapping[str, Any]) -> Mapping[str, Any]:
        changed: dict[str, Any] = {}
        for name, value in delta.items():
            if (found := self._field(name, value, changed)) is not value:
                changed[name] = found
        return {**delta, **changed} if changed else delta

    def _field(self, name: str, value: Any, changed: dict[str, Any]) -> Any:
        """Take one field of a delta; return it as OpenAI would say it."""
        match name:
            case "content":
                return self._content(value, changed)
            case "role":
                self.roles += 1
                self.role = self.role or (value if isinstance(value, str) and value else None)
            case "tool_calls":
                return self.calls.add(value) if value else value if isinstance(value, list) else None
            case "function_call" if isinstance(value, Mapping):
                self.function_call = self.function_call or ToolCallDraft()
                return self.function_call.add(Fragment.of({"function": value}))["function"]
            case _ if isinstance(value, str) and not is_label(name) and not is_signature(name):
                text = self._texts.get(name)
                if text is None:
                    text = self._texts[name] = Text()
                return text.add(value)
            case _:
                merge(self._extra, {name: value}, streamed=True)
                return value if value is None else self._halves.joined(name, value)
        return value

    def _content(self, value: Any, changed: dict[str, Any]) -> Any:
        if isinstance(value, str):
            self.content = self.content or Text()
            return self.content.add(value)
        if not isinstance(value, list):
            return None
        shown, thought, others = "", "", []
        for part in value:
            if (text := said_in(part)) is not None:
                self.content = self.content or Text()
                shown += self.content.add(text)
            elif (of_thought := thought_in(part)) is not None:
                thought += of_thought
                merge(self._thoughts, {"parts": [part]}, streamed=True)
            else:
                others.append(part)
        self._parts += codec.copied(others)
        if thought:
            changed["reasoning_content"] = self._thought.add(thought)
        return ([{"type": "text", "text": shown}] if shown else []) + others if others else shown

    def _beside(self, choice: Mapping[str, Any]) -> None:
        """Take what stands beside the delta."""
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.finish_reason = reason
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict):
            self._logprobs = self._logprobs if self._logprobs is not None else {}
            merge(self._logprobs, logprobs, streamed=True)
        for name in choice:
            if name not in _CHOICE_FIELDS:
                merge(self._choice_extra, {name: choice[name]})

    # -- a message ---------------------------------------------------------------------------------------------------

    def _message(self, message: Mapping[str, Any], *, ended: bool) -> Mapping[str, Any]:
        """Take a message where a delta belongs; return what is new in it.

        After deltas it is what they amount to, all in all. Some put pieces there, too.
        """
        if not self.begun:
            return self._delta(message)
        news = {name: new for name, value in message.items() if (new := self._compared(name, value, ended=ended))}
        calls = self.calls.compare(message.get("tool_calls"))
        found = self._delta(news)
        return {**found, "tool_calls": calls} if calls else found

    def _compared(self, name: str, value: Any, *, ended: bool) -> Any:
        """Return what the field of a message has more than what came before."""
        if name == "content" and isinstance(value, list):
            whole = "".join(said_in(part) or "" for part in value)
            return whole if self.content is None else self.content.news(whole)
        if isinstance(value, str) and name != "role" and not is_label(name):
            text = self.content if name == "content" else self._texts.get(name)
            if text is None:
                return value
            news = text.news(value)
            is_piece = not self._streamed and (news is None or (not ended and not news))
            return value if is_piece else news
        if name in ("role", "tool_calls") or self._extra.get(name) or (name == "function_call" and self.function_call):
            return None
        return value

    # -- what it amounts to ------------------------------------------------------------------------------------------

    @property
    def begun(self) -> bool:
        """Whether anything was said in it that is part of the message."""
        texts = (self.content, *self._texts.values())
        if any(text is not None and text.pieces for text in texts) or self.calls:
            return True
        return bool(self.function_call or self._parts or self._thoughts["parts"]) or any(self._extra.values())

    @property
    def empty(self) -> bool:
        """Whether nothing was said in it."""
        texts = (self.content, *self._texts.values())
        said = (self._thoughts["parts"], self._parts, self.calls, self.function_call)
        return not any(said) and not any(t is not None and t.pieces for t in texts) and not says(self._extra)

    @property
    def reason(self) -> str | None:
        """The finish reason; a stream that ends a tool call with "stop" means "tool_calls" (new-api before 2026-05).

        In a whole answer it stays what it is: where a tool was forced, OpenAI says "stop" there.
        """
        called = self.finish_reason == "stop" and self._streamed and self.calls.named
        return "tool_calls" if called else self.finish_reason

    @property
    def waits(self) -> bool:
        """Whether half a character of the content waits for its other half."""
        return self.content is not None and self.content.waits

    def end(self) -> dict[str, Any]:
        """Say that nothing more comes; return the delta with what was held back, ``{}`` if nothing was."""
        texts = {"content": self.content, **self._texts}
        found: dict[str, Any] = {
            name: rest for name, text in texts.items() if text is not None and (rest := text.end())
        }
        if rest := self._thought.end():
            found["reasoning_content"] = found.get("reasoning_content", "") + rest
        calls = self.calls.settle(over=True)
        return {**found, "tool_calls": calls} if calls else found

    def as_dict(self) -> dict[str, Any]:
        """Return the choice as it stands in a completion."""
        text = None if self.content is None else str(self.content)
        content: Any = text
        if self._parts or self._thoughts["parts"]:
            spoken = [{"type": "text", "text": text}] if text else []
            content = codec.mended_value(self._thoughts["parts"]) + spoken + codec.mended_value(self._parts)
        message: dict[str, Any] = {"role": self.role or "assistant", "content": content}
        message |= codec.mended_value(self._extra) | {name: str(value) for name, value in self._texts.items()}
        if self.calls:
            message["tool_calls"] = self.calls.as_list()
        if self.function_call is not None:
            message["function_call"] = self.function_call.as_dict()["function"]
        choice: dict[str, Any] = {"index": self.index, "message": message, "finish_reason": self.reason}
        if self._logprobs is not None:
            choice["logprobs"] = codec.copied(self._logprobs)
        return {**choice, **codec.mended_value(self._choice_extra)}


def _plus(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the delta that says what two say."""
    both = dict(first)
    for name, value in second.items():
        old = both.get(name)
        if {type(old), type(value)} in ({str}, {list}):
            both[name] = old + value
        else:
            both[name] = old if value is None else value
    return both
