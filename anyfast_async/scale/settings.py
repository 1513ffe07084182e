"""How the rows of every shard are sent: one value that goes to the workers. It holds no key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from anyfast_async._core.journal.send_again import ALL
from anyfast_async._http.api_key import NO_KEY, KeySource
from anyfast_async._values.bases import Shown
from anyfast_async._version import __version__
from anyfast_async.errors import ConfigurationError
from anyfast_async.policies import Budget, Limits, RetryPolicy, Timeouts
from anyfast_async.prices import Prices
from anyfast_async.scale.handed_key import handed_key

if TYPE_CHECKING:
    from anyfast_async.client import AnyFast


def _no_key_in_sight(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, Path):
        message = (
            f"BatchSettings.{attribute.name} must be the path (pathlib.Path) of a file that every worker can read, or "
            "None: then workers have ANYFAST_API_KEY or ANYFAST_API_KEY_FILE in their environment"
        )  # the value is not shown: it may be a key
        raise ConfigurationError(message)


@attrs.frozen(kw_only=True, repr=False)
class BatchSettings(Shown):
    """How rows are sent, whichever worker does it; what is not said here is as for ``anyfast batch``.

    It travels to workers and is looked at on the way (task graphs, dashboards, logs), so it holds no key: workers have
    ``ANYFAST_API_KEY`` in their environment, or a file. Limits and budget are of all shards together.
    """

    model: str | None = None
    """Of rows that name none."""
    fields: Mapping[str, Any] = attrs.field(factory=dict)
    """Fields of the request that win over what the rows say, ``{"max_tokens": 200}``."""
    system: str | None = None
    """A system message before those of every row."""
    via_stream: bool = False
    timeout: float | None = None
    """Seconds for a row, from when it is sent first."""
    into: Any = None
    """What answers must fit: a class that workers can import, or a JSON schema."""
    concurrency: int = 64
    """Rows in work at once, over all shards."""
    limits: Limits = attrs.field(default=Limits(), validator=attrs.validators.instance_of(Limits))
    budget: Budget | None = None
    prices: Prices | None = None
    retry: RetryPolicy = RetryPolicy()
    timeouts: Timeouts = Timeouts()
    base_url: str | None = None
    """None: the ``ANYFAST_BASE_URL`` of the worker, else the default gateway."""
    proxy: str | None = None
    key_file: Path | None = attrs.field(default=None, validator=_no_key_in_sight)
    """A file with the key, at the same path for every worker."""
    no_key: bool = False
    """For a server that wants none."""
    handed_key: str | None = None
    """The name of a key that workers are handed, see ``handed_key``."""
    retry_failed: str = ALL
    """Which rows with a result are sent again, see ``open_batch``."""
    skip_bad: bool = False
    """Whether rows that cannot be sent fail, instead of nothing being sent."""
    ordered: bool = False
    """Whether answers are put into the order of the input when all are there."""
    parquet: bool = False
    """Whether each shard writes its answers as Parquet, too, when all of it is done: ``OUTPUT.parquet``; of a whole run
    the files are in a folder, ``out.parquet/part-00000.parquet``."""
    give_up_after: float | None = None
    """Seconds after which a shard stops if nothing was answered."""
    sync: Literal["batch", "each"] = "batch"
    copy_every: float = 60.0
    """Seconds between two copies of what has been answered, where the output is in an object store: what a worker that
    is lost has answered since the last one is paid for again."""
    lease: float = 30.0
    """Seconds without a sign of life after which a worker is taken for dead, if it runs on another machine. It sends
    nothing any more after 60 % of them."""
    version: str = __version__
    """Of this package, here: a worker that has another one sends nothing."""

    def client(self, limits: Limits, budget: Budget | None) -> AnyFast:
        """Return the client of one worker, with its part of limits and budget.

        Raises:
            ConfigurationError: there is no key, or a setting is wrong.

        """
        key: KeySource | None = NO_KEY if self.no_key else self.key_file
        if self.handed_key is not None:
            key = handed_key(self.handed_key)
        from anyfast_async.client import AnyFast  # noqa: PLC0415 - commands that speak to nobody import this file, too

        return AnyFast(
            key,
            base_url=self.base_url,
            model=self.model,
            limits=limits,
            retry=self.retry,
            timeouts=self.timeouts,
            budget=budget,
            proxy=self.proxy,
            prices=self.prices,
        )

    @property
    def options(self) -> dict[str, Any]:
        """The options of each call."""
        own = {"system": self.system, "via_stream": self.via_stream or None, "timeout": self.timeout}
        return {name: value for name, value in own.items() if value is not None} | dict(self.fields)


@attrs.frozen(kw_only=True, repr=False)
class Turn(Shown):
    """What one worker may do with one shard, this time."""

    limits: Limits
    """Its part."""
    concurrency: int
    tokens: float | None = None
    """That it may spend beyond what the shard has spent already; None: any number."""
    usd: float | None = None
    requests: int | None = None
    budget: str | None = None
    """The name of the budget that these are, if all workers have one together, through the store of the limits."""
    sent: tuple[tuple[float, float, float], ...] | None = None
    """What counts within its limits already: Unix times, requests and tokens; None: what the shard's log says."""
    session: str = ""
    """The run that it belongs to."""
    control: Path | str | None = None
    """A file, or an address in a store, that says whether that run goes on, see ``control``."""
    began: float | None = None
    """When that run began, as Unix time, if what becomes of its rows is recorded for a report."""
    attempt: int = 0
    """How often the shard was given out before. Two submissions are never equal: Dask would make one task of them."""
