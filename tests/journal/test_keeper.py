"""What is written down of the rows of a run, by one rule for a map with a journal and for a batch."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import (
    AnyFast,
    AnyFastError,
    APIConnectionError,
    AssistantMessage,
    AuthenticationError,
    BadRequestError,
    BudgetExceeded,
    ChatCompletion,
    Choice,
    ClientStateError,
    ConfigurationError,
    DeadlineExceeded,
    InsufficientQuotaError,
    InternalServerError,
    ModelNotFoundError,
    NotSentError,
    Result,
    RetryPolicy,
)
from anyfast_async._journal.journal import Journal, open_journal
from anyfast_async._journal.keeper import Keeper
from anyfast_async._journal.records import failures_of, log_of
from anyfast_async._limits.budget import Need
from anyfast_async._map.early_end import Ending
from anyfast_async.batch import BatchRun, open_batch, open_source, rows, survey
from anyfast_async.errors import Attempt

if TYPE_CHECKING:
    from conftest import Connect

    from anyfast_async.simulator import Simulator

STEM = "0" * 24
_NOTHING = Need()
MODEL = "gemini-2.5-pro"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with open_journal(path) as opened:
        yield opened


def unsent() -> AnyFastError:
    error = APIConnectionError("no connection")
    error.phase, error.billed = "unsent", "no"
    return error


def answer() -> ChatCompletion:
    return ChatCompletion(choices=(Choice(message=AssistantMessage("Yes.")),))


def ids_in(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize(
    ("error", "is_its_own"),
    [
        (BadRequestError("no"), True),
        (InternalServerError("no"), True),
        (ModelNotFoundError("no"), True),
        (APIConnectionError("cut"), True),
        (DeadlineExceeded("late"), True),
        (unsent(), False),
        (AuthenticationError("no"), False),
        (InsufficientQuotaError("no"), False),
        (NotSentError.of("the run is over"), False),
        (BudgetExceeded("spent"), False),
        (ConfigurationError("no key"), False),
        (ClientStateError("closed"), False),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_what_is_a_rows_own_failure(journal: Journal, path: Path, error: AnyFastError, *, is_its_own: bool) -> None:
    """What every row after it would meet, and no connection at all, is not: such a row is as if not taken up."""
    keeper = Keeper(journal, Ending())
    keeper.witness("a").goes_out(_NOTHING)
    error.billed = "no"

    assert is_its_own == keeper.write("a", Result(0, "x", error=error), STEM)

    assert () == journal.open
    journal.close()
    assert (["a"] if is_its_own else []) == ids_in(failures_of(path))


def test_what_ends_this_run_is_no_rows_own(journal: Journal) -> None:
    """Kinds of errors that are to end a run are not recorded, nor is its deadline; what may be billed stays open."""
    ending = Ending()
    keeper = Keeper(journal, ending, {"server"})
    keeper.witness("a").goes_out(_NOTHING)
    error = InternalServerError("no")
    error.billed = "maybe"

    assert not keeper.write("a", Result(0, "x", error=error), STEM)
    assert ("a",) == journal.open
    late = DeadlineExceeded("late")
    late.retryable = True
    assert keeper.is_its_own(late)
    ending.is_late = True
    assert not keeper.is_its_own(late)


def test_an_answer_stays_when_it_is_asked_for_again_in_vain(journal: Journal) -> None:
    """Nothing is written, and the row is open only if the attempt may be billed."""
    keeper = Keeper(journal, Ending())
    for billed, is_open in (("no", ()), ("maybe", ("a",))):
        keeper.witness("a").goes_out(_NOTHING)
        attempts = (Attempt(1, "server", 500, 0.1, billed),)  # type: ignore[arg-type]

        assert not keeper.write("a", Result(0, "x", completion=answer(), attempts=attempts, recorded=True), STEM)

        assert is_open == journal.open


def test_what_a_full_disk_refuses_is_kept(journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers and failures alike, for one more try each; what is refused again is kept again."""
    keeper = Keeper(journal, Ending())
    error = BadRequestError("no")
    results: dict[str, Result[Any]] = {"a": Result(0, "x", completion=answer()), "b": Result(1, "y", error=error)}

    def full(_: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for custom_id, result in results.items():
            with pytest.raises(OSError, match="No space left"):
                keeper.write(custom_id, result, STEM)
        for kept in keeper.again():
            with pytest.raises(OSError, match="No space left"):
                keeper.write(kept.custom_id, kept.result, kept.stem)
    assert 2 == keeper.unsaved
    assert [True, True] == [keeper.write(kept.custom_id, kept.result, kept.stem) for kept in keeper.again()]

    journal.close()
    assert (0, ["a"], ["b"]) == (keeper.unsaved, ids_in(path), ids_in(failures_of(path)))


# -- both of its users -----------------------------------------------------------------------------------------------


async def by_map(client: AnyFast, path: Path, prompts: list[str]) -> None:
    items = [{"id": f"r{i}", "q": prompt} for i, prompt in enumerate(prompts)]
    await client.map(items, request=lambda item: item["q"], journal=path, concurrency=2)


async def by_batch(client: AnyFast, path: Path, prompts: list[str]) -> None:
    source = path.with_name("in.jsonl")
    bodies = [{"model": MODEL, "messages": [{"role": "user", "content": prompt}]} for prompt in prompts]
    asked = {"method": "POST", "url": "/v1/chat/completions"}
    lines = [{"custom_id": f"r{i}", **asked, "body": body} for i, body in enumerate(bodies)]
    source.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    found = survey(open_source(source))
    files = await asyncio.to_thread(open_batch, path, failures_of(path))
    try:
        await BatchRun(client, rows(found, skip=files.done), files, total=found.count, concurrency=2).run()
    finally:
        await asyncio.to_thread(files.close)


both = pytest.mark.parametrize("keep", [by_map, by_batch])


@both
async def test_without_a_connection_no_row_has_failed(keep: Any, sim: Simulator, connect: Connect, path: Path) -> None:
    """A gateway that cannot be reached is no row's fault: none is recorded, and the next run sends them all."""
    prompts = [f"say {i}" for i in range(6)]
    away = connect("http://127.0.0.1:9/v1", retry=RetryPolicy(attempts=1, outage_patience=0.1))
    await keep(away, path, prompts)
    assert ([], []) == (ids_in(path), ids_in(failures_of(path)))

    await keep(connect(sim.base_url), path, prompts)

    assert (6, [f"r{i}" for i in range(6)]) == (len(sim.requests), sorted(ids_in(path)))
    assert "maybe_billed" not in log_of(path).read_text()


@both
async def test_rows_that_were_sent_to_an_unknown_model_have_failed(
    keep: Any, sim: Simulator, connect: Connect, path: Path
) -> None:
    """They stand in the error file; the others were not sent. The next run sends all of them."""
    prompts = [f"say {i}" for i in range(6)]
    sim.fail(503, code="model_not_found", times=2)
    await keep(connect(sim.base_url), path, prompts)
    sent = len(sim.requests)
    assert (sent, []) == (len(ids_in(failures_of(path))), ids_in(path))
    assert 1 <= sent <= 2

    await keep(connect(sim.base_url), path, prompts)

    assert ([f"r{i}" for i in range(6)], []) == (sorted(ids_in(path)), ids_in(failures_of(path)))
