"""Chunks to the completion they amount to: every deviation of the format that upstreams are known for."""

from __future__ import annotations

import copy
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.json import codec
from anyfast_async._core.stream.choice import says
from anyfast_async._core.stream.fold import Fold, choices_of, text_of
from anyfast_async.completions import ChatCompletion


def chunk(delta: Any = None, *, finish: str | None = None, index: int = 0, **choice: Any) -> dict[str, Any]:
    """Return a chunk as OpenAI sends it, with the usual four keys in its only choice."""
    usual = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [usual | choice]}


def folded(*chunks: dict[str, Any]) -> ChatCompletion:
    fold = Fold()
    for payload in chunks:
        fold.add(payload)
    return fold.completion()


def message(*chunks: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = codec.as_dict(folded(*chunks))["choices"][0]["message"]
    return found


def calls(*deltas: Any) -> list[tuple[str | None, str, str]]:
    """Return (id, name, arguments) of the tool calls that several lists of tool-call deltas amount to."""
    answer = folded(*[chunk({"tool_calls": delta}) for delta in deltas])
    return [(c.id, c.name, c.arguments) for c in answer.tool_calls]


def call(
    index: int | None = None, call_id: str | None = None, name: str | None = None, args: Any = None
) -> dict[str, Any]:
    """Return a tool-call delta with only the keys that are given."""
    function = {k: v for k, v in (("name", name), ("arguments", args)) if v is not None}
    given = {"index": index, "id": call_id, "function": function or None}
    return {k: v for k, v in given.items() if v is not None}


# -- the usual stream -------------------------------------------------------------------------------------------------


def test_the_canonical_stream() -> None:
    """Role, deltas, finish and usage chunk make the completion that a call without stream would give (OpenAI)."""
    answer = folded(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({}, finish="stop"),
        {"id": "c1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
    )
    assert {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    } == codec.as_dict(answer)


def test_the_new_text_of_choice_0() -> None:
    """What is handed on as tokens is the text of choice 0 alone, in the chunk where it came."""
    fold = Fold()
    shown = [
        fold.add(chunk({"role": "assistant", "content": ""})),
        fold.add(chunk({"content": "a"})),
        fold.add(chunk({"content": "B"}, index=1)),
        fold.add(chunk({"reasoning_content": "hm"})),
        fold.add({"choices": [{"index": 0, "delta": {"content": "x"}}, {"index": 1, "delta": {"content": "Y"}}]}),
    ]
    assert ["", "a", "", "", "x"] == list(map(text_of, shown))


def test_begun_and_finished() -> None:
    """A stream has begun with its first choice, and is finished when every choice has its reason."""
    fold = Fold()
    states = [(fold.begun, fold.finished)]
    payloads: tuple[dict[str, Any], ...] = (
        {"choices": []},
        chunk({"content": "a"}),
        chunk({"content": "b"}, index=1),
        chunk({}, finish="stop"),
        chunk({}, finish="length", index=1),
    )
    for payload in payloads:
        fold.add(payload)
        states.append((fold.begun, fold.finished))
    assert [(False, False), (False, False), (True, False), (True, False), (True, False), (True, True)] == states


def test_nothing_at_all_is_an_empty_completion() -> None:
    """No chunk gives a completion without choices, not an error."""
    answer = folded()
    assert ("", (), None) == (answer.text, answer.choices, answer.usage)


# -- the Gemini channel (new-api relay-gemini.go) ---------------------------------------------------------------------


def test_gemini_thinking_then_text() -> None:
    """new-api relay-gemini.go: thoughts come as reasoning_content, content may be "" on any chunk, usage is null."""
    answer = folded(
        chunk({"content": "", "role": "assistant"}) | {"system_fingerprint": None, "usage": None},
        chunk({"reasoning_content": "First I"}) | {"usage": None},
        chunk({"content": ""}) | {"usage": None},
        chunk({"content": "Hello"}) | {"usage": None},
        chunk({}, finish="stop") | {"usage": None},
        {"choices": [], "usage": {"total_tokens": 81}},
    )
    assert ("Hello", "First I", "stop", 81) == (
        answer.text,
        answer.reasoning,
        answer.finish_reason,
        answer.usage and answer.usage.total_tokens,
    )


def test_gemini_tool_call_in_the_first_event() -> None:
    """new-api relay-gemini.go: name and id first, then all arguments in a chunk with "type": null and no id."""
    first = {"index": 0, "id": "call_ab", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
    second = {"index": 0, "type": None, "function": {"arguments": '{"city":"Paris"}'}}
    answer = folded(
        chunk({"content": "", "role": "assistant", "tool_calls": [first]}),
        chunk({"content": "", "tool_calls": [second]}),
        chunk({}, finish="tool_calls"),
    )
    assert {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "call_ab", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
        ],
    } == codec.as_dict(answer)["choices"][0]["message"]


@pytest.mark.parametrize("last", ["stop", "tool_calls"])
def test_gemini_tool_calls_then_stop(last: str) -> None:
    """new-api before 2026-05-25, python-genai #2868: a tool-call turn that ends with "stop" is "tool_calls"."""
    answer = folded(
        chunk({"tool_calls": [call(0, "a", "f", "{}")]}, finish="tool_calls"),
        chunk({"tool_calls": [call(1, "b", "g", "{}")]}, finish="tool_calls"),
        chunk({}, finish=last),
    )
    assert ("tool_calls", 2) == (answer.finish_reason, len(answer.tool_calls))


def test_a_cut_off_tool_call_stays_cut_off() -> None:
    """Only "stop" is corrected: a tool call that ran into max_tokens says "length"."""
    assert "length" == folded(chunk({"tool_calls": [call(0, "a", "f", "{")]}), chunk({}, finish="length")).finish_reason


def test_all_calls_at_index_0() -> None:
    """new-api before 2026-01-20, Ollama: a new id at a used index opens a call; fragments go to the newest."""
    assert [("a", "f", "{}"), ("b", "g", '{"x":1}')] == calls(
        [call(0, "a", "f", "{}")], [call(0, "b", "g", '{"x"')], [call(0, args=":1}")]
    )


def test_length_on_the_content_chunk() -> None:
    """new-api relay-gemini.go, vllm-project/vllm #35705: text in the chunk that has the finish reason is not lost."""
    answer = folded(chunk({"content": "Hel"}), chunk({"content": "lo"}, finish="length"))
    assert ("Hello", "length") == (answer.text, answer.finish_reason)


def test_gemini_blocked_prompt() -> None:
    """new-api relay-gemini.go: a blocked prompt is a role chunk and empty choices; it has begun and never finishes."""
    fold = Fold()
    payloads: tuple[dict[str, Any], ...] = (
        chunk({"role": "assistant", "content": ""}),
        {"choices": [], "usage": None},
        {"choices": []},
    )
    for payload in payloads:
        fold.add(payload)
    assert (True, False, "", None) == (
        fold.begun,
        fold.finished,
        fold.completion().text,
        fold.completion().usage,
    )


# -- other channels (new-api relay-openai.go, relay-claude.go) --------------------------------------------------------


def test_claude_indices_start_above_0() -> None:
    """new-api relay-claude.go: the index is the content block's: it starts at 1 or 2, has gaps; type repeats."""
    assert [("a", "f", '{"x":1}'), ("b", "g", "{}")] == calls(
        [call(1, "a", "f", "") | {"type": "function"}],
        [call(1, args='{"x"') | {"type": "function"}],
        [call(1, args=":1}") | {"type": "function"}],
        [call(4, "b", "g", "{}") | {"type": "function"}],
    )


def test_claude_signature_is_a_line_end_of_reasoning() -> None:
    """new-api relay-claude.go: thoughts, then a lone line end for the signature, belong to the reasoning."""
    answer = folded(chunk({"reasoning_content": "hm"}), chunk({"reasoning_content": "\n"}), chunk({"content": "x"}))
    assert ("hm\n", "x") == (answer.reasoning, answer.text)


def test_claude_raw_stop_reason_passes() -> None:
    """new-api relay-claude.go: a stop reason without a name in OpenAI's list comes through as it is."""
    assert "pause_turn" == folded(chunk({"content": "x"}), chunk({}, finish="pause_turn")).finish_reason


def test_a_second_stream_in_the_same_answer() -> None:
    """new-api controller/relay.go: a retried channel starts over with new id and role; the first id stays."""
    answer = folded(
        chunk({"role": "assistant", "content": "a"}),
        chunk({"role": "assistant", "content": "b"}) | {"id": "c2"},
        chunk({}, finish="stop") | {"id": "c2"},
    )
    assert ("c1", "ab", "stop") == (answer.id, answer.text, answer.finish_reason)


def restarts(*before: dict[str, Any], then: dict[str, Any]) -> bool:
    fold = Fold()
    for payload in before:
        fold.add(payload)
    return fold.restarts(then)


START = chunk({"role": "assistant", "content": "a"})
MORE = chunk({"content": "b"})
AGAIN = chunk({"role": "assistant", "content": "a"}) | {"id": "c2"}


def test_a_restart_is_seen() -> None:
    """new-api controller/relay.go: another id and a second role chunk, after a stable id, begin the answer anew."""
    assert restarts(START, MORE, then=AGAIN)


@pytest.mark.parametrize(
    ("before", "then"),
    [
        ((), AGAIN),
        ((START, MORE), START),
        ((START, MORE), MORE | {"id": "c2"}),
        ((START, MORE), AGAIN | {"id": None}),
        ((START,), AGAIN),
        ((START, AGAIN | {"id": "c3"}), AGAIN),
        ((START, START, START), AGAIN),
        ((MORE, MORE), AGAIN),
        ((START, MORE), chunk({"role": "assistant"}, index=1) | {"id": "c2"}),
        ((START, MORE), {"id": "c2", "choices": []}),
    ],
    ids=[
        "first",
        "same-id",
        "no-role",
        "no-id",
        "one-chunk",
        "ids-differ",
        "role-repeated",
        "no-role-yet",
        "other-choice",
        "usage",
    ],
)
def test_what_is_no_restart(before: tuple[dict[str, Any], ...], then: dict[str, Any]) -> None:
    """Upstreams with an id per chunk or a role on every chunk, late choices and usage chunks are no second answer."""
    assert not restarts(*before, then=then)


# -- tool-call index rules --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deltas", "wanted"),
    [
        pytest.param(
            [[call(0, "a", "f", "")], [call(0, args="{")], [call(0, args="}")]],
            [("a", "f", "{}")],
            id="openai-fragments",
        ),
        pytest.param(
            [[call(0, "a", "f", "")], [call(1, "b", "g", "")], [call(0, args="1")], [call(1, args="2")]],
            [("a", "f", "1"), ("b", "g", "2")],
            id="openai-interleaved",
        ),
        pytest.param(
            [[call(0, "a", "f", "1"), call(1, "b", "g", "2")]],
            [("a", "f", "1"), ("b", "g", "2")],
            id="two-in-one-chunk",
        ),
        pytest.param(
            [[call(None, "a", "f", "1")], [call(None, "b", "g", "2")]],
            [("a", "f", "1"), ("b", "g", "2")],
            id="google-no-index",
        ),
        pytest.param(
            [[call(None, "a", "f", "")], [call(None, args="{")], [call(None, args="}")]],
            [("a", "f", "{}")],
            id="no-index-no-id-continues-the-last",
        ),
        pytest.param(
            [
                [call(None, "a", "f", "")],
                [call(None, "b", "g", "")],
                [call(None, "a", args="1")],
                [call(None, "b", args="2")],
            ],
            [("a", "f", "1"), ("b", "g", "2")],
            id="no-index-the-id-matches",
        ),
        pytest.param(
            [[call(0, "a", "f", "{")], [call(0, "a", None, "}")]], [("a", "f", "{}")], id="id-on-every-fragment"
        ),
        pytest.param(
            [[call(0, "a", "f", "{")], [call(0, "a", "f", "}")]], [("a", "f", "{}")], id="name-on-every-fragment"
        ),
        pytest.param(
            [[call(0, "a", "get_")], [call(0, None, "weather", "{}")]], [("a", "get_weather", "{}")], id="name-split"
        ),
        pytest.param([[call(0, None, "f", "{")], [call(0, "a", None, "}")]], [("a", "f", "{}")], id="id-comes-late"),
        pytest.param([[call(0, "", "f", "{")], [call(0, "", None, "}")]], [("", "f", "{}")], id="empty-ids"),
        pytest.param(
            [[call(None, None, "f", "1")], [call(None, None, "g", "2")]],
            [("", "f", "1"), ("", "g", "2")],
            id="no-id-no-index-a-name-opens",
        ),
        pytest.param([[call(None, args="{}")]], [("", "", "{}")], id="orphan-fragment-opens"),
        pytest.param(
            [[call(3, "a", "f", "1")], [call(2, args="2")]], [("a", "f", "1"), ("", "", "2")], id="unknown-index-opens"
        ),
        pytest.param([[call(0, "a", "f", {"x": 1})]], [("a", "f", '{"x":1}')], id="arguments-as-object"),
        pytest.param([[call(0, "a", "f", [1])]], [("a", "f", "[1]")], id="arguments-as-list"),
        pytest.param([[call(0, "a", "f", 5)]], [("a", "f", "")], id="arguments-as-number-are-nothing"),
        pytest.param(
            [[{"index": True, "id": "a", "function": {"name": "f"}}]], [("a", "f", "")], id="index-is-no-bool"
        ),
        pytest.param([[{"index": 0, "id": 5, "function": {"name": None}}]], [("5", "", "")], id="id-is-a-number"),
        pytest.param(["x", None, [None, "y", 5], 5], [], id="not-a-list-of-objects"),
    ],
)
def test_tool_call_index_rules(deltas: list[Any], wanted: list[tuple[str, str, str]]) -> None:
    """The id wins over the index, the index over the position; Google's endpoint (OpenMAIC #1556), Ollama, OpenAI."""
    assert wanted == calls(*deltas)


def test_extra_content_goes_to_its_own_call() -> None:
    """Google thought signatures: kept on the call that had one, merged over its deltas, never copied to siblings."""
    answer = folded(
        chunk({"tool_calls": [call(0, "a", "f", "{}") | {"extra_content": {"google": {"thought_signature": "s1"}}}]}),
        chunk({"tool_calls": [call(1, "b", "g", "{}")]}),
        chunk({"tool_calls": [{"index": 0, "extra_content": {"google": {"more": 1}}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"strict": True}}]}),
    )
    first, second = answer.tool_calls
    assert {"extra_content": {"google": {"thought_signature": "s1", "more": 1}}} == first.extra
    assert {} == second.extra
    assert {"strict": True} == (first.function.extra if first.function else None)


def test_signature_on_a_metadata_only_delta() -> None:
    """noho/dayu-agent #45: a delta with nothing but extra_content, without id and index, belongs to the last call."""
    answer = folded(
        chunk({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}),
        chunk({"tool_calls": [{"extra_content": {"google": {"thought_signature": "s"}}}]}),
    )
    assert [("a", {"extra_content": {"google": {"thought_signature": "s"}}})] == [
        (c.id, c.extra) for c in answer.tool_calls
    ]


def test_fragments_without_id_and_index_go_by_position() -> None:
    """Where ids and indices are missing, the position in the list tells which call a fragment belongs to."""
    assert [("a", "f", "1"), ("b", "g", "2")] == calls(
        [call(None, "a", "f", ""), call(None, "b", "g", "")], [call(None, args="1"), call(None, args="2")]
    )


def test_many_tool_calls_take_linear_time() -> None:
    """Twice as many tool calls in one answer are twice as many lines of code that run, not four times as many."""

    def lines(count: int) -> int:
        deltas = [call(i, f"id{i}", "f", "{}") for i in range(count)]
        run = 0

        def see(*_: object) -> Any:
            nonlocal run
            run += 1
            return see

        before = sys.gettrace()
        sys.settrace(see)
        try:
            answer = folded(chunk({"tool_calls": deltas}))
        finally:
            sys.settrace(before)
        assert count == len(answer.tool_calls)
        return run

    assert lines(1000) < 2.1 * lines(500)


# -- deviations from any upstream -------------------------------------------------------------------------------------


def test_role_on_every_chunk() -> None:
    """Google's compatibility endpoint repeats the role, and leaves finish_reason out until the end."""
    deltas = [{"index": 0, "delta": {"role": "assistant", "content": c}} for c in "abc"]
    answer = folded(*[{"choices": [d]} for d in deltas], chunk({}, finish="stop"))
    assert {"role": "assistant", "content": "abc"} == codec.as_dict(answer)["choices"][0]["message"]


def test_finish_reason_on_every_chunk() -> None:
    """Old new-api Gemini (#378), gcli2api #403: "stop" on every chunk does not end the answer; the last one counts."""
    answer = folded(
        chunk({"content": "a"}, finish="stop"), chunk({"content": "b"}, finish="stop"), chunk({}, finish="length")
    )
    assert ("ab", "length") == (answer.text, answer.finish_reason)


@pytest.mark.parametrize("reason", [None, "", 5])
def test_a_finish_reason_that_says_nothing_does_not_undo(reason: Any) -> None:
    """After a finish reason, null, "" or a number in its place changes nothing."""
    assert "stop" == folded(chunk({"content": "a"}, finish="stop"), chunk({}, finish=reason)).finish_reason


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_by_either_name(name: str) -> None:
    """vLLM, OpenRouter and Ollama say "reasoning": joined under the name it came by, and found under .reasoning."""
    answer = folded(chunk({name: "I "}), chunk({name: "think"}), chunk({"content": "x"}))
    assert ("I think", "x") == (answer.reasoning, answer.text)
    assert "I think" == codec.as_dict(answer)["choices"][0]["message"][name]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "refusal"])
def test_null_does_not_wipe_reasoning(name: str) -> None:
    """DeepSeek, Moonshot and vLLM send "reasoning_content": null beside content; the thoughts so far stay."""
    assert {"role": "assistant", "content": "x", name: "hm"} == message(
        chunk({"role": "assistant", "content": None, name: "hm"}), chunk({"content": "x", name: None})
    )


def test_null_before_reasoning() -> None:
    """A null that comes before any fragment is remembered as null where nothing follows (OpenAI's "refusal": null)."""
    assert {"role": "assistant", "content": "x", "refusal": None} == message(chunk({"content": "x", "refusal": None}))


def test_refusal_is_joined() -> None:
    """OpenAI streams a refusal in fragments of its own."""
    assert "I cannot" == message(chunk({"refusal": "I "}), chunk({"refusal": "cannot"}))["refusal"]


@pytest.mark.parametrize("choices", [[], None, "x", 5, {}])
def test_chunks_without_choices(choices: Any) -> None:
    """Azure's prompt_filter_results and usage chunks: empty, null or odd choices are none; the rest is kept."""
    answer = folded(
        {"id": "", "choices": choices, "prompt_filter_results": [1]}, chunk({"content": "a"}, finish="stop")
    )
    assert ("c1", "a", {"prompt_filter_results": [1]}) == (answer.id, answer.text, answer.extra)


@pytest.mark.parametrize("choice", [None, "x", 5, []])
def test_a_choice_that_is_no_object(choice: Any) -> None:
    """Nonsense in the list of choices is passed over, and does not shift the position of the others."""
    assert [] == list(choices_of({"choices": [choice]}))
    assert [1] == [i for i, _ in choices_of({"choices": [choice, {"delta": {}}]})]


@pytest.mark.parametrize("delta", [None, 5, "x", []])
def test_delta_null_or_absent(delta: Any) -> None:
    """A delta that is null, absent or no object is an empty one."""
    answer = folded(chunk({"content": "a"}), chunk(delta), {"choices": [{"index": 0}]}, chunk({}, finish="stop"))
    assert ("a", "stop") == (answer.text, answer.finish_reason)


def test_message_in_place_of_delta() -> None:
    """Upstreams that ignore streaming put a whole message where the delta belongs."""
    answer = folded(
        {
            "id": "c",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}],
        }
    )
    assert ("a", "stop", {}) == (answer.text, answer.finish_reason, answer.choices[0].extra)


@pytest.mark.parametrize("index", [None, "0", 0.0, True])
def test_a_choice_without_index_goes_by_position(index: Any) -> None:
    """Where a choice has no usable index, its position in the list is its index."""
    pair = [{"index": index, "delta": {"content": "a"}}, {"index": index, "delta": {"content": "B"}}]
    assert ["a", "B"] == [c.message.text for c in folded({"choices": pair}).choices if c.message]


def test_choices_late_and_out_of_order() -> None:
    """llama.cpp: choice 1 may come before choice 0, in events of their own; the completion has them in order."""
    answer = folded(
        chunk({"content": "B"}, index=1),
        chunk({"content": "a"}),
        chunk({"content": "C"}, index=1),
        chunk({}, finish="length", index=1),
        chunk({}, finish="stop"),
    )
    assert [(0, "a", "stop"), (1, "BC", "length")] == [
        (c.index, c.message.text if c.message else None, c.finish_reason) for c in answer.choices
    ]


def test_usage_on_every_chunk() -> None:
    """xAI, Moonshot, vLLM: the last usage that is an object wins; a null afterwards does not wipe it."""
    answer = folded(
        chunk({"content": "a"}) | {"usage": {"total_tokens": 1}},
        chunk({"content": "b"}) | {"usage": {"total_tokens": 2}},
        chunk({}, finish="stop") | {"usage": None},
    )
    assert 2 == (answer.usage and answer.usage.total_tokens)


def test_unknown_texts_of_a_function_grow() -> None:
    """What comes in pieces beside the arguments is put together, as it is everywhere else."""
    calls = [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}", "note": "a"}}]
    later = [{"index": 0, "function": {"note": "b"}}]

    (call,) = message(chunk({"tool_calls": calls}), chunk({"tool_calls": later}))["tool_calls"]
    assert {"name": "f", "arguments": "{}", "note": "ab"} == call["function"]


@pytest.mark.parametrize("nothing", [None, "", {}])
def test_an_error_that_says_nothing_is_not_passed_on(nothing: Any) -> None:
    """Some gateways put an empty error on every chunk, which a browser would take for one; all else stays."""
    payload = chunk({"content": "a"})
    assert payload == Fold().add({**payload, "error": nothing})


def test_chunks_tell_the_usage_that_is_known_by_then() -> None:
    """Whoever reads chunks need not add up what upstreams tell in pieces (Anthropic: input first, output last)."""
    fold = Fold()
    told = [fold.add({"choices": [], "usage": one}) for one in ({"prompt_tokens": 5}, {"completion_tokens": 3})]

    assert [{"prompt_tokens": 5}, {"prompt_tokens": 5, "completion_tokens": 3}] == [one["usage"] for one in told]


def test_usage_inside_the_choice() -> None:
    """Moonshot puts the usage into choices[0]; it is the answer's usage and no unknown field of the choice."""
    answer = folded(chunk({"content": "a"}, finish="stop", usage={"total_tokens": 5}))
    assert (5, {}) == (answer.usage and answer.usage.total_tokens, answer.choices[0].extra)


def test_images_are_collected() -> None:
    """OpenRouter: delta.images grows over chunks and stands in the message."""
    pictures = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{x}"}} for x in "AB"]
    assert pictures == message(chunk({"images": pictures[:1]}), chunk({"images": pictures[1:]}))["images"]


def test_content_in_parts() -> None:
    """Content that comes as parts: text parts are text, anything else is kept behind it."""
    picture = {"type": "image_url", "image_url": {"url": "https://x/1.png"}}
    fold = Fold()
    assert "ab" == text_of(fold.add(chunk({"content": [{"type": "text", "text": "a"}, {"text": "b"}, picture, 5]})))
    assert "c" == text_of(fold.add(chunk({"content": "c"})))
    assert [{"type": "text", "text": "abc"}, picture, 5] == codec.as_dict(fold.completion())["choices"][0]["message"][
        "content"
    ]
    assert [picture] == message(chunk({"content": [picture]}))["content"]


@pytest.mark.parametrize("content", [None, 5, {"text": "x"}, True])
def test_content_that_is_no_text(content: Any) -> None:
    """A content of null or of another type adds nothing; the message then has a null content."""
    assert {"role": "assistant", "content": None} == message(chunk({"content": content}))


def test_unknown_fields_are_merged() -> None:
    """Unknown fields stay: objects merge, lists and texts of deltas grow, null is nothing, the last of others wins."""
    answer = folded(
        chunk({"content": "a", "x": {"a": {"b": 1}}, "l": [1], "n": None, "s": "1"}, stop_reason=None, other=1)
        | {"g": {"p": 1}},
        chunk({"content": "b", "x": {"a": {"c": 2}}, "l": [2], "n": 5, "s": "2"}, stop_reason=7, other=2)
        | {"g": {"q": 2}},
        chunk({"x": None, "l": None, "n": None}) | {"g": None, "obfuscation": "zzz"},
    )
    value = codec.as_dict(answer)
    assert {"p": 1, "q": 2} == value["g"]
    assert "obfuscation" not in value
    assert (7, 2) == (value["choices"][0]["stop_reason"], value["choices"][0]["other"])
    assert {
        "role": "assistant",
        "content": "ab",
        "x": {"a": {"b": 1, "c": 2}},
        "l": [1, 2],
        "n": 5,
        "s": "12",
    } == value["choices"][0]["message"]


def test_unknown_field_of_a_choice_without_finish_reason() -> None:
    """A choice with few keys may still have an unknown one (LiteLLM leaves finish_reason out)."""
    answer = folded({"choices": [{"index": 0, "delta": {"content": "a"}, "seen": 1}]})
    assert {"seen": 1} == answer.choices[0].extra


def test_unknown_field_of_a_choice_with_four_keys() -> None:
    """OpenRouter sends native_finish_reason in place of logprobs; it is kept."""
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop", "native_finish_reason": "STOP"}
    assert {"native_finish_reason": "STOP"} == folded({"choices": [choice]}).choices[0].extra


def logprobs(*tokens: str) -> dict[str, Any]:
    return {"content": [{"token": t, "logprob": -0.1} for t in tokens], "refusal": None}


def test_logprobs_grow() -> None:
    """OpenAI: the log probabilities of all chunks stand in the choice, in order; null chunks add nothing."""
    answer = folded(
        chunk({"content": "a"}, logprobs=logprobs("a")), chunk({}), chunk({"content": "b"}, logprobs=logprobs("b"))
    )
    assert logprobs("a", "b") == codec.as_dict(answer)["choices"][0]["logprobs"]


def test_legacy_function_call_is_joined() -> None:
    """OpenAI's former function_call streams its arguments in fragments."""
    assert {"name": "f", "arguments": "{}"} == message(
        chunk({"function_call": {"name": "f", "arguments": "{"}}), chunk({"function_call": {"arguments": "}"}})
    )["function_call"]


# -- text in pieces ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["content", "reasoning_content", "reasoning", "refusal"])
def test_surrogate_pair_split_over_two_deltas(name: str) -> None:
    r"""JSON text may hold half of an emoji: "\ud83d" in one delta and "\ude00" in the next are one character."""
    assert "a\U0001f600b" == message(chunk({name: "a\ud83d"}), chunk({name: "\ude00b"}))[name]


def test_tokens_never_hold_half_a_character() -> None:
    """The first half waits for the second; empty deltas and chunks without text between them do not part them."""
    fold = Fold()
    pieces = ["a\ud83d", "", None, "\ude00b"]
    assert ["a", "", "", "\U0001f600b"] == [text_of(fold.add(chunk({"content": p}))) for p in pieces]


def test_lone_surrogates_are_replaced() -> None:
    """Half a character alone becomes U+FFFD, in the middle as well as at the end, so that every text can be encoded."""
    assert "a\ufffdb\ufffd" == message(chunk({"content": "a\ud83d"}), chunk({"content": "b\ude00"}))["content"]
    assert "a\ufffd" == message(chunk({"content": "a\ud83d"}))["content"]
    assert (
        '{"x":"\U0001f600"}'
        == folded(
            chunk({"tool_calls": [call(0, "a", "f", '{"x":"\ud83d')]}),
            chunk({"tool_calls": [call(0, args='\ude00"}')]}),
        )
        .tool_calls[0]
        .arguments
    )


@given(st.lists(st.text(max_size=5), max_size=8))
def test_tokens_and_text_agree(pieces: list[str]) -> None:
    """Whatever the pieces, the tokens handed on are the completion's text, and it is the pieces put together."""
    fold = Fold()
    shown = "".join(text_of(fold.add(chunk({"content": piece}))) for piece in pieces)
    assert "".join(pieces) == shown == fold.completion().text


@given(st.text(min_size=1, max_size=20), st.data())
def test_text_survives_any_split_of_its_escapes(text: str, data: st.DataObject) -> None:
    """A text cut between any two UTF-16 units comes out whole."""
    units = [chr(u) for u in memoryview(text.encode("utf-16-le")).cast("H")]
    at = data.draw(st.integers(0, len(units)))
    assert text == folded(chunk({"content": "".join(units[:at])}), chunk({"content": "".join(units[at:])})).text


# -- what the clocks wait for -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "a"},
        {"content": [{"type": "text", "text": "a"}]},
        {"reasoning_content": "a"},
        {"reasoning": "a"},
        {"tool_calls": [{"index": 0}]},
        {"images": [{}]},
        {"refusal": "a"},
        {"audio": {"id": "a"}},
        {"function_call": {"name": "f"}},
    ],
    ids=lambda d: next(iter(d)),
)
def test_has_content(delta: dict[str, Any]) -> None:
    """Text, reasoning, tool calls, images, refusals, audio and function calls are content, in a message too."""
    assert says(delta)


@pytest.mark.parametrize(
    "delta",
    [
        {},
        {"role": "assistant", "content": ""},
        {"content": None, "reasoning_content": "", "tool_calls": [], "images": None},
        {"type": "text", "status": "queued", "phase": "answer"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "", "index": 0}]},
    ],
    ids=json.dumps,
)
def test_has_no_content(delta: dict[str, Any]) -> None:
    """Role chunks, empty values and words that only say what something is are no content."""
    assert not says(delta)


@pytest.mark.parametrize(
    "delta",
    [
        {"thinking": "hm"},
        {"thought": {"text": "hm"}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
    ],
    ids=json.dumps,
)
def test_thinking_in_any_field_is_content(delta: dict[str, Any]) -> None:
    """A model that thinks aloud is not silent, whatever the field is called."""
    assert says(delta)


# -- values that stay as they were ------------------------------------------------------------------------------------


RICH = (
    chunk(
        {
            "content": "a",
            "x": {"y": {"z": [1]}},
            "images": [{"u": 1}],
            "tool_calls": [call(0, "a", "f", "1") | {"extra_content": {"google": {"s": 1}}}],
        },
        logprobs=logprobs("a"),
        more={"k": {"l": 1}},
    )
    | {"g": {"h": {"i": 1}}},
    chunk(
        {
            "content": "b",
            "x": {"y": {"z": [2], "w": 1}},
            "images": [{"u": 2}],
            "tool_calls": [call(0, args="2") | {"extra_content": {"google": {"t": 2}}}],
        },
        logprobs=logprobs("b"),
        more={"k": {"m": 2}},
    )
    | {"g": {"h": {"j": 2}}},
)


def test_folding_does_not_change_the_chunks() -> None:
    """A chunk that was handed to the user stays as it was when later ones are folded."""
    chunks = copy.deepcopy(RICH)
    folded(*chunks)
    assert RICH == chunks


def test_a_completion_so_far_does_not_change_later() -> None:
    """The completion of a half-read stream is a value: reading on does not change it."""
    first, second = copy.deepcopy(RICH)
    fold = Fold()
    fold.add(first)
    so_far = fold.completion()
    before = copy.deepcopy(codec.as_dict(so_far))
    fold.add(second)
    assert before == codec.as_dict(so_far)


def test_deep_unknown_fields_are_merged() -> None:
    """Objects nested as deep as the decoder lets through are merged without exhausting the stack."""
    deep = codec.loads(b'{"x":' * 1000 + b"1" + b"}" * 1000)
    folded({"g": deep}, {"g": copy.copy(deep)})
