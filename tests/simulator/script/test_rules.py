"""Which rule is for which request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async.simulator.script.rules import Drop, Reply, Script, match_rank

if TYPE_CHECKING:
    from anyfast_async.simulator.script.rules import When


def body(*texts: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text} for text in texts]}


@pytest.mark.parametrize(
    ("when", "rank"),
    [
        (None, 1),
        ("early", 2),
        (re.compile("^EARLY$", re.IGNORECASE | re.MULTILINE), 2),
        ("late", 3),
        ("a.e", 0),
        (re.compile("a.e"), 3),
        (lambda request: len(request["messages"]) == 2, 3),
        (lambda _: False, 0),
    ],
)
def test_rank(when: When, rank: int) -> None:
    """A function or text in the last message is most specific, then earlier text, then no condition."""
    assert match_rank(when, body("early", "late")) == rank


def test_parts_are_read() -> None:
    """Text is found in content parts, too."""
    parts = [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "a cat"}]
    assert match_rank("cat", {"messages": [{"role": "user", "content": parts}]}) == 3


def test_no_body_meets_no_condition() -> None:
    """A request without a body is only met by rules for all."""
    assert [match_rank(when, None) for when in (None, "", lambda _: True)] == [1, 0, 0]


def test_most_specific_reply_wins() -> None:
    """Specific before general, whichever was scripted first; among equals the last one."""
    script = Script()
    for text, when in [("a", "capital"), ("b", "capital"), ("all", None)]:
        script.add_reply(Reply(text=text), when, None)
    replies = [script.next_reply(body(text)) for text in ("the capital", "the river")]
    assert [reply.text for reply in replies if reply] == ["b", "all"]


def test_conversation() -> None:
    """In a conversation the newest question counts, though the older ones are in the history."""
    script = Script()
    script.add_reply(Reply(text="2 million"), "population", None)
    script.add_reply(Reply(text="Paris"), "capital", None)
    reply = script.next_reply(body("the capital?", "and its population?"))
    assert reply is not None
    assert reply.text == "2 million"


def test_replies_run_out() -> None:
    """A reply for so many times is used up; then the next best is given."""
    script = Script()
    script.add_reply(Reply(text="always"), None, None)
    script.add_reply(Reply(text="twice"), None, 2)
    replies = [script.next_reply(body("x")) for _ in range(3)]
    assert [reply.text for reply in replies if reply] == ["twice", "twice", "always"]


def test_faults_in_order() -> None:
    """Faults come in the order they were scripted, each as often as it says; others wait."""
    script = Script()
    one, two, three = Drop(rst=False), Drop(rst=True), Drop(rst=False)
    script.add_fault(one, "x", 1)
    script.add_fault(two, None, 2)
    script.add_fault(three, None, 1)
    given = [script.next_fault(body(text)) for text in ("y", "x", "x", "x", "x")]
    assert [fault is wanted for fault, wanted in zip(given, (two, one, two, three, None), strict=True)] == [True] * 5


def test_clear() -> None:
    """Nothing is left after ``clear``."""
    script = Script()
    script.add_reply(Reply(text="x"), None, None)
    script.add_fault(Drop(rst=False), None, None)
    script.clear()
    assert script.next_reply(body("x")) is None
    assert script.next_fault(body("x")) is None
