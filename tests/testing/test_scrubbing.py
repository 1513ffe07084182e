"""Keys are blanked out in every spelling, wherever they stand, and nothing else changes, not even a length."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async.testing.scrubbing import Scrubber, secrets_of

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
