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
from click.core import ParameterSource

from anyfast_async._http.api_key import NO_KEY, KeySource
from anyfast_async._http.settings import base_url_of
from anyfast_async.cli.display.terminal import note
from anyfast_async.cli.settings import current, key_of, profile_option, source_of
from anyfast_async.cli.verbosity import is_verbose
from anyfast_async.policies import RetryPolicy, Timeouts

if TYPE_CHECKING:
    from anyfast_async.client import AnyFast
    from anyfast_async.simulator import Latency, Simulator

F = TypeVar("F", bound=Callable[..., Any])

SIMULATOR_KEY: Final = "sk-simulator"
STDIN: Final = "-"


def _kept(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep the value of an option that every command has, and that none looks at itself."""
    is_variable = context.get_parameter_source(parameter.name or "") is ParameterSource.ENVIRONMENT
    context.meta[f"{__name__}.{parameter.name}"] = None if is_variable else value  # the client reads variables itself


def _said(name: str) -> Any:
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(f"{__name__}.{name}")


@attrs.frozen
class ClientOptions:
    """Where requests go."""

    simulate: bool = False
    key_file: str | None = None
    """A path, or ``"-"`` for the standard input."""
    no_key: bool = False
    """For a server that wants none."""

    base_url: str | None = attrs.field(factory=lambda: _said("base_url"))
    """None: ANYFAST_BASE_URL, else the default gateway."""
    retries: int | None = attrs.field(factory=lambda: _said("retries"))
    """None: as many as the library makes."""
    timeout: float | None = attrs.field(factory=lambda: _said("timeout"))
    """Seconds for one call, with all its retries."""

    def __attrs_post_init__(self) -> None:
        key_of(self.key_file, no_key=self.no_key)
        if self.simulate:
            import anyfast_async.simulator  # noqa: F401, PLC0415 - a tenth of a second, spent before there is a loop

    @property
    def url(self) -> str:
        """The base URL of the real gateway.

        Raises:
            ConfigurationError: it cannot be used.

        """
        return str(base_url_of(self.base_url, ()))

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
        from anyfast_async.client import AnyFast  # noqa: PLC0415 - a quarter of a second that a dry run does not spend

        settings = self.patience | settings
        if not self.simulate:
            self._say_where()
            async with self._real(self._key(), **settings) as client:
                yield client
            return
        async with (
            simulator(latency) as sim,
            AnyFast(SIMULATOR_KEY, base_url=sim.base_url, **settings) as client,
        ):
            yield client

    def _say_where(self) -> None:
        """Name the gateway if a file says which it is: the key goes there."""
        if source_of("base_url") is ParameterSource.DEFAULT_MAP:
            note(f"gateway: {self.url} ({current().origin('base_url')})")
        elif is_verbose():
            note(f"gateway: {self.url}")

    def check(self) -> None:
        """Find out whether there can be a client, as far as that can be told without a connection.

        Raises:
            ConfigurationError: no key, or a setting is wrong.

        """
        if not self.simulate and self.key_file != STDIN:  # that one is read once
            self._real(self._key())

    @property
    def patience(self) -> dict[str, Any]:
        """Settings of the client about retries and clocks, those that were said."""
        found: dict[str, Any] = {}
        if self.retries is not None:
            found["retry"] = RetryPolicy(attempts=self.retries + 1)
        if self.timeout is not None:
            found["timeouts"] = Timeouts(total=self.timeout)
        return found

    def _real(self, key: KeySource | None, **settings: Any) -> AnyFast:
        from anyfast_async.client import AnyFast  # noqa: PLC0415 - as above

        # On a command line the environment's proxy is what everybody expects; it is none for a gateway next door.
        return AnyFast(key, base_url=self.base_url, proxy="env" if self.url.startswith("https:") else None, **settings)

    def _key(self) -> KeySource | None:
        key_file, no_key = key_of(self.key_file, no_key=self.no_key)
        if no_key:
            return NO_KEY
        if key_file != STDIN:
            return None if key_file is None else Path(key_file)
        return getpass.getpass("key: ") if sys.stdin.isatty() else sys.stdin.readline()


def simulator(latency: Latency | None = None) -> Simulator:
    """Return the embedded gateway, not started."""
    from anyfast_async.simulator import Simulator  # noqa: PLC0415 - a server's imports, not needed with a key

    return Simulator(latency=latency, max_recorded=1)  # nobody looks at what arrived


def no_key_option(command: F) -> F:
    """Give *command* ``--no-key``."""
    text = "Send no key, to a server that wants none: --base-url must name it."
    return click.option("--no-key", is_flag=True, help=text)(command)


def gateway_options(command: F) -> F:
    """Give *command* ``--simulate``, ``--base-url``, ``--key-file`` and ``--profile``."""
    command = click.option(
        "--key-file",
        metavar="PATH|-",
        type=click.Path(allow_dash=True),
        help="Read the key from a file, or from standard input (-). Else ANYFAST_API_KEY or ANYFAST_API_KEY_FILE.",
    )(command)
    command = click.option(
        "--base-url",
        metavar="URL",
        envvar="ANYFAST_BASE_URL",
        expose_value=False,
        callback=_kept,
        help="Another gateway. Else ANYFAST_BASE_URL.",
    )(command)
    command = click.option(
        "--simulate", is_flag=True, help="Talk to the embedded gateway: no key, no network, made-up answers."
    )(command)
    return profile_option(command)


def retries_option(command: F) -> F:
    """Give *command* ``--retries``."""
    return click.option(
        "--retries",
        type=click.IntRange(0, 1000),
        metavar="N",
        expose_value=False,
        callback=_kept,
        help="How often a request that failed is sent again, where that may help. Default: 3; 0 never.",
    )(command)


def patience_options(command: F) -> F:
    """Give *command* ``--timeout`` and ``--retries``."""
    return click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        metavar="S",
        expose_value=False,
        callback=_kept,
        help="Longest time of the call in seconds, with its retries. Default: none.",
    )(retries_option(command))
