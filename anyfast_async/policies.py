"""How a client behaves: limits, clocks, retries, budget. Frozen values, checked when they are made."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from anyfast_async._values.bases import Shown, Value
from anyfast_async._values.store_url import StoreURL, problem_with
from anyfast_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


def _number(
    low: float, high: float = math.inf, *, optional: bool = False, whole: bool = False
) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """Validate a number in ``low..high``; the message names the field, the value and the range."""
    allowed = (
        f"{'a whole number' if whole else 'a number'} from {low:g} up" if high == math.inf else f"{low:g} to {high:g}"
    )

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None and optional:
            return
        kind = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
            owner = type(instance).__name__
            message = f"{owner}.{attribute.name} must be {allowed}{' or None' if optional else ''}, not {value!r}"
            raise ConfigurationError(message)

    return check


def _store(value: Any) -> Any:
    return StoreURL(value) if isinstance(value, str) and not isinstance(value, StoreURL) else value


def _a_store(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    del instance
    problem = None
    if isinstance(value, StoreURL):
        problem = problem_with(value.whole())
    elif value is not None and not isinstance(value, Path):
        missing = [name for name in ("ask", "news", "aclose") if not callable(getattr(value, name, None))]
        what = "must be an address, a pathlib.Path, or an object with the method"
        problem = f"{what} {missing[0]}() (see anyfast_async.stores.Store)" if missing else None
    if problem is not None:
        shown = repr(value) if isinstance(value, StoreURL) else f"a {type(value).__name__}"
        message = f"Limits.{attribute.name} {problem}, not {shown}"
        raise ConfigurationError(message)


def _one_of(*allowed: str) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in allowed:
            words = ", ".join(map(repr, allowed))
            message = f"{type(instance).__name__}.{attribute.name} must be one of {words}, not {value!r}"
            raise ConfigurationError(message)

    return check


@attrs.frozen(kw_only=True, eq=False, repr=False)
class AutoConcurrency(Value):
    """As many calls in flight as the gateway takes, found by trying; for each origin, key and model.

    It begins with few and takes more as long as nothing is refused and answers are as quick as with fewer: by the time
    to the first token of streams, else by the time for each token.
    """

    start: int = attrs.field(default=4, validator=_number(1, whole=True))
    """To begin with. 4: what nearly every key is granted; it doubles with each round of answers."""
    least: int = attrs.field(default=1, validator=_number(1, whole=True))
    """Never fewer than these."""
    most: int = attrs.field(default=1000, validator=_number(1, whole=True))
    """Never more than these. 1000: one process carries them, and their descriptors."""

    def __attrs_post_init__(self) -> None:
        if not self.least <= self.start <= self.most:
            shown = f"least={self.least}, start={self.start}, most={self.most}"
            message = f"AutoConcurrency takes least <= start <= most, not {shown}"
            raise ConfigurationError(message)


def _concurrency(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, AutoConcurrency) or (isinstance(value, str) and value == "auto"):
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        owner = type(instance).__name__
        message = (
            f'{owner}.{attribute.name} must be a whole number from 1 up, "auto" or AutoConcurrency(...), not {value!r}'
        )
        raise ConfigurationError(message)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Limits(Value):
    """What this client allows itself. Requests and tokens are counted per origin, key and model."""

    concurrency: int | Literal["auto"] | AutoConcurrency = attrs.field(default=200, validator=_concurrency)
    """Calls in flight at once, exact. 200: well below what one process can carry, above what most keys are granted.
    ``"auto"``: as many as the gateway turns out to take, see :class:`AutoConcurrency`."""
    requests_per_minute: int | None = attrs.field(default=None, validator=_number(1, optional=True, whole=True))
    """In no window of 60 s are more requests admitted, retries included. From 3 000 on they are spread evenly over
    the minute, because large limits are often enforced by the second. None: no limit (the gateway states none)."""
    tokens_per_minute: int | None = attrs.field(default=None, validator=_number(1, optional=True, whole=True))
    """In no window of 60 s are more tokens reserved: the prompt and ``max_tokens`` times ``n`` until the lengths of
    answers are known, then what few answers exceed, never more than given; settled against the usage that the gateway
    reports. Without ``max_tokens`` a few calls go first. A request larger than the limit waits for a full window, then
    goes."""
    max_queued: int | None = attrs.field(default=None, validator=_number(0, optional=True, whole=True))
    """Calls that may wait for admission; one more is refused with ``QueueFullError``. None: any number. Items of a
    ``map`` or a batch do not count: their workers wait."""
    store: Any = attrs.field(default=None, converter=_store, validator=_a_store)
    """Where the limits are kept, if several clients share them: then all the numbers above are of all of them together,
    for each origin, key and model. ``"valkey://host"`` or ``"redis://host"`` (``valkeys://``, ``rediss://`` with TLS,
    ``unix://`` for a socket; needs ``anyfast-async[redis]``), ``"sqlite:///file"`` or a ``pathlib.Path`` for the
    processes of one machine, or an object with the methods of :class:`~anyfast_async.stores.Store`."""
    on_store_error: Literal["local_share", "wait", "fail"] = attrs.field(
        default="local_share", validator=_one_of("local_share", "wait", "fail")
    )
    """What calls do while the store is away. ``"local_share"``: wait for a second or a little longer, then go on with a
    share of the limits of their own.
    ``"wait"``: wait until it is back. ``"fail"``: fail at once with ``StoreError``."""
    local_share: float | None = attrs.field(default=None, validator=_number(0.001, 1, optional=True))
    """The share of the limits that this client may use while the store is away. None: 1 of as many clients as shared
    them when the store was last there, and a tenth at most for one that had rested, or never reached it."""

    def __attrs_post_init__(self) -> None:
        if self.store is not None and not isinstance(self.concurrency, int):
            message = f"Limits.store shares stated numbers: give concurrency a whole number, not {self.concurrency!r}"
            raise ConfigurationError(message)

    @property
    def auto(self) -> AutoConcurrency | None:
        """How the number in flight is found, None if it is stated."""
        found = self.concurrency
        return AutoConcurrency() if isinstance(found, str) else found if isinstance(found, AutoConcurrency) else None

    @property
    def most_in_flight(self) -> int:
        """Calls in flight at most, whatever is found."""
        found = self.concurrency
        return found if isinstance(found, int) else (self.auto or AutoConcurrency()).most


def _name(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        message = f"{type(instance).__name__}.{attribute.name} must be a text that is not empty, not {value!r}"
        raise ConfigurationError(message)


@attrs.frozen(eq=False, repr=False)
class Lane(Value):
    """Calls that share the limits of a client with others, by an agreed part; made by ``with_options(lane=...)``."""

    name: str = attrs.field(validator=_name)
    """What it is known by in the client; whoever names it is in it."""
    weight: float = attrs.field(default=1.0, kw_only=True, validator=_number(0.001, 1000))
    """Tokens that it gets for each of a lane with weight 1, while both wait. Calls that name no lane weigh 1."""
    priority: int = attrs.field(default=0, kw_only=True, validator=_number(0, 9, whole=True))
    """0 goes before 1, and so on. Each priority gets a tenth of the tokens at least while it waits. Calls that name no
    lane have 0."""
    reserve: int = attrs.field(default=0, kw_only=True, validator=_number(0, whole=True))
    """Places in flight that are kept free for it, because nothing that is in flight is ever stopped for another."""


@attrs.frozen(kw_only=True, repr=False)
class Timeouts(Shown):
    """The clocks of a call, in seconds; None switches one off. None of them runs while a call queues, but ``total``."""

    connect: float | None = attrs.field(default=10.0, validator=_number(0.001, optional=True))
    """Name lookup, TCP and TLS. 10: a gateway that needs longer is down."""
    first_token: float | None = attrs.field(default=300.0, validator=_number(0.001, optional=True))
    """Streams: from the request to the first text, reasoning, tool call or image. Role chunks and keep-alive
    comments do not stop it. 300: thinking models are silent for minutes."""
    idle: float | None = attrs.field(default=120.0, validator=_number(0.001, optional=True))
    """Streams: between two events with content. Time in which the consumer does not read is not counted."""
    response: float | None = attrs.field(default=600.0, validator=_number(0.001, optional=True))
    """Not streamed: from the request to the last byte of the answer. 600: what the vendor SDKs allow."""
    total: float | None = attrs.field(default=None, validator=_number(0.001, optional=True))
    """The whole call: queueing, every attempt, the waits between them, and for a stream reading it to its end. For an
    item of a ``map`` or a batch it runs from admission, and stands still while the gateway throttles or is away."""


def _pair(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _true_or_false(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        message = f"{type(instance).__name__}.{attribute.name} must be True or False, not {value!r}"
        raise ConfigurationError(message)


def _range_of_seconds(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    match value:
        case (bool(), _) | (_, bool()):
            pass
        case (int() | float() as first, int() | float() as last) if 0 <= first <= last < math.inf:
            return
    message = f"{type(instance).__name__}.{attribute.name} must be (first, longest) seconds, not {value!r}"
    raise ConfigurationError(message)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RetryPolicy(Value):
    """When a failed attempt is made again. ``RetryPolicy(attempts=1)`` switches every retry off."""

    attempts: int = attrs.field(default=4, validator=_number(1, whole=True))
    """Tries in all, for failures that the gateway or the network caused. Throttling (429) does not use them up."""
    backoff: tuple[float, float] = attrs.field(default=(1.0, 30.0), converter=_pair, validator=_range_of_seconds)
    """First and longest wait in seconds; the wait doubles, times a random 0.5 to 1 (jitter)."""
    retry_ratio: float = attrs.field(default=0.2, validator=_number(0, 1))
    """Retries allowed per first attempt, over the whole client, plus one per second: an outage is not multiplied.
    The shape is Finagle's RetryBudget."""
    throttle_patience: float = attrs.field(default=120.0, validator=_number(0))
    """Seconds that a single call lets itself be throttled. In ``map`` and batches throttling never fails a row, unless
    others are answered while that row is refused again and again."""
    max_retry_after: float | None = attrs.field(default=None, validator=_number(0, optional=True))
    """A server that asks for a longer wait than this many seconds is not waited for: a single call fails at once, a row
    of ``map`` or a batch fails if others are answered, else the run ends and can be gone on with. None: 120 for a call,
    900 for a row."""
    first_hold: float | None = attrs.field(default=None, validator=_number(0.001, optional=True))
    """Seconds for which calls are held after a 429 that does not say for how long; twice as long while refusals go on.
    None: about a second, or what the gateway has shown before. For who knows its limiter."""
    outage_patience: float = attrs.field(default=1800.0, validator=_number(0))
    """Seconds for which ``map`` and batches wait for a gateway that is away: requests of several rows fail one after
    another, and none succeeds. Meanwhile one row at a time tries it, and none uses up its attempts."""
    resend_after_timeout: bool = attrs.field(default=False, validator=_true_or_false)
    """Whether a call is sent again after a first-token, idle or response timeout. The gateway goes on working on the
    first one and bills it, so False."""


def _name_or_none(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        _name(instance, attribute, value)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Budget(Value):
    """A ceiling on what a client may spend.

    Before a call is sent, an upper bound of its prompt and the full ``max_tokens`` times ``n`` are reserved; what it
    really used takes their place. An attempt that may have been billed without a report stays reserved. What
    ``max_tokens`` does not bound (an answer without it, thinking that a model does not count) can pass the ceiling by
    the answers in flight, then nothing more is sent.

    A call that does not fit raises ``BudgetExceeded``; in ``map`` and batches a row waits as long as calls in flight
    may give back what they do not use. There the budget belongs to the output file: what earlier runs spent counts.

    With a *name* it is one budget for every client that names it, in any process, now and later; it is kept in
    ``Limits(store=...)``. Then it belongs to the name, and not to any file.
    """

    tokens: int | None = attrs.field(default=None, validator=_number(0, optional=True, whole=True))
    """Prompt and completion tokens in all, as the gateway reports them."""
    requests: int | None = attrs.field(default=None, validator=_number(0, optional=True, whole=True))
    """Requests in all, retries included."""
    usd: float | None = attrs.field(default=None, validator=_number(0, optional=True))
    """Money in all, by the client's ``prices``, else by the list prices of the extra ``prices``. A model without a
    price is a ``ConfigurationError`` before anything is sent. It is kept to the billionth of a dollar."""
    name: str | None = attrs.field(default=None, validator=_name_or_none)
    """By which clients share it, through the store of their ``Limits``. What a client that is killed had drawn stays
    spent: what it needed for the calls in flight, and a second's worth of calls at most. None: it is this client's."""


_QUANTILE: Final = r"p([5-9][0-9](?:\.[0-9]{1,3})?)"


def _moment(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    is_seconds = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
    if is_seconds or (isinstance(value, str) and re.fullmatch(_QUANTILE, value)):
        return
    owner = type(instance).__name__
    message = f'{owner}.{attribute.name} must be "p50" to "p99.999", or a number of seconds above 0, not {value!r}'
    raise ConfigurationError(message)


def _share(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        owner = type(instance).__name__
        message = f"{owner}.{attribute.name} must be a share above 0, up to 1, such as 0.03, not {value!r}"
        raise ConfigurationError(message)


def _names(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple, set, frozenset)) else value


def _names_or_all(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    is_names = isinstance(value, tuple) and all(isinstance(name, str) and name for name in value)
    if not is_names and value != "all":
        owner = type(instance).__name__
        message = f'{owner}.{attribute.name} must be names of tools, such as ["pay"], or "all", not {value!r}'
        raise ConfigurationError(message)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Hedge(Value):
    """When a stream that is late is asked for a second time, beside the first: the one that has content first is read.

    The other one is closed at once; it may be billed. Both count within ``Limits`` and ``Budget``. There is no second
    attempt while the gateway throttles or is away, none that would have to queue, none while everything is slow, and
    one for each call at most. Calls that are not streamed are never asked for twice.
    """

    after: str | float = attrs.field(default="p97", validator=_moment)
    """Without content for how long a stream is late: a quantile of the last thousand or so first tokens of its model,
    ``"p50"`` to ``"p99.999"`` (before enough are known nothing is late), or seconds from sending. ``"p97"``: what is
    later than that is worth a second try, and they are few enough for the budget."""
    budget: float = attrs.field(default=0.03, validator=_share)
    """Second attempts allowed for each stream, and the tokens that they may be billed for, as a share of all tokens of
    the streams; both hold. A loser is taken to cost as much as the answer that came in its place. 0.03: three in a
    hundred."""
    unsafe_tools: tuple[str, ...] | str = attrs.field(default=(), converter=_names, validator=_names_or_all)
    """Names of tools with which a call is never made twice, or ``"all"``. Functions are called by your program, and
    only for the answer that was read, so they need not be here, but tools that the gateway itself runs may act twice;
    those are known by their ``type``."""


def as_timeouts(value: float | Timeouts, base: Timeouts) -> Timeouts:
    """Return the clocks of one call: a number is its ``total``, a ``Timeouts`` replaces *base*."""
    return value if isinstance(value, Timeouts) else attrs.evolve(base, total=value)
