"""JSON text to values and back: what orjson refuses is read and written all the same."""

from __future__ import annotations

import datetime as dt
import enum
import math
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.json import jsontext
from anyfast_async._core.json.jsontext import InvalidJSONError
from anyfast_async._values import json_reading


@given(
    st.binary(max_size=40)
    | st.text(st.sampled_from('{}[]",:0123456789eE+-.nulltrue\\d8f" \ud800'), max_size=30).map(
        lambda t: t.encode("utf-8", "surrogatepass")
    )
)
def test_any_bytes(data: bytes) -> None:
    """Arbitrary bytes are a value whose strings can be encoded, or InvalidJSONError."""
    try:
        value = jsontext.loads(data)
    except InvalidJSONError:
        return
    jsontext.dumps(value).decode("utf-8")


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b'"a\\ud800"', "a\ufffd"),
        (b'"\\udc00a"', "\ufffda"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"a\xffb"', "a\ufffdb"),
        (b'"a\nb"', "a\nb"),
        (b'{"\\ud800":["\\ud800","x",1]}', {"\ufffd": ["\ufffd", "x", 1]}),
        (b'{"a":[NaN,Infinity,-Infinity,1e999]}', {"a": [None] * 4}),
        (b"18446744073709551615", 2**64 - 1),
    ],
)
def test_text_that_orjson_refuses(data: bytes, wanted: Any) -> None:
    """Lone surrogates and bad UTF-8 are replaced, raw line ends are read, what is no number is null."""
    assert wanted == jsontext.loads(data)


def test_halves_are_left_alone_on_request() -> None:
    """In a stream a pair may be split over two events, so its half is not replaced there."""
    assert {"a": "\ud83d"} == jsontext.loads(b'{"a":"\\ud83d"}', mend=False)


@given(st.text(max_size=20) | st.text(st.sampled_from("a\ud83d\ude00\udfff\ufeff\U0001f600"), max_size=8))
def test_mended_text(text: str) -> None:
    """Mended text can be encoded, whole text stays as it is, and mending twice is mending once."""
    mended = json_reading.mended(text)
    assert mended == mended.encode().decode() == json_reading.mended(mended)
    if not any("\ud800" <= c <= "\udfff" for c in text):
        assert text == mended


class Word(enum.Enum):
    A = "\ud800"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"a": "\ud83d\ude00"}, b'{"a":"\xf0\x9f\x98\x80"}'),
        ({"a": "é\ud800"}, '{"a":"é\ufffd"}'.encode()),
        ({"a": ("x", 2**70)}, b'{"a":["x",1180591620717411303424]}'),
        ({"a": MappingProxyType({"b": 1})}, b'{"a":{"b":1}}'),
        ({"a": ("\ud800", dt.date(2025, 1, 2), Word.A)}, '{"a":["\ufffd","2025-01-02","\ufffd"]}'.encode()),
    ],
)
def test_dumps_what_orjson_refuses(value: Any, wanted: bytes) -> None:
    """Surrogates, integers over 64 bits and other mappings are written, compact and as UTF-8, dates and enums too."""
    assert wanted == jsontext.dumps(value)


@pytest.mark.parametrize("value", [{"a": {1, 2}}, {"a": object()}, {"a": b"x"}, {"b": "\ud800", "a": 1j}])
def test_dumps_what_json_cannot_hold(value: Any) -> None:
    """What JSON cannot hold is a TypeError that names its place and its type."""
    with pytest.raises(TypeError, match=r"value\.a: is a (set|object|bytes|complex), which JSON cannot hold"):
        jsontext.dumps(value)


def test_dumps_mends_other_mappings() -> None:
    """Lone surrogates inside a mapping that is no dict are replaced too."""
    assert b'{"a":"\xef\xbf\xbd"}' == jsontext.dumps(MappingProxyType({"a": "\ud800"}))


@pytest.mark.parametrize("value", [{"a": math.nan}, {"a": math.inf, "b": "\ud800"}])
def test_dumps_refuses_nan(value: Any) -> None:
    """NaN and infinities cannot be sent; they are refused instead of being sent as something else."""
    with pytest.raises((TypeError, ValueError)):
        jsontext.dumps(value)


def test_dumps_refuses_what_is_too_deep() -> None:
    """A value nested deeper than 1024 levels is a TypeError, as all that cannot be sent; so is an endless one."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    try:
        with pytest.raises(TypeError, match="is nested deeper than 1024 levels"):
            jsontext.dumps(deep)
    finally:
        while deep:  # level by level: freeing all of it at once would be deep as well
            deep = deep[0]
    endless: dict[str, Any] = {}
    endless["a"] = [endless]
    with pytest.raises(TypeError, match=r"value\.a\[0\]: contains itself: it is value again"):
        jsontext.dumps(endless)


def test_numbers_that_are_null_are_sent() -> None:
    """A null beside finite numbers, in any container, is no NaN."""
    assert b'{"a":[null,1.5,{"b":2}]}' == jsontext.dumps({"a": (None, 1.5, MappingProxyType({"b": 2}))})
    assert b'{"a":[null,1.5,{"b":2}]}' == jsontext.dumps({"a": [None, 1.5, {"b": 2}]})


def test_copied() -> None:
    """A copy shares nothing that can change with its original, however deep; other values are their own copies."""
    value = {"a": [{"b": [1]}], "c": "x"}
    again = jsontext.copied(value)
    value["a"][0]["b"].append(2)  # type: ignore[index]
    assert {"a": [{"b": [1]}], "c": "x"} == again
    assert ["x", 5, None] == [jsontext.copied(v) for v in ("x", 5, None)]


def test_reading_strictly() -> None:
    """What is not quite JSON is a ValueError there, so that the caller can look at it in another way."""
    assert {"a": 1} == jsontext.loads_strictly(b'{"a":1}')
    with pytest.raises(ValueError, match=r"NaN|unexpected"):
        jsontext.loads_strictly(b'{"a":NaN}')


def test_reading_exactly() -> None:
    """Integers of any size keep their digits."""
    assert {"a": 2**70} == jsontext.loads_exactly(b'{"a":1180591620717411303424}')
