"""``anyfast chat``."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from anyfast_async._core.json import codec
from anyfast_async.cli import exit_codes
from anyfast_async.cli.client_options import STDIN, ClientOptions, gateway_options, no_key_option, patience_options
from anyfast_async.cli.default_model import default_model, model_option
from anyfast_async.cli.display.terminal import say, shown, write
from anyfast_async.cli.verbosity import verbosity_options

if TYPE_CHECKING:
    from anyfast_async.completions import ChatCompletion


@click.command()
@click.argument("prompt", nargs=-1)
@model_option
@click.option("--system", metavar="TEXT", help="A system message.")
@click.option("--max-tokens", type=int, metavar="N", help="Longest answer, from 1. Thinking counts too.")
@click.option("--temperature", type=float, metavar="F", help="0 to 2.")
@click.option("--json", "as_json", is_flag=True, help="Print the completion as one JSON object, when it is complete.")
@verbosity_options
@patience_options
@gateway_options
@no_key_option
def chat(
    *,
    prompt: tuple[str, ...],
    model: str | None,
    system: str | None,
    max_tokens: int | None,
    temperature: float | None,
    as_json: bool,
    simulate: bool,
    key_file: str | None,
    no_key: bool,
) -> int:
    """Ask a model, and print the answer as it comes.

    PROMPT is what to ask; without one it is read from the standard input, and - stands for the standard input among
    the words.

    \b
    Examples:
      anyfast chat "Name three rivers in Europe"
      anyfast chat -m gemini-2.5-pro --system "Answer in French" "Why is the sky blue?"
      anyfast chat "Summarise this:" - < report.txt
      echo "What is 6 times 7?" | anyfast chat --json | jq .usage
      anyfast chat --simulate "No key needed"
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    text = _prompt(prompt, key_file)
    options = {"system": system, "max_tokens": max_tokens, "temperature": temperature}
    model = model or default_model()
    return asyncio.run(_chat(ClientOptions(simulate, key_file, no_key), text, model, options, as_json=as_json))


def _prompt(words: tuple[str, ...], key_file: str | None) -> str:
    if words and STDIN not in words:
        return " ".join(words)
    if key_file == STDIN:
        message = "the standard input holds the key (--key-file -): give the prompt as an argument"
        raise click.UsageError(message)
    if not words and sys.stdin.isatty():
        message = 'no prompt: anyfast chat "Why is the sky blue?", or pipe one in'
        raise click.UsageError(message)
    read = sys.stdin.read().strip()
    if not read:
        message = "the standard input is empty: there is no prompt"
        raise click.UsageError(message)
    before, after = _around(words)
    return "\n\n".join(filter(None, (before, read, after)))


def _around(words: tuple[str, ...]) -> tuple[str, str]:
    place = words.index(STDIN) if words else 0
    return " ".join(words[:place]), " ".join(words[place + 1 :])


async def _chat(gateway: ClientOptions, prompt: str, model: str, options: dict[str, Any], *, as_json: bool) -> int:
    async with gateway.client(model=model, latency=_latency(gateway)) as client:
        if as_json:
            completion = await client.complete(prompt, **options)
            write(shown(codec.dumps(codec.as_dict(completion)).decode()) + "\n")
        else:
            last = "\n"
            async with client.stream(prompt, **options) as stream:
                try:
                    async for token in stream:
                        write(shown(token))
                        last = token
                finally:
                    if not last.endswith("\n"):
                        write("\n")
            completion = stream.completion
    return _verdict(completion)


def _latency(gateway: ClientOptions) -> Any:
    """Return a pace at which tokens are seen to arrive."""
    if not gateway.simulate:
        return None
    from anyfast_async.simulator import Latency  # noqa: PLC0415

    return Latency(ttft=0.2, per_token=0.01)


def _verdict(completion: ChatCompletion) -> int:
    """Say what is odd about an answer that did not fail."""
    diagnosis = completion.diagnosis
    if diagnosis is not None:
        say(f"({diagnosis})" if completion.text else diagnosis)
    return exit_codes.OK if completion.text or completion.tool_calls else exit_codes.FAILED
