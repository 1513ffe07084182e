"""Prices on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from anyfast_async._core.usage import Used
from anyfast_async.cli.display.money import cost_json, prices_of, spent_in_words
from anyfast_async.prices import Price, Prices, Spent

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator

PRICES = Prices("USD", {"m": Price(1, 2)}, "your file p.toml")


def spent(*calls: tuple[str, Used | None]) -> Spent:
    found = Spent()
    for model, used in calls:
        found.add(model, used)
    return found


KNOWN = ("m", Used(1_000_000, 1_000_000))


@pytest.mark.parametrize(
    ("counted", "words", "cost"),
    [
        (spent(), "0.00 USD (your file p.toml)", 0.0),
        (spent(KNOWN, KNOWN), "6.00 USD (your file p.toml)", 6.0),
        (spent(("m", None)), "not known: 1 row without usage", None),
        (
            spent(KNOWN, ("m", None), ("m", None)),
            "3.00 USD (your file p.toml) and 2 rows without usage, whose cost is not known",
            3.0,
        ),
        (spent(KNOWN, ("other", Used(1, 1))), "not known: no price for other (your file p.toml)", None),
    ],
)
def test_a_sum_names_its_source_and_what_it_leaves_out(counted: Spent, words: str, cost: float | None) -> None:
    """What is not known is said, and is never 0.00."""
    assert words == spent_in_words(PRICES, counted)
    assert cost == cost_json(PRICES, counted)["cost"]


def test_without_prices_there_is_no_cost() -> None:
    """A program gets null, and still the rows without usage."""
    assert cost_json(None, spent(KNOWN, ("m", None))) == {
        "usage_missing": 1,
        "cost": None,
        "currency": None,
        "price_source": None,
    }


def test_a_file_wins_over_the_list(tmp_path: Path) -> None:
    """Own prices are used where there are any, the list where there are none."""
    path = tmp_path / "p.toml"
    path.write_text('[models."gemini-2.5-pro"]\nprompt = 7\ncompletion = 8\n')
    own, listed = prices_of(str(path), 1.0), prices_of(None, 2.0)

    assert own is not None
    assert listed is not None
    assert own.price("gemini-2.5-pro") == Price(7, 8)
    assert listed.source.endswith(", times 2")
    with pytest.raises(click.UsageError, match=r"cannot read .*: No such file"):
        prices_of(str(tmp_path / "none.toml"), 1.0)


def test_everybody_tells_the_same_sum(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """The batch and ``results``, in words and as JSON, with the list prices and a factor."""
    gateway.reply("x", usage={"prompt_tokens": 1_000_000, "completion_tokens": 100_000, "total_tokens": 1_100_000})
    source, out = write_batch("a", "b"), tmp_path / "out.jsonl"

    ran = anyfast("batch", "-i", source, "-o", out, "--price-factor", "0.5")
    read = anyfast("results", out, "--price-factor", "0.5")
    told = anyfast("results", out, "--price-factor", "0.5", "--json")

    assert "0.55 USD (list price of" in ran.out
    assert "0.55 USD (list price of" in read.out
    assert '"cost":0.55,"currency":"USD","price_source":"list price of' in told.out.replace(": ", ":")


def test_what_is_not_known_is_said(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """Seventeen answers whose usage says nothing: the summary counts them, and tells no cost."""
    gateway.reply("x", usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})
    source = write_batch(*(f"row {n}" for n in range(17)))

    ran = anyfast("batch", "-i", source, "-o", tmp_path / "out.jsonl")

    assert "17 rows without usage" in ran.out
    assert "spent" in ran.out
    assert "0.00 USD" not in ran.out


def test_thinking_beside_the_completion_is_paid(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """What the total has beyond prompt and completion costs as completion; two models have one sum."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 51_100}
    gateway.reply("x", usage=usage)
    prices = tmp_path / "prices.toml"
    models = (
        '[models."gemini-2.5-flash"]\nprompt = 1\ncompletion = 10',
        '[models."gemini-2.5-pro"]\nprompt = 2\ncompletion = 20',
    )
    prices.write_text('currency = "USD"\n' + "\n".join(models))
    one = write_batch(*(f"row {n}" for n in range(20)))
    mixed = tmp_path / "two.jsonl"
    lines = one.read_text().splitlines(keepends=True)
    mixed.write_text("".join(lines[:10]) + "".join(lines[10:]).replace("gemini-2.5-flash", "gemini-2.5-pro"))

    first = anyfast("batch", "-i", one, "-o", tmp_path / "a.jsonl", "--prices", prices)
    second = anyfast("batch", "-i", mixed, "-o", tmp_path / "b.jsonl", "--prices", prices)

    assert "10.04 USD (your file prices.toml)" in first.out
    assert "15.06 USD (your file prices.toml)" in second.out
