"""Rules for values that go in: a rule takes a value and says what is wrong with it, or None.

What it says ends up in logs: numbers and words of an enumeration are shown, other text only as type and length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from anyfast_async.errors import escaped

Rule: TypeAlias = Callable[[Any], "str | None"]

_SHOWN_BITS = 128
"""Python refuses to write integers of more than 4300 digits."""


def shown(value: object) -> str:
    """Describe *value* for an error: numbers as they are, text and containers only by type and length."""
    match value:
        case int() if value.bit_length() > _SHOWN_BITS:
            return f"an integer of {value.bit_length()} bits"
        case bool() | int() | float() | None:
            return repr(value)
        case str() | bytes() | Sequence() | Mapping():
            unit = "characters" if isinstance(value, str) else "items"
            return f"{type(value).__name__} of {len(value)} {unit}"
    return type(value).__name__


def number(low: float, high: float) -> Rule:
    """Allow a finite number from *low* to *high*."""

    def rule(value: Any) -> str | None:
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
        return None if good else f"must be a number from {low:g} to {high:g}, not {shown(value)}"

    return rule


_INT64 = 2**63 - 1
"""The gateway is written in Go, whose ``int`` it is."""


def whole(low: int, high: float = math.inf) -> Rule:
    """Allow an integer from *low* to *high*."""
    allowed = f"an integer from {low} to {high:g}" if high < math.inf else f"an integer of at least {low}"

    def rule(value: Any) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= min(high, _INT64)
        return None if good else f"must be {allowed}, not {shown(value)}"

    return rule


def of_type(kind: type | tuple[type, ...], allowed: str) -> Rule:
    """Allow instances of *kind*."""

    def rule(value: Any) -> str | None:
        return None if isinstance(value, kind) else f"must be {allowed}, not {shown(value)}"

    return rule


def word(*words: str) -> Rule:
    """Allow one of *words*."""

    def rule(value: Any) -> str | None:
        if value in words:
            return None
        got = repr(escaped(value, 40)) if isinstance(value, str) else shown(value)
        return f"must be one of {', '.join(map(repr, words))}, not {got}"

    return rule


string = of_type(str, "a string")
boolean = of_type(bool, "True or False")
json_object = of_type(Mapping, "an object")
