"""Keys are blanked out in every spelling, wherever they stand, and nothing else changes, not even a length."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async.testing.scrubbing import RecordedForms, Scrubber, secrets_of

KEY = "sk-live/0123+4567=89_abc.def"
SPELLINGS = {
    "plain": KEY,
    "in JSON": json.dumps({"echo": KEY}),
    "with \\/": json.dumps({"echo": KEY}).replace("/", "\\/"),
    "in a URL": f"https://x/?key={quote(KEY, safe='')}&n=1",
    "in a form": f"key={quote_plus(KEY)}",
    "in a URL, lower case": quote(KEY, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
    "in hex": KEY.encode().hex().upper(),
    "escaped": "".join(f"\\u{ord(one):04x}" for one in KEY),
}


def keys_core(text: str) -> bool:
    return "0123" in text or "abc.def" in text or "4567" in text


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings(spelling: str) -> None:
    """Each spelling goes, and the text around it stays."""
    text = f"before {SPELLINGS[spelling]} after"
    blanked = Scrubber([KEY]).blank_text(text)

    assert len(text) == len(blanked)
    assert blanked.startswith("before ")
    assert blanked.endswith(" after")
    assert not keys_core(blanked)
    assert KEY.encode().hex() not in blanked.lower()
    assert "\\u0073\\u006b" not in blanked


@given(before=st.binary(max_size=7), after=st.binary(max_size=7), url=st.booleans())
def test_base64(before: bytes, after: bytes, url: bool) -> None:
    """In base64 nothing that holds only bits of the key is left, whatever it was encoded with."""
    encode = base64.urlsafe_b64encode if url else base64.b64encode
    packed = encode(before + KEY.encode() + after)
    blanked = Scrubber([KEY]).blank(packed)

    assert len(packed) == len(blanked)
    start, end = -(-8 * len(before) // 6), 8 * (len(before) + len(KEY)) // 6
    assert b"*" * (end - start) == blanked[start:end]


@given(cuts=st.lists(st.integers(0, 60), max_size=6))
def test_across_borders(cuts: list[int]) -> None:
    """A key that lies across pieces goes from each, and the borders stay."""
    text = f"0123456789{KEY} tail".encode()
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in pairwise(places)]
    blanked = Scrubber([KEY]).blank_pieces(pieces)

    assert [len(one) for one in pieces] == [len(one) for one in blanked]
    assert b"".join(blanked) == b"0123456789" + b"*" * len(KEY) + b" tail"


def test_short_keys_are_words() -> None:
    """A key of few characters goes where it stands alone, and a word that holds it stays."""
    scrubber = Scrubber(["test"])
    assert "the latest **** of testing, test-1" == scrubber.blank_text("the latest test of testing, test-1")


def test_what_shows_who_asks() -> None:
    """Keys are found in headers of any vendor, in cookies and in the query."""
    headers = {
        "authorization": f"Bearer {KEY}",
        "X-Api-Key": "k2",
        "Cookie": "session=0123456789abcdef0; b=1",
        "A": "b",
    }
    found = secrets_of(headers, "api_key=k3&n=4")

    assert {KEY, "k2", "k3", "0123456789abcdef0"} <= found
    assert not {"b", "4", "Bearer", ""} & found
    assert KEY not in repr(Scrubber(found))


WRITERS: Final[tuple[Callable[[str], str], ...]] = (
    str,
    lambda one: quote(one, safe=""),
    lambda one: "".join(f"%{byte:02x}" for byte in one.encode()),
    lambda one: quote(quote(one, safe="")),
    quote_plus,
    lambda one: json.dumps(one)[1:-1],
    lambda one: json.dumps(json.dumps(one)[1:-1])[1:-1],
    lambda one: "".join(f"\\u{unit:04X}" for unit in memoryview(one.encode("utf-16-le")).cast("H")),
    lambda one: one.replace("/", "\\/"),
    html.escape,
)


@given(
    secret=st.text("ab1/+=@:; \"\\&'é😀-", min_size=3, max_size=30).filter(lambda one: one.strip()),
    data=st.data(),
)
def test_spellings_that_are_mixed(secret: str, data: st.DataObject) -> None:
    """Each character goes in each spelling, whatever the one beside it has, and in short keys too."""
    writers = data.draw(st.lists(st.sampled_from(WRITERS), min_size=len(secret), max_size=len(secret)))
    mixed = "".join(write(one) for write, one in zip(writers, secret, strict=True))

    assert f"k=[{'*' * len(mixed.encode())}]" == Scrubber([secret]).blank_text(f"k=[{mixed}]")


@pytest.mark.parametrize("written", ["111111111111111&amp;", "111111111111111&", "111111111111111%26"])
def test_the_last_character_is_blanked_whole(written: str) -> None:
    """Where one spelling begins another, the longer one counts: nothing of it is left."""
    assert f"k=[{'*' * len(written)}]" == Scrubber(["111111111111111&"]).blank_text(f"k=[{written}]")


@pytest.mark.parametrize("before", ["\\n", "%2F", "%22", "\\u00e9", '\\"', "é", "="])
def test_short_keys_behind_an_escape(before: str) -> None:
    """The last letter of an escape is not a part of the word behind it."""
    assert f"Hi{before}**************." == Scrubber(["Jane Q. Public"]).blank_text(f"Hi{before}Jane Q. Public.")


@pytest.mark.parametrize("name", ["key", "sig", "X-Amz-Signature", "api%5Fkey", "access_token"])
@pytest.mark.parametrize("value", ["q83v/EjRWeJq%2B3f=", "q83v%2FEjRWeJq+3f%3d", "p%40ss", "x"])
def test_keys_in_the_query_by_name(name: str, value: str) -> None:
    """What a query calls a key is not written, however it is quoted; all else stays as sent."""
    path, _ = Scrubber().named("/v1/x", f"a=1&{name}={value}&b&c=%2f&d=", None)

    assert f"/v1/x?a=1&{name}=⟦key⟧&b&c=%2f&d=" == path


def test_names_in_requests() -> None:
    """In a request a key is named: its own one, those given by number, those of others in their order."""
    scrubber = Scrubber(["Jane Q. Public", "John Q. Public", "123456"])
    scrubber.learn([KEY])
    scrubber.learn(["sk-another-key-0123456"])
    value = {
        "Jane Q. Public": ["John Q. Public", 123456, 1234567, True, 1.5, None],
        "keys": f"{KEY} sk-another-key-0123456 ends in {KEY[-8:]}",
        "literal": "************** ⟦secret 1⟧",
    }
    _, named = scrubber.named("/", "", value, {KEY})

    assert named == {
        "⟦secret 1⟧": ["⟦secret 2⟧", "⟦secret 3⟧", 1234567, True, 1.5, None],
        "keys": "⟦key⟧ ⟦key 2⟧ ends in ⟦end of key⟧",
        "literal": "************** ⟦⟦secret 1⟧",
    }


@given(
    texts=st.lists(st.lists(st.sampled_from(["one", "two", "⟦", "secret 1", "⟧", "*", " "])), min_size=2, max_size=2)
)
def test_different_requests_stay_different(texts: list[list[str]]) -> None:
    """Names for secrets can be told from any text that looks like one."""
    scrubber = Scrubber(["one", "two"])
    first, second = ("".join(text) for text in texts)

    assert (first == second) == (scrubber.named("/", "", first) == scrubber.named("/", "", second))


def test_played_with_any_key() -> None:
    """A request is known by its own key, whichever it is, and by its text where the key is a word of it."""

    def forms(key: str, text: Any) -> list[Any]:
        headers = {"authorization": f"Bearer {key}"}
        return [value for _, value in RecordedForms(("Jane",))(headers, "/", "", text)]

    assert "is ⟦key⟧ of ⟦secret 1⟧?" in forms("sk-other-0123456789", "is sk-other-0123456789 of Jane?")
    assert "a test for ⟦secret 1⟧" in forms("test", "a test for Jane")


def test_runs_of_backslashes() -> None:
    """A key with many of them is looked for in a text of nothing else, and that ends."""
    text = "\\" * 5000
    assert text == Scrubber(["\\" * 40 + "key-0123456789"]).blank_text(text)
