"""What tokens cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from genai_prices import Usage, calc_price

from anyfast_async import AnyFast, Budget, ConfigurationError
from anyfast_async._core.usage import Used
from anyfast_async.messages import GEMINI_MODELS
from anyfast_async.prices import Price, Prices, PricesError, Spent

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
        ("[models]", ["models: there must be a table for each"]),
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
    ("amount", "text"),
    [(0, "0.00 EUR"), (1234.5, "1,234.50 EUR"), (0.0123, "0.012 EUR"), (0.5, "0.50 EUR"), (1, "1.00 EUR")],
)
def test_shown(amount: float, text: str) -> None:
    """Amounts have two digits after the point, small ones two that say something."""
    assert text == Prices("EUR", {}).shown(amount)
    assert text.removesuffix(" EUR") == Prices("", {}).shown(amount)


def test_a_factor(tmp_path: Path) -> None:
    """A reseller's share of the prices multiplies them, and is named."""
    path = tmp_path / "prices.toml"
    path.write_text(GOOD)
    prices = Prices.load(path, 0.5)

    assert prices.price("gemini-2.5-flash") == Price(0.15, 1.25)
    assert prices.source == "your file prices.toml, times 0.5"


# -- the list --------------------------------------------------------------------------------------------------------


def test_every_documented_model_has_a_list_price() -> None:
    """The ten Gemini ids of the gateway, others too; a made-up one has none. The sum names its source."""
    prices = Prices.listed()

    assert prices.missing([*GEMINI_MODELS, "gpt-4o", "no-such-model"]) == ["no-such-model"]
    assert (prices.currency, prices.source[:13]) == ("USD", "list price of")
    assert "genai-prices" in prices.source


@pytest.mark.parametrize("model", ["gemini-embedding-001", "whisper-1"])
def test_what_is_not_priced_by_both_kinds_of_tokens_has_no_price(model: str) -> None:
    """A model that is charged by its prompts alone, or by the hour, is not taken for one whose answers are free."""
    assert Prices.listed().price(model) is None


def test_list_prices_are_those_of_the_package() -> None:
    """For small and large prompts, cached tokens and images: the same sums as the package makes."""
    prices = Prices.listed(2.0)
    calls = [
        ("gemini-2.5-flash", Used(1000, 200), {}),
        ("gemini-2.5-pro", Used(1000, 200), {}),
        ("gemini-2.5-pro", Used(200_000, 200), {}),
        ("gemini-2.5-pro", Used(200_001, 200), {}),
        ("gemini-2.5-pro", Used(300_000, 200, cached=1000), {"cache_read_tokens": 1000}),
        ("gemini-3-pro-image-preview", Used(100, 1290, image=1200), {"output_image_tokens": 1200}),
    ]
    for model, used, more in calls:
        price = prices.price(model)
        assert price is not None
        theirs = calc_price(Usage(input_tokens=used.prompt, output_tokens=used.completion, **more), model)
        assert price.cost(used) == pytest.approx(2 * float(theirs.total_price))
        assert price.bound(used.prompt, used.completion) >= price.cost(used) - 1e-12


def test_the_list_is_not_imported_before_a_price_is_asked_for() -> None:
    """Importing the client loads no list; making one with prices looks nothing up on the network."""
    code = (
        "import sys, anyfast_async as a, socket; c = a.AnyFast('sk-0123456789abcdef', model='gemini-2.5-pro')\n"
        "assert 'genai_prices' not in sys.modules\n"
        "socket.socket.connect = lambda *_: sys.exit('connected')\n"
        "p = a.Prices.listed().price('gemini-2.5-pro'); assert p is not None\n"
        "import threading; assert threading.active_count() == 1"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget in money without any prices says what to install, before there is a client."""
    monkeypatch.setattr("anyfast_async.prices.find_spec", lambda _: None)

    with pytest.raises(ConfigurationError, match=r"pip install 'anyfast-async\[prices\]'; or give prices of your own"):
        AnyFast("sk-0123456789abcdef", budget=Budget(usd=1))


def test_a_budget_of_money_needs_a_price() -> None:
    """A model without a price is an error when the client is made with it."""
    with pytest.raises(ConfigurationError, match="needs the price of 'no-such-model'"):
        AnyFast("sk-0123456789abcdef", model="no-such-model", budget=Budget(usd=1))


# -- sums ------------------------------------------------------------------------------------------------------------


def test_sums_are_those_of_their_calls() -> None:
    """Added up by model and size and priced later, calls cost what they cost one by one."""
    prices, spent, total = Prices.listed(), Spent(), 0.0
    for model in ("gemini-2.5-pro", "gemini-2.5-flash", "gpt-4o"):
        for prompt in (10, 199_999, 200_000, 200_001, 1_000_000):
            used = Used(prompt, 77, cached=5)
            spent.add(model, used)
            price = prices.price(model)
            assert price is not None
            total += price.cost(used)

    assert spent.cost(prices) == pytest.approx(total)
    assert (spent.calls, spent.unknown, len([*spent.models])) == (15, 0, 3)


def test_many_calls_at_once_cost_what_they_cost_one_by_one() -> None:
    """Long prompts have their own price, however short their answers are and whatever they are counted with."""
    prices = Prices.listed()
    for prompts in ([10, 199_999, 200_000], [10, 200_001, 1_000_000], []):
        calls = [Used(prompt, 77, cached=5) for prompt in prompts]
        one_by_one, at_once = Spent(), Spent()
        for used in calls:
            one_by_one.add("gemini-2.5-pro", used)
        at_once.extend("gemini-2.5-pro", calls)

        assert at_once == one_by_one
        assert at_once.cost(prices) == one_by_one.cost(prices)


def test_a_sum_says_what_it_does_not_know() -> None:
    """Calls without usage are counted; one model without a price and there is no sum."""
    spent = Spent()
    spent.add("m", None)
    spent.add("m", Used(1_000_000, 0))
    prices = Prices("USD", {"m": Price(1, 2)})
    assert (spent.unknown, spent.cost(prices), spent.cost(None)) == (1, 1.0, None)

    spent.add("other", Used(1, 1))
    assert spent.cost(prices) is None
    spent.add("other", Used(1, 1), -1)
    spent.add("m", None, -1)
    assert (spent.unknown, spent.cost(prices)) == (0, 1.0)
