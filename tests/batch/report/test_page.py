"""The page of a report."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import attrs
import pytest

from anyfast_async import AssistantMessage, Attempt, ChatCompletion, Choice, Stats
from anyfast_async.batch import RowDone, Tally
from anyfast_async.batch.report.page import page
from anyfast_async.batch.report.recorder import Recorder, ReportHead
from anyfast_async.errors import RateLimitError

HOSTILE = "</code></style></title><script>alert(1)</script><img src=x onerror=alert(2)>'\"\x1b[2J\u202e&amp;"
HEAD = ReportHead(
    title=f"in{HOSTILE}.jsonl",
    status="complete",
    settings=(("command", f"anyfast batch {HOSTILE}"),),
    limits=(("requests per minute", "500"),),
    spend="1.20 USD",
    maybe_billed=f"row-7{HOSTILE}",
)


def record(**values: Any) -> Recorder:
    """A run in which everything is hostile."""
    tally = Tally(20, 5, **values)
    made = Recorder(tally, 4, dt.datetime(2030, 5, 1, 12, 0, tzinfo=dt.UTC))
    stats = Stats(in_flight=4, queued=0, limited_by=None, held_for=0.0, requests=0, tokens_used=0, tokens_reserved=0)
    error = RateLimitError(HOSTILE)
    error.retryable = True
    attempts = (Attempt(1, HOSTILE, 429, 0.1, "maybe"), Attempt(2, "rate_limit", 429, 0.1, "no"))
    for second in range(10):
        made.tick(stats, second)
        made.row(RowDone(HOSTILE, error, tally, None, attempts), second)
        tally.count_failure("rate_limit", attempts)
    cut = ChatCompletion(choices=(Choice(message=AssistantMessage(HOSTILE), finish_reason="length"),))
    made.row(RowDone("cut", None, tally, cut, ()), 10)
    tally.count_answer(cut)
    return made


class Elements(HTMLParser):
    """Names and attributes of every element, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words += data


def draw(spec: dict[str, Any]) -> str:
    return f'<svg width="1" height="1"><path d="M0,0h{spec["width"]}"/></svg>'


@pytest.fixture(scope="module")
def text() -> str:
    return page(HEAD, record(seconds=10.0), draw)


def test_hostile_text_is_text(text: str) -> None:
    """Whatever ids, messages, outcomes, titles and commands hold: no element, attribute or control is theirs."""
    found = Elements(text)

    assert {"script", "img", "a", "iframe", "form", "object"}.isdisjoint(found.names)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("style", "src")]
    assert "<script>alert(1)</script>" in found.words
    assert all(one.isprintable() or one == "\n" for one in text)
    assert [] == found.open


def test_policy(text: str) -> None:
    """The page forbids scripts, requests and every style but its own sheet, whose hash is right."""
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'" == policy
    )
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_nothing_from_elsewhere(text: str) -> None:
    """No address stands in the page, but for the names of SVG."""
    assert [] == re.findall(r"https?://[^\s\"'<]+|url\(", text)


def test_what_it_says(text: str) -> None:
    """Status, earlier runs, rows left, limits, money, causes of second attempts and rows to look at."""
    words = Elements(text).words

    for one in (
        "complete, began 2030-05-01 12:00:00+00:00, took 10 s",
        "5 of 20 rows had their result from earlier runs. The counts are of all rows",
        "4 rows are left: the same command goes on.",
        "requests per minute500",
        "1.20 USD",
        "10 attempts without an answer may have been billed.",
        "Perhaps billed, with no answer to show for it: row-7",
        "10 rows, billed: no, may succeed if sent again",
        "the answer is cut off: max_tokens was reached; raise max_tokens",
    ):
        assert one in words


def test_of_nothing() -> None:
    """A run in which nothing happened has a page, too."""
    words = Elements(page(attrs.evolve(HEAD, spend=None), Recorder(Tally(0, 0)), draw)).words

    assert "No row was answered." in words
    assert "Every row ended with its first attempt." in words
