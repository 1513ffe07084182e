"""What tokens cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from anyfast_async.prices import Price, Prices, PricesError

GOOD = """
currency = "USD"
[models."gemini-2.5-flash"]
prompt = 0.3
completion = 2.5
[models.free]
prompt = 0
completion = 0
"""


def test_a_good_file(tmp_path: Path) -> None:
    """Prices are per million tokens, by model, in the currency of the file."""
    path = tmp_path / "prices.toml"
    path.write_text(GOOD)

    prices = Prices.load(path)

    assert ("USD", Price(0.3, 2.5)) == (prices.currency, prices.models["gemini-2.5-flash"])
    assert 0.3 * 2 + 2.5 * 0.5 == pytest.approx(prices.models["gemini-2.5-flash"].of(2_000_000, 500_000))
    assert ["other"] == prices.missing({"free": 3, "other": 1})


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("[", ["is not TOML"]),
        ("", ["models: there must be a table for each"]),
        ("currency = 1\n[models.a]\nprompt = 1\ncompletion = 1", ["currency: must be text such as 'USD', not 1"]),
        ("[models.a]\nprompt = -1", ["models.a.prompt: is -1;", "models.a.completion: is missing;"]),
        ("[models.a]\nprompt = true\ncompletion = inf", ["models.a.prompt: is True;", "models.a.completion: is inf;"]),
        ("[models.a]\nprompt = 1\ncompletion = 1\ninput = 2", ["models.a.input: is not known"]),
        ("model = 1\n[models]\na = 3", ["model: is not known", "models.a.prompt: is missing"]),
    ],
)
def test_bad_files(tmp_path: Path, text: str, problems: list[str]) -> None:
    """Everything that is wrong with a file of prices is named at once."""
    path = tmp_path / "prices.toml"
    path.write_text(text)

    with pytest.raises(PricesError) as caught:
        Prices.load(path)

    for problem in problems:
        assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0.00 EUR"), (1234.5, "1,234.50 EUR"), (0.0123, "0.012 EUR"), (0.5, "0.50 EUR")]
)
def test_shown(amount: float, text: str) -> None:
    """Amounts have two digits after the point, small ones two that say something."""
    assert text == Prices("EUR", {}).shown(amount)
    assert text.removesuffix(" EUR") == Prices("", {}).shown(amount)
