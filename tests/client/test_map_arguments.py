"""The arguments of a map, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen

from anyfast_async import AnyFast, ConfigurationError, Limits
from anyfast_async._client.map_arguments import kinds_of
from anyfast_async._map.map_run import MapRun

if TYPE_CHECKING:
    from conftest import Connect

    from anyfast_async.simulator import Simulator


@pytest.mark.parametrize("source", ["one prompt", b"bytes", {"role": "user", "content": "x"}])
async def test_one_prompt_is_no_source(client: AnyFast, source: Any) -> None:
    """A string is not taken apart into letters."""
    with pytest.raises(ConfigurationError, match="iterable of prompts"):
        _: MapRun[Any] = client.map(source)


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, True, "8"])
async def test_concurrency_is_checked(client: AnyFast, concurrency: Any) -> None:
    """The message names the argument and its range."""
    with pytest.raises(ConfigurationError, match="concurrency must be a whole number from 1 up"):
        _: MapRun[Any] = client.map(["x"], concurrency=concurrency)


async def test_more_at_once_than_the_limit_is_said(connect: Connect, sim: Simulator) -> None:
    """Once, with both numbers; the default says nothing, as nobody asked for it."""
    client = connect(sim.base_url, limits=Limits(concurrency=2))
    assert len(await client.map(["a"])) == 1
    with pytest.warns(UserWarning, match=r"map\(concurrency=64\) is more than Limits\(concurrency=2\)") as caught:
        assert len(await client.map(["a"], concurrency=64)) == 1
    assert (len(caught), caught[0].filename) == (1, __file__)
    for allowed in (64, 2):
        assert len(await client.map(["a"], concurrency=allowed)) == 1


def test_kinds_that_stop() -> None:
    """One word or several; a word is not taken apart into letters, and an unknown one is refused."""
    assert [kinds_of("auth"), kinds_of(["auth", "quota"]), kinds_of(())] == [{"auth"}, {"auth", "quota"}, set()]
    with pytest.raises(ConfigurationError, match=r"stop_on takes kinds of errors \(.*quota.*\), not 'qota'"):
        kinds_of(("qota",))


@frozen
class Row:
    """A row as an object."""

    text: str
    id: int = 7


async def test_a_template_makes_prompts(sim: Simulator, client: AnyFast) -> None:
    """Of dicts by their keys, nested ones too, of objects by their fields, of a text as itself; bad rows are values."""
    items = ["plain", {"text": "dict", "id": 8}, Row("object"), {"txt": "typo"}, {"text": None}, {"text": b"bytes"}]

    results = await client.map(items, template="Label: {text}")

    said = [request.body["messages"][-1]["content"] for request in sim.requests]
    assert ["Label: dict", "Label: object", "Label: plain"] == sorted(said)
    assert [None, 8, 7] == [result.id for result in results[:3]]
    problems = ["has no text; it has txt", "nothing stands in text", "text: holds bytes, not text"]
    assert all(problem in str(result.error) for problem, result in zip(problems, results[3:], strict=True))


@pytest.mark.parametrize(
    ("template", "words"),
    [("{text", "no partner"), ("hello", "no column is named"), (7, "must be text such as"), ("{__class__}", None)],
)
async def test_templates_that_cannot_be(client: AnyFast, template: Any, words: str | None) -> None:
    """A template that is none is refused before anything is sent; what is private is no field."""
    if words is None:
        (result,) = await client.map([Row("a")], template=template)
        assert "has no __class__" in str(result.error)
        return
    with pytest.raises(ConfigurationError, match=words):
        await client.map(["a"], template=template)


async def test_one_of_two_makes_the_prompt(client: AnyFast) -> None:
    """A function and a template together are refused."""
    with pytest.raises(ConfigurationError, match="give one of them"):
        await client.map(["a"], template="{text}", request=str)


async def test_splits_are_named(client: AnyFast) -> None:
    """A dict of data sets is not one of them; the message names those that there are."""

    class DatasetDict(dict[str, list[str]]):
        pass

    with pytest.raises(ConfigurationError, match=r"one split of a DatasetDict.*its splits: 'train', 'test'"):
        await client.map(DatasetDict(train=["a"], test=["b"]), template="{text}")
