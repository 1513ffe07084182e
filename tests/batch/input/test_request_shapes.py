"""Shapes of lines."""

from __future__ import annotations

import pytest

from anyfast_async.batch.input.request_shapes import RequestShape, plain_texts

LINE = b'{"n": [1, {"b": "x"}], "messages": [{"content": "Hi", "role": "user"}], "id": "r\\u0031"}\n'
ID, TEXT = ("id",), ("messages", 0, "content")


def test_texts_are_given_path_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever they stand in a line; other lines are left out, and those that hold no text there."""
    monkeypatch.setattr("anyfast_async.batch.input.request_shapes._FEW", 1)
    shape = RequestShape.of(LINE, [ID, TEXT], [ID])
    assert shape is not None
    assert ("r1", "Hi") == shape.texts
    others = [LINE.replace(b"[1", b"[2"), LINE.replace(b"Hi", b'"'), LINE.replace(b"r\\u0031", b""), b"{}\n", b"\n"]
    lines = [
        LINE.replace(b"Hi", b'\\"a\\"'),
        *others,
        LINE.replace(b"Hi", b""),
        LINE.replace(b"r\\u0031", "é".encode()),
    ]

    assert ([0, 6, 7], [["r1", "r1", "é"], ['"a"', "", "Hi"]]) == shape.read(lines)


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace(b'"n"', b'"id"'),
        LINE.replace(b'"Hi"', b"null"),
        LINE.replace(b"Hi", b"\t"),
        LINE.replace(b'"b": "x"', b'"b": "x", "b": "y"'),
    ],
)
def test_lines_without_a_shape(line: bytes) -> None:
    """A name that stands twice, no text, and what has to be read in another way."""
    assert RequestShape.of(line, [ID, TEXT], []) is None


def test_one_text_alone() -> None:
    """What stands before it and behind it does not share a quote."""
    shape = RequestShape.of(b'{"messages":"Hi"}\n', [("messages",)], [])
    assert shape is not None

    assert ([0], [[""]]) == shape.read([b'{"messages":""}\n', b'{"messages":"}\n'])


def test_where_plain_texts_are() -> None:
    """Of messages that are a role and a text alone."""
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": []}, {"role": "tool", "content": "b"}]

    assert [("m", 0, "content"), ("m", 2, "content")] == plain_texts(messages, ("m",))
    assert [("m",)] == plain_texts("a", ("m",))
    assert [] == plain_texts(None, ("m",))
