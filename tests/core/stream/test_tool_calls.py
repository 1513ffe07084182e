"""Fragments of tool calls: whatever their cuts and order, the same calls come out, and what is handed on adds up."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, TypeAlias

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anyfast_async._core.stream.tool_calls import Fragment, Scan, ToolCallDraft, ToolCallDrafts

Told: TypeAlias = list[tuple[str, str, str]]
"""Id, name and arguments of each call."""

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=4)
FLAT = st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=6), max_size=4)
SPACED = st.sampled_from([None, 1])
"""Indents: on one line, or over several."""


@st.composite
def arguments(draw: st.DrawFn) -> str:
    return json.dumps(draw(OBJECTS), ensure_ascii=draw(st.booleans()), indent=draw(SPACED))


@st.composite
def cut(draw: st.DrawFn, text: str) -> list[str]:
    """*text* in pieces, some of which may be empty."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=5)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def fragment(arguments: str | None = None, *, name: str | None = None, **beside: Any) -> dict[str, Any]:
    """A fragment with the keys that are given."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    given = {**beside, "function": function or None}
    return {key: value for key, value in given.items() if value is not None}


def told(calls: ToolCallDrafts) -> Told:
    return [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls.as_list()]


def plain(handed_on: list[dict[str, Any]]) -> Told:
    """What was handed on, put together the plain way: by index, text to text."""
    found: dict[int, list[str]] = {}
    for one in handed_on:
        call = found.setdefault(one["index"], ["", "", ""])
        call[0] = call[0] or one.get("id", "")
        for place, key in ((1, "name"), (2, "arguments")):
            call[place] += one.get("function", {}).get(key) or ""
    return [(found[index][0], found[index][1], found[index][2]) for index in sorted(found)]


def fed(*chunks: list[dict[str, Any]]) -> tuple[ToolCallDrafts, list[dict[str, Any]]]:
    """The calls that the fragments of these chunks amount to, and what was handed on, the end included."""
    calls = ToolCallDrafts()
    handed_on = [one for chunk in chunks for one in calls.add(chunk)]
    return calls, [*handed_on, *calls.settle(over=True)]


# -- any cut and any order -------------------------------------------------------------------------------------------


@given(st.data())
def test_calls_in_any_pieces_and_in_turns(data: st.DataObject) -> None:
    """Parallel calls, cut anywhere and sent in any turns, come out as they were; what is handed on adds up to them."""
    whole = data.draw(st.lists(arguments(), min_size=1, max_size=3))
    waiting = [data.draw(cut(text)) for text in whole]
    turns = data.draw(st.permutations([place for place, pieces in enumerate(waiting) for _ in pieces]))
    begun: set[int] = set()
    chunks = []
    for place in turns:
        first = {} if place in begun else {"id": f"call_{place}", "name": f"tool_{place}"}
        begun.add(place)
        chunks.append([fragment(waiting[place].pop(0), index=place, **first)])
    assume([chunk[0]["index"] for chunk in chunks if "id" in chunk[0]] == sorted(begun))  # they begin in their order

    calls, handed_on = fed(*chunks)

    wanted = [(f"call_{place}", f"tool_{place}", text) for place, text in enumerate(whole)]
    assert wanted == told(calls)
    assert wanted == plain(handed_on)


@given(st.data())
def test_pieces_with_ids_of_their_own(data: st.DataObject) -> None:
    """A server that makes an id for every piece says one call, under its first id."""
    text = data.draw(arguments())
    first, *others = data.draw(cut(text))
    chunks = [[fragment(piece, index=0, id=f"id_{at}")] for at, piece in enumerate(others)]

    calls, handed_on = fed([fragment(first, index=0, id="id", name="tool")], *chunks)

    assert [("id", "tool", text)] == told(calls) == plain(handed_on)


@given(st.data())
def test_all_at_index_0(data: st.DataObject) -> None:
    """Calls that are all numbered 0 are told apart by their ids, and a fragment without one goes on with the newest."""
    whole = data.draw(st.lists(arguments(), min_size=1, max_size=3))
    chunks = []
    for place, text in enumerate(whole):
        first, *others = data.draw(cut(text))
        chunks.append([fragment(first, index=0, id=f"call_{place}", name="tool")])
        chunks += [[fragment(piece, index=0)] for piece in others]

    calls, handed_on = fed(*chunks)

    assert [(f"call_{place}", "tool", text) for place, text in enumerate(whole)] == told(calls) == plain(handed_on)


@given(arguments(), st.integers(2, 4), st.booleans())
def test_a_call_that_is_said_again(text: str, times: int, with_id: bool) -> None:
    """A whole call that comes again, with its id or only at its index, is the same call, said once."""
    again = {"id": "call", "name": "tool"} if with_id else {}
    chunks = [[fragment(text, index=0, **again)] for _ in range(times - 1)]

    calls, handed_on = fed([fragment(text, index=0, id="call", name="tool")], *chunks)

    assert [("call", "tool", text)] == told(calls)
    assert [("call", "tool", text)] == plain(handed_on)


@given(st.data())
def test_fragments_that_hold_all_so_far(data: st.DataObject) -> None:
    """Where each fragment begins with all that came before it, the last one is the arguments."""
    text = data.draw(arguments())
    assume(len(text) > len("{}"))
    places = sorted(data.draw(st.sets(st.integers(2, len(text) - 1), min_size=1, max_size=4)))
    chunks = [[fragment(text[:end], index=0, id="call", name="tool")] for end in [*places, len(text)]]

    calls, _ = fed(*chunks)

    assert [("call", "tool", text)] == told(calls)


@given(st.lists(st.tuples(st.sampled_from(["f", "g"]), FLAT), min_size=1, max_size=4))
def test_whole_calls_without_ids(said: list[tuple[str, dict[str, Any]]]) -> None:
    """Whole calls at one index, without ids, are calls of their own, unless one says the one before it and more."""
    assume(all(a[0] != b[0] or not a[1].items() <= b[1].items() for a, b in pairwise(said)))

    calls, handed_on = fed(*[[fragment(json.dumps(value), index=0, name=name)] for name, value in said])

    assert [("", name, json.dumps(value)) for name, value in said] == told(calls) == plain(handed_on)


# -- a new one, or the same? -----------------------------------------------------------------------------------------


def test_a_name_that_is_said_with_each_piece_opens_no_call() -> None:
    """Without id and index, what goes on with the arguments of the last call is of that one, named or not."""
    calls, _ = fed(*([fragment(piece, name="f")] for piece in ('{"a":', "1", "}", '{"b":', "2}")))
    assert [("", "f", '{"a":1}'), ("", "f", '{"b":2}')] == [
        (call.id or "", call.name, call.arguments) for call in calls.calls
    ]


def test_all_so_far_is_handed_on_once() -> None:
    """Where each fragment holds all that came before it, what is new of it is handed on when it comes."""
    pieces = ['{"a"', '{"a": 1, "b"', '{"a": 1, "b": 2}']
    calls, handed_on = fed(*([fragment(piece, index=0, name="f")] for piece in pieces))
    assert [("", "f", pieces[-1])] == told(calls)
    assert ['{"a"', ': 1, "b"', ": 2}"] == [one["function"]["arguments"] for one in handed_on]


def test_an_object_inside_of_the_arguments_is_no_beginning() -> None:
    """A piece that begins with a brace, where the arguments are open, goes on with them."""
    pieces = ['{"some long name": ', '{"a":', '{"b":1}', "}}"]
    calls, handed_on = fed(*([fragment(piece, index=0, name="f" if piece is pieces[0] else None)] for piece in pieces))
    assert [("f", "".join(pieces))] == [one[1:] for one in told(calls)] == [one[1:] for one in plain(handed_on)]


def test_a_further_object_has_the_name_of_the_call_before() -> None:
    """Behind whole arguments another object is another call of that function, and is handed on as one."""
    calls, handed_on = fed(
        [fragment('{"a":1}', index=0, id="one", name="tool")], [fragment('{"b":', index=0)], [fragment("2}", index=0)]
    )

    assert [("one", "tool", '{"a":1}'), ("", "tool", '{"b":2}')] == told(calls) == plain(handed_on)


@pytest.mark.parametrize(
    ("second", "wanted"),
    [
        (fragment("1}", index=0, id="new"), [("old", "tool", '{"a":1}')]),
        (fragment("1}", index=0, id="new", name="tool"), [("old", "tool", '{"a":1}')]),
        (fragment('{"b":1}', index=0, id="new", name="other"), [("old", "tool", '{"a":'), ("new", "other", '{"b":1}')]),
        (fragment('{"b":1}', index=0, id="new", name="tool"), [("old", "tool", '{"a":'), ("new", "tool", '{"b":1}')]),
        (fragment("1}", index=1, id="new", name="tool"), [("old", "tool", '{"a":'), ("new", "tool", "1}")]),
    ],
)
def test_a_new_id_where_a_call_is_incomplete(second: dict[str, Any], wanted: Told) -> None:
    """It goes on with the call at its index, unless it names another function or is a whole call itself."""
    calls, handed_on = fed([fragment('{"a":', index=0, id="old", name="tool")], [second])

    assert wanted == told(calls) == plain(handed_on)


def test_more_than_was_said_takes_its_place() -> None:
    """A whole call that comes again with more in it is the call."""
    calls, _ = fed(
        [fragment('{"a":1}', index=0, id="one", name="tool")], [fragment('{"a":1,"b":2}', index=0, id="one")]
    )

    assert [("one", "tool", '{"a":1,"b":2}')] == told(calls)


def test_several_anonymous_fragments_go_by_their_place() -> None:
    """Of fragments that come together without ids and indices each belongs to the call at its place."""
    calls, handed_on = fed(
        [fragment('{"a"', id="x", name="f"), fragment('{"b"', id="y", name="g")], [fragment(":1}"), fragment(":2}")]
    )

    assert [("x", "f", '{"a":1}'), ("y", "g", '{"b":2}')] == told(calls) == plain(handed_on)


@pytest.mark.parametrize("value", [None, 5, "text", [None, 5, "text"]])
def test_what_is_no_fragment(value: Any) -> None:
    """Nonsense among the calls is none, and is not handed on."""
    calls, handed_on = fed(value)
    assert ([], []) == (told(calls), handed_on)
    assert not calls


# -- one fragment ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delta", "wanted"),
    [
        ({"id": 7, "index": "0", "function": {"name": "f", "arguments": {"a": [1]}}}, ("7", None, "f", '{"a":[1]}')),
        ({"id": True, "index": True, "function": {"name": 1, "arguments": 2}}, ("", None, "", "")),
        ({"id": None, "function": None, "custom": {"name": "c", "input": "x"}}, ("", None, "c", "")),
        ({"function": {"arguments": None}}, ("", None, "", "")),
    ],
)
def test_what_a_fragment_says(delta: dict[str, Any], wanted: tuple[str, int | None, str, str]) -> None:
    """Numbers are ids, objects are arguments; what is of no use says nothing."""
    found = Fragment.of(delta)
    assert wanted == (found.id, found.index, found.name, found.arguments)


# -- a whole answer behind its fragments -----------------------------------------------------------------------------


@given(st.data())
def test_the_calls_of_a_message_behind_their_fragments(data: st.DataObject) -> None:
    """A message that repeats the calls adds nothing but what was missing of them."""
    text = data.draw(arguments())
    assume(len(text) > len("{}"))
    came = data.draw(st.integers(0, len(text)))
    calls = ToolCallDrafts()
    handed_on = calls.add([fragment(text[:came], index=3, id="call", name="tool")])

    handed_on += calls.compare([fragment(text, id="call", name="tool"), fragment("{}", id="other", name="f")])
    handed_on += calls.settle(over=True)

    assert [("call", "tool", text), ("other", "f", "{}")] == told(calls) == plain(handed_on)


# -- how far an object is --------------------------------------------------------------------------------------------


@given(st.data())
def test_an_object_is_whole_at_its_end_alone(data: st.DataObject) -> None:
    """However it is cut, an object of JSON is whole with its last character, and with none before it."""
    text = data.draw(arguments())
    scan = Scan()
    for piece in data.draw(cut(text[:-1])):
        scan.feed(piece)
        assert not scan.whole
    scan.feed(text[-1])
    assert scan.whole


@pytest.mark.parametrize(
    "text", ["", " ", "5", '"{}"', "[]", "[{}]", "{}{}", "{} x", "x{}", "{", "}", '{"a":"}', "{]}"]
)
def test_what_is_not_one_object(text: str) -> None:
    """Anything else is not whole: other values, two objects, an object with something around it, half of one."""
    scan = Scan()
    scan.feed(text)
    assert not scan.whole


@given(st.lists(st.text(alphabet='{}[]":,\\a ', max_size=6), max_size=6))
def test_a_scan_does_not_depend_on_the_cut(pieces: list[str]) -> None:
    """Of any text it says the same whole and in pieces, and never fails."""
    cut_up, at_once = Scan(), Scan()
    for piece in pieces:
        cut_up.feed(piece)
    at_once.feed("".join(pieces))
    assert (cut_up.whole, cut_up.may_open) == (at_once.whole, at_once.may_open)


def test_a_custom_call_has_no_function() -> None:
    """A call of a custom tool keeps its own field, and gets no empty function beside it."""
    call = ToolCallDraft()
    call.add(Fragment.of({"id": "a", "type": "custom", "custom": {"name": "sql", "input": "select"}}))
    call.add(Fragment.of({"custom": {"input": " 1"}}))
    assert {"id": "a", "type": "custom", "custom": {"name": "sql", "input": "select 1"}} == call.as_dict()
