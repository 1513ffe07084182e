"""The options of ``anyfast batch`` among themselves."""

from __future__ import annotations

from collections.abc import Callable

import click
import pytest

from anyfast_async import Budget, Limits
from anyfast_async.cli.batch.command import batch
from anyfast_async.cli.batch.options import Options
from anyfast_async.cli.client_options import ClientOptions


@pytest.fixture
def options() -> Callable[..., Options]:
    """Makes the options of a command line."""

    def make(*arguments: str) -> Options:
        return Options(**batch.make_context("batch", list(arguments)).params)

    return make


def test_what_they_come_to(options: Callable[..., Options]) -> None:
    """Options become files, fields, limits and a budget."""
    given = options(
        *("-i", "in.csv", "-o", "out.jsonl", "-m", "m-1", "--max-tokens", "5", "--set", "temperature=0"),
        *("--concurrency", "3", "--rpm", "10", "--tpm", "100", "--budget-tokens", "7", "--simulate"),
    )

    assert ("out.jsonl", "out.errors.jsonl") == (str(given.answers), str(given.failures))
    assert {"model": "m-1", "max_tokens": 5, "temperature": 0} == given.fields
    assert Limits(concurrency=3, requests_per_minute=10, tokens_per_minute=100) == given.limits
    assert (Budget(tokens=7), ClientOptions(simulate=True)) == (given.budget, given.gateway)


def test_defaults(options: Callable[..., Options]) -> None:
    """What is not said is not limited, and no field is changed."""
    given = options("-i", "in.csv", "-o", "out.jsonl")

    assert ({}, Limits(concurrency=64), None) == (given.fields, given.limits, given.budget)
    assert (100 * 2**20, "all", "batch", None) == (given.max_line, given.retry_failed, given.sync, given.max_failures)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-i", "in"], "-o is missing"),
        (["-i", "in", "-o", "out", "--dry-run", "--estimate", "9"], "one of the two"),
        (["-i", "-", "-o", "out", "--key-file", "-"], "cannot both be the standard input"),
        (["-i", "in", "-o", "-"], "must be files"),
        (["-i", "in", "-o", "out", "--errors", "-"], "must be files"),
        (["-i", "in", "-o", "./in"], "three different files"),
        (["-i", "in", "-o", "out", "--errors", "out"], "three different files"),
        (["-i", "s3://b/in.jsonl", "-o", "out"], "-i s3://b/in.jsonl is an address"),
        (["-i", "in", "-o", "gs://b/out.jsonl"], "-o gs://b/out.jsonl is an address"),
        (
            ["-i", "in", "-o", "out", "--report", "https://host/page.html"],
            "--report https://host/page.html is an address",
        ),
    ],
)
def test_what_does_not_go_together(options: Callable[..., Options], arguments: list[str], words: str) -> None:
    """Options that contradict each other are refused before anything is read."""
    with pytest.raises(click.UsageError, match=words):
        options(*arguments)


def test_a_dry_run_needs_no_output(options: Callable[..., Options]) -> None:
    """Without an output there is nothing to write, which a dry run does not do anyway."""
    assert options("-i", "in", "--dry-run").output is None


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["batch", "-i", "in", "-o", "a b"], "anyfast batch -i in -o 'a b'"),
        (["batch", "--estimate", "50", "-i", "in", "-o", "out"], "anyfast batch -i in -o out"),
        (["batch", "-i", "in", "--estimate=50", "-o", "out"], "anyfast batch -i in -o out"),
        (["batch", "-i", "-", "-o", "out"], "anyfast batch -i - -o out </dev/null"),
    ],
)
def test_going_on(options: Callable[..., Options], argv: list[str], command: str) -> None:
    """The command that goes on is the same one, without the sample, and without a pipe that is gone."""
    assert command == options(*argv[1:]).going_on(argv)
