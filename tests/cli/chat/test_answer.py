"""What is said of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from anyfast_async._core.usage import Used
from anyfast_async.cli.chat.answer import facts, totals
from anyfast_async.completions import ChatCompletion, Trace, Usage
from anyfast_async.prices import Price, Prices

PRICES = Prices("USD", {"m": Price(1.0, 10.0)})
USAGE = Usage(prompt_tokens=1200, completion_tokens=30, total_tokens=1230)


@pytest.mark.parametrize(
    ("fields", "prices", "said"),
    [
        ({"usage": USAGE, "trace": Trace(first_token=0.4, total=2.0)}, PRICES, ", tokens 1,200 + 30, 0.0015 USD"),
        ({"usage": USAGE}, None, "tokens 1,200 + 30"),
        ({"usage": USAGE}, Prices("USD", {"other": Price(1.0, 1.0)}), "tokens 1,200 + 30"),
        ({}, PRICES, "tokens not told"),
        ({"usage": Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)}, PRICES, "tokens not told"),
    ],
)
def test_facts(fields: dict[str, Any], prices: Prices | None, said: str) -> None:
    """Times and tokens are said where they are known, and a cost only where there is a price."""
    line = facts(ChatCompletion(**fields), "m", prices)

    begins = "first token 0.40 s, 2.00 s in all" if "trace" in fields else ""
    assert f"{begins}{said}" == line


def test_all_answers_of_a_session() -> None:
    """The answers of a session are added up, with their cost where all of it is known."""
    prices = Prices("USD", {"m": Price(1000.0, 2000.0)})
    used = [("m", Used(100, 10)), ("m", Used(200, 20))]

    assert "in all: 2 answers, tokens 300 + 30, 0.36 USD" == totals(used, prices).partition(" (")[0]
    assert "in all: 2 answers, tokens 300 + 30" == totals(used, None) == totals([used[0], ("n", Used(200, 20))], prices)
