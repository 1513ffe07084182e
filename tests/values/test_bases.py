"""How classes made of fields are shown and compared."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from anyfast_async import Limits, Timeouts, Usage, UserMessage
from anyfast_async._values.bases import Shown, Value


@attrs.define
class Plain:
    """As attrs shows it."""

    name: str
    secret: str = attrs.field(default="s", repr=False)
    _inner: Any = None
    late: int = attrs.field(init=False)


@attrs.define(repr=False)
class Ours(Shown):
    """The same, shown by our own."""

    name: str
    secret: str = attrs.field(default="s", repr=False)
    _inner: Any = None
    late: int = attrs.field(init=False)


def test_it_shows_what_attrs_shows() -> None:
    """Fields by name, but those that are not to be shown; one without a value, and an object in itself, too."""
    plain, ours = Plain("a\n"), Ours("a\n")
    assert repr(ours) == repr(plain).replace("Plain", "Ours")
    plain.late = ours.late = 7
    plain._inner, ours._inner = [plain], [ours]
    assert repr(ours) == repr(plain).replace("Plain", "Ours")


def test_a_class_in_a_function() -> None:
    """A class is called by its name alone, as attrs does it."""

    @attrs.frozen(repr=False)
    class Inner(Shown):
        size: int = 1

    assert repr(Inner()) == "Inner(size=1)"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (UserMessage("Hi"), "UserMessage(content='Hi')"),
        (Timeouts(total=5), "Timeouts(connect=10.0, first_token=300.0, idle=120.0, response=600.0, total=5)"),
        (
            Limits(),
            (
                "Limits(concurrency=200, requests_per_minute=None, tokens_per_minute=None, max_queued=None, "
                "store=None, on_store_error='local_share', local_share=None)"
            ),
        ),
    ],
)
def test_public_classes(value: object, wanted: str) -> None:
    """Messages and policies."""
    assert repr(value) == wanted


def test_what_an_answer_does_not_show() -> None:
    """Which fields were blank is not shown, what is unknown is."""
    usage = Usage(total_tokens=3, extra={"odd": 1}, blank={"prompt_tokens": None})
    assert repr(usage).endswith("extra={'odd': 1})")


@attrs.frozen(eq=False, repr=False)
class Pair(Value):
    """A value."""

    left: Any
    right: Any = attrs.field(default=None, eq=False)


@attrs.frozen(eq=False, repr=False)
class Other(Value):
    """Another one with the same fields."""

    left: Any
    right: Any = attrs.field(default=None, eq=False)


def test_values_are_compared_by_class_and_fields() -> None:
    """Fields that are not to be compared are not; a value equals nothing of another class."""
    assert Pair(1, 2) == Pair(1, 3)
    assert Pair(1) != Pair(2)
    assert Pair(1) != Other(1)
    assert Pair(1) != 1
    assert {Pair(1, 2): "found"}[Pair(1, 3)] == "found"
    assert Usage(total_tokens=3, blank={"a": None}) == Usage(total_tokens=3)
    assert UserMessage("a") != UserMessage("b")
    with pytest.raises(TypeError, match="unhashable"):
        hash(Pair([]))
