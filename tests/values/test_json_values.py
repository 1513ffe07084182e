"""What callers give: values that contain themselves, deep ones, and ones that JSON cannot hold, through every entrance.

``data/cases/requests.json`` holds values, where they are put in, and what has to come of it.
"""

from __future__ import annotations

import ast
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import json
import math
import re
import uuid
from collections import UserDict
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.json import codec, jsontext
from anyfast_async._values import json_reading, json_values
from anyfast_async._values.json_values import MAX_DEPTH, problems_of_json
from anyfast_async.errors import RequestValidationError
from anyfast_async.messages import ImagePart
from anyfast_async.openai import AsyncOpenAI, BadRequestError
from anyfast_async.requests import ChatRequest

if TYPE_CHECKING:
    from conftest import Connect

    from anyfast_async import AnyFast
    from anyfast_async.simulator import Simulator

MODEL: Final = "gemini-2.5-pro"
ROWS: Final = json.loads((Path(__file__).parents[1] / "data" / "cases" / "requests.json").read_text())


# -- values ----------------------------------------------------------------------------------------------------------


def nested(levels: int, *, lists: bool = False) -> Any:
    """A value so many levels deep."""
    value: Any = 1
    for _ in range(levels):
        value = [value] if lists else {"d": value}
    return value


def cycle(kind: str) -> Any:
    """A value that contains itself."""
    if kind == "cycle-list":
        items: list[Any] = [1]
        items.append({"again": items})
        return items
    value: dict[str, Any] = {"k": 1}
    value["again"] = value
    return value


def bomb(levels: int) -> Any:
    """A small value that comes to 2 to the power of *levels* when written out."""
    value: Any = [1]
    for _ in range(levels):
        value = [value, value]
    return value


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    _hidden: object = None


VALUES: Final[dict[str, Any]] = {
    "decimal": {"price": decimal.Decimal("1.10")},
    "bytes": {"blob": b"\x00\x01"},
    "bytearray": {"raw": bytearray(b"x")},
    "set": {"tags": {"a"}},
    "fraction": {"share": fractions.Fraction(1, 3)},
    "object": {"thing": object()},
    "complex": {"phase": 1j},
    "pydantic": {"model_value": pydantic.create_model("P", x=(int, 1))()},
    "attrs": {"attrs_value": attrs.make_class("A", ["x"])(1)},
}


def value_of(name: str) -> Any:
    if name.startswith("cycle"):
        return cycle(name)
    if name.startswith("deep"):
        kind, _, levels = name.partition("-")
        return nested(int(levels), lists=kind == "deeplist")
    return VALUES[name]


def placed(value: Any, field: str) -> dict[str, Any]:
    """The arguments of a call that has *value* in this field."""
    match field:
        case "extra_body":
            return {"extra_body": {"outer": value}}
        case "metadata":
            return {"extra_body": {"metadata": [0, value]}}
        case "tools":
            return {"tools": [{"type": "function", "function": {"name": "f", "parameters": value}}]}
    return {"messages": [{"role": "user", "content": "q", "note": value}]}


# -- through every entrance ------------------------------------------------------------------------------------------

WAYS: Final = ("complete", "stream", "map", "map-row", "request", "door-create", "door-stream")


async def asked(client: AnyFast, how: str, arguments: dict[str, Any]) -> None:
    """Ask so; an error comes out."""
    prompt = arguments.pop("messages", "q")
    match how:
        case "complete":
            await client.complete(prompt, **arguments)
        case "stream":
            _ = client.stream(prompt, **arguments)  # without an await
        case "map":
            (await client.map([prompt], **arguments))[0].unwrap()
        case "map-row":
            made = {"messages": prompt, "model": MODEL, **arguments}
            (await client.map([0], request=lambda _: ChatRequest(**made)))[0].unwrap()
        case "request":
            ChatRequest(prompt, **arguments)
        case _:
            messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
            async with AsyncOpenAI(api_key="sk-0", base_url=client._calls.setup.base_url) as door:
                answer: Any = await door.chat.completions.create(
                    model=MODEL, messages=messages, stream=how == "door-stream", **arguments
                )
                if how == "door-stream":
                    await answer.close()


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    "row", [row for row in ROWS if row["input"]["recipe"] == "python_value"], ids=lambda row: row["name"]
)
async def test_the_table(row: dict[str, Any], how: str, sim: Simulator, client: AnyFast) -> None:
    """Whatever cannot be sent is refused before anything is, with its path, by every way in."""
    given, expect = row["input"], row["expect"]
    if how.startswith("door") and given["value"] == "pydantic":
        pytest.skip("the door takes objects of that library as their JSON")
    with pytest.raises((RequestValidationError, BadRequestError)) as caught:
        await asked(client, how, placed(value_of(given["value"]), given["field"]))
    for word in expect.get("message_has", ()):
        assert word in str(caught.value)
    assert sim.requests == []


@pytest.mark.parametrize("field", ["extra_body", "metadata", "tools", "messages"])
@pytest.mark.parametrize("how", WAYS)
async def test_a_small_value_that_comes_to_much(how: str, field: str, sim: Simulator, client: AnyFast) -> None:
    """The same list in itself sixty times over would be 2 to the 60 values: refused, after a look at each list once."""
    with pytest.raises((RequestValidationError, BadRequestError), match="values when written out"):
        await asked(client, how, placed(bomb(60), field))
    assert sim.requests == []


@pytest.mark.parametrize("how", [way for way in WAYS if way != "request"])
async def test_what_is_shared_but_no_more_is_sent(how: str, sim: Simulator, client: AnyFast) -> None:
    """The same value at several places is written out at each, as deep as is allowed."""
    shared = nested(MAX_DEPTH - 1)
    await asked(client, how, {"extra_body": {"outer": [shared, shared]}} if how != "stream" else {})
    if how != "stream":
        assert sim.requests[0].body["outer"] == [shared, shared]


# -- the bounds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lists", [False, True])
def test_as_deep_as_is_allowed(lists: bool) -> None:
    """A field of the body may be 200 levels deep, whichever it is; one level more is named."""
    for field, around in (("extra_body", 0), ("tools", 3), ("messages", 2)):
        deepest = placed(nested(MAX_DEPTH - around, lists=lists), field)
        ChatRequest(**{"messages": "q", **deepest})
        with pytest.raises(RequestValidationError, match=r"\.\.\..*: is nested deeper than 200 levels"):
            ChatRequest(**{"messages": "q", **placed(nested(MAX_DEPTH - around + 1, lists=lists), field)})


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"a": math.nan}, "v.a: is nan, which JSON cannot hold; pass None"),
        ({"a": [-math.inf]}, "v.a[0]: is -inf, which JSON cannot hold; pass None"),
        ({"a": 1 << 2048}, "v.a: is an integer of 2049 bits"),
        ({1: 2}, "v: has the key 1, and keys of JSON objects are strings"),
        ({"a": {None: 2}}, "v.a: has the key None, and keys of JSON objects are strings"),
        ({"a b": {"": {1}}}, "v['a b']['']: is a set, which JSON cannot hold; pass a list"),
        ({"a\n": {1}}, r"v['a\n']: is a set, which JSON cannot hold; pass a list"),
        ([dt.time(1, tzinfo=dt.UTC)], "v[0]: is a time with a time zone; pass x.isoformat()"),
        ([ImagePart("https://x")], "v[0]: is a ImagePart, which JSON cannot hold; a dict goes out as it is: put it"),
        ([Path("a.png")], "which JSON cannot hold; a dict goes out as it is: put it into a UserMessage"),
        ([type], "v[0]: is a type, which JSON cannot hold"),
        ([Point], "v[0]: is a type, which JSON cannot hold"),
        ([Point(1j)], "v[0].x: is a complex, which JSON cannot hold"),  # type: ignore[arg-type]
        (VALUES["pydantic"], "v.model_value: is a P, which JSON cannot hold; pass x.model_dump(mode='json')"),
        (VALUES["attrs"], "v.attrs_value: is a A, which JSON cannot hold; pass attrs.asdict(x)"),
        ({"a": {"b": [(cycle("cycle-dict"),)]}}, "v.a.b[0][0].again: contains itself: it is v.a.b[0][0] again"),
        (cycle("cycle-list"), "v[1].again: contains itself: it is v again"),
    ],
)
def test_what_is_said(value: Any, found: str) -> None:
    """Each problem is named with its place, its type and, where there is one, the way out."""
    (problem,) = problems_of_json("v", value)
    assert found in str(problem)


def test_every_problem_is_named_up_to_twenty() -> None:
    """All of them at once, in their order; of thousands the first twenty, and what stands there twice once."""
    shared = [1j]
    found = problems_of_json("v", {"a": {1}, "b": [b""], "c": shared, "d": shared})
    assert ["v.a", "v.b[0]", "v.c[0]"] == [problem.path for problem in found]
    assert [f"v[{i}]" for i in range(20)] == [problem.path for problem in problems_of_json("v", [1j] * 1_000)]


@pytest.mark.parametrize(
    "value",
    [
        *({"a": Colour.RED}, [Point(1)], [dt.date(2025, 1, 2), dt.datetime(2025, 1, 2, tzinfo=dt.UTC), dt.time(1)]),
        *([uuid.UUID(int=1)], MappingProxyType({"a": UserDict({"b": (1,)})}), [2**2048 - 1], "a \ud800", 5, None),
    ],
)
def test_what_can_be_sent_beside_plain_values(value: Any) -> None:
    """Enums, dataclasses, dates, other mappings, large integers and half a surrogate pass, and are written."""
    assert [] == problems_of_json("v", value)
    for written in (value, {"half": "\ud800", "value": value}):  # which orjson refuses
        assert jsontext.dumps(written)


def test_many_characters_are_bounded_too() -> None:
    """A long text at many places is bounded by what it comes to."""
    with patch.object(json_values, "MAX_CHARACTERS", 10**6):
        assert [] == problems_of_json("v", ["x" * 1_000] * 1_000)
        (problem,) = problems_of_json("v", [["x" * 1_000] * 1_000, "x"])
    assert "comes to 1,000,001 characters when written out" in problem.problem


def test_a_value_is_looked_at_once() -> None:
    """The work grows with what is there: a ladder of n lists, each twice in the next, is n looks, not 2 to the n."""
    looks = 0
    items = json_values._items

    def counted(value: Any) -> Any:
        nonlocal looks
        looks += isinstance(value, list)
        return items(value)

    with patch.object(json_values, "_items", counted):
        problems_of_json("v", bomb(150))
    assert looks == 1 + 2 * 150


# -- any value -------------------------------------------------------------------------------------------------------


class Bad:
    """What JSON has no shape for."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bad)

    def __hash__(self) -> int:
        return 1


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), max_size=20)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=2) | st.builds(Bad)
    | st.sampled_from([2**63, -(2**64), 2**2048, 1j, decimal.Decimal(1), frozenset({1}), Colour, math.inf])
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(NAMES | st.integers(), inner, max_size=4)
    ),
    max_leaves=25,
)


def as_json(value: Any) -> Any:
    """What comes back of a value: tuples as lists, halves of surrogate pairs replaced."""
    match value:
        case str():
            return json_reading.mended(value)
        case dict():
            return {as_json(name): as_json(item) for name, item in value.items()}
        case list() | tuple():
            return [as_json(item) for item in value]
    return value


def at(value: Any, path: str) -> Any:
    """The place in *value* that a path leads to."""
    for step in re.findall(r"\.[A-Za-z_$][\w$-]*|\[\d+\]|\[(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\]", path):
        value = value[step[1:] if step[0] == "." else ast.literal_eval(step)[0]]
    return value


def is_bad(value: Any) -> bool:
    """Whether JSON cannot hold it as it is."""
    if isinstance(value, dict):
        return any(not isinstance(name, str) for name in value)
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, int):
        return value.bit_length() > 2048
    return not isinstance(value, (str, list, tuple, type(None)))


@given(TREES)
def test_any_value_is_written_or_named(value: Any) -> None:
    """A value comes back equal from its JSON, or every path in the error leads to something that JSON cannot hold."""
    extra = {"v": value}
    found = problems_of_json("extra_body", extra, level=0)
    assert all(is_bad(at(extra, problem.path.removeprefix("extra_body"))) for problem in found)
    if found:
        with pytest.raises(RequestValidationError) as caught:
            ChatRequest("q", extra_body=extra)
        assert tuple(found) == caught.value.errors
    else:
        body = codec.encode(ChatRequest("q", extra_body=extra), stream=False)
        assert as_json(value) == json.loads(body)["v"]


@st.composite
def graphs(draw: st.DrawFn) -> Any:
    """Containers that hold each other as it comes: shared, in cycles, deep."""
    nodes: list[Any] = [[] if draw(st.booleans()) else {} for _ in range(draw(st.integers(1, 12)))]
    for node in nodes:
        for number in range(draw(st.integers(0, 3))):
            other = draw(st.sampled_from([*nodes, 1, "x"]))
            if isinstance(node, list):
                node.append(other)
            else:
                node[f"k{number}"] = other
    return nodes[0]


def contains_itself(value: Any) -> bool:
    """Whether the parts that hold no container that is left, taken away over and over, leave something."""
    parts: dict[int, Any] = {}
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, (list, dict)) and id(one) not in parts:
            parts[id(one)] = [*one.values()] if isinstance(one, dict) else one
            left += parts[id(one)]
    while done := [number for number, items in parts.items() if not any(id(item) in parts for item in items)]:
        for number in done:
            del parts[number]
    return bool(parts)


@given(graphs())
def test_any_graph_is_written_or_its_cycle_named(value: Any) -> None:
    """A cycle is found exactly where there is one, and its path leads to a container around it."""
    found = problems_of_json("v", value)
    assert bool(found) == contains_itself(value)
    for problem in found:
        place, again = problem.path, re.fullmatch(r"contains itself: it is v(.*) again", problem.problem)
        assert again is not None
        assert at(value, place[1:]) is at(value, again[1])
        assert place.startswith("v" + again[1])


async def test_a_request_that_was_changed_later(sim: Simulator, connect: Connect) -> None:
    """A ``ChatRequest`` whose dicts were made endless after its check is refused unsent all the same."""
    extra: dict[str, Any] = {}
    made = ChatRequest("q", extra_body=extra)
    extra["a"] = [extra]
    client = connect(sim.base_url)
    with pytest.raises(RequestValidationError, match="contains itself"):
        await client.complete(made)
    assert sim.requests == []
