"""The values that observers are given."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from anyfast_async import observing
from anyfast_async.completions import Trace
from anyfast_async.errors import Attempt
from anyfast_async.observing import AttemptEnd, AttemptStart, CallEnd, CallInfo, Destination, FirstContent

DESTINATION = Destination("chat", "gemini-2.5-pro", "gemini-2.5-pro at https://a, key 1", "a", 443, streamed=False)
CALL = CallInfo("0" * 32, DESTINATION, in_map=False)
END = CallEnd(CALL, "ok", None, 200, "r", Trace(), "yes", None, "c", "gemini-2.5-pro", ("stop",))


@pytest.mark.parametrize(
    "value",
    [
        DESTINATION,
        CALL,
        AttemptStart(CALL, 1, 0.0, 0.0),
        FirstContent(CALL, 1, 0.5),
        AttemptEnd(CALL, Attempt(1, "ok", 200, 0.1, "yes"), "r", None, None),
        END,
    ],
)
def test_values_do_not_change(value: Any) -> None:
    """No observer can change what the next one hears; equal values are equal, and can be kept in sets."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, attrs.fields(type(value))[0].name, None)

    assert value == attrs.evolve(value)
    assert 1 == len({value, attrs.evolve(value)})


@pytest.mark.parametrize(("outcome", "ok"), [("ok", True), ("left", True), ("cancelled", False), ("rate_limit", False)])
def test_a_call_is_ok_if_it_has_its_answer(outcome: str, ok: bool) -> None:
    """A stream that its reader left is no failure."""
    assert ok == attrs.evolve(END, outcome=outcome).ok


def test_a_call_says_where_it_goes() -> None:
    """What many calls have in common can be asked of each of them."""
    assert all(getattr(CALL, field.name) == getattr(DESTINATION, field.name) for field in attrs.fields(Destination))


def test_every_name_is_there() -> None:
    """What the module offers is what it has."""
    assert sorted(observing.__all__) == sorted(
        name for name, value in vars(observing).items() if getattr(value, "__module__", "") == observing.__name__
    )
