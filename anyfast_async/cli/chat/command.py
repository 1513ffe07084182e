"""``anyfast chat``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from anyfast_async._core.json import codec
from anyfast_async._core.usage import Used, used_by
from anyfast_async.cli import exit_codes
from anyfast_async.cli.answer_schema import HELP, AnswerSchema, schema
from anyfast_async.cli.chat import attachments, saved_images
from anyfast_async.cli.chat.answer import facts, say_what_is_odd, streamed, totals
from anyfast_async.cli.chat.conversation import Conversation, question
from anyfast_async.cli.chat.kept import KeptChat, KeptChatError, folder
from anyfast_async.cli.chat.session import Session
from anyfast_async.cli.client_options import STDIN, ClientOptions, gateway_options, no_key_option, patience_options
from anyfast_async.cli.default_model import default_model, model_option
from anyfast_async.cli.display.money import price_options, prices_of
from anyfast_async.cli.display.terminal import is_terminal, say, shown, unechoed, write
from anyfast_async.cli.option_values import fields_of
from anyfast_async.cli.settings import current
from anyfast_async.cli.signals import terminated_as_exit
from anyfast_async.cli.verbosity import verbosity_options
from anyfast_async.prices import Prices

if TYPE_CHECKING:
    from anyfast_async.client import AnyFast
    from anyfast_async.completions import ChatCompletion
    from anyfast_async.messages import JSON


@click.command()
@click.argument("prompt", nargs=-1)
@model_option
@click.option("-c", "--continue", "continued", is_flag=True, help="Go on with the latest conversation.")
@click.option("--chat", "chosen", metavar="NUMBER|ID", help="Go on with another one, as --list shows them.")
@click.option("--list", "listing", is_flag=True, help="Show the conversations that are kept, the latest first.")
@click.option("--system", metavar="TEXT", help="A system message.")
@click.option(
    "--image", "images", multiple=True, metavar="PATH|URL", help="An image to ask about; may be given several times."
)
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="PATH",
    help="A file to ask about: text, PDF, audio, video.",
)
@click.option("--max-tokens", type=int, metavar="N", help="Longest answer, from 1. Thinking counts too.")
@click.option("--temperature", type=float, metavar="F", help="0 to 2.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any field of the request: seed=1")
@click.option("--schema", callback=schema, metavar="FILE.json|module:Class", help=HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the completion as one JSON object, when it is complete.")
@click.option("--plain", is_flag=True, help="On a terminal: the answer as it is written, not as formatted Markdown.")
@click.option(
    "--image-dir",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Save the images of answers there. Default: the current directory on a terminal, nowhere in a pipe.",
)
@click.option("--no-history", is_flag=True, help="Do not keep the conversation. In a pipe it is kept only with -c.")
@price_options
@verbosity_options
@patience_options
@gateway_options
@no_key_option
def chat(
    *,
    prompt: tuple[str, ...],
    model: str | None,
    continued: bool,
    chosen: str | None,
    listing: bool,
    system: str | None,
    images: tuple[str, ...],
    files: tuple[str, ...],
    max_tokens: int | None,
    temperature: float | None,
    settings: tuple[str, ...],
    schema: AnswerSchema | None,
    as_json: bool,
    plain: bool,
    image_dir: Path | None,
    no_history: bool,
    prices: str | None,
    price_factor: float,
    simulate: bool,
    key_file: str | None,
    no_key: bool,
) -> int:
    """Ask a model, and print the answer as it comes; without a question, on a terminal, a session.

    PROMPT is what to ask; without one it is read from the standard input, and - stands for the standard input among
    the words. Where the standard input is a terminal there is a session instead: question after question, with
    commands that /help lists.

    \b
    Examples:
      anyfast chat                       a session
      anyfast chat "Name three rivers in Europe"
      anyfast chat -c "And the longest?"
      anyfast chat --list; anyfast chat --chat 2
      anyfast chat --system "Answer in French" "Why is the sky blue?"
      anyfast chat --image photo.jpg "What is this?"
      anyfast chat "Summarise this:" - < report.txt
      echo "What is 6 times 7?" | anyfast chat --json | jq .usage
      anyfast chat --simulate "No key needed"
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    if listing:
        return _list()
    if continued and chosen is not None:
        message = "-c goes on with the latest conversation, --chat with another one; one of the two"
        raise click.UsageError(message)
    fields = _fields(settings, {"max_tokens": max_tokens, "temperature": temperature})
    costs = None if simulate and prices is None else prices_of(prices, price_factor)
    on_terminal = is_terminal(sys.stdout) and not as_json
    lasting = on_terminal and not prompt and sys.stdin.isatty()
    text = None if lasting else _prompt(prompt, key_file)
    attached = _attached(images, files)
    wanted = "" if continued else chosen
    kept, conversation = _conversation(wanted, keep=not no_history and (on_terminal or wanted is not None))
    if conversation is None:
        conversation = Conversation(model or default_model())
    else:
        conversation.model = model or conversation.model
        say(f"model: {conversation.model}")
        say(f"goes on with: {conversation.title} ({len(conversation.messages) // 2} answered)")
    conversation.system = system if system is not None else conversation.system
    one = _Chat(
        ClientOptions(simulate, key_file, no_key),
        fields,
        prices=costs,
        into=schema,
        kept=kept,
        plain=plain,
        as_json=as_json,
        on_terminal=on_terminal,
        image_dir=image_dir or (Path() if on_terminal else None),
    )
    if text is not None:
        with one.opened():
            return one.ask(conversation, question(text, attached))
    return one.session(conversation, attached)


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


def _attached(images: Sequence[str], files: Sequence[str]) -> list[JSON]:
    try:
        return [*map(attachments.image, images), *map(attachments.document, files)]
    except attachments.AttachmentError as error:
        raise click.UsageError(str(error)) from None


def _fields(settings: Sequence[str], own: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the request, and refuse those that are of a conversation or of the wire."""
    given = {name: value for name, value in own.items() if value is not None}
    fields = fields_of(settings, given, current().fields)
    for name in ("messages", "model"):
        if name in fields:
            message = f"--set {name}: " + ("-m chooses the model" if name == "model" else "the conversation makes them")
            raise click.UsageError(message)
    return fields


def _list() -> int:
    """Print the conversations that are kept."""
    try:
        lines = list(KeptChat.listed(folder()))
    except KeptChatError as error:
        raise click.UsageError(str(error)) from None
    for line in lines:
        write(shown(line) + "\n")
    if not lines:
        say("no conversation is kept")
    return exit_codes.OK


def _conversation(wanted: str | None, *, keep: bool) -> tuple[KeptChat | None, Conversation | None]:
    """Return where the conversation is kept, if it is, and what was said before.

    Args:
        wanted: its number or id, ``""`` for the latest; None for a new one.
        keep: whether it is kept.

    """
    continued = wanted is not None
    try:
        where = folder() if continued or keep else None
        latest = None
        if where is not None and wanted is not None:
            latest = KeptChat.named(where, wanted) if wanted else KeptChat.latest(where)
    except KeptChatError as error:
        if continued:
            raise click.UsageError(str(error)) from None
        say(f"the conversation is not kept: {error}")
        return None, None
    if where is None:
        return None, None
    if latest is None:
        if continued:
            message = f"there is no conversation to go on with in {where}: begin one without -c"
            raise click.UsageError(message)
        return KeptChat.new(where), None
    kept, conversation = latest
    return kept if keep else None, conversation


@attrs.define
class _Chat:
    """What stays the same from question to question."""

    gateway: ClientOptions
    options: dict[str, Any]
    prices: Prices | None = attrs.field(kw_only=True)
    into: AnswerSchema | None = attrs.field(kw_only=True)
    """What answers have to fit, None for nothing."""
    kept: KeptChat | None = attrs.field(kw_only=True)
    plain: bool = attrs.field(kw_only=True)
    as_json: bool = attrs.field(kw_only=True)
    on_terminal: bool = attrs.field(kw_only=True)
    image_dir: Path | None = attrs.field(kw_only=True)
    _runner: asyncio.Runner = attrs.field(init=False)
    _client: AnyFast = attrs.field(init=False)
    _answering: asyncio.Task[Any] | None = attrs.field(init=False, default=None)
    _used: list[tuple[str, Used]] = attrs.field(init=False, factory=list)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Open the client, in a loop that runs while something is waited for, and not while a person types."""
        with terminated_as_exit(), asyncio.Runner() as self._runner:
            context = self.gateway.client(latency=_latency(self.gateway))
            self._client = self._runner.run(_entered(context))
            try:
                yield
            finally:
                self._runner.run(_left(context))

    def session(self, conversation: Conversation, attached: list[JSON]) -> int:
        """Answer question after question."""
        with self.opened():
            code = Session(conversation, self.ask, self._begin, attached, self._others, self._load).run()
        if len(self._used) > 1:
            say(totals(self._used, self.prices))
        return code

    def ask(self, conversation: Conversation, asked: JSON) -> int:
        """Ask, show the answer, and take the exchange into the conversation; return the exit code.

        Raises:
            AnyFastError: there is no answer, or it does not fit the schema.
            KeyboardInterrupt: Ctrl-C, before it was complete.

        """
        with unechoed():
            completion = self._run(conversation, asked)
        if self.as_json:
            write(shown(codec.dumps(codec.as_dict(completion)).decode()) + "\n")
        say_what_is_odd(completion)
        if self.image_dir is not None:
            for line in saved_images.save(completion.images, self.image_dir):
                say(line)
        if (used := used_by(completion.usage)) is not None:
            self._used.append((conversation.model, used))
        if self.on_terminal:
            say(facts(completion, conversation.model, self.prices))
        answered = bool(completion.text or completion.tool_calls or completion.images)
        if answered:
            conversation.add(asked, codec.message_to_wire(completion.message))
            self._keep(conversation)
            if self.into is not None:
                completion.parse(self.into.kind)
        return exit_codes.OK if answered else exit_codes.FAILED

    def _run(self, conversation: Conversation, asked: JSON) -> ChatCompletion:
        self._answering = None
        try:
            return self._runner.run(self._answer(conversation, asked))
        except (KeyboardInterrupt, SystemExit):
            self._runner.run(_ended(self._answering))  # SIGTERM and a second Ctrl-C leave it half-way
            raise

    async def _answer(self, conversation: Conversation, asked: JSON) -> ChatCompletion:
        self._answering = asyncio.current_task()
        messages, model, options = conversation.asked(asked), conversation.model, self.options
        if self.into is not None:
            from anyfast_async._structured.json_schema import response_format, writes_out  # noqa: PLC0415 - if asked for

            options = {**options, "response_format": response_format(self.into.kind, write_out=writes_out(model))}
        if self.as_json:
            return await self._client.complete(messages, model=model, **options)
        return await streamed(self._client, messages, model, options, plain=self.plain)

    def _keep(self, conversation: Conversation) -> None:
        if self.kept is None:
            return
        before = self.kept.path.name
        try:
            if not self.kept.write(conversation):
                say(f"{before} was added to by another program meanwhile: this goes on in {self.kept.path.name}")
        except KeptChatError as error:
            say(f"the conversation is not kept: {error}")
            self.kept = None

    def _begin(self) -> None:
        if self.kept is not None:
            self.kept = KeptChat.new(self.kept.path.parent)

    def _others(self) -> Iterator[str]:
        return KeptChat.listed(folder())

    def _load(self, name: str) -> Conversation:
        kept, conversation = KeptChat.named(folder(), name)
        if self.kept is not None:
            self.kept = kept
        return conversation


async def _ended(task: asyncio.Task[Any] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # it was seen


async def _entered(context: Any) -> AnyFast:
    client: AnyFast = await context.__aenter__()
    return client


async def _left(context: Any) -> None:
    await context.__aexit__(None, None, None)


def _latency(gateway: ClientOptions) -> Any:
    """Return a pace at which tokens are seen to arrive."""
    if not gateway.simulate:
        return None
    from anyfast_async.simulator import Latency  # noqa: PLC0415 - tokens are seen to arrive

    return Latency(ttft=0.2, per_token=0.01)
