"""Values of options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import pytest

from anyfast_async.cli.option_values import fields_of, share, size


@pytest.mark.parametrize(
    ("text", "count"),
    [("1", 1), ("100MiB", 100 * 2**20), ("5MB", 5_000_000), ("2 kib", 2048), ("1GiB", 2**30), ("7b", 7)],
)
def test_sizes(text: str, count: int) -> None:
    """Sizes are bytes, decimal and binary units."""
    assert count == size(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "5XB", "1.5MB", "MiB", "9" * 5000, "٣MB"])
def test_no_sizes(text: str) -> None:
    """What is no size is refused."""
    with pytest.raises(click.BadParameter, match="is no size"):
        size(text)


@pytest.mark.parametrize(("text", "found"), [("0", 0), ("20", 20), ("5%", 0.05), ("0.5%", 0.005), ("0%", 0.0)])
def test_shares(text: str, found: float) -> None:
    """A number of rows stays whole, a percentage becomes a fraction."""
    assert (found, type(found)) == (share(text), type(share(text)))


@pytest.mark.parametrize("text", ["", "%", "-1", "1.5", "100%", "nan%", "many"])
def test_no_shares(text: str) -> None:
    """What is neither is refused; all rows are no limit."""
    with pytest.raises(click.BadParameter, match="neither a number of rows"):
        share(text)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature=0", 0),
        ("temperature = 0.5 ", 0.5),
        ("stop=END", "END"),
        ('stop="a=b"', "a=b"),
        ("stop='it'", "it"),
        ('stop=["a", "b"]', ["a", "b"]),
        ("parallel_tool_calls=true", True),
        ('response_format={"type": "json_object"}', {"type": "json_object"}),
        ('response_format={type = "json_object"}', {"type": "json_object"}),
        ("seed=1_000", 1000),
        ("user=2026-01-01", "2026-01-01"),
        ('extra_body={"safety": {"level": 1}}', {"safety": {"level": 1}}),
    ],
)
def test_fields(setting: str, value: Any) -> None:
    """A value is JSON, else TOML, else a word."""
    name = setting.partition("=")[0].strip()
    assert {"n": 1, name: value} == fields_of([setting], {"n": 1})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["temperature"], "write name=value"),
        (["temperature="], "write name=value"),
        (["temprature=0"], "no field 'temprature'; did you mean 'temperature'"),
        (["messages=hi"], "no field 'messages'"),
        (["stream=true"], "no field 'stream'"),
        (["temperature=3", "n=0"], "temperature: must be a number from 0 to 2, not 3; n: must be an integer"),
        (["temperature=0", "temperature=1"], "temperature: is given twice"),
        (["max_tokens=5"], "max_tokens: is given twice"),
        (["temperature=null"], "null cannot take a field out"),
        (["temperature=nan"], "must be a number"),
        (['stop=["a"'], "neither JSON nor TOML"),
        (["stop='it''"], "neither JSON nor TOML"),
    ],
)
def test_bad_fields(settings: list[str], words: str) -> None:
    """What is no field, or no value for it, is refused, the name that was meant included."""
    with pytest.raises(click.UsageError, match=words):
        fields_of(settings, {"max_tokens": 7})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--temperature", "0"], "--set temperature=0"),
        (["--temprature=0.5"], "--set temperature=0.5"),
        (["--top-p", "0.5"], "--set top_p=0.5"),
        (["--stop", "the end"], "--set 'stop=the end'"),
        (["--seed"], "--set seed=VALUE"),
        (["--concurency", "3"], "Did you mean '--concurrency'"),
        (["--max-toknes", "3"], "--max-tokens"),
        (["--xyzzy"], "No such option '--xyzzy'"),
    ],
)
def test_a_field_as_an_option(anyfast: Callable[..., Any], words: list[str], said: str) -> None:
    """Who writes a field of the request as an option is told of --set; who misspells an option, of that."""
    ran = anyfast("batch", "-i", "in", "-o", "out", *words)

    assert 2 == ran.code
    assert said in ran.err
    assert ("--set" in ran.err) == said.startswith("--set")
