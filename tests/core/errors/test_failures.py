"""What a status and a code mean: whether the request is sent again, and what it may have cost."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import anyfast_async.errors
from anyfast_async import AnyFast, AnyFastError, APIStatusError, ChatRequest, InsufficientQuotaError, NotSentError
from anyfast_async import openai as door
from anyfast_async._core.errors import error_bodies, failures
from anyfast_async._core.errors.exceptions import error_of, inband_error
from anyfast_async._core.errors.failures import FAILURES, Meaning, of_code, of_kind, of_status, status_error, verdict
from anyfast_async._core.json import codec
from anyfast_async.cli import exit_codes
from anyfast_async.simulator.http import refusals

if TYPE_CHECKING:
    from conftest import Connect

    from anyfast_async.simulator import Simulator

DOCS: Final = Path(__file__).parents[3] / "docs"
STATUSES: Final = {sign for row in FAILURES for sign in row.signs if isinstance(sign, int)}
STATED: Final = b'{"error": {"message": "m"}}'
CODES: Final = {sign: row for row in FAILURES for sign in row.signs if isinstance(sign, str)}


def test_every_exception_stands_in_the_table() -> None:
    """Every class of ``errors`` but the base of all is in a row, and no status or code is in two."""
    kinds = {
        one for one in vars(anyfast_async.errors).values() if inspect.isclass(one) and issubclass(one, AnyFastError)
    }
    signs = [sign for row in FAILURES for sign in row.signs]
    assert kinds - {AnyFastError} == {row.error for row in FAILURES}
    assert len(signs) == len(set(signs))
    assert all(issubclass(row.error, APIStatusError) for row in FAILURES if row.signs)


def of(status: int, code: object = None, kind: object = None, *, stated: bool = True) -> tuple[str, str]:
    return verdict(status, code, kind, stated=stated)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (409, "ConflictError"),
        (422, "UnprocessableEntityError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (503, "InternalServerError"),
        (599, "InternalServerError"),
        (402, "InsufficientQuotaError"),
        (418, "APIStatusError"),
        (302, "APIStatusError"),
    ],
)
def test_status_to_class(status: int, name: str) -> None:
    """Each status has its class, everything from 500 the same, the rest the base."""
    assert name == status_error(status).__name__


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
@pytest.mark.parametrize("code", sorted(code for code, row in CODES.items() if row.stated == failures.FINAL))
def test_deterministic_codes_are_permanent(code: str, stated: bool) -> None:
    """They come with 500 and 503, and the same request would fail again, whoever passes them on."""
    assert "never" == of(500, code, stated=stated)[0] == of(503, code, stated=stated)[0]


@pytest.mark.parametrize("code", ["system_cpu_overloaded", "system_memory_overloaded", "system_disk_overloaded"])
def test_overload_is_throttling(code: str) -> None:
    """503 by which the gateway asks for fewer requests."""
    assert ("throttled", "no") == of(503, code)


def test_a_fee_is_billed() -> None:
    """A policy fee was charged, whatever the status."""
    assert ("never", "yes") == of(400, "violation_fee.policy") == of(500, "violation_fee.x", stated=False)


def test_a_panic_is_sent_again_once() -> None:
    """The gateway fell over at work."""
    assert ("ambiguous", "no") == of(500, None, failures.PANIC)


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
    assert retry == verdict(status, code, None, stated=True, should_retry=header)[0]


def test_x_should_retry_says_nothing_of_money() -> None:
    """A 504 that may be sent again may still have been billed."""
    assert "maybe" == verdict(504, None, None, stated=False, should_retry="true")[1]


# -- what it comes to ------------------------------------------------------------------------------------------------


def as_row(error: AnyFastError, row: Meaning, retry: str, billed: str) -> None:
    """Hold an *error* against its *row*."""
    assert isinstance(error, row.error)
    assert (retry, billed, retry != "never") == (error.retry_class, error.billed, error.retryable)
    assert row.hint.partition("{")[0] in str(error)


@pytest.mark.parametrize("sign", sorted(STATUSES | {418, 599}))
def test_a_status_becomes_its_row(sign: int) -> None:
    """In the gateway's words and in other words an answer is the exception that the table says."""
    row = of_status(sign)
    for body, (retry, billed) in ((STATED, row.stated), (b"no", row.unstated or row.stated)):
        as_row(error_of(sign, {"location": "x{y}"}, body, now=0.0), row, retry, billed or "no")


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("code", sorted(CODES))
def test_a_code_becomes_its_row_whatever_the_status(code: str, status: int) -> None:
    """The code decides on class and next attempt; on money too, where it says something of that."""
    row, given = CODES[code], code + "x" * code.endswith(".")
    for stated in (True, False):
        body = codec.dumps({"error": {"message": "m", "code": given}} if stated else {"code": given, "detail": "m"})
        found = error_of(status, {}, body, now=0.0)
        as_row(found, row, row.stated[0], row.stated[1] or of(status, stated=found.spoken_by == "gateway")[1])
        assert row.error is not APIStatusError or type(found) is status_error(status)


# -- the simulator, which does not know the table --------------------------------------------------------------------

FOREIGN: Final = {"model_not_supported", "model_not_allowed", "unknown_model", "DeploymentNotFound"}
"""Codes of other gateways."""


def simulated(status: int, code: str | None = None) -> APIStatusError:
    """What the client makes of a refusal of the simulator."""
    refusal = refusals.error_for(status, code=code)
    return error_of(status, {"content-type": refusal.content_type}, refusals.render(refusal, "r"), now=0.0)


@pytest.mark.parametrize("status", sorted({*STATUSES, *refusals._BY_STATUS} - {*range(300, 400)}))
def test_the_simulator_says_what_the_table_reads(status: int) -> None:
    """Each status has there a body that is understood: in the gateway's words, but for the pages of a proxy."""
    refusal = refusals.error_for(status)
    row, page = of_code(refusal.code) or of_status(status), refusal.stage == "proxy"
    error = simulated(status)
    as_row(error, row, *of(status, refusal.code, stated=not page))
    assert ("" if page else refusal.code) == (error.code or "")
    assert error.spoken_by == ("proxy" if page else "gateway")


@pytest.mark.parametrize("code", sorted(CODES.keys() - FOREIGN))
def test_the_simulator_knows_every_code_of_the_gateway(code: str) -> None:
    """None is taken for one of the model's provider, but those that are; each is understood as the table says."""
    given = code + "fee" * code.endswith(".")
    refusal = refusals.error_for(500, code=given)
    assert refusal.stage != "upstream" or given in refusals._UPSTREAM_TYPES or code == "violation_fee."
    as_row(simulated(500, given), CODES[code], *of(500, given))


@pytest.mark.parametrize("code", sorted(refusals._MESSAGES.keys() & error_bodies._WORD_STATUS.keys()))
def test_a_code_alone_names_the_status_it_comes_with(code: str) -> None:
    """A code inside a 200 stands for a status; with that one the simulator's error is the same."""
    status = error_bodies._WORD_STATUS[code]
    fields = refusals.in_band(refusals.error_for(status, code=code), "r")
    inside = inband_error(fields, {}, now=0.0)
    assert (type(simulated(status, code)), status) == (type(inside), getattr(inside, "status_code", None))
    assert simulated(status, code).retry_class == inside.retry_class


REACHED: Final = [
    (401, None),
    (402, None),
    (403, None),
    (503, "model_not_found"),
    (400, None),
    (500, "invalid_request"),
]


@pytest.mark.parametrize(("status", "code"), REACHED)
async def test_a_map_meets_it_as_the_table_says(
    sim: Simulator, connect: Connect, status: int, code: str | None
) -> None:
    """The row that fails ends itself, the rest of its model, or the run."""
    sim.fail(status, code=code, when="first")
    client = connect(sim.base_url)
    prompts = ["first", "second", ChatRequest("third", model="gemini-2.5-flash")]
    results = await client.map(prompts, concurrency=1)
    sent = [not isinstance(result.error, NotSentError) for result in results]
    ends = of_kind(simulated(status, code).kind).ends
    assert [True, ends == "row", ends in ("row", "model")] == sent
    assert [False, *sent[1:]] == [result.ok for result in results]


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
        named = numbers(status.replace("others below 499", "418 451").replace("others from 500", "506 599"))
        shown |= named
        for one in named:
            assert f"`{status_error(one).__name__}`" == kind
            assert (stated, unstated) == (", ".join(of(one)), ", ".join(of(one, stated=False)))
    assert shown >= STATUSES


def rows_of_codes() -> list[str]:
    """The rows of the reference's table of codes."""
    found = []
    for row in FAILURES:
        codes = [f"`{sign}`" + " and what follows" * sign.endswith(".") for sign in row.signs if isinstance(sign, str)]
        kind = "as the status" if row.error is APIStatusError else f"`{row.error.__name__}`"
        if codes:
            found.append(f"| {', '.join(codes)} | {kind} | {row.stated[0]}, {row.stated[1] or 'as the status'} |")
    return found


ENDS: Final = {
    "row": "its row",
    "model": "the rows of its model",
    "stop_on": "the run; of a `map` if `stop_on` names it, as by default",
    "run": "the run",
}


def rows_of_kinds() -> list[str]:
    """The rows of the reference's table of what an error ends."""
    errors = dict.fromkeys(row.error for row in FAILURES)
    rows = [(error, of_kind(error.kind)) for error in errors]
    return [f"| `{e.__name__}` | `{e.kind}` | {ENDS[row.ends]} | {row.exit_code} |" for e, row in rows]


@pytest.mark.parametrize(("head", "rows"), [("| code |", rows_of_codes()), ("| exception | `kind` |", rows_of_kinds())])
def test_reference_shows_codes_and_kinds(head: str, rows: list[str]) -> None:
    """docs/reference/errors.md says of each code and of each exception what the table says."""
    shown = [f"| {' | '.join(row)} |" for row in cells("reference/errors.md", head)]
    assert rows == shown, "\n".join(rows)


def test_the_faq_has_every_kind() -> None:
    """The page on what errors mean has a row for each kind of the table, once, and no other."""
    shown = [kind.strip("`") for kind, *_ in cells("howto/faq.md", "| kind |")]
    assert sorted(shown) == sorted({row.error.kind for row in FAILURES})


def test_reference_of_the_command_line_agrees() -> None:
    """What ends a command with exit code 3 is named there, and nothing else that an error ends it with."""
    words = {"auth": "key", "quota": "quota", "model": "model", "budget": "budget"}
    words |= {"connect_timeout": "network", "not_sent": "--give-up-after", "store": "store"}
    (said,) = (meaning for code, meaning in cells("reference/cli.md", "| exit code |") if code == "3")
    kinds = {row.error.kind for row in FAILURES if row.exit_code == exit_codes.STOPPED}
    assert words.keys() == kinds
    assert [] == [word for word in words.values() if word not in said.partition(";")[0]]
    assert {exit_codes.FAILED, exit_codes.USAGE, exit_codes.STOPPED} == {row.exit_code for row in FAILURES}


def test_the_front_page_names_every_error() -> None:
    """README's table has every exception but the bases, with its status where it has one."""
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8").partition("## Errors")[2].partition("## ")[0]
    bases = {"AnyFastError", "APIError", "APIStatusError", "TimeoutError"}
    named = {name for name in re.findall(r"`([A-Z]\w+)`", text) if hasattr(anyfast_async.errors, name)}
    assert {row.error.__name__ for row in FAILURES} - bases == named - bases
    pairs = re.findall(r"`(\w+)` ([45]\d\d|5xx)", text)
    assert [status_error(int(status.replace("x", "0"))).__name__ for _, status in pairs] == [name for name, _ in pairs]


@pytest.mark.parametrize("house", [anyfast_async.errors, door], ids=["errors", "door"])
def test_classes_say_their_status(house: Any) -> None:
    """The drawing of the tree, the class and its twin in the door name the status that the table has the class for."""
    drawn = dict(re.findall(r"(\w+Error)\s+([45]\d\d)\b", anyfast_async.errors.__doc__ or ""))
    classes = {status_error(one) for one in STATUSES} - {APIStatusError, InsufficientQuotaError}
    assert {kind.__name__ for kind in classes} == drawn.keys()
    assert [] == [name for name, status in drawn.items() if status_error(int(status)).__name__ != name]
    assert [] == [name for name, status in drawn.items() if not (getattr(house, name).__doc__ or "").startswith(status)]


def test_a_map_ends_by_default_as_the_table_says() -> None:
    """``stop_on`` is by default what the table says, in the signature and in the guide."""
    default = inspect.signature(AnyFast.map).parameters["stop_on"].default
    assert tuple(row.error.kind for row in FAILURES if row.ends == "stop_on") == default
    assert f"by default `{default}`".replace("'", '"') in (DOCS / "howto" / "million-prompts.md").read_text("utf-8")


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
    assert {one for one in STATUSES if of(one)[0] != "never"} <= named
