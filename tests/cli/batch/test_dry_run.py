"""``anyfast batch --dry-run`` and ``--estimate``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator

PRICES = """
currency = "USD"
[models."gemini-2.5-flash"]
prompt = 1000
completion = 2000
"""


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    """A file of prices: a tenth of a cent per prompt token, two tenths per completion token."""
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    return path


def ids_of(path: Path) -> set[str]:
    """The ids in a file of results."""
    return {json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()}


def last(text: str) -> Any:
    """The value in the last line."""
    return json.loads(text.splitlines()[-1])


def test_a_dry_run(anyfast: Callable[..., Any], write_batch: Any, prices: Path, tmp_path: Path) -> None:
    """A dry run says rows, tokens, time and cost, without a key, sends nothing and writes nothing."""
    source = write_batch(*["abcdefgh"] * 1000, max_tokens=100)

    ran = anyfast("batch", "-i", source, "--dry-run", "--prices", prices, "--rpm", 100, "--system", "abcd")

    assert (0, {"in.jsonl", "prices.toml"}) == (ran.code, {path.name for path in tmp_path.iterdir()})
    lines = dict(line.split("  ", 1) for line in ran.out.splitlines())
    told = {name: value.strip() for name, value in lines.items()}
    assert ("1,000", "gemini-2.5-flash 1,000") == (told["rows"], told["models"])
    # 2 tokens of the prompt, 1 of the system message, 4 for each message
    assert told["prompt tokens"] == "about 11,000"
    assert told["completion tokens"].startswith("about 100,000 (")
    assert told["time"].startswith("about 9 min 15 s, limited by --rpm")
    assert told["cost"] == "about 211.00 USD (your file prices.toml)"
    assert "nothing was sent" in ran.err


def test_a_dry_run_as_json(anyfast: Callable[..., Any], write_batch: Any) -> None:
    """The same as one object, without a cost if no price is known."""
    ran = anyfast("batch", "-i", write_batch("abcd"), "--dry-run", "--json", "-m", "m-1")

    assert {
        "status": "dry_run",
        "rows": 1,
        "models": {"m-1": 1},
        "prompt_tokens": 5,
        "completion_tokens": 400,
        "seconds": 5.0,
        "limited_by": "concurrency",
        "cost": None,
        "currency": None,
    } == json.loads(ran.out)


def test_an_estimate(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, prices: Path, tmp_path: Path
) -> None:
    """A sample is sent, kept and not sent again; what it used tells what all rows will use."""
    gateway.reply("x", when="even", usage={"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30})
    gateway.reply("x", when="odd", usage={"prompt_tokens": 10, "completion_tokens": 40, "total_tokens": 50})
    source, out = write_batch(*(("even", "odd")[n % 2] + str(n) for n in range(200))), tmp_path / "out.jsonl"
    command = ("batch", "-i", source, "-o", out, "--prices", prices)

    ran = anyfast(*command, "--estimate", 50, "--json")

    assert (0, 50, 50) == (ran.code, len(ids_of(out)), len(gateway.requests))
    told = last(ran.out)
    estimate = told["estimate"]
    assert ("estimated", 50, 200, "USD") == (told["status"], estimate["sample"], estimate["rows"], estimate["currency"])
    assert {"low": 2000, "estimate": 2000, "high": 2000} == estimate["prompt_tokens"]
    completion, cost = estimate["completion_tokens"], estimate["cost"]
    assert 4000 < completion["low"] < completion["estimate"] < completion["high"] < 8000
    assert cost == pytest.approx({name: 2 + 2 * value / 1000 for name, value in completion.items()})
    assert f"150 rows left; to go on:\n  anyfast batch -i {source} -o {out} --prices {prices} --json\n" in ran.err

    rest = anyfast(*command)
    assert (0, 200, 200) == (rest.code, len(ids_of(out)), len(gateway.requests))
    assert "spent" in rest.out


def test_an_estimate_in_words(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, prices: Path, tmp_path: Path
) -> None:
    """The table names each total with its interval, and how long the rest will take; samples differ."""
    source = write_batch(*(f"row {n}" for n in range(300)))
    outs = [tmp_path / f"{n}.jsonl" for n in range(2)]

    ran = [anyfast("batch", "-i", source, "-o", out, "--estimate", 20, "--prices", prices).out for out in outs]

    assert "estimate                 for 300 rows, from 20 of them\n" in ran[0]
    for name in ("prompt tokens", "completion tokens", "cost"):
        assert f"  {name}  " in ran[0]
    assert 3 == ran[0].count(" (90 %: ")
    assert "for the 280 rows left, limited by --concurrency\n" in ran[0]
    assert ids_of(outs[0]) != ids_of(outs[1])


def test_a_sample_that_says_little(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path
) -> None:
    """Too few answers give no interval, a sample of everything is the batch itself."""
    source = write_batch(*(f"row {n}" for n in range(12)))

    few = anyfast("batch", "-i", source, "-o", tmp_path / "few.jsonl", "--estimate", 5)
    everything = anyfast("batch", "-i", source, "-o", tmp_path / "all.jsonl", "--estimate", 500, "--json")

    assert "from 5 of them: too few to say how exact that is" in few.out
    told = last(everything.out)
    totals = told["estimate"]["prompt_tokens"]
    assert ("complete", totals["low"], totals["low"]) == (told["status"], totals["high"], totals["estimate"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "models: there must be a table"),
        (PRICES.replace("2.5", "2.0"), "has no price for gemini-2.5-flash"),
        (None, "cannot read"),
    ],
)
def test_prices_that_cannot_be_used(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path, *, text: str | None, words: str
) -> None:
    """Prices that are wrong, or not those of the models, are exit code 2 before anything is sent."""
    path = tmp_path / "p.toml"
    if text is not None:
        path.write_text(text)

    ran = anyfast("batch", "-i", write_batch("a"), "-o", tmp_path / "out.jsonl", "--estimate", 9, "--prices", path)

    assert (2, []) == (ran.code, gateway.requests)
    assert words in ran.err
