"""Limits, clocks, retries, budget: ranges, defaults, and that they are values."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest

from anyfast_async.errors import ConfigurationError
from anyfast_async.policies import AutoConcurrency, Budget, Limits, RetryPolicy, Timeouts, as_timeouts

NAN, INF = float("nan"), float("inf")

GOOD: list[tuple[type[Any], str, list[Any]]] = [
    (Limits, "concurrency", [1, 10**9]),
    (Limits, "requests_per_minute", [None, 1, 10**9]),
    (Limits, "tokens_per_minute", [None, 1]),
    (Limits, "max_queued", [None, 0, 5]),
    (Limits, "store", [None, "redis://host", Path("file")]),
    (Limits, "on_store_error", ["local_share", "wait", "fail"]),
    (Limits, "local_share", [None, 0.001, 1]),
    *[(Timeouts, n, [None, 0.001, 1, 1e9]) for n in ("connect", "first_token", "idle", "response", "total")],
    (RetryPolicy, "attempts", [1, 100]),
    (RetryPolicy, "backoff", [(0, 0), (1, 30), (0.5, 0.5)]),
    (RetryPolicy, "retry_ratio", [0, 0.5, 1]),
    (RetryPolicy, "throttle_patience", [0, 0.5, 1e9]),
    (RetryPolicy, "max_retry_after", [None, 0, 3600]),
    (RetryPolicy, "first_hold", [None, 0.5, 60]),
    (RetryPolicy, "outage_patience", [0, 3600]),
    (RetryPolicy, "resend_after_timeout", [True, False]),
    (Budget, "tokens", [None, 0, 1]),
    (Budget, "requests", [None, 0, 1]),
    (Budget, "usd", [None, 0, 0.01, 5]),
    (Budget, "name", [None, "march"]),
]
BAD: list[tuple[type[Any], str, list[Any]]] = [
    (Limits, "concurrency", [0, -1, 1.0, True, None, "5", NAN]),
    (Limits, "requests_per_minute", [0, 0.5, True, "5"]),
    (Limits, "tokens_per_minute", [0, 1.5]),
    (Limits, "max_queued", [-1, 1.0, False]),
    (Limits, "store", ["memory", 7, b"redis://host"]),
    (Limits, "on_store_error", ["", None, "raise"]),
    (Limits, "local_share", [0, 1.1, NAN, "1"]),
    *[(Timeouts, n, [0, -1, NAN, True, "5", 0.0009]) for n in ("connect", "first_token", "idle", "response", "total")],
    (RetryPolicy, "attempts", [0, 1.0, None, True]),
    (RetryPolicy, "backoff", [(2, 1), (-1, 1), (1,), (1, 2, 3), 5, None, ("1", "2"), (NAN, 1), (1, NAN)]),
    (RetryPolicy, "retry_ratio", [-0.1, 1.1, NAN, None]),
    (RetryPolicy, "throttle_patience", [-1, NAN, None]),
    (RetryPolicy, "max_retry_after", [-1, NAN, "1"]),
    (RetryPolicy, "first_hold", [0, -1, NAN, "1"]),
    (RetryPolicy, "outage_patience", [-1, NAN, None]),
    (RetryPolicy, "resend_after_timeout", [1, None, "yes"]),
    (Budget, "tokens", [-1, 1.0, True]),
    (Budget, "requests", [-1, "1"]),
    (Budget, "usd", [-0.01, NAN, True, "5"]),
    (Budget, "name", ["", " ", 5, True]),
]


def test_every_field_is_tried() -> None:
    """The tables below name every field of every policy."""
    names = sorted((c.__name__, a.name) for c in (Limits, Timeouts, RetryPolicy, Budget) for a in attrs.fields(c))
    for table in (GOOD, BAD):
        assert names == sorted((c.__name__, n) for c, n, _ in table)


@pytest.mark.parametrize(("cls", "name", "value"), [(c, n, v) for c, n, values in GOOD for v in values])
def test_good_value(cls: type[Any], name: str, value: Any) -> None:
    """The lowest and usual values of each setting are taken."""
    assert value == getattr(cls(**{name: value}), name)


@pytest.mark.parametrize(("cls", "name", "value"), [(c, n, v) for c, n, values in BAD for v in values])
def test_bad_value(cls: type[Any], name: str, value: Any) -> None:
    """A value out of range or of another type is refused when the policy is made, and the message names the setting."""
    if name == "resend_after_timeout":
        with pytest.raises((ConfigurationError, TypeError), match=name):
            cls(**{name: value})
        return
    with pytest.raises(ConfigurationError, match=rf"^{cls.__name__}\.{name} must be "):
        cls(**{name: value})


def test_a_flag_that_is_none_is_a_configuration_error() -> None:
    """A setting of the wrong type is one of our exceptions, whichever setting it is."""
    with pytest.raises(ConfigurationError):
        RetryPolicy(resend_after_timeout="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [(True, 2), (0, True), [1, 30]])
def test_backoff_is_a_pair_of_numbers(value: Any) -> None:
    """The waits are two numbers in a tuple: no bools, and nothing that can change under a frozen policy."""
    try:
        assert isinstance(RetryPolicy(backoff=value).backoff, tuple)
    except ConfigurationError:
        return
    assert list is type(value), "a bool was taken for seconds"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Limits(concurrency=0),
            'Limits.concurrency must be a whole number from 1 up, "auto" or AutoConcurrency(...), not 0',
        ),
        (
            lambda: Limits(concurrency="many"),  # type: ignore[arg-type]
            "Limits.concurrency must be a whole number from 1 up, \"auto\" or AutoConcurrency(...), not 'many'",
        ),
        (
            lambda: AutoConcurrency(start=8, most=4),
            "AutoConcurrency takes least <= start <= most, not least=1, start=8, most=4",
        ),
        (lambda: AutoConcurrency(least=0), "AutoConcurrency.least must be a whole number from 1 up, not 0"),
        (lambda: Limits(max_queued=-1), "Limits.max_queued must be a whole number from 0 up or None, not -1"),
        (lambda: Timeouts(idle=0), "Timeouts.idle must be a number from 0.001 up or None, not 0"),
        (lambda: RetryPolicy(retry_ratio=2), "RetryPolicy.retry_ratio must be 0 to 1, not 2"),
        (lambda: RetryPolicy(backoff=(2, 1)), "RetryPolicy.backoff must be (first, longest) seconds, not (2, 1)"),
    ],
)
def test_messages(make: Any, message: str) -> None:
    """The message says the setting, what is allowed and what was given."""
    with pytest.raises(ConfigurationError) as found:
        make()
    assert message == str(found.value)


def test_defaults() -> None:
    """The documented defaults."""
    assert (200, None, None, None) == attrs.astuple(Limits())[:4]
    assert {"connect": 10, "first_token": 300, "idle": 120, "response": 600, "total": None} == attrs.asdict(Timeouts())
    assert {
        "attempts": 4,
        "backoff": (1, 30),
        "retry_ratio": 0.2,
        "throttle_patience": 120,
        "max_retry_after": None,
        "first_hold": None,
        "outage_patience": 1800,
        "resend_after_timeout": False,
    } == attrs.asdict(RetryPolicy())
    assert {"tokens": None, "requests": None, "usd": None, "name": None} == attrs.asdict(Budget())


@pytest.mark.parametrize("policy", [Limits(), Timeouts(), RetryPolicy(), Budget()], ids=lambda p: type(p).__name__)
def test_policies_are_values(policy: Any) -> None:
    """Policies are frozen, equal by content, hashable, and go through pickle and copy."""
    again = pickle.loads(pickle.dumps(policy))  # noqa: S301 - our own
    assert policy == type(policy)() == again == copy.deepcopy(policy)
    assert hash(policy) == hash(type(policy)())
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(policy, attrs.fields(type(policy))[0].name, 5)
    with pytest.raises(TypeError):
        type(policy)(5)


def test_as_timeouts() -> None:
    """A number is the call's total over the client's other clocks, a Timeouts replaces them all; both are checked."""
    base = Timeouts(idle=7, total=99)
    assert Timeouts(idle=7, total=5) == as_timeouts(5, base)
    assert Timeouts(connect=1) == as_timeouts(Timeouts(connect=1), base)
    with pytest.raises(ConfigurationError, match=r"Timeouts.total must be a number from 0.001 up or None, not 0"):
        as_timeouts(0, base)


# -- a store of limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("store", "problem"),
    [
        (
            "memcached://host",
            "must be an address that begins with one of valkey://, valkeys://, redis://, rediss://, unix://, sqlite://",
        ),
        ("localhost:6379", "must be an address that begins with one of"),
        ("redis://", "must be an address with a host,"),
        ("redis://user:secret-word@:6379", "must be an address with a host,"),
        ("redis://host:port", "must be an address with a host and a port that is a number,"),
        ("redis://:p@ss/secret-word@host", "must be an address whose password is encoded: %2F for /"),
        ("redis://host:6379/cache", "must be an address whose path is the number of a database, as in redis://host"),
        ("sqlite://", "must be an address with a path,"),
        ("unix:///", "must be an address with a path,"),
        (7, r"must be an address, a pathlib.Path, or an object with the method ask\(\)"),
    ],
)
def test_a_store_that_cannot_be_is_refused(store: object, problem: str) -> None:
    """The error says what is wrong, and shows no password."""
    with pytest.raises(ConfigurationError, match=f"^Limits.store {problem}") as caught:
        Limits(store=store)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host", "redis://host"),
        ("valkey://user:pass@host:1/2", "valkey://user:***@host:1/2"),
        ("rediss://:p@ss%2Fw:rd@host", "rediss://:***@host"),
        ("redis://token@host", "redis://***@host"),
        ("unix://:pass@/run/s", "unix://:***@/run/s"),
        ("redis://host?password=pass&db=1", "redis://host?password=***&db=1"),
    ],
)
def test_no_store_shows_its_password(url: str, shown: str) -> None:
    """In no form in which a program may come to print it."""
    limits = Limits(store=url)
    for text in (f"{limits.store}", str(limits.store), format(limits.store)):
        assert text == shown
    assert repr(limits.store) in repr(limits)
    assert copy.deepcopy(limits) == limits == Limits(store=url)
    assert limits.store.whole() == url


def test_what_to_do_without_the_store_is_checked() -> None:
    """Words and shares that are none are refused."""
    with pytest.raises(ConfigurationError, match="must be one of 'local_share', 'wait', 'fail', not 'ignore'"):
        Limits(on_store_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"Limits.local_share must be 0.001 to 1 or None, not 2"):
        Limits(local_share=2)
