"""The options of ``anyfast batch``, and what can be told from them alone."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import attrs
import click

from anyfast_async._core.journal.send_again import ALL, SendAgain
from anyfast_async.batch.input.formats import FORMATS, Format
from anyfast_async.batch.output_files import failures_of
from anyfast_async.cli.answer_schema import HELP, AnswerSchema, schema
from anyfast_async.cli.client_options import ClientOptions
from anyfast_async.cli.option_values import AUTO, at_once, fields_of, outcomes, seconds, share, size, words
from anyfast_async.cli.settings import current
from anyfast_async.policies import Budget, Limits

F = TypeVar("F", bound=Callable[..., Any])

STDIN: Final = "-"
_FILES: Final = (
    click.option("-i", "--input", required=True, metavar="IN", help="Requests: a file, or - for standard input."),
    click.option("-o", "--output", metavar="OUT.jsonl", help="Answers. Rows answered there are not sent."),
    click.option("--errors", metavar="PATH", help="Failed rows. Default: OUT.errors.jsonl"),
    click.option("--format", type=click.Choice(FORMATS), help="What IN holds. Default: told by name and content."),
    click.option("--encoding", metavar="NAME", help="Of the text in IN, such as cp1252 (Windows). Default: UTF-8"),
    click.option("--template", metavar="TEXT", help="The prompt of a table's row: 'Label: {text}'; {{ is a brace."),
    click.option("--image", metavar="COLUMN", help="Images of a table's rows: URLs, or files (--files-under)."),
    click.option("--document", metavar="COLUMN", help="Documents of a table's rows, likewise: PDF or text."),
    click.option("--files-under", metavar="DIR", help="The folder under which such local files may be."),
    click.option("--id", "id_column", metavar="COLUMN", help="The ids of a table's rows. Default: line numbers."),
    click.option("--extend", is_flag=True, help="Go on with an IN that got more rows; those before must be the same."),
    click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N rows of IN, for now."),
    click.option(
        "--skip-bad", is_flag=True, help="Leave out rows that cannot be sent: they fail, the others are sent."
    ),
    click.option("--max-line", type=size, default="100MiB", metavar="SIZE", help="Longest line. Default: 100MiB"),
)
_REQUESTS: Final = (
    click.option("-m", "--model", metavar="MODEL", help="The model for every row, also for those that name another."),
    click.option("--system", metavar="TEXT", help="A system message, put before those of every row."),
    click.option("--max-tokens", type=int, metavar="N", help="For every row, from 1. Thinking counts too."),
    click.option("--schema", callback=schema, metavar="FILE.json|module:Class", help=HELP),
    click.option(
        "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any field, for every row: temperature=0"
    ),
)
_RUNNING: Final = (
    click.option(
        "--concurrency",
        type=at_once,
        default=64,
        metavar="N|auto",
        help="Requests at once; auto: as many as the gateway turns out to take. Default: 64",
    ),
    click.option("--rpm", type=click.IntRange(1), metavar="N", help="Requests in any minute. Default: no limit."),
    click.option("--tpm", type=click.IntRange(1), metavar="N", help="Tokens in any minute. Default: no limit."),
    click.option(
        "--budget-tokens", type=click.IntRange(0), metavar="N", help="Tokens that OUT.jsonl may use, in all runs."
    ),
    click.option("--budget-usd", type=click.FloatRange(0), metavar="N", help="US dollars that it may cost, likewise."),
    click.option("--ordered", is_flag=True, help="When all rows are done, put the answers into the order of IN."),
    click.option("--dedupe", is_flag=True, help="Send equal requests once; every row that asks so gets the answer."),
    click.option(
        "--via-stream", is_flag=True, help="Stream between gateway and here, for proxies that cut silent answers."
    ),
    click.option(
        "--retry-failed",
        type=words,
        default=ALL,
        metavar="all|none|WORD,...",
        help="Rows to send again: every failed one (the default), none, kinds of errors, or empty, cut, filtered.",
    ),
    click.option(
        "--changed",
        is_flag=True,
        help="Go on although model, fields, system message or input are others than when OUT was begun.",
    ),
    click.option("--timeout", type=seconds, metavar="S", help="Longest time of a row, from when it is sent first."),
    click.option(
        "--give-up-after", type=seconds, metavar="S", help="Stop when nothing was answered for so long. Default: never."
    ),
    click.option(
        "--grace",
        type=seconds,
        default="60",
        metavar="S",
        help="After the first Ctrl-C, time for what is in flight; a second one leaves it. Default: 60",
    ),
    click.option(
        "--accept",
        type=outcomes,
        default="",
        metavar="WORD,...",
        help="Fine, no reason for exit 1: cut,empty,filtered.",
    ),
    click.option("--max-failures", type=share, metavar="N|N%", help="Stop when more rows than this have failed."),
    click.option(
        "--processes",
        type=click.IntRange(1, 1000),
        metavar="N",
        help="Let N processes send the rows, for more than one takes. Limits and budget are divided.",
    ),
    click.option(
        "--dask",
        metavar="local|tcp://HOST:8786|tls://...",
        help="Let the workers of a Dask scheduler send them; OUT.jsonl is on a path that all of them see.",
    ),
    click.option(
        "--parquet",
        is_flag=True,
        help="With --processes or --dask: answers as Parquet, too, in the folder OUT.parquet.",
    ),
    click.option(
        "--through",
        metavar="s3://BUCKET/FOLDER",
        help="Without such a path: an object store through which rows and answers go. The folder is this run's alone.",
    ),
    click.option(
        "--sync",
        type=click.Choice(["batch", "each"]),
        default="batch",
        help="What a loss of power may cost: the last second, or nothing. Default: batch",
    ),
)
_SAYING: Final = (
    click.option("--dry-run", is_flag=True, help="Say what it will take, and send nothing. Needs no key and no -o."),
    click.option("--estimate", type=click.IntRange(1), metavar="N", help="Send N random rows; say what all will take."),
    click.option(
        "--preview",
        type=click.IntRange(1),
        metavar="N",
        help="Send the first N rows, show inputs and answers and what all will take, and ask before the rest.",
    ),
    click.option("--yes", is_flag=True, help="With --preview: go on without asking."),
    click.option("--report", metavar="RUN.html", help="Write a page about the run: one file, for any browser."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON events, one a line; the last is the summary."),
)


def batch_options(command: F) -> F:
    """Give *command* its options; it is called with their values, which are the arguments of :class:`Options`."""
    given = (*_FILES, *_REQUESTS, *_RUNNING, *_SAYING)
    return reduce(lambda inner, option: option(inner), reversed(given), command)


@attrs.frozen(kw_only=True)
class Options:
    """The values of the options."""

    input: str
    output: str | None
    errors: str | None
    format: Format | None
    encoding: str | None
    template: str | None
    id_column: str | None
    image: str | None
    document: str | None
    files_under: str | None
    extend: bool
    limit: int | None
    skip_bad: bool
    max_line: int
    model: str | None
    system: str | None
    max_tokens: int | None
    schema: AnswerSchema | None
    settings: Sequence[str]
    concurrency: int | Literal["auto"]
    rpm: int | None
    tpm: int | None
    budget_tokens: int | None
    budget_usd: float | None
    ordered: bool
    dedupe: bool
    via_stream: bool
    retry_failed: str
    changed: bool
    timeout: float | None
    give_up_after: float | None
    grace: float
    accept: frozenset[str]
    max_failures: float | None
    sync: Literal["batch", "each"]
    dry_run: bool
    estimate: int | None
    preview: int | None
    yes: bool
    prices: str | None
    price_factor: float
    report: str | None
    as_json: bool
    simulate: bool
    key_file: str | None
    no_key: bool
    processes: int | None = None
    dask: str | None = None
    through: str | None = None
    parquet: bool = False

    def __attrs_post_init__(self) -> None:
        if self.output is None and not self.dry_run:
            message = "-o is missing: the file for the answers"
        elif self.dry_run and self.estimate is not None:
            message = "--dry-run sends nothing, --estimate sends rows; one of the two"
        elif self.files_under is not None and self.image is None and self.document is None:
            message = "--files-under is for the files of --image COLUMN or --document COLUMN"
        elif self.files_under is not None and not Path(self.files_under).is_dir():
            message = f"--files-under {self.files_under}: there is no such folder"
        elif self.preview is not None and (self.dry_run or self.estimate is not None or self.limit is not None):
            message = "--preview sends the first rows and then asks; --dry-run, --estimate or --limit do not go with it"
        elif (problem := self._contradiction or self._far) is not None:
            message = problem
        elif self.input == STDIN and self.key_file == STDIN:
            message = "-i and --key-file cannot both be the standard input"
        elif STDIN in (self.output, self.errors):
            message = "-o and --errors must be files: they are read back to go on after an interruption"
        elif len(named := [Path(one).resolve() for one in self._files]) > len(set(named)):
            message = "-i, -o and --errors must be three different files"
        else:
            return
        raise click.UsageError(message)

    @property
    def _far(self) -> str | None:
        named = {"-i": self.input, "-o": self.output, "--errors": self.errors, "--report": self.report}
        for option, value in named.items():
            if value is not None and "://" in value and not Path(value).exists():
                return (
                    f"{option} {value} is an address, and a batch has its files on this machine: copy what it reads "
                    "here before, and what it has written there afterwards; workers of --dask or --processes go "
                    "--through a store"
                )
        return None

    @property
    def _contradiction(self) -> str | None:
        if self.limit is not None and self.estimate is not None:
            return "--limit sends the first rows, --estimate random ones; one of the two"
        if self.processes is not None and self.dask not in (None, "local"):
            return "--dask names a scheduler, which has its workers; --processes makes some: one of the two"
        if self.is_sharded and (self.estimate or self.limit or self.preview):
            return (
                "--estimate, --limit and --preview send a few rows, which one process does: run this without "
                "--processes or --dask first, and then with it, without these; what is answered is not sent again"
            )
        if self.parquet and not self.is_sharded:
            return (
                "--parquet is for --processes or --dask; of one process: anyfast results OUT.jsonl --table OUT.parquet"
            )
        if self.through is not None and not self.is_sharded:
            return "--through is for --dask or --processes: one process has its files where it is"
        if self.is_sharded and self.extend:
            return (
                "--extend looks at every row in one process: run this once with --limit 1 instead of --processes or "
                "--dask, and then with it, without --extend"
            )
        if self.is_sharded and self.dedupe:
            return (
                "--dedupe finds equal requests in one process: run this without --processes or --dask, or leave out "
                "equal rows of the input"
            )
        if self.dask not in (None, "local") and self.simulate:
            return "--dask: workers elsewhere cannot reach --simulate"
        if self.dask is not None and self.dask.startswith("tcp:") and self.key_file == STDIN:
            return "--dask tcp://...: a key from the standard input is handed to workers over tls://... only"
        return None

    @property
    def is_sharded(self) -> bool:
        """Whether other processes send the rows."""
        return self.processes is not None or self.dask is not None

    @property
    def _files(self) -> list[str | Path]:
        source = [] if self.input == STDIN else [self.input]
        return [*source, self.answers, self.failures]

    @property
    def input_name(self) -> str:
        """The input for people."""
        return "standard input" if self.input == STDIN else self.input

    @property
    def answers(self) -> Path:
        """The file of answers; with ``--dry-run`` perhaps one that is never made."""
        return Path(self.output or "anyfast.jsonl")

    @property
    def failures(self) -> Path:
        """The file of failed rows."""
        return Path(self.errors) if self.errors is not None else failures_of(self.answers)

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the request that win over those of the rows.

        Raises:
            click.UsageError: one is not known, has a value that is not allowed, or is given twice.

        """
        own = {"model": self.model, "max_tokens": self.max_tokens}
        given = {name: value for name, value in own.items() if value is not None}
        return fields_of(self.settings, given, current().fields)

    @property
    def again(self) -> SendAgain:
        """Which rows with a result are asked again."""
        return SendAgain.of(self.retry_failed)

    @property
    def gateway(self) -> ClientOptions:
        """Where requests go."""
        return ClientOptions(self.simulate, self.key_file, self.no_key)

    @property
    def limits(self) -> Limits:
        """What the client allows itself."""
        return Limits(concurrency=self.concurrency, requests_per_minute=self.rpm, tokens_per_minute=self.tpm)

    @property
    def workers(self) -> int | None:
        """Rows in work at once, None where the gateway decides that."""
        return None if self.concurrency == AUTO else self.concurrency

    @property
    def budget(self) -> Budget | None:
        """What it may spend."""
        if self.budget_tokens is None and self.budget_usd is None:
            return None
        return Budget(tokens=self.budget_tokens, usd=self.budget_usd)

    def going_on(self, argv: Sequence[str], **other: str | None) -> str:
        """Return the command that goes on with what *argv* began: all of it, not a sample.

        Args:
            argv: the command.
            other: options with other values than there; None for one that is a flag.

        """
        given = {f"--{name.replace('_', '-')}": value for name, value in other.items()}
        left_out, words, skip = ("--estimate", "--limit", "--preview", *given), ["anyfast"], False
        for word in argv:
            if not skip and word not in left_out and not word.startswith(tuple(f"{name}=" for name in left_out)):
                words.append(word)
            skip = not skip and word in left_out and given.get(word, "") is not None
        for name, value in given.items():
            words += [name] if value is None else [name, value]
        return shlex.join(words) + (" </dev/null" if self.input == STDIN else "")
