"""What tokens cost: the public list prices, or a TOML file of your own, and sums made with them.

::

    currency = "USD"

    [models."gemini-2.5-flash"]
    prompt = 0.30          # per million tokens
    completion = 2.50

The list comes with the package ``genai-prices`` (the extra ``prices``), data included: nothing is fetched. This is the
only file that imports it, when a price is first asked for; that takes a third of a second.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import attrs

from anyfast_async._core.usage import Used
from anyfast_async._limits.spent import Spent
from anyfast_async._values.bases import Shown
from anyfast_async._values.rules import shown
from anyfast_async.errors import ConfigurationError, escaped

__all__ = ["INSTALL", "Price", "Prices", "PricesError", "Spent", "is_listed", "usual_prices"]

_MILLION: Final = 1_000_000
INSTALL: Final = "pip install 'anyfast-async[prices]'"


class PricesError(ConfigurationError):
    """A file of prices that cannot be used; everything that is wrong with it is named."""


@attrs.frozen(repr=False)
class Price(Shown):
    """Of one model, per million tokens."""

    prompt: float
    completion: float
    """Of what is generated, thinking included."""
    cached: float | None = attrs.field(default=None, kw_only=True)
    """Of the part of the prompt that the gateway reports as read from a cache; None: as the rest."""
    audio: float | None = attrs.field(default=None, kw_only=True)
    """Of the part of the prompt that is reported as audio; None: as the rest."""
    image: float | None = attrs.field(default=None, kw_only=True)
    """Of the part of the answer that is reported as images; None: as the rest."""
    above: tuple[tuple[int, Price], ...] = attrs.field(default=(), kw_only=True)
    """Other prices for the whole of a call whose prompt has more tokens than so many, by that number."""

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what so many tokens cost in one call."""
        return self.cost(Used(prompt_tokens, completion_tokens))

    def cost(self, used: Used) -> float:
        """Return what a call cost that used so much."""
        price = self._for(used.prompt)
        plain = (used.prompt * price.prompt + used.completion * price.completion) / _MILLION
        special = (
            (used.cached, price.cached, price.prompt),
            (used.audio, price.audio, price.prompt),
            (used.image, price.image, price.completion),
        )
        return plain + sum(part * (own - usual) for part, own, usual in special if own is not None) / _MILLION

    def bound(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return what so many tokens cost at most, whatever kind they turn out to be."""
        price = self._for(prompt_tokens)
        prompt = max(price.prompt, price.audio or 0.0)
        completion = max(price.completion, price.image or 0.0)
        return (prompt_tokens * prompt + completion_tokens * completion) / _MILLION

    def _for(self, prompt_tokens: float) -> Price:
        found = self
        for start, price in self.above:
            if prompt_tokens > start:
                found = price
        return found

    def times(self, factor: float) -> Price:
        """Return this price, multiplied."""

        def scaled(value: float | None) -> float | None:
            return None if value is None else value * factor

        return Price(
            self.prompt * factor,
            self.completion * factor,
            cached=scaled(self.cached),
            audio=scaled(self.audio),
            image=scaled(self.image),
            above=tuple((start, price.times(factor)) for start, price in self.above),
        )


@attrs.frozen(repr=False)
class Prices(Shown):
    """Of several models, in one currency."""

    currency: str
    models: Mapping[str, Price]
    """Own prices; those of the list are found by :meth:`price`."""
    source: str = "your prices"
    """Where they are from, in words, for beside a sum."""
    _find: Callable[[str], Price | None] | None = None

    @classmethod
    def load(cls, path: Path, factor: float = 1.0) -> Prices:
        """Read the file at *path*; its prices times *factor* count.

        Raises:
            PricesError: it is not as it should be.
            OSError: it cannot be read.

        """
        import tomllib  # noqa: PLC0415 - with the first file

        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            message = f"is not TOML: {error}"
            raise PricesError(message) from None
        problems: list[str] = [
            f"{escaped(name, 40)}: is not known" for name in data if name not in ("currency", "models")
        ]
        currency, models = data.get("currency", ""), data.get("models")
        if not isinstance(currency, str):
            problems.append(f"currency: must be text such as 'USD', not {shown(currency)}")
        if not isinstance(models, dict) or not models:
            problems.append('models: there must be a table for each, such as [models."gemini-2.5-flash"]')
            models = {}
        prices = {name: _price(name, value, problems).times(factor) for name, value in models.items()}
        if problems:
            raise PricesError("; ".join(problems))
        return cls(currency, prices, f"your file {path.name}{_times(factor)}")

    @classmethod
    def listed(cls, factor: float = 1.0) -> Prices:
        """Return the list prices of today, times *factor*: what a reseller takes of them, 1 for the list's own.

        Raises:
            ConfigurationError: the extra ``prices`` is not installed.

        """
        if not is_listed():
            message = f"list prices need one more package: {INSTALL}; or give prices of your own"
            raise ConfigurationError(message)
        from genai_prices import __version__  # noqa: PLC0415 - an extra, and slow to import

        today = dt.datetime.now(dt.UTC)
        source = f"list price of {today:%Y-%m-%d}, genai-prices {__version__}{_times(factor)}"
        return cls("USD", {}, source, functools.partial(_listed, today=today, factor=factor))

    def price(self, model: str) -> Price | None:
        """Return the price of *model*, None if there is none."""
        own = self.models.get(model)
        return own if own is not None or self._find is None else self._find(model)

    def missing(self, models: Iterable[str]) -> list[str]:
        """Return those of *models* that have no price."""
        return [model for model in models if self.price(model) is None]

    def shown(self, amount: float) -> str:
        """Return an amount with its currency; of small ones two digits that say something."""
        digits = 2 if amount >= 1 or amount <= 0 else 1 - math.floor(math.log10(amount))
        return f"{amount:,.{digits}f} {self.currency}".rstrip()


def is_listed() -> bool:
    """Return whether the list of prices is installed."""
    return find_spec("genai_prices") is not None


@functools.cache
def usual_prices() -> Prices | None:
    """Return the prices where none are given: those of the list, None if it is not installed."""
    return Prices.listed() if is_listed() else None


def _times(factor: float) -> str:
    return "" if factor == 1 else f", times {factor:g}"


# -- a file of one's own ---------------------------------------------------------------------------------------------


def _price(name: str, value: Any, problems: list[str]) -> Price:
    where = f"models.{escaped(name, 80)}"
    table = value if isinstance(value, dict) else {}
    found: dict[str, float] = {}
    for key in ("prompt", "completion"):
        amount = table.get(key)
        if isinstance(amount, (int, float)) and not isinstance(amount, bool) and 0 <= amount < math.inf:
            found[key] = float(amount)
        else:
            said = "is missing" if amount is None else f"is {shown(amount)}"
            problems.append(f"{where}.{key}: {said}; must be the price of a million tokens, from 0")
            found[key] = 0.0
    problems += [f"{where}.{escaped(key, 40)}: is not known" for key in table if key not in found]
    return Price(found["prompt"], found["completion"])


# -- the list --------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def _listed(model: str, *, today: dt.datetime, factor: float) -> Price | None:
    from genai_prices import Usage, calc_price  # noqa: PLC0415 - an extra, and slow to import

    try:
        # Of one token each: what is wanted is the price that was found, not the sum.
        found = calc_price(Usage(input_tokens=1, output_tokens=1), model, genai_request_timestamp=today).model_price
    except LookupError:
        return None
    names = {
        "prompt": "input_mtok",
        "completion": "output_mtok",
        "cached": "cache_read_mtok",
        "audio": "input_audio_mtok",
        "image": "output_image_mtok",
    }
    raw = {name: getattr(found, attribute, None) for name, attribute in names.items()}
    if raw["prompt"] is None or raw["completion"] is None:
        return None  # priced by the request, or by something else than tokens
    starts = sorted({tier.start for value in raw.values() for tier in getattr(value, "tiers", ())})
    base = _at(raw, 0)
    above = tuple((start, _at(raw, start + 1)) for start in starts)
    return attrs.evolve(base, above=above).times(factor)


def _at(raw: Mapping[str, Any], prompt_tokens: int) -> Price:
    def value(given: Any) -> float | None:
        if given is None or not hasattr(given, "tiers"):
            return None if given is None else float(given)
        amount = given.base
        for tier in given.tiers:
            if prompt_tokens > tier.start:
                amount = tier.price
        return float(amount)

    prompt, completion, cached, audio, image = map(value, raw.values())
    return Price(prompt or 0.0, completion or 0.0, cached=cached, audio=audio, image=image)
