"""What tokens cost, on the command line: the options for prices, and sums in words and for programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from anyfast_async.cli.display.figures import rows_of
from anyfast_async.errors import escaped
from anyfast_async.prices import Prices, PricesError, Spent, is_listed

F = TypeVar("F", bound=Callable[..., Any])


def price_options(command: F) -> F:
    """Give *command* ``--prices`` and ``--price-factor``."""
    command = click.option(
        "--price-factor",
        type=click.FloatRange(0, min_open=True),
        default=1.0,
        metavar="X",
        help="What a reseller takes: prices times X.",
    )(command)
    return click.option(
        "--prices", metavar="PRICES.toml", help="What tokens cost. Default: list prices, if installed."
    )(command)


def prices_of(path: str | None, factor: float) -> Prices | None:
    """Return the prices of a file, else those of the list; None if it is not installed.

    Raises:
        click.UsageError: the file cannot be used.

    """
    if path is None:
        return Prices.listed(factor) if is_listed() else None
    try:
        return Prices.load(Path(path), factor)
    except PricesError as error:
        message = f"{path}: {error}"
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
    raise click.UsageError(message)


def spent_in_words(prices: Prices, spent: Spent) -> str:
    """Return what answers cost, with where the prices are from; of rows that do not say it, how many."""
    unknown = f"{rows_of(spent.unknown)} without usage" if spent.unknown else ""
    cost = spent.cost(prices)
    if cost is None:
        models = ", ".join(escaped(model, 60) for model in prices.missing(spent.models))
        return f"not known: no price for {models} ({prices.source})"
    if unknown and not spent.calls:
        return f"not known: {unknown}"
    beside = f" and {unknown}, whose cost is not known" if unknown else ""
    return f"{prices.shown(cost)} ({prices.source}){beside}"


def cost_json(prices: Prices | None, spent: Spent) -> dict[str, Any]:
    """Return the same for a program: None if it is not known, and never 0 then."""
    cost = spent.cost(prices) if spent.calls or not spent.unknown else None
    return {
        "usage_missing": spent.unknown,
        "cost": None if cost is None else round(cost, 6),
        "currency": None if prices is None else prices.currency,
        "price_source": None if prices is None else prices.source,
    }
