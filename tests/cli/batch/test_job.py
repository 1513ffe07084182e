"""What one ``anyfast batch`` is to do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyfast_async import AnyFast
from anyfast_async._core.usage import Used
from anyfast_async.batch import BatchFiles, BatchRun, Tally, open_batch, open_source, rows, survey
from anyfast_async.cli.batch.command import batch
from anyfast_async.cli.batch.job import BatchJob, supervised
from anyfast_async.cli.batch.options import Options
from anyfast_async.prices import Price, Prices

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator


def job(folder: Path, *, prices: Prices | None = None, fields: Mapping[str, Any] | None = None) -> BatchJob:
    """A job of three rows, two of which name a model."""
    source = folder / "in.jsonl"
    source.write_text(
        '{"messages": "a", "model": "m-1"}\n{"messages": "b", "model": "m-2"}\n{"messages": "c"}\n', encoding="utf-8"
    )
    arguments = ["-i", str(source), "-o", str(folder / "out.jsonl"), "--system", "Be brief."]
    options = Options(**batch.make_context("batch", arguments).params)
    return BatchJob(
        survey=survey(open_source(source)),
        options=options,
        fields=fields or {},
        model="m-0",
        prices=prices,
        command="anyfast batch",
    )


def test_models(tmp_path: Path) -> None:
    """A row goes to the model of the command, else to its own, else to the default one."""
    assert {"m-0": 1, "m-1": 1, "m-2": 1} == job(tmp_path).models
    assert {"m-9": 3} == job(tmp_path, fields={"model": "m-9"}).models


def test_spending(tmp_path: Path) -> None:
    """The money is told for all models, with where the prices are from; what is not known is never told as 0.00."""
    prices = Prices("USD", {f"m-{n}": Price(1, 2) for n in (0, 1, 2, 9)})
    tally, one = Tally(3, 0), job(tmp_path, prices=prices)
    assert (None, True) == (job(tmp_path).spend, one.spend is not None)
    assert one.spend is not None

    tally.spent.add("m-0", None)
    assert "not known: 1 row without usage" == one.spend(tally)
    for number in range(2):
        tally.spent.add(f"m-{number}", Used(1_000_000, 2_000_000))
    assert "10.00 USD (your prices) and 1 row without usage, whose cost is not known" == one.spend(tally)
    tally.spent.add("m-7", Used(1, 1))
    assert "not known: no price for m-7 (your prices)" == one.spend(tally)


def test_header(tmp_path: Path) -> None:
    """What going on depends on is the input and what changes requests, nothing else."""
    header = job(tmp_path, fields={"temperature": 0}).header

    assert ("m-0", "Be brief.", {"temperature": 0}) == (header["model"], header["system"], header["fields"])
    assert {"sha256", "format", "template", "id", "rows", "models"} == set(header["input"])
    assert {"input", "model", "system", "fields"} == set(header)


async def test_a_run(tmp_path: Path, sim: Simulator) -> None:
    """Every row is sent with the fields of the command over its own, and the system message before them."""
    given = job(tmp_path, fields={"temperature": 0, "model": "gemini-2.5-pro"})
    async with AnyFast("sk-x", base_url=sim.base_url) as client:
        with open_batch(given.options.answers, given.options.failures) as files:
            tally = (await supervised_quietly(given, client, files)).tally

    assert (3, 0) == (tally.answered, tally.failed)
    assert [(0, "gemini-2.5-pro", "Be brief.")] * 3 == [
        (one.body["temperature"], one.body["model"], one.body["messages"][0]["content"]) for one in sim.requests
    ]


async def supervised_quietly(given: BatchJob, client: AnyFast, files: BatchFiles) -> BatchRun:
    """Make the run of all rows, and hear of each."""
    heard: list[str] = []
    run = given.run(client, files, rows(given.survey), total=3, census=None)
    assert await supervised(run, on_row=lambda event: heard.append(event.custom_id)) is None
    assert sorted(heard) == ["line-1", "line-2", "line-3"]
    return run
