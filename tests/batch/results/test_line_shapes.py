"""Lines of one shape, read many at a time: they say what they say one by one."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async._core.journal import journal_lines
from anyfast_async.batch.results.line_shapes import LineShape, shape_of
from anyfast_async.batch.results.result_lines import row_of
from anyfast_async.batch.results.row import Row, object_in_text, objects_in_texts

LONG = os.environ.get("ANYFAST_LONG") == "1"
STEM = "a" * 24
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
DETAILS = {"prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0}, "completion_tokens_details": None}


def body(text: Any = "Hi", **more: Any) -> dict[str, Any]:
    """An answer."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {"id": "c", "created": 1777288505, "model": "m", "choices": [choice], "usage": USAGE, "p": 0.5, **more}


def ours(custom_id: str, body: Any, error: Any = None) -> bytes:
    """A line as it is written here."""
    return journal_lines._line(custom_id, STEM, {"status_code": 200, "request_id": "r", "body": body}, error)


def openai(custom_id: str, body: Any, error: Any = None) -> bytes:
    """A line as OpenAI and vLLM write it."""
    value = {"id": "b", "custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": error}
    return json.dumps(value).encode() + b"\n"


def rows_in(shape: LineShape, lines: list[bytes]) -> dict[int, Row]:
    """What is read of lines, by their places."""
    found = shape.read(lines)
    if found is None:
        return {}
    places, told = found
    return dict(zip(places, map(Row._make, zip(*(told[name] for name in Row._fields), strict=True)), strict=True))


@pytest.mark.parametrize("written", [ours, openai])
@pytest.mark.parametrize("more", [{}, {"usage": USAGE | DETAILS}, {"usage": None, "model": None}])
def test_lines_of_one_shape(written: Any, more: dict[str, Any]) -> None:
    """Answers of one program are read together, whatever their values are."""
    texts = ["Hi", '{"a": 1}', 'é "q" \\ \n', "\u2028", '{"n": 12345678901234567890}']
    lines = [written(f'r-{n}"', body(text, **more)) for n, text in enumerate(texts)]

    shape = shape_of(lines[0])

    assert shape is not None
    assert dict(enumerate(map(row_of, lines))) == rows_in(shape, lines)


@pytest.mark.parametrize("written", [ours, openai])
def test_what_is_not_of_the_shape(written: Any) -> None:
    """Everything that would be read in another way is left out: one by one it is read as it is."""
    changed = [
        body(""),
        body(usage=USAGE | {"total_tokens": 6}),
        body(usage=USAGE | {"prompt_tokens": 0, "total_tokens": 2}),
        body(usage=USAGE | {"prompt_tokens": "3"}),
        body(output=[]),
        body(choices=[]),
        body(model=5),
        body(usage={"prompt_tokens": 2**63, "completion_tokens": 0, "total_tokens": 2**63}),
        body(["x"]),
    ]
    for finish in ("length", None, "content_filter"):
        changed.append(body())
        changed[-1]["choices"][0]["finish_reason"] = finish
    lines = [written("a", one) for one in changed] + [written("a", body(), {"code": "x"}), b"\n", b"junk\n", b"{}\n"]
    shape = shape_of(written("b", body()))

    assert shape is not None
    assert {} == rows_in(shape, lines)
    assert [len(lines)] == list(rows_in(shape, [*lines, written("c", body())]))


def test_damaged_lines() -> None:
    """A line that is not as it was written is none of the shape, if it looks like one, too."""
    lines = [ours(f"a{n}", body(f"text {n}")) for n in range(4)]
    shape = shape_of(lines[0])
    lines[1] = lines[1].replace(b"text 1", b"text 2")
    lines[2] = lines[2].replace(b'"a2"', b'"a9"')

    assert shape is not None
    assert [0, 3] == list(rows_in(shape, lines))
    assert {} == rows_in(shape, [line.replace(b"\n", b"\r\n") for line in lines[1:3]])


def test_halves_of_characters() -> None:
    """What is no text that can be written is read one by one."""
    lines = [openai("a", body("x")), openai("b", body("\ud83d"))]
    shape = shape_of(lines[0])

    assert shape is not None
    assert {} == rows_in(shape, lines)


def test_unusual_lines_have_no_shape() -> None:
    """Of a line that takes a closer look none is learned."""
    assert shape_of(b"{}\n") is None
    assert shape_of(openai("a", body(""))) is None
    assert shape_of(b"x") is None


@pytest.mark.parametrize(
    "usage",
    [
        {"total_tokens": 5},
        USAGE | {"prompt_tokens": None},
        USAGE | {"prompt_tokens": 3.0},
        USAGE | {"completion_tokens": "2"},
        USAGE | {"prompt_tokens_details": {"cached_tokens": 1.0}},
        USAGE | {"prompt_tokens_details": {"cached_tokens": "1"}},
        USAGE | {"completion_tokens_details": {"reasoning_tokens": 1.0}},
    ],
)
def test_odd_usages_have_no_shape(usage: dict[str, Any]) -> None:
    """Nor of a line whose usage lacks numbers, or has them in another form: those count as they are read one by one."""
    assert shape_of(openai("a", body(usage=usage))) is None


OBJECTS = st.dictionaries(
    st.text(max_size=3),
    st.recursive(st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4), st.lists),
)
MARK = "271828182845904"
HOSTILE = st.sampled_from(
    [
        '{"a":[{}',
        "{}]}",
        "{},{}",
        "{}{}",
        f"{{}},{MARK},{{}}",
        f'{{"a":[{{}},{MARK}.0,{{}}]}}',
        "{},2.71828182845904e14,{}",
        '{"a":"}',
        '{"}',
        "{",
        "}",
        "",
        "{}",
        ' {"a": 1} ',
        "```\n{}\n```",
        '{"n": 12345678901234567890123}',
        '{"n": 1e400}',
        '{"n": NaN}',
    ]
)


@settings(max_examples=100 if LONG else 15)
@given(st.lists(OBJECTS.map(json.dumps) | HOSTILE, max_size=5))
def test_objects_in_texts(texts: list[str]) -> None:
    """Many texts at once are what they are one by one, whatever they would be if they were put together."""
    assert [*map(object_in_text, texts)] == objects_in_texts(texts)
