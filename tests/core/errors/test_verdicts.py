"""What a status and a code mean: whether the request is sent again, and what it may have cost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.errors import verdicts
from anyfast_async._core.errors.quota_and_model import MODEL_CODES, QUOTA_CODES
from anyfast_async._core.errors.verdicts import DETERMINISTIC_CODES, OVERLOAD_CODES, STATUSES, verdict
from anyfast_async.errors import status_error

DOCS: Final = Path(__file__).parents[3] / "docs"


def of(status: int, code: object = None, kind: object = None, *, stated: bool = True) -> tuple[str, str]:
    retry, billed = verdict(status, code, kind, stated=stated)
    return retry, billed


@pytest.mark.parametrize("status", [408, 504, 524])
@pytest.mark.parametrize("stated", [True, False])
def test_waited_too_long_is_ambiguous_whoever_says_so(status: int, stated: bool) -> None:
    """408, 504 and 524: somebody gave up waiting, the work may have been done."""
    assert ("ambiguous", "maybe") == of(status, stated=stated)


@pytest.mark.parametrize("status", [500, 502, 503, 520])
def test_who_says_it_decides(status: int) -> None:
    """The gateway refunds what it states; a page says nothing of a request that was passed on (RFC 9110 15.6.3)."""
    assert ("refused", "no") == of(status)
    assert ("ambiguous", "maybe") == of(status, stated=False)


@pytest.mark.parametrize("status", [425, 521, 522, 523, 529])
@pytest.mark.parametrize("stated", [True, False])
def test_refused_whoever_says_so(status: int, stated: bool) -> None:
    """Nobody got the request, or nobody took it: transient, and not billed."""
    assert ("refused", "no") == of(status, stated=stated)


@pytest.mark.parametrize("stated", [True, False])
def test_429_is_throttling(stated: bool) -> None:
    """It is said in place of passing the request on."""
    assert ("throttled", "no") == of(429, stated=stated)


@pytest.mark.parametrize("status", [506, 507, 508, 510, 527, 598, 599, 499])
def test_unknown_server_errors_are_not_said_to_be_free(status: int) -> None:
    """They are not sent again; that nothing was billed only the gateway can say."""
    assert ("never", "no") == of(status)
    assert ("never", "maybe") == of(status, stated=False)


@given(st.integers(200, 599), st.booleans())
def test_free_means_stated_or_never_passed_on(status: int, stated: bool) -> None:
    """Whatever the status: ambiguous is "maybe", and no status from 500 up is "no" by a page but those in the table."""
    retry, billed = of(status, stated=stated)

    assert ("maybe" == billed) if retry == "ambiguous" else True
    if status >= 500 and not stated and status not in STATUSES:
        assert "maybe" == billed


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("code", sorted(DETERMINISTIC_CODES | {"model_not_found", "insufficient_quota"}))
def test_deterministic_codes_are_permanent(code: str, stated: bool) -> None:
    """They come with 500 and 503, and the same request would fail again, whoever passes them on."""
    assert "never" == of(500, code, stated=stated)[0] == of(503, code, stated=stated)[0]


@pytest.mark.parametrize("code", sorted(OVERLOAD_CODES))
def test_overload_is_throttling(code: str) -> None:
    """503 by which the gateway asks for fewer requests."""
    assert ("throttled", "no") == of(503, code)


def test_a_fee_is_billed() -> None:
    """A policy fee was charged, whatever the status."""
    assert ("never", "yes") == of(400, "violation_fee.policy") == of(500, "violation_fee.x", stated=False)


def test_a_panic_is_sent_again_once() -> None:
    """The gateway fell over at work."""
    assert ("ambiguous", "no") == of(500, None, verdicts.PANIC)


@pytest.mark.parametrize(
    ("status", "code", "header", "retry"),
    [
        (409, None, "true", "refused"),
        (400, None, " TRUE ", "refused"),
        (500, "invalid_request", "true", "refused"),
        (504, None, "true", "refused"),
        (429, None, "true", "throttled"),
        (503, "system_cpu_overloaded", "true", "throttled"),
        (500, None, " FALSE", "never"),
        (429, None, "false", "never"),
        (500, None, "perhaps", "refused"),
        (409, None, "", "never"),
    ],
)
def test_x_should_retry_wins(status: int, code: object, header: str, retry: str) -> None:
    """It decides over code and status whether there is a next attempt; words but true and false do not."""
    assert retry == verdict(status, code, None, stated=True, should_retry=header).retry


def test_x_should_retry_says_nothing_of_money() -> None:
    """A 504 that may be sent again may still have been billed."""
    assert "maybe" == verdict(504, None, None, stated=False, should_retry="true").billed


# -- what the documentation says -------------------------------------------------------------------------------------


def numbers(cell: str) -> set[int]:
    """The statuses that a cell names, ranges included."""
    found = {int(one) for one in re.findall(r"\b[3-5]\d\d\b", cell)}
    for first, last in re.findall(r"(\d{3}) to (\d{3})", cell):
        found |= set(range(int(first), int(last) + 1))
    return found


def cells(page: str, heading: str) -> list[list[str]]:
    """The rows of the table under the head line that begins with *heading*."""
    text = (DOCS / page).read_text(encoding="utf-8")
    table = text[text.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_reference_shows_the_table() -> None:
    """Each status of docs/reference/errors.md has the class and the verdicts of the code, and none is missing."""
    shown = set[int]()
    for status, kind, stated, unstated in cells("reference/errors.md", "| status |"):
        named = numbers(status.replace("others below 499", "418 451 402").replace("others from 500", "506 599"))
        shown |= named
        for one in named:
            assert f"`{status_error(one).__name__}`" == kind
            assert (stated, unstated) == (", ".join(of(one)), ", ".join(of(one, stated=False)))
    assert set(STATUSES) <= shown


def test_reference_names_the_codes() -> None:
    """Every code with a meaning of its own is there."""
    text = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    assert [] == [code for code in DETERMINISTIC_CODES | OVERLOAD_CODES if f"`{code}`" not in text]
    assert [] == [code for code in QUOTA_CODES | MODEL_CODES if of(500, code)[0] != "never"]


def test_explanation_agrees() -> None:
    """Each status that docs/explanation/retries.md names in its table is met as it says there."""
    words = {
        "no": "never",
        "yes, up to `attempts`": "refused",
        "one time": "ambiguous",
        "yes, after the hold": "throttled",
    }
    named = set[int]()
    for what, again, billed in cells("explanation/retries.md", "| what happened |"):
        stated = "other words" not in what
        kind = words.get(re.split(r"[:;]", again)[0])
        money = re.split(r"[:;]", billed)[0]
        for one in numbers(what) - {503} if "overloaded" in what else numbers(what):
            assert (kind, money) == of(one, stated=stated)
            named.add(one)
    assert {one for one, meaning in STATUSES.items() if meaning.stated.retry != "never"} <= named
