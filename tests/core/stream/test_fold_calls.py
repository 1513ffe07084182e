"""Which tool call a fragment belongs to where ids and indices say too little, or contradict each other."""

from __future__ import annotations

from typing import Any

import pytest

from anyfast_async._core.json import codec
from anyfast_async._core.stream.fold import Fold


def folded(*deltas: dict[str, Any]) -> dict[str, Any]:
    """Return the message that deltas of choice 0 amount to."""
    fold = Fold()
    for delta in deltas:
        fold.add({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    message: dict[str, Any] = codec.as_dict(fold.completion())["choices"][0]["message"]
    return message


def calls(*fragments: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return (id, name, arguments) of the calls that fragments, one to a chunk, amount to."""
    found = folded(*({"tool_calls": [fragment]} for fragment in fragments))["tool_calls"]
    return [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in found]


def named(index: int, name: str, arguments: str, **more: Any) -> dict[str, Any]:
    """Return a fragment with index, name and arguments."""
    return {"index": index, "function": {"name": name, "arguments": arguments}, **more}


def test_whole_calls_without_ids_at_one_index() -> None:
    """Two calls, both whole and at index 0, without ids: the second is a call of its own."""
    assert [("", "f", '{"a":1}'), ("", "g", "{}")] == calls(named(0, "f", '{"a":1}'), named(0, "g", "{}"))


@pytest.mark.parametrize("begun", ['{"a":', '{"a":"}', "[1]}", ""])
def test_a_call_that_is_not_whole_goes_on(begun: str) -> None:
    """Where the arguments at an index are no whole JSON object, a fragment that repeats the name continues them."""
    assert [("", "f", begun + "1}")] == calls(named(0, "f", begun), named(0, "f", "1}"))


def test_one_id_at_two_indices() -> None:
    """An upstream that gives parallel calls one id: their indices tell them apart."""
    found = calls(named(0, "f", "{}", id="same"), named(1, "g", '{"b":2}', id="same"))

    assert [("same", "f", "{}"), ("same", "g", '{"b":2}')] == found


def test_one_id_at_two_indices_goes_on_by_the_index() -> None:
    """Pieces of two calls with one id, in turns, go to the one at their index."""
    pieces = [(0, '{"a":'), (1, '{"b":'), (0, "1}"), (1, "2}")]
    said = [named(index, "f" if place < 2 else "", text, id="x") for place, (index, text) in enumerate(pieces)]
    assert [("x", "f", '{"a":1}'), ("x", "f", '{"b":2}')] == calls(*said)


def test_audio_is_joined() -> None:
    """Pieces of audio and of its transcript are joined, its id stays, its end is taken as it comes."""
    first = {"audio": {"id": "a1", "data": "UklG", "transcript": "Hel"}}
    second = {"audio": {"id": "a1", "data": "RgAA", "transcript": "lo"}}

    audio = folded(first, second, {"audio": {"expires_at": 7}})["audio"]

    assert {"id": "a1", "data": "UklGRgAA", "transcript": "Hello", "expires_at": 7} == audio
