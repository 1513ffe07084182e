"""The tables of a script file fit the methods that they call."""

from __future__ import annotations

import inspect

import attrs
import pytest

from anyfast_async.simulator import Latency, Simulator, SimulatorOptions
from anyfast_async.simulator.script.script_tables import ALWAYS, ANY, MANY, ONE, Kind


@pytest.mark.parametrize("method", ["reply", "fail", "cut", "drop", "stall", "quirk", "limit"])
def test_every_argument_has_a_key(method: str) -> None:
    """The keys of a table are the arguments of the method of that name, plus ``pattern`` beside ``when``."""
    parameters = set(inspect.signature(getattr(Simulator, method)).parameters) - {"self"}
    keys = set((MANY | ONE)[method])
    assert keys == parameters | ({"pattern"} if "when" in parameters else set())


def test_every_option_has_a_key() -> None:
    """``[simulator]`` has the simulator's options but for where it listens; ``[latency]`` the fields of Latency."""
    elsewhere = {"port", "host", "latency", "max_recorded"}
    assert set(ONE["simulator"]) == set(SimulatorOptions.__annotations__) - elsewhere
    assert set(ONE["latency"]) == set(attrs.fields_dict(Latency))


def test_every_table_is_a_method_or_an_option() -> None:
    """There is no table that calls nothing."""
    assert {"latency", "simulator"} == {name for name in MANY | ONE if not hasattr(Simulator, name)}


def test_kinds_of_values() -> None:
    """A value is one of its kind or not; true and false are no numbers, and the words for None become None."""
    times, ttft, models = MANY["drop"]["times"], MANY["reply"]["ttft"], ONE["simulator"]["models"]
    assert [True, False, False, False] == [times.fits(one) for one in (1, 0, True, 1.5)]
    assert [True, True, False, False] == [ttft.fits(one) for one in (0, 1.5, -1, float("inf"))]
    assert [None, 3] == [times.convert(one) for one in (ALWAYS, 3)]
    assert [None, ["m"]] == [models.convert(one) for one in (ANY, ["m"])]


def test_all_kinds_say_what_is_allowed() -> None:
    """Every key of every table can tell a user what to write."""
    kinds: list[Kind] = [kind for table in (MANY | ONE).values() for kind in table.values()]
    assert [] == [kind for kind in kinds if not kind.allowed]
