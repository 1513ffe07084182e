"""The one rule by which JSON is found in the text of an answer."""

from __future__ import annotations

import json
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async._structured.json_in_text import NoJsonError, json_in

ONE: dict[str, Any] = {"a": 1}
FOUND = {
    "bare": ('{"a": 1}', ONE),
    "byte order mark": ('\ufeff{"a": 1}\n', ONE),
    "scalar": (" 42 ", 42),
    "block": ('```json\n{"a": 1}\n```', ONE),
    "block without a word": ('```\n{"a": 1}```\n', ONE),
    "tilde block": ('~~~json\n{"a": 1}\n~~~', ONE),
    "block of a scalar": ("```\n42\n```", 42),
    "block between words": ('Sure!\n```json\n{"a": 1}\n```\nAnything else?', ONE),
    "prose": ('Here it is: {"a": 1} - enjoy.', ONE),
    "prose with brackets": ('As [shown above] for {name} (see {x}), the answer is {"a": 1}.', ONE),
    "prose with a source": ('According to [1] and [2, 3]: {"a": 1}', ONE),
    "said twice": ('{"a": 1}\nSo the answer is {"a":1}', ONE),
    "comments": ('{ // the first\n "a": 1, # one\n /* none */ }', ONE),
    "trailing commas": ('{"a": [1, 2,], }', {"a": [1, 2]}),
    "marks inside of texts": ('x {"a": "// no # no /* no */ , ]}"}', {"a": "// no # no /* no */ , ]}"}),
    "a block inside of a text": ('{"a": "```js\\nf()\\n```"}', {"a": "```js\nf()\n```"}),
    "list": ('The list: [{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
    "empty object": ("{ }", {}),
}


@pytest.mark.parametrize("name", FOUND)
def test_found(name: str) -> None:
    """What stands in the text is found, however it is wrapped."""
    text, value = FOUND[name]
    assert json_in(text) == value


LOST = {
    "nothing": ("  \n", "is empty"),
    "words": ("I would rather not.", "is no JSON"),
    "two": ('Either {"a": 1} or {"a": 2}', "holds 2 JSON values"),
    "two blocks": ('```\n{"a": 1}\n```\n```\n{"a": 2}\n```', "holds 2 JSON values"),
    "true is not 1": ('{"a": 1} {"a": true}', "holds 2 JSON values"),
    "an example before a block": ('Such as {"a": 1}:\n```\n{"a": 2}\n```', "holds 2 JSON values"),
    "a draft in thoughts": ('<think>{"a": 2}?</think>{"a": 1}', "holds 2 JSON values"),
    "cut off": ('{"x": {"a": 1}, "y": ', "breaks off"),
    "cut off in a text": ('{"x": {"a": 1}, "y": "', "breaks off"),
    "cut off in a comment": ('{"x": {"a": 1}, /* ', "breaks off"),
    "second cut off": ('{"a": 1} {"a": ', "breaks off"),
    "block cut off": ('```json\n{"x": {"a": 1},', "breaks off"),
    "beginning lost": ('"x": {"a": 1}}', "'}' too many"),
    "inside of others": ('[so: {"a": 1}]', "in other brackets"),
    "inside of code": ('function f() { return {"a": 1} }', "in other brackets"),
    "single quotes": ("{'x': {\"a\": 1}}", "goes on as something else"),
    "bare keys": ('{x: {"a": 1}}', "goes on as something else"),
    "wrong brackets": ('{"a": [1}]', "goes on as something else"),
}


@pytest.mark.parametrize("name", LOST)
def test_lost(name: str) -> None:
    """Nothing is guessed: not among several, not from inside of others, not from what was cut."""
    text, why = LOST[name]
    with pytest.raises(NoJsonError) as caught:
        json_in(text)
    assert why in str(caught.value)


def test_wrapped() -> None:
    """Where ``{"value": ...}`` was asked for, it counts before others, and a bare list will do."""
    assert json_in('[1] {"value": [2]}', wrapped=True) == {"value": [2]}
    assert json_in("It is [2].", wrapped=True) == [2]
    with pytest.raises(NoJsonError, match="2 JSON values"):
        json_in('[1] {"a": 2}', wrapped=True)


WORDS = st.text('ab"\\{}[],:/*#` \n', max_size=6)
JSON: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | WORDS
JSON |= st.lists(JSON, max_size=3) | st.dictionaries(WORDS, JSON, max_size=3)


@settings(max_examples=40)
@given(
    value=st.dictionaries(WORDS, JSON, min_size=1, max_size=3),
    before=st.sampled_from(["", "So: ", "[1] ", "```json\n"]),
)
def test_whole_or_not_at_all(value: dict[str, Any], before: str) -> None:
    """Every object is found between words, and no beginning of it is taken for another one."""
    text = before + json.dumps(value)
    assert json_in(f"{text}\n```" if before.startswith("`") else f"{text} Yes.") == value
    for cut in range(len(before) + 2, len(text)):
        with pytest.raises(NoJsonError):
            json_in(text[:cut])


@pytest.mark.parametrize(
    "piece", ["[", '{"a":', "/*", '{"a":1 /*', "``` ", "[1,", "{x ", '{"\\"', "[ ", '{"a":1} ', "//"]
)
def test_steps_are_linear(piece: str) -> None:
    """Twice the text takes about twice the steps, whatever it is made of."""

    def steps(text: str) -> int:
        count = 0

        def tell(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal count
            count += 1
            return tell

        sys.settrace(tell)
        try:
            json_in(text)
        except NoJsonError:
            pass
        finally:
            sys.settrace(None)
        return count

    assert steps(piece * 400) <= 2.5 * steps(piece * 200) + 100


@pytest.mark.parametrize(
    "text",
    [
        '{"n": 1 200}',
        '{"n": 1 /* thousand */ 200}',
        '{"n": [10 20, 30]}',
        '{"n": 1\n2}',
        '{"n": 5 .5}',
        '{"n": 2024 -1}',
        '{"n": tr/**/ue}',
        '{"n": "a" "b"}',
    ],
)
def test_what_stands_apart_stays_apart(text: str) -> None:
    """White space and comments separate: two numbers are not one, and two halves of a word are none."""
    for form in (text, f"Here it is: {text}", text.replace("}", ", }")):
        with pytest.raises(NoJsonError):
            json_in(form)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_what_is_no_finite_number_is_null(number: str) -> None:
    """As in every answer that is read; so a field for a number says that it is none."""
    assert {"n": None} == json_in(f'{{"n": {number}}}') == json_in(f'So: {{"n": {number}, }}')


def test_half_a_character_is_replaced() -> None:
    """Such a text can be printed."""
    assert {"n": "caf\ufffd"} == json_in('{"n": "caf\\ud83d"}')
