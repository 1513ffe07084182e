"""``anyfast completion``, and what a shell is told while a command is typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from anyfast_async.cli import exit_codes
from anyfast_async.cli.display.terminal import write
from anyfast_async.requests import WIRE_FIELDS

_VARIABLE: Final = "_ANYFAST_COMPLETE"
_SHELLS: Final = ("bash", "zsh", "fish")
_FILES: Final = (
    *("FILE", "FILE.json|module:Class", "IN", "[IN]", "OUT.jsonl", "PATH", "PATH|-", "PATH|URL", "PRICES.toml"),
    *("RUN.html", "BENCH.html"),
)
"""What options call a file in their help."""


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(*, shell: str) -> int:
    """Print what lets a shell complete commands, options, files, models, quirks and profiles.

    \b
    Examples:
      anyfast completion bash > ~/.local/share/bash-completion/completions/anyfast
      anyfast completion zsh > ~/.zfunc/_anyfast        and before compinit: fpath=(~/.zfunc $fpath)
      anyfast completion fish > ~/.config/fish/completions/anyfast.fish
      eval "$(anyfast completion bash)"                 for this shell alone
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    found = get_completion_class(shell)
    group = click.get_current_context().find_root().command
    assert found is not None  # noqa: S101 - click has all of them
    write(found(group, {}, "anyfast", _VARIABLE).source() + "\n")
    return exit_codes.OK


class _Known(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on
    """A text, some of which are known; *known* returns them all."""

    name = "text"

    def __init__(self, known: Callable[[], Iterable[str]]) -> None:
        self._known = known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's
        """Return those that begin so."""
        return [CompletionItem(one) for one in self._known() if one.startswith(incomplete)]


def _models() -> Iterable[str]:
    from anyfast_async.messages import GEMINI_MODELS  # noqa: PLC0415 - as it is asked for

    return GEMINI_MODELS


def _quirks() -> Iterable[str]:
    from anyfast_async.simulator import QUIRKS  # noqa: PLC0415 - a server's imports

    return QUIRKS


def _chats() -> Iterable[str]:
    from anyfast_async.cli.chat.kept import KeptChatError, folder  # noqa: PLC0415 - as it is asked for

    try:
        return sorted((path.stem for path in folder().glob("*.json")), reverse=True)
    except (KeptChatError, OSError):
        return ()


_TYPES: Final[dict[str, Any]] = {
    **dict.fromkeys(_FILES, click.Path(allow_dash=True)),
    "DIR": click.Path(file_okay=False),
    "MODEL": _Known(_models),
    "NAME=VALUE": _Known(lambda: [f"{name}=" for name in WIRE_FIELDS]),
    "NUMBER|ID": _Known(_chats),
}


def completed(command: click.Command) -> click.Command:
    """Return *command* with texts that are completed by what its help calls them."""
    for parameter in command.params:
        if parameter.type is click.STRING:
            wanted = _Known(_quirks) if parameter.name == "quirks" else _TYPES.get(parameter.metavar or "")
            parameter.type = wanted or parameter.type
    return command
