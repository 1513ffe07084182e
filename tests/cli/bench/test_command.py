"""``anyfast bench`` as users start it. Whether a test is valid depends on the machine: no test here judges by that."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anyfast_async.cli.bench import command, histogram
from anyfast_async.cli.bench.arrivals import Load
from anyfast_async.cli.bench.measurement import LoadRequest, Measurement, Said
from anyfast_async.cli.bench.options import BenchOptions
from anyfast_async.cli.bench.page import GENERATOR, page
from anyfast_async.cli.bench.run import LoadSpan
from anyfast_async.cli.bench.summary import as_json, knee_in_words, lines, told
from anyfast_async.cli.bench.target import made_up, says
from anyfast_async.completions import ChatCompletionChunk, ChunkChoice
from anyfast_async.messages import AssistantMessage, FunctionCall, ToolCall
from anyfast_async.simulator import Simulator

SHORT = ("--duration", "0.4", "--warm-up", "0.1", "-m", "gemini-2.5-flash")
DONE = (0, 1)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded gateway answers at once."""
    monkeypatch.setattr(command, "_latency", lambda: None)


def test_table(anyfast: Callable[..., Any]) -> None:
    """One load is a table: what was offered, what came, the times, and what this machine did."""
    ran = anyfast("bench", "--rate", "40", "--simulate", *SHORT, "--arrivals", "constant")

    assert ran.code in DONE
    names = [line[:16].strip() for line in ran.out.splitlines()]
    assert names[:3] == ["load", "requests", "answered"]
    assert {"first token", "from sending", "per token", "between pieces", "whole answer", "self-check"} <= set(names)
    assert "40 requests/s (constant), 0.4 s" in ran.out
    assert re.search(r"^requests +16, 4 more as warm-up$", ran.out, re.MULTILINE)
    assert ("INVALID" in ran.out) is (ran.code == 1)
    assert "40 requests/s (constant): 0.1 s of warm-up, then 0.4 s" in ran.err


def test_json(anyfast: Callable[..., Any]) -> None:
    """--json is one object, with every figure and a histogram that other tools read."""
    ran = anyfast("bench", "--concurrency", "2,4", "--requests", "10", "--simulate", *SHORT, "--json")

    value = json.loads(ran.out)
    assert ran.code in DONE
    assert (value["status"], value["gateway"], value["model"]) == ("complete", "simulator", "gemini-2.5-flash")
    assert [one["concurrency"] for one in value["loads"]] == [2, 4]
    for one in value["loads"]:
        assert (one["answered"], one["failed"], one["rate"]) == (10, {}, None)
        for name in ("first_token", "first_token_sent", "whole"):
            assert one[name]["count"] == 10
            assert 0 < one[name]["p50"] <= one[name]["p99"] <= one[name]["max"] * 1.001
            assert one[name]["hdr"].startswith("HISTF")
        assert one["completion_tokens"] > 10
        assert set(one["self_check"]) == {"cpu", "held_back", "loop_delay", "start_delay"}
    assert value["valid"] is all(one["valid"] for one in value["loads"])


def test_what_is_sent(anyfast: Callable[..., Any], gateway: Simulator) -> None:
    """Prompts all differ from the first word, are as long as was asked, and carry the fields that were set."""
    ran = anyfast(
        *("bench", "--rate", "50", *SHORT, "--yes", "--prompt-tokens", "60"),
        *("--max-tokens", "20", "--set", "temperature=0.5"),
    )

    bodies = [request.body for request in gateway.requests]
    prompts = [body["messages"][0]["content"] for body in bodies]
    assert ran.code in DONE
    assert len(prompts) > 10
    assert len({prompt[:6] for prompt in prompts}) == len(prompts)
    assert {body["max_tokens"] for body in bodies} == {20}
    assert {body["temperature"] for body in bodies} == {0.5}
    assert {body["stream"] for body in bodies} == {True}
    assert all(45 < json.loads(json.dumps(len(prompt.split()))) < 75 for prompt in prompts)


def test_prompts_of_a_file(anyfast: Callable[..., Any], gateway: Simulator, tmp_path: Path) -> None:
    """Prompts of a file are sent in turn."""
    path = tmp_path / "prompts.txt"
    path.write_text("one\n\ntwo\nthree\n", encoding="utf-8")

    anyfast("bench", "--concurrency", "1", "--requests", "6", "--warm-up", "0", "--yes", "-i", path, "-m", "x")

    sent = [request.body["messages"][0]["content"] for request in gateway.requests]
    assert sent[:6] == ["one", "two", "three"] * 2


def test_failures_are_counted(anyfast: Callable[..., Any], gateway: Simulator) -> None:
    """What fails is not tried again, and counted by its kind; with nothing answered the exit code is 1."""
    gateway.fail(500, times=None)

    ran = anyfast(
        "bench", "--concurrency", "1", "--requests", "5", "--warm-up", "0", "--yes", "--json", "-m", "gemini-2.5-pro"
    )

    one = json.loads(ran.out)["loads"][0]
    assert ran.code == 1
    assert (one["answered"], one["failed"], len(gateway.requests)) == (0, {"server": 5}, 5)
    assert one["first_token"]["p50"] is None
    assert one["errors"]["server"].startswith("500 do_request_failed: ")


def test_costs_are_named_first(anyfast: Callable[..., Any], gateway: Simulator, tmp_path: Path) -> None:
    """What a test will take is said before anything is sent, and has to be agreed to."""
    prices = tmp_path / "prices.toml"
    prices.write_text('currency = "USD"\n[models.x]\nprompt = 1.0\ncompletion = 10.0\n', encoding="utf-8")
    options = ("bench", "--rate", "1..4", "--duration", "10", "--warm-up", "2", "-m", "x", "--prices", prices)

    ran = anyfast(*options)

    assert (ran.code, ran.out, gateway.requests) == (2, "", [])
    assert f"gateway: {gateway.base_url}" in ran.err
    assert "load: 1 requests/s (poisson), 2 requests/s (poisson), 4 requests/s (poisson)" in ran.err
    assert "requests: about 84" in ran.err
    assert "answer tokens: up to 10 752 (max_tokens 128)" in ran.err.replace(",", " ")
    assert re.search(r"cost: up to .*0\.1\d+", ran.err)
    assert "--yes agrees" in ran.err

    closed = anyfast("bench", "--concurrency", "8", "--duration", "10", "--warm-up", "0", "-m", "unheard-of")
    assert "requests: about 40 (answers taken for 2 s)" in closed.err
    assert "cost: not known" in closed.err


async def test_asked_on_a_terminal(gateway: Simulator, start: Callable[..., Any]) -> None:
    """On a terminal it asks; no is no."""
    started = await start("bench", "--rate", "1", "-m", "gemini-2.5-flash", terminal=True)
    await started.shows("send them?")
    started.type("n\n")

    ran = await started.ended()
    assert ran.code == 2
    assert "nothing was sent" in ran.out
    assert gateway.requests == []


async def test_ctrl_c(gateway: Simulator, start: Callable[..., Any], tmp_path: Path) -> None:
    """Ctrl-C ends it, and what was measured is shown and written."""
    gateway.stall(after=2, when=lambda request: request["messages"][0]["content"].startswith("000007"))
    report = tmp_path / "bench.html"
    started = await start(
        *("bench", "--concurrency", "1", "--warm-up", "0", "--duration", "3600", "--yes"),
        *("-m", "gemini-2.5-flash", "--json", "--report", report),
    )
    while len(gateway.requests) < 8:
        await asyncio.sleep(0.01)
    started.send(signal.SIGINT)

    ran = await started.ended()
    value = json.loads(ran.out)
    assert ran.code == 130
    assert (value["status"], value["loads"][0]["answered"], value["loads"][0]["left"]) == ("interrupted", 7, 1)
    assert "interrupted" in ran.err
    assert GENERATOR in report.read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "name the load: --rate 8"),
        (("--rate", "1", "--concurrency", "1"), "name the load"),
        (("--rate", "4,2"), "is no load"),
        (("--concurrency", "1.5"), "must be a whole number"),
        (("--concurrency", "2000"), "more than --in-flight 1000"),
        (("--rate", "1", "--set", "temprature=1"), "there is no field 'temprature'; did you mean"),
        (("--rate", "1", "-i", "missing.txt"), "No such file"),
        (("--rate", "1", "--report", "missing/bench.html"), "there is no such directory"),
        (("--rate", "1", "--duration", "0"), "--duration"),
    ],
)
def test_wrong_usage(anyfast: Callable[..., Any], options: tuple[str, ...], words: str) -> None:
    """What cannot be is said before anything is sent."""
    ran = anyfast("bench", "--simulate", *options)

    assert (ran.code, ran.out) == (2, "")
    assert words in " ".join(ran.err.split())


def test_empty_input(anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """A file without a prompt is none."""
    path = tmp_path / "empty.txt"
    path.write_text("\n \n", encoding="utf-8")

    assert "there is no prompt in it" in anyfast("bench", "--simulate", "--rate", "1", "-i", path).err


def test_other_files_stay(anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """A report replaces a report, and nothing else."""
    other = tmp_path / "notes.html"
    other.write_text("mine", encoding="utf-8")

    ran = anyfast("bench", "--simulate", "--rate", "1", "--report", other)
    assert ran.code == 2
    assert "was not written by --report" in ran.err
    assert other.read_text(encoding="utf-8") == "mine"


def test_without_the_package(anyfast: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the line that installs it is said."""
    monkeypatch.setattr(histogram, "find_spec", lambda _: None)

    ran = anyfast("bench", "--rate", "1")
    assert ran.code == 2
    assert "pip install 'anyfast-async[bench]'" in ran.err


# -- words and the page ----------------------------------------------------------------------------------------------


def offered(rate: float, seconds: float, *, held: int = 0, failed: int = 0) -> Measurement:
    one = Measurement(Load(rate=rate), begins=0.0, until=10.0)
    for number in range(round(rate * 10)):
        asked = LoadRequest(number / rate, number / rate)
        for piece in range(3):
            asked.arrived(number / rate + seconds + piece * 0.02)
        one.begun(asked)
        one.ended(asked, min(10.0, number / rate + seconds + 0.04), Said(10, 3))
    for _ in range(failed):
        one.failure(LoadRequest(1.0, 1.0), "<server>")
    one.checks.held_back = held
    return one


OPTIONS = BenchOptions(
    loads=(Load(rate=1), Load(rate=2), Load(rate=4), Load(rate=8)),
    span=LoadSpan(seconds=10),
    in_flight=1000,
    max_tokens=128,
    prompt_tokens=100,
    input=None,
    seed=0,
    timeout=None,
)
POINTS = [offered(1, 0.3), offered(2, 0.31), offered(4, 0.5), offered(8, 4.0, held=3, failed=2)]


def test_words() -> None:
    """What was measured is said to three digits; failures and what makes it invalid are named."""
    found = dict(lines(POINTS[-1]))

    assert found["failed"] == "2 <server>"
    assert found["first token"] == "4 s / 4 s / 4 s / 4 s"
    assert found["per token"] == "20 ms / 20 ms / 20 ms / 20 ms"
    assert found["INVALID"].startswith("3 requests were held back")
    assert [told(x) for x in (0.0201234, 0.5, 1.23456, 12345.6)] == ["20.1 ms", "500 ms", "1.23 s", "12346 s"]


def test_knee_in_words() -> None:
    """The knee is among the loads whose figures are valid."""
    assert knee_in_words(POINTS).startswith("knee: not reached")
    assert knee_in_words([*POINTS[:3], offered(8, 4.0)]).startswith("knee: 4 requests/s (poisson), 4 answers/s")
    assert as_json([*POINTS[:3], offered(8, 4.0)], OPTIONS, "complete", {})["knee"] == 4


def test_page() -> None:
    """The page has the loads, the charts and the definitions, nothing from elsewhere, and says what is invalid."""
    drawn: list[dict[str, Any]] = []

    def draw(specification: dict[str, Any]) -> str:
        drawn.append(specification)
        return "<svg viewBox='0 0 1 1'></svg>"

    html = page(POINTS, OPTIONS, "complete", (("gateway", "https://x/<v1>"), ("model", "m")), draw)

    assert GENERATOR in html
    assert "https://x/&lt;v1&gt;" in html
    assert "<v1>" not in html
    assert "2 &lt;server&gt;" in html
    assert '<span class="bad">complete, INVALID' in html
    assert "3 requests were held back here" in html
    assert len(drawn) == 3 + 3 * len(POINTS)
    assert "<script" not in html
    for one in POINTS:
        assert str(one.load) in html
    assert GENERATOR in page([], OPTIONS, "interrupted", (), draw)


# -- what is asked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delta", "is_content"),
    [
        (None, False),
        (AssistantMessage(), False),
        (AssistantMessage(""), False),
        (AssistantMessage("a"), True),
        (AssistantMessage(reasoning_content="a"), True),
        (AssistantMessage(extra={"reasoning": "a"}), True),
        (AssistantMessage(tool_calls=(ToolCall(function=FunctionCall(name="f")),)), True),
    ],
)
def test_content(delta: AssistantMessage | None, *, is_content: bool) -> None:
    """Text, thoughts and tool calls are content; a role alone is none."""
    assert says(ChatCompletionChunk(choices=(ChunkChoice(index=0, delta=delta),))) is is_content
    assert not says(ChatCompletionChunk())


def test_prompts_are_repeatable() -> None:
    """The same seed makes the same prompts, another one others."""
    assert made_up(50, 1)(3) == made_up(50, 1)(3)
    assert made_up(50, 1)(3) != made_up(50, 2)(3)
    assert made_up(1, 1)(3).startswith("000003. ")
