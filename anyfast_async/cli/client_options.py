"""Which gateway a command talks to, and with which key: the real one, or the embedded one."""

from __future__ import annotations

import getpass
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import click

from anyfast_async._http.api_key import NO_KEY, KeySource
from anyfast_async._http.settings import base_url_of
from anyfast_async.client import AnyFast

if TYPE_CHECKING:
    from anyfast_async.simulator import Latency, Simulator

F = TypeVar("F", bound=Callable[..., Any])

SIMULATOR_KEY: Final = "sk-simulator"
STDIN: Final = "-"


@attrs.frozen
class ClientOptions:
    """Where requests go."""

    simulate: bool = False
    key_file: str | None = None
    """A path, or ``"-"`` for the standard input."""
    no_key: bool = False
    """For a server that wants none."""

    def __attrs_post_init__(self) -> None:
        if self.no_key and self.key_file is not None:
            message = "--no-key and --key-file: one of the two"
            raise click.UsageError(message)
        if self.simulate:
            import anyfast_async.simulator  # noqa: F401, PLC0415 - a tenth of a second, spent before there is a loop

    @property
    def url(self) -> str:
        """The base URL of the real gateway.

        Raises:
            ConfigurationError: ANYFAST_BASE_URL cannot be used.

        """
        return str(base_url_of(None, ()))

    @asynccontextmanager
    async def client(
        self,
        *,
        latency: Latency | None = None,
        **settings: Any,
    ) -> AsyncIterator[AnyFast]:
        """Open a client; with ``simulate`` for a gateway that runs in the same loop as long as the client does.

        *settings* are those of ``AnyFast``.

        Raises:
            ConfigurationError: no key, or a setting is wrong.

        """
        if not self.simulate:
            async with self._real(self._key(), **settings) as client:
                yield client
            return
        async with (
            simulator(latency) as sim,
            AnyFast(SIMULATOR_KEY, base_url=sim.base_url, **settings) as client,
        ):
            yield client

    def check(self) -> None:
        """Find out whether there can be a client, as far as that can be told without a connection.

        Raises:
            ConfigurationError: no key, or a setting is wrong.

        """
        if not self.simulate and self.key_file != STDIN:  # that one is read once
            self._real(self._key())

    def _real(self, key: KeySource | None, **settings: Any) -> AnyFast:
        # On a command line the environment's proxy is what everybody expects; it is none for a gateway next door.
        return AnyFast(key, proxy="env" if self.url.startswith("https:") else None, **settings)

    def _key(self) -> KeySource | None:
        if self.no_key:
            return NO_KEY
        if self.key_file != STDIN:
            return None if self.key_file is None else Path(self.key_file)
        return getpass.getpass("key: ") if sys.stdin.isatty() else sys.stdin.readline()


def simulator(latency: Latency | None = None) -> Simulator:
    """Return the embedded gateway, not started."""
    from anyfast_async.simulator import Simulator  # noqa: PLC0415 - a server's imports, not needed with a key

    return Simulator(latency=latency, max_recorded=1)  # nobody looks at what arrived


def no_key_option(command: F) -> F:
    """Give *command* ``--no-key``."""
    text = "Send no key, to a server that wants none: ANYFAST_BASE_URL must name it."
    return click.option("--no-key", is_flag=True, help=text)(command)


def gateway_options(command: F) -> F:
    """Give *command* ``--simulate`` and ``--key-file``."""
    command = click.option(
        "--key-file",
        metavar="PATH|-",
        help="Read the key from a file, or from standard input (-). Else ANYFAST_API_KEY or ANYFAST_API_KEY_FILE.",
    )(command)
    return click.option(
        "--simulate", is_flag=True, help="Talk to the embedded gateway: no key, no network, made-up answers."
    )(command)
