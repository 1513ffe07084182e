"""Fragments to the tool calls that they amount to, whatever an upstream does with ids, indices and names.

A fragment goes to a call by its id, else by its index, else by its place. Where these say too little, or contradict
each other, the arguments tell: those of a call are one JSON object, so what comes behind a whole one is another call,
or the same once more.

Shapes: OpenAI's streaming reference; new-api's channels; Ollama, vLLM, Google's compatibility endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from anyfast_async._core.json import codec
from anyfast_async._core.stream.fragments import Text, merge

_STRING: Final = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_BETWEEN: Final = re.compile(r'[^"{}\[\]]*')
_EMPTY: Final = re.compile(r"\s*\{\s*\}\s*")
_SHORT: Final = 64
"""Characters that an empty object has at most."""


class Scan:
    """How far a JSON object is that comes in pieces. Brackets and strings only, so each character is looked at once."""

    __slots__ = ("_begun", "_escaped", "_last", "_odd", "_open", "_string")

    def __init__(self) -> None:
        self._begun = self._odd = self._string = self._escaped = False
        self._open: list[str] = []
        self._last = ""

    def feed(self, text: str) -> None:
        """Take the next piece."""
        at, size = 0, len(text)
        if self._escaped and size:
            self._escaped, at = False, 1
        while at < size:
            if self._string:
                at = _STRING.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing too
                if at < size:
                    self._string, self._escaped, self._last = text[at] == "\\", text[at] == "\\", text[at]
                    at += 1
                continue
            end = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
            if between := text[at:end].strip():
                self._last = between[-1]
                self._odd = self._odd or not self._open
            at = end
            if at < size:
                self._mark(text[at])
                at += 1

    def _mark(self, mark: str) -> None:
        self._last = mark
        if not self._open and (self._begun or mark != "{"):
            self._odd = True
        elif mark == '"':
            self._string = True
        elif mark in "{[":
            self._open.append(mark)
            self._begun = True
        else:
            self._open.pop()

    @property
    def whole(self) -> bool:
        """Whether there is one JSON object, and nothing else."""
        return self._begun and not self._odd and not self._open

    @property
    def may_open(self) -> bool:
        """Whether another object may begin here."""
        if self._string or self._odd or not self._open:
            return False
        return self._last == ":" or (self._open[-1] == "[" and self._last in "[,")


def _is_whole(text: str) -> bool:
    scan = Scan()
    scan.feed(text)
    return scan.whole


def _object_in(text: str) -> dict[str, Any] | None:
    try:
        value = codec.loads(text.encode("utf-8", "replace"))
    except codec.InvalidJSONError:
        return None
    return value if isinstance(value, dict) else None


@attrs.frozen
class Fragment:
    """What one item of ``tool_calls`` says."""

    delta: Mapping[str, Any]
    id: str
    index: int | None
    name: str
    arguments: str

    @classmethod
    def of(cls, delta: Mapping[str, Any]) -> Fragment:
        """Return what *delta* says; some say it with numbers, or with an object for the arguments."""
        given, index = delta.get("id"), delta.get("index")
        function = delta.get("function")
        custom = delta.get("custom")
        name = arguments = None
        if isinstance(function, Mapping):
            name, arguments = function.get("name"), function.get("arguments")
        elif isinstance(custom, Mapping):
            name = custom.get("name")
        if isinstance(arguments, (dict, list)):
            arguments = codec.dumps(arguments).decode()
        return cls(
            delta,
            given if isinstance(given, str) else str(given) if type(given) is int else "",
            index if type(index) is int else None,
            name if isinstance(name, str) else "",
            arguments if isinstance(arguments, str) else "",
        )


class ToolCallDraft:
    """One tool call in the making; *place* is its place among those of its choice."""

    __slots__ = (
        *("_arguments", "_rival", "_scan", "_shown", "_size", "extra", "function_extra", "id", "index", "kind", "name"),
        "place",
    )

    def __init__(self, index: int | None = None, place: int = 0) -> None:
        self.index = index
        """The upstream's number for it, None if it gave none."""
        self.place = place
        self.id = ""
        self.kind = ""
        self.name = ""
        self.extra: dict[str, Any] = {}
        self.function_extra: dict[str, Any] | None = None
        """Unknown fields of the function; None as long as there is none."""
        self._shown = 0  # characters of the arguments that were handed on
        self._rival: str | None = None
        """What the arguments are if the last fragments each held all so far: nested objects may begin like that too."""
        self._begin()

    def _begin(self) -> None:
        """Begin the arguments anew."""
        self._arguments = Text()
        self._scan = Scan()
        self._size = 0  # characters

    def _append(self, piece: str) -> str:
        self._scan.feed(piece)
        shown = self._arguments.add(piece)
        self._size += len(shown)
        return shown

    # -- is it this one? ---------------------------------------------------------------------------------------------

    @property
    def whole(self) -> bool:
        """Whether the arguments are a whole JSON object, so that another one would be those of another call."""
        return self._scan.whole

    @property
    def is_placeholder(self) -> bool:
        """Whether the arguments are an empty object, which some send before the real ones."""
        return self._scan.whole and self._size < _SHORT and bool(_EMPTY.fullmatch(self._arguments.said))

    def takes(self, fragment: Fragment) -> bool:
        """Return whether *fragment*, which id, index or place lead here, is a piece of this call."""
        other_name = fragment.name and not fragment.name.startswith(self.name)
        if other_name and self._size:
            return False
        if not self._scan.whole:
            return True
        new = fragment.arguments.strip()
        if not new:
            return bool(fragment.id) or not fragment.name
        if not new.startswith("{") or self.is_placeholder:
            return True
        return self._is_said_again(new)

    def continued_by(self, fragment: Fragment) -> bool:
        """Return whether *fragment* goes on with this call although its id is another one.

        Some servers make an id for every piece.
        """
        if fragment.name and fragment.name != self.name:
            return False
        if self._scan.whole:
            return not fragment.name and (not fragment.arguments.strip() or self.is_placeholder)
        return not (self._size and fragment.name and _is_whole(fragment.arguments))

    def _is_said_again(self, arguments: str) -> bool:
        """Return whether *arguments* are those that there are, or those and more."""
        old, new = _object_in(self._arguments.said), _object_in(arguments)
        return old is not None and new is not None and all(k in new and new[k] == v for k, v in old.items())

    # -- what it says ------------------------------------------------------------------------------------------------

    def add(self, fragment: Fragment) -> dict[str, Any]:
        """Take a fragment; return what is new in it, as OpenAI would send it."""
        delta = fragment.delta
        news = {k: v for k, v in delta.items() if k not in ("id", "function")}
        if fragment.id and not self.id:
            self.id = news["id"] = fragment.id
        kind = delta.get("type")
        self.kind = self.kind or (kind if isinstance(kind, str) else "")
        extra = {k: v for k, v in delta.items() if k not in ("index", "id", "type", "function")}
        merge(self.extra, extra, streamed=True)
        function = delta.get("function")
        if isinstance(function, Mapping):
            news["function"] = self._function(function, fragment)
        return news

    def _function(self, function: Mapping[str, Any], fragment: Fragment) -> dict[str, Any]:
        news = {k: v for k, v in function.items() if k != "name"}
        if self.function_extra is None:
            self.function_extra = {}
        merge(self.function_extra, {k: v for k, v in news.items() if k != "arguments"}, streamed=True)
        if fragment.name and fragment.name != self.name:
            before = self.name
            self.name = fragment.name if fragment.name.startswith(before) else before + fragment.name
            news["name"] = self.name[len(before) :]
        if "arguments" in function:
            news["arguments"] = self._argue(fragment.arguments)
        return news

    def _argue(self, piece: str) -> str:
        """Take a piece of the arguments; return what can be shown of them."""
        if not piece:
            return ""
        rival, self._rival = self._rival, None
        if self._size and piece.lstrip().startswith("{"):
            if self._scan.whole and (self.is_placeholder or self._is_said_again(piece)):
                if _object_in(piece) == _object_in(self._arguments.said):
                    return ""
                if not self.is_placeholder:
                    self._replace(piece)
                    return ""
                self._begin()
                self._shown = 0
            so_far = rival if rival is not None else self._arguments.said if len(piece) >= self._size else None
            if so_far is not None and piece.startswith(so_far):
                if rival is None and not self._scan.may_open:
                    self._replace(piece)
                    return self._news()
                self._rival = piece
        shown = self._append(piece)
        if self._shown == self._size - len(shown) and self._rival is None:
            self._shown = self._size
            return shown
        return "" if self._rival is not None else self._news()

    def _replace(self, arguments: str) -> None:
        """Put *arguments* in the place of those so far."""
        shown = self._arguments.said[: self._shown]
        self._begin()
        self._append(arguments)
        if not arguments.startswith(shown):
            self._shown = self._size  # what was handed on cannot be taken back

    def _news(self) -> str:
        """Return what was not shown yet."""
        news = self._arguments.said[self._shown :]
        self._shown += len(news)
        return news

    @property
    def arguments(self) -> str:
        """The arguments as far as they are there."""
        if self._rival is not None and not self._scan.whole and _is_whole(self._rival):
            return self._rival
        return str(self._arguments)

    def settle(self) -> str:
        """Take what is there for the arguments; return what was held back of them."""
        if self._rival is not None and self.arguments == self._rival:
            self._replace(self._rival)
        self._rival = None
        return self._news()

    def end(self) -> str:
        """Say that nothing more comes; return what was held back of the arguments."""
        self._size += len(self._arguments.end())
        return self.settle()

    def as_dict(self) -> dict[str, Any]:
        """Return the call as it stands in a message."""
        call: dict[str, Any] = {"id": self.id, "type": self.kind or "function"}
        if self.function_extra is not None or "custom" not in self.extra:
            function = {"name": self.name, "arguments": self.arguments}
            call["function"] = function | codec.mended_value(self.function_extra or {})
        return {**call, **codec.mended_value(self.extra)}


class ToolCallDrafts:
    """The tool calls of one choice in the making."""

    __slots__ = ("_by_id", "_by_index", "calls")

    def __init__(self) -> None:
        self.calls: list[ToolCallDraft] = []
        self._by_id: dict[str, ToolCallDraft] = {}
        self._by_index: dict[int, ToolCallDraft] = {}  # the newest one at each index

    def __bool__(self) -> bool:
        return bool(self.calls)

    @property
    def named(self) -> bool:
        """Whether one of them can be made."""
        return any(call.name or "custom" in call.extra for call in self.calls)

    def add(self, deltas: Any) -> list[dict[str, Any]]:
        """Take the fragments of a chunk; return them as OpenAI would send them, each with the place of its call."""
        listed = deltas if isinstance(deltas, list) else [deltas]
        found = [delta for delta in listed if isinstance(delta, Mapping)]
        return [self._add(Fragment.of(delta), at if len(found) > 1 else -1) for at, delta in enumerate(found)]

    def _add(self, fragment: Fragment, position: int) -> dict[str, Any]:
        call = before = self._leads_to(fragment, position)
        if call is None or not call.takes(fragment):
            call = self._opened(fragment, before)
        if fragment.index is not None:
            self._by_index[fragment.index] = call
        if fragment.id:
            self._by_id[fragment.id] = call
        news = {**call.add(fragment), "index": call.place}
        if call is not before and call.name and not fragment.name:
            news["function"] = {"name": call.name, **news.get("function", {})}
        return news

    def _leads_to(self, fragment: Fragment, position: int) -> ToolCallDraft | None:
        """Return the call that id, index or place of a fragment lead to, None if they open another one.

        The id wins over the index, because old new-api builds and Ollama number all parallel calls 0.
        """
        at_index = None if fragment.index is None else self._by_index.get(fragment.index)
        if fragment.id:
            call = self._by_id.get(fragment.id)
            if call is not None and fragment.index is not None and call.index not in (None, fragment.index):
                call = at_index if at_index is not None and at_index.id == fragment.id else None
            elif call is None and at_index is not None and (not at_index.id or at_index.continued_by(fragment)):
                call = at_index
            return call
        if fragment.index is not None:
            return at_index
        if not self.calls:
            return None
        # A list of several anonymous fragments continues the calls in their order, a single one the last call.
        call = self.calls[position] if 0 <= position < len(self.calls) else self.calls[-1]
        if not fragment.name:
            return call
        goes_on = bool(call.arguments and fragment.arguments) and not fragment.arguments.lstrip().startswith("{")
        return call if goes_on and call.name == fragment.name and not call.whole else None

    def _opened(self, fragment: Fragment, before: ToolCallDraft | None) -> ToolCallDraft:
        call = ToolCallDraft(fragment.index, len(self.calls))
        if before is not None and not fragment.name:
            call.name = before.name  # a further object of arguments can only be for the same function
        self.calls.append(call)
        return call

    def compare(self, whole: Any) -> list[dict[str, Any]]:
        """Take the calls as they stand in a whole message, after fragments of them; return what is new."""
        found = [Fragment.of(call) for call in whole if isinstance(call, Mapping)] if isinstance(whole, list) else []
        news = []
        for at, fragment in enumerate(found):
            call = self._by_id.get(fragment.id) or (self.calls[at] if at < len(self.calls) else None)
            if call is None:
                news.append(self._add(fragment, -1))
            elif fragment.name.startswith(call.name) and (
                fragment.arguments.startswith(call.arguments) or call.is_placeholder
            ):
                # What else is known of the call stays; its index in the message need not be that of its fragments.
                delta = {"id": fragment.id, "function": {"name": fragment.name, "arguments": fragment.arguments}}
                news.append({**call.add(Fragment.of(delta)), "index": call.place})
        return news

    def settle(self, *, over: bool = False) -> list[dict[str, Any]]:
        """Take what is there, because the choice has its finish reason or all is *over*; return what was held back."""
        rests = ((call.place, call.end() if over else call.settle()) for call in self.calls)
        return [{"index": place, "function": {"arguments": rest}} for place, rest in rests if rest]

    def as_list(self) -> list[dict[str, Any]]:
        """Return the calls as they stand in a message."""
        return [call.as_dict() for call in self.calls]
