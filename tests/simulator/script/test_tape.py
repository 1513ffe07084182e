"""Recorded exchanges: which one answers, what differs, and how they stand in a file."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async.simulator import Simulator
from anyfast_async.simulator.script.exchange import (
    RecordedExchange,
    RecordedPiece,
    hashed,
    request_value,
    same,
    to_toml,
)
from anyfast_async.simulator.script.script_file import ScriptError, parse_script
from anyfast_async.simulator.script.tape import Tape, differences

JSON: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def differing(recorded: Any, sent: Any, **options: Any) -> list[str]:
    return [str(one) for one in differences(recorded, sent, **options)]


@given(
    request=JSON,
    pieces=st.lists(st.binary(max_size=20) | st.text(max_size=20).map(lambda t: t.encode("utf-8", "replace"))),
    header=st.text(st.characters(codec="utf-8"), max_size=9),
)
def test_file_and_back(request: Any, pieces: list[bytes], header: str) -> None:
    """Whatever was exchanged comes back from the file: values equal, bytes the same, borders kept."""
    chunks = tuple(RecordedPiece(number / 8, one) for number, one in enumerate(pieces))
    before = RecordedExchange(
        method="POST", path="/v1/x?y=1", request=request, status=299, headers={"A": header}, chunks=chunks
    )
    simulator = Simulator()
    parse_script(to_toml(before)).apply(simulator)

    played = simulator._script.next_exchange("POST", [("/v1/x?y=1", _as_sent(request))], ())
    assert isinstance(played, RecordedExchange), played
    assert (played.status, played.headers, played.chunks) == (before.status, before.headers, before.chunks)


def _as_sent(value: Any) -> Any:
    """What a request with this body says; a text that looks like JSON is JSON."""
    import json  # noqa: PLC0415

    return request_value((value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "replace"))


def test_what_differs() -> None:
    """Each place is named, in the order of the fields, long texts from where they part."""
    recorded = {"model": "a", "messages": [{"role": "user", "content": "x" * 100 + "old"}], "n": 1}
    sent = {"n": True, "messages": [{"role": "user", "content": "x" * 100 + "new"}, {"role": "tool"}], "seed": 5}

    assert [
        'model: recorded "a", sent nothing',
        'messages[0].content: recorded ..."xxxxxxxxxxxxold", sent ..."xxxxxxxxxxxxnew"',
        'messages[1]: recorded nothing, sent {"role": "tool"}',
        "n: recorded 1, sent true",
        "seed: recorded nothing, sent 5",
    ] == differing(recorded, sent)
    assert ["model: recorded 1, sent 2"] == differing({"model": 1, "n": 1}, {"model": 2, "n": 2}, ignored=("n",))
    assert ["the body: recorded null, sent 3 bytes"] == differing(None, b"\xff\xfe\xfd")


@given(JSON)
def test_hashes_equal_their_text(value: Any) -> None:
    """A request equals its hashed self, and nothing else does."""
    assert [] == differing(hashed(value), value) == differing(value, value)
    assert not same(hashed("a"), "b")
    assert {"model": "m", "role": "user"} == hashed({"model": "m", "role": "user"})


def test_order_and_repetition() -> None:
    """Equal ones are played in order; ``repeat`` lets the last of them, and only that, go on."""
    tape = Tape()
    for number, request in enumerate(("a", "b", "a")):
        tape.add(RecordedExchange(method="POST", path="/", request=request, status=200 + number), 1)
    tape.repeat()

    played = [tape.play("POST", [("/", request)]) for request in "aaabab"]
    assert [200, 202, 202, 201, 202, 201] == [one.status for one in played if isinstance(one, RecordedExchange)]
    missing = tape.play("GET", [("/models", None)])
    assert isinstance(missing, str)
    assert "GET /models is not on the cassette; it has POST /" == missing


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("chunks = [{ at = 1 }]", "an array of tables with data or base64"),
        ('chunks = [{ data = "a", base64 = "b" }]', "an array of tables with data or base64"),
        ('chunks = [{ base64 = "?" }]', "base64 that is none"),
        ('end = "soon"', '"whole", "cut" or "left"'),
        ('request = "{}"\nrequest_base64 = "e30="', "one of request and request_base64"),
    ],
)
def test_mistakes_in_files(line: str, problem: str) -> None:
    """What cannot be is said with its place."""
    with pytest.raises(ScriptError) as caught:
        parse_script(f"[[exchange]]\nstatus = 200\n{line}\n")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"seed": 18446744073709551617}', {"seed": 2**64 + 1}),
        (b"[-9223372036854775809]", [-(2**63) - 1]),
        (b'"\\ud83d\\ude00 \\ud83d"', "😀 �"),
        (b"[1e999]", "[1e999]"),
        (b"[NaN]", "[NaN]"),
        (b"\xff", b"\xff"),
    ],
)
def test_what_a_request_says(raw: bytes, value: Any) -> None:
    """JSON is read exactly; what is none, or has a number that is none, is text or bytes."""
    assert value == request_value(raw)


def test_forms_of_a_request() -> None:
    """A request is the recorded one in any of its forms, in the order of the recording; the first form is told."""
    tape = Tape()
    for path, request in (("/a", "one"), ("/b", "two")):
        tape.add(RecordedExchange(method="GET", path=path, request=request), 1)
    forms = [("/b", "two"), ("/a", "one")]

    played = [tape.play("GET", forms) for _ in range(3)]
    assert ["one", "two"] == [one.request for one in played if isinstance(one, RecordedExchange)]
    assert "GET /b is on the cassette, but this request was recorded 2 times" in str(played[2])
