"""What tokens cost: a TOML file with prices per model, and sums made with them.

::

    currency = "USD"

    [models."gemini-2.5-flash"]
    prompt = 0.30          # per million tokens
    completion = 2.50
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from anyfast_async._rules import shown
from anyfast_async.errors import escaped

_MILLION: Final = 1_000_000


class PricesError(ValueError):
    """A file of prices that cannot be used; everything that is wrong with it is named."""


@attrs.frozen
class Price:
    """Of one model, per million tokens."""

    prompt: float
    completion: float
    """Of what is generated, thinking included."""

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return what so many tokens cost."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / _MILLION


@attrs.frozen
class Prices:
    """Of several models, in one currency."""

    currency: str
    models: Mapping[str, Price]

    @classmethod
    def load(cls, path: Path) -> Prices:
        """Read the file at *path*.

        Raises:
            PricesError: it is not as it should be.
            OSError: it cannot be read.

        """
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
        prices = {name: _price(name, value, problems) for name, value in models.items()}
        if problems:
            raise PricesError("; ".join(problems))
        return cls(currency, prices)

    def missing(self, models: Mapping[str, Any]) -> list[str]:
        """Return those of *models* that have no price."""
        return [model for model in models if model not in self.models]

    def shown(self, amount: float) -> str:
        """Return an amount with its currency; of small ones two digits that say something."""
        digits = 2 if amount >= 1 or amount <= 0 else 1 - math.floor(math.log10(amount))
        return f"{amount:,.{digits}f} {self.currency}".rstrip()


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
    return Price(**found)
