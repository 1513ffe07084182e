"""One choice in the making: what its deltas come to, and that what is handed on comes to the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.json import codec
from anyfast_async._core.stream.choice import ChoiceDraft
from anyfast_async._core.stream.fragments import is_label
from anyfast_async._values.reasoning import thoughts_of
from anyfast_async.messages import AssistantMessage

FIELDS = ["content", "reasoning_content", "reasoning", "refusal", "thinking"]
PIECES = st.lists(st.tuples(st.sampled_from(FIELDS), st.text(min_size=1, max_size=5)), max_size=8)


def made(*deltas: Any, finish: str | None = "stop") -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The message that these deltas amount to, and the deltas that were handed on for them, the end included."""
    choice = ChoiceDraft(0)
    handed_on = [dict(choice.add({"index": 0, "delta": delta})["delta"]) for delta in deltas]
    handed_on.append(dict(choice.add({"index": 0, "delta": {}, "finish_reason": finish})["delta"]))
    handed_on.append(choice.end())
    return choice.as_dict()["message"], handed_on


def joined(deltas: list[dict[str, Any]], name: str) -> str:
    """The texts of a field, put together the plain way."""
    return "".join(delta[name] for delta in deltas if isinstance(delta.get(name), str))


def thoughts(message: dict[str, Any]) -> str:
    return thoughts_of(codec.structure(message, AssistantMessage))


def thinking(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


# -- texts -----------------------------------------------------------------------------------------------------------


@given(PIECES)
def test_texts_that_stream_in_turns(pieces: list[tuple[str, str]]) -> None:
    """Whatever the turns in which the texts of several fields come, each is whole, and so is what was handed on."""
    message, handed_on = made(*({name: piece} for name, piece in pieces))

    for name in FIELDS:
        whole = "".join(piece for of, piece in pieces if of == name)
        assert whole == (message.get(name) or "") == joined(handed_on, name)


@given(PIECES)
def test_pieces_together_or_apart(pieces: list[tuple[str, str]]) -> None:
    """Fields that come in one delta, or each in one of its own, amount to the same message."""
    together: list[dict[str, str]] = [{}]
    for name, piece in pieces:
        if name in together[-1]:
            together.append({})
        together[-1][name] = piece

    assert made(*({name: piece} for name, piece in pieces))[0] == made(*together)[0]


@given(st.text(max_size=8), st.sampled_from(FIELDS), st.integers(0, 40))
def test_a_character_that_is_cut(said: str, name: str, place: int) -> None:
    """A text that is cut between two UTF-16 units, inside of a character too, comes out whole by every field."""
    units = said.encode("utf-16-le")
    at = 2 * min(place, len(units) // 2)
    first, second = (part.decode("utf-16-le", "surrogatepass") for part in (units[:at], units[at:]))

    message, handed_on = made({name: first}, {"role": "assistant"}, {name: second})

    assert said == (message.get(name) or "") == joined(handed_on, name)
    "".join(str(delta) for delta in handed_on).encode()


@pytest.mark.parametrize(
    "field",
    [
        lambda piece: {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": piece}]},
        lambda piece: {"thinking_blocks": [{"type": "thinking", "thinking": piece}]},
        lambda piece: {"reasoning": {"content": piece}},
        lambda piece: {"content": [thinking(piece)]},
    ],
)
def test_a_character_that_is_cut_inside_of_a_block(field: Any) -> None:
    """Half a character at the end of a block's text waits for the other half, however deep the text stands."""
    message, handed_on = made(field("a\ud83d"), {"content": "x"}, field("\ude00b"))

    assert "a\U0001f600b" == thoughts(message)
    assert "a\U0001f600b" == "".join(map(thoughts, handed_on))
    "".join(str(delta) for delta in handed_on).encode()


def test_half_a_character_that_stays_half() -> None:
    """It becomes U+FFFD wherever it stands, so that the answer can be printed and written."""
    message, _ = made({"content": "a\ud83d", "custom": [{"note": "\ud83d"}]}, {"content": [thinking("t\ud83d")]})
    assert (message["custom"], message["content"]) == ([{"note": "\ufffd"}], [thinking("t\ufffd"), text("a\ufffd")])


# -- thoughts --------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.text("ab c", min_size=1, max_size=3)), min_size=1, max_size=8))
def test_parts_keep_their_order(parts: list[tuple[bool, str]]) -> None:
    """Thoughts and text that come as parts, in any turns: both in their order, thoughts before the text."""
    message, handed_on = made(
        *({"content": [thinking(said) if is_thought else text(said)]} for is_thought, said in parts)
    )

    thought = "".join(said for is_thought, said in parts if is_thought)
    spoken = "".join(said for is_thought, said in parts if not is_thought)
    content = message["content"]
    kinds = [part["type"] for part in content] if isinstance(content, list) else []
    assert thought == thoughts(message) == joined(handed_on, "reasoning_content")
    assert spoken == joined(handed_on, "content")
    assert sorted(kinds, reverse=True) == kinds
    assert spoken == (content if isinstance(content, str) else "".join(part.get("text", "") for part in content))


def test_a_signed_thought_is_closed() -> None:
    """What is thought behind a signature is another block, and no part of the signed one."""
    blocks = [
        {"type": "thinking", "thinking": "a"},
        {"type": "thinking", "thinking": "b", "signature": "s"},
        {"type": "thinking", "thinking": "c"},
    ]

    message, _ = made(*({"thinking_blocks": [block]} for block in blocks))

    signed = {"type": "thinking", "thinking": "ab", "signature": "s"}
    assert [signed, {"type": "thinking", "thinking": "c"}] == message["thinking_blocks"]
    assert "abc" == thoughts(message)


# -- a message in place of deltas, or behind them --------------------------------------------------------------------


@given(PIECES, st.text(max_size=4), st.sampled_from(["stop", None]))
def test_a_message_that_repeats_the_deltas(pieces: list[tuple[str, str]], more: str, finish: str | None) -> None:
    """Behind deltas a message adds what they lacked, and nothing twice; handed on is only what is new."""
    choice = ChoiceDraft(0)
    handed_on = [dict(choice.add({"index": 0, "delta": {name: piece}})["delta"]) for name, piece in pieces]
    whole = {name: "".join(piece for of, piece in pieces if of == name) for name in {name for name, _ in pieces}}
    if "content" in whole:
        whole["content"] += more

    last = choice.add({"index": 0, "message": {"role": "assistant", **whole}, "finish_reason": finish})

    message = choice.as_dict()["message"]
    for name, said in whole.items():
        assert said == message[name] == joined([*handed_on, dict(last["delta"])], name)
    assert "message" not in last


@given(PIECES)
def test_a_message_alone(pieces: list[tuple[str, str]]) -> None:
    """A whole message where a delta belongs is handed on as one."""
    whole = dict(pieces)
    choice = ChoiceDraft(0)

    found = choice.add({"index": 0, "message": {"role": "assistant", **whole}, "finish_reason": "stop"})

    assert {"role": "assistant", **whole} == found["delta"]
    assert {"content": None, "role": "assistant", **whole} == choice.as_dict()["message"]


# -- what is handed on -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "choice",
    [
        {"index": 0, "delta": {"content": "x"}, "finish_reason": None, "logprobs": None},
        {"index": 0, "delta": {"role": "assistant", "content": ""}},
        {"index": 0, "delta": {}, "finish_reason": "length"},
        {"index": 0, "delta": {"reasoning_details": [{"type": "reasoning.text", "text": "é"}]}, "native": 1},
    ],
)
def test_the_usual_choice_is_handed_on_as_it_is(choice: dict[str, Any]) -> None:
    """What OpenAI would send so is not copied."""
    assert ChoiceDraft(0).add(choice) is choice


def test_the_finish_reason_of_calls() -> None:
    """A choice that ends its calls with "stop" says "tool_calls", to who reads along too; any other reason stays."""
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    choice = ChoiceDraft(0)
    choice.add({"index": 0, "delta": {"tool_calls": [call]}})

    assert "tool_calls" == choice.add({"index": 0, "delta": {}, "finish_reason": "stop"})["finish_reason"]
    assert "length" == choice.add({"index": 0, "delta": {}, "finish_reason": "length"})["finish_reason"]
    assert "length" == choice.as_dict()["finish_reason"]


@given(
    st.dictionaries(st.sampled_from(["note", "x_type", "x_id", "status"]), st.text(min_size=1, max_size=3), max_size=4)
)
def test_unknown_texts_grow_and_labels_do_not(fields: dict[str, str]) -> None:
    """A text of an unknown name comes in pieces; one that says what something is comes whole, again and again."""
    message, _ = made({"content": "x", **fields}, fields)
    assert {name: said if is_label(name) else 2 * said for name, said in fields.items()} == {
        name: message[name] for name in fields
    }


def test_nothing_said_is_empty() -> None:
    """Roles, nulls and empty values are no answer; a thought, a call, or an unknown text is one."""
    choice = ChoiceDraft(0)
    silent: list[Any] = [{"role": "assistant", "content": ""}, {"content": None, "tool_calls": []}, {"refusal": None}]
    for delta in silent:
        choice.add({"index": 0, "delta": delta})
        assert choice.empty
        assert not choice.begun
    choice.add({"index": 0, "delta": {"thinking": "hm"}})
    assert not choice.empty
    assert choice.begun


@pytest.mark.parametrize(
    "delta",
    [
        {"function_call": {"name": "f", "arguments": "{}"}},
        {"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
        {"note": "unknown"},
    ],
)
def test_whatever_is_said_is_a_beginning(delta: dict[str, Any]) -> None:
    """A call of the old form, a part that is no text, a thought, an unknown text: each by itself."""
    choice = ChoiceDraft(0)
    choice.add({"index": 0, "delta": delta})
    assert choice.begun
