"""The command line as a whole: the group of commands, and the one place where exceptions become exit codes."""

from __future__ import annotations

import asyncio
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import SequenceMatcher
from importlib import import_module
from typing import Any, Final

import click

from anyfast_async import __version__
from anyfast_async.cli import exit_codes
from anyfast_async.cli.display.terminal import forsake, say, tolerant
from anyfast_async.errors import AnyFastError, escaped


class _ReaderGoneError(Exception):
    """Nobody reads the output any more."""


SUMMARIES: Final = {
    "batch": "Run a file of requests, and write one line per answer.",
    "bench": "Test how a gateway takes a load: time to the first token, time per token, throughput, errors.",
    "chat": "Ask a model, and print the answer as it comes; without a question, on a terminal, a session.",
    "completion": "Print what lets a shell complete commands, options, files, models, quirks and profiles.",
    "config": "Show which settings count here, and where each is said.",
    "demo": "Show one await, one stream and one batch from file to file.",
    "doctor": "Look at a gateway, and say what is odd, what that means and what to do.",
    "models": "List the models that the key may use: a table in a terminal, one id per line in a pipe.",
    "report": "Make a page of what a batch left behind: one file, for any browser; of two batches, what differs.",
    "results": "Read what a batch left behind.",
    "simulate": (
        "Serve the embedded gateway until Ctrl-C or SIGTERM (exit code 0): made-up answers in authentic shapes."
    ),
}
"""The commands, each in the module of its name, and the first sentence of its help: to list them loads none."""


_FOLDERS: Final = {
    "batch": "batch.command",
    "bench": "bench.command",
    "chat": "chat.command",
    "doctor": "doctor.command",
    "report": "report.command",
    "results": "results.command",
}
"""Commands that have a folder, and where they are in it."""


class _Loaded(Mapping[str, click.Command]):
    """The commands, each loaded when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        if name not in SUMMARIES:
            raise KeyError(name)
        command: click.Command = getattr(import_module(f"anyfast_async.cli.{_FOLDERS.get(name, name)}"), name)
        if "_ANYFAST_COMPLETE" in os.environ:
            from anyfast_async.cli.completion import completed  # noqa: PLC0415 - a shell asks

            return completed(command)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(SUMMARIES)

    def __len__(self) -> int:
        return len(SUMMARIES)


class _Commands(click.Group):
    """Keeps from click what it would handle in its own way: a broken pipe as a failure, Ctrl-C with an empty line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise _ReaderGoneError from None
        except KeyboardInterrupt:
            raise click.Abort from None
        return result


@click.group(
    cls=_Commands,
    commands=_Loaded(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="anyfast", message="%(prog)s %(version)s")
def anyfast() -> None:
    """Chat completions of the AnyFast gateway: ask, stream, and run batches that resume.

    \b
    Examples:
      anyfast demo                                  all of it, without a key
      anyfast chat "Why is the sky blue?"
      anyfast batch -i prompts.jsonl -o answers.jsonl

    The key comes from ANYFAST_API_KEY, the file named by ANYFAST_API_KEY_FILE, or --key-file. ANYFAST_BASE_URL names
    another gateway.

    Exit codes: 0 ok, 1 something failed, 2 wrong usage or input (nothing was sent), 3 stopped early (key, quota, model,
    network, disk), 130 or 143 interrupted. After 3, 130 and 143 the same batch command goes on where it stopped.
    """  # noqa: D301 - click leaves a paragraph after \b as it is


def run(argv: Sequence[str]) -> int:
    """Run the command line *argv* and return its exit code."""
    tolerant()
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
        try:
            return _run(argv)
        finally:
            _let_go_of_stderr()


def _helpful(error: click.ClickException, argv: Sequence[str]) -> click.ClickException:
    """Where an option that is not there is a field of the request, return an error that says how that is given."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error
    unknown, context = error.option_name, error.ctx
    if error.possibilities:
        nearest = max(error.possibilities, key=lambda one: SequenceMatcher(None, unknown, one).ratio())
        error = click.NoSuchOption(unknown, possibilities=[nearest], ctx=context)
    options = {name for parameter in context.command.params for name in parameter.opts}
    if "--set" not in options:
        return error
    from anyfast_async.cli.option_values import setting_of  # noqa: PLC0415 - with the first mistake

    setting = setting_of(unknown, argv, options)
    if setting is None:
        return error
    message = f"No such option: {escaped(unknown, 60)}. A field of the request is given as {setting}"
    return click.UsageError(message, context)


def _let_go_of_stderr() -> None:
    """See to it that what a full standard error does not take fails nothing: Python would end with the code 120."""
    try:
        sys.stderr.flush()
    except OSError:
        forsake(sys.stderr)


def _run(argv: Sequence[str]) -> int:
    try:
        code = anyfast.main(args=list(argv), prog_name="anyfast", standalone_mode=False, obj=tuple(argv))
    except _ReaderGoneError:
        forsake(sys.stdout)
        return exit_codes.BROKEN_PIPE
    except click.ClickException as error:
        with suppress(OSError):  # nobody can be told
            _helpful(error, argv).show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort, asyncio.CancelledError):
        say("interrupted")
        return exit_codes.INTERRUPTED
    except AnyFastError as error:
        exit_codes.report(error)
        return exit_codes.exit_code(error)
    except OSError as error:  # commands say what is wrong with their files: this is the standard output
        forsake(sys.stdout)
        say(f"error: the standard output cannot be written: {error.strerror or error}")
        return exit_codes.STOPPED
    return code if isinstance(code, int) else exit_codes.OK
