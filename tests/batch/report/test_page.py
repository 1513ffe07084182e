"""The pages of reports."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from anyfast_async._journal.records import failures_of, log_of
from anyfast_async.batch.report.comparison import compared_rows
from anyfast_async.batch.report.page import comparison_page, page
from anyfast_async.batch.results.results import Results
from anyfast_async.prices import Price, Prices

from .written import HOSTILE, RIGHT_TO_LEFT, Rows, answer, busy, gather, leave, refused

pytestmark = pytest.mark.skipif(find_spec("jinja2") is None, reason="extra [report]")
KEY = "sk-0123456789abcdef0123456789"
PRICES = Prices("USD", {"m": Price(1.0, 2.0)}, HOSTILE)
SAID = {
    "settings": [["command", f"anyfast batch {HOSTILE} {KEY}"]],
    "limits": [["requests per minute", HOSTILE]],
}


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


def hide(text: str) -> str:
    return text.replace(KEY, "***")


def hostile(folder: Path, name: str = f"out{HOSTILE[:30].replace('/', '')}.jsonl") -> Path:
    """A batch in which everything is hostile."""
    rows: Rows = [
        *((f"bad-{n}{HOSTILE}", refused(400, f"{HOSTILE} {KEY}")) for n in range(9)),
        *((f"cut-{n}{HOSTILE}", answer(HOSTILE, "length", model=HOSTILE)) for n in range(5)),
        *((f"ok-{n}{HOSTILE}", answer(f"{HOSTILE}\n{KEY}", model=HOSTILE)) for n in range(50)),
        *((f"rtl-{n}", answer(f"{RIGHT_TO_LEFT} \u202e abc", model="m")) for n in range(2)),
    ]
    stretches = busy()
    for one in stretches:
        one.retried[HOSTILE] = 1
        one.limits[HOSTILE] = 1
        one.models[HOSTILE] = one.models.pop("gemini-2.5-pro")
    return leave(folder, rows, stretches, name, **SAID)


@pytest.fixture(params=["one", "two"])
def text(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The page on a hostile batch, and on two of them."""
    output = hostile(tmp_path)
    if request.param == "one":
        return page(gather(output, samples=64), PRICES, draw, hide)
    other = leave(tmp_path, [(f"ok-{n}{HOSTILE}", answer(f"no {HOSTILE}")) for n in range(40)], busy(), "other.jsonl")
    first, second = (Results(path, failures_of(path), log_of(path)) for path in (output, other))
    with first, second:
        rows = compared_rows(first, second, samples=20)
    return comparison_page((gather(output), gather(other)), rows, PRICES, draw, hide)


def test_hostile_text_is_text(text: str) -> None:
    """Whatever ids, messages, models, answers, names of files and commands hold: no element or control is theirs."""
    found = Elements(text)

    assert {"script", "img", "a", "iframe", "form", "object"}.isdisjoint(found.names)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("style", "src")]
    assert "<script>document.title='owned'</script>" in found.words
    assert all(one.isprintable() or one == "\n" for one in text)
    assert [] == found.open


def test_the_key_is_never_shown(text: str) -> None:
    """A key that stands in an answer, a message or a command is taken out."""
    assert KEY not in text


def test_nothing_from_elsewhere(text: str) -> None:
    """No address stands in the page."""
    assert [] == re.findall(r"https?://[^\s\"'<]+|url\(", text)


def words_of(found: str) -> str:
    body = found[found.index("<body>") :]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_counts_are_of_the_file(tmp_path: Path) -> None:
    """Whatever the last run did, the page tells what stands in the files, in full numbers."""
    rows = [(f"r{n}", answer()) for n in range(1234)] + [("x", refused(429, "slow down"))]
    found = gather(leave(tmp_path, rows, [*busy(1.0, 9), *busy(9.0, 1)]))
    found.missing = 123_456

    said = words_of(page(found, Prices("USD", {"m": Price(1.0, 2.0)}), draw))

    for one in (
        "1,234 answered 1 failed 0 empty 0 cut 123,456 not answered 18,510 tokens 0.025 USD spent",
        ", began 1970-01-01 00:00:01 UTC, the last began 1970-01-01 00:00:09 UTC; 2 runs, 20 s of work",
        "123,456 rows without a result: the command of the batch goes on.",
        "Of 2 runs, one behind the other",
        "rate_limit 1 row, billed: no, may succeed if sent again",
        "m 1,234 12,340 6,170 5.0",
    ):
        assert one in said


def test_answers_on_request_alone(tmp_path: Path) -> None:
    """Without --samples no answer is in the page."""
    output = leave(tmp_path, [("a", answer("SECRET OF THE USER"))])

    assert "SECRET" not in page(gather(output), None, draw)
    assert "SECRET OF THE USER" in page(gather(output, samples=1), None, draw)


def test_two_runs(tmp_path: Path) -> None:
    """The page on two says what changed, and which rows came to something else."""
    one = leave(tmp_path, [("a", answer("x")), ("b", refused(500, "gone"))], busy(), "one.jsonl")
    other = leave(tmp_path, [("a", answer("y")), ("b", answer())], name="other.jsonl")
    first, second = (Results(path, failures_of(path), log_of(path)) for path in (one, other))
    with first, second:
        rows = compared_rows(first, second, samples=3)

    said = words_of(comparison_page((gather(one), gather(other)), rows, None, draw))

    for part in (
        "2 rows in both 0 same answer 1 other answer",
        "failed: server 1 0",
        "server, then ok 1 row b",
        "work 2 minutes not recorded",
        "Samples of different answers a one.jsonl x other.jsonl y",
    ):
        assert part in said


def test_of_nothing(tmp_path: Path) -> None:
    """A batch of which nothing came has a page, too."""
    said = words_of(page(gather(leave(tmp_path, [])), None, draw))

    assert "0 answered 0 failed" in said
    assert "None: every row has a whole answer." in said
