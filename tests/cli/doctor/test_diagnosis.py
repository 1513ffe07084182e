"""Each quirk of the simulator is found and named, a gateway as documented shows none; each finding has its words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from anyfast_async.cli.doctor import answer_checks, connection_checks, error_shapes, probes
from anyfast_async.cli.doctor.diagnosis import LEVELS, TEXTS, Finding, counts, diagnosed
from anyfast_async.cli.doctor.observations import Observations, RawAnswer
from anyfast_async.cli.doctor.raw_exchange import RawExchanges
from anyfast_async.simulator import QUIRKS as ALL
from anyfast_async.simulator import Simulator
from anyfast_async.simulator.quirks.quirk_peers import PEERS

MODEL = "gemini-2.5-flash"
UNSEEN = {"thoughts-swallow-text"}
"""What no answer shows: where text stands among the thoughts, it is a thought for all that can be told."""
BESIDE = {
    "argument-objects": {"late-tool-calls"},
    "blocked-prompt": {"empty-stream"},
    "empty-response": {"empty-stream"},
    "error-after-ping": {"comments"},
    "finish-on-every-chunk": {"late-tool-calls"},
    "thought-signature": {"tool-call-list-without-index"},
    "thought-signature-apart": {"thought-signature"},
}
"""What else is true of an answer with a quirk: it has that, too."""
QUIRKS = [name for name in ALL if name not in {one.name for one in PEERS}]
"""Those of PEERS are what proxies and servers make of faults, not how a gateway answers."""
USUAL = {"early-tool-calls"}
"""How the gateway tells its tool calls, if nothing else is said."""


def findings(answers: dict[str, RawAnswer], **more: Any) -> list[Finding]:
    return diagnosed(Observations(models=RawAnswer(), answers=answers, refusals={}, model=MODEL, **more))


async def asked(*quirks: str) -> dict[str, RawAnswer]:
    headers = {"Authorization": "Bearer k"}
    async with Simulator(quirks=quirks) as sim, RawExchanges(URL(sim.base_url), headers, 10) as raw:
        return await probes.answered(raw, MODEL)


def odd(answers: dict[str, RawAnswer]) -> set[str]:
    """The findings about the answers themselves that are not as they should be."""
    names = {one.name for one in findings(answers) if one.level != "ok" or one.name == "tool-call-fragments"}
    return names - {"models-missing", "no-limit-headers", "streaming-unknown"}


async def test_documented_format() -> None:
    """A gateway that answers as documented has none of the findings, but for the shape of its tool calls."""
    answers = await asked()

    assert USUAL == odd(answers)
    good = {one.name for one in findings(answers) if one.level == "ok"}
    assert {"usage", "done", "finish-reason", "first-token", "cuts-tell", "tool-calls", "no-proxy"} <= good


@pytest.mark.parametrize("quirk", QUIRKS)
async def test_quirk(quirk: str) -> None:
    """A quirk is found by its name, and nothing is that is not there."""
    names = odd(await asked(quirk))

    assert (quirk in names) != (quirk in UNSEEN)
    assert names <= {quirk} | USUAL | BESIDE.get(quirk, set())


async def test_several_at_once() -> None:
    """Quirks that go together are found together, the worst first."""
    quirks = ("crlf", "comments", "no-done", "no-usage", "tool-calls-at-index-0", "reasoning-field", "headless")
    found = findings(await asked(*quirks))

    assert set(quirks) <= {one.name for one in found}
    assert sorted(LEVELS.index(one.level) for one in found) == [LEVELS.index(one.level) for one in found]
    assert len(found) == sum(counts(found).values())


def test_every_finding_has_words() -> None:
    """Each name that the checks give has words, and no words are for a name that none gives."""
    sources = "".join(
        Path(str(module.__file__)).read_text(encoding="utf-8")
        for module in (answer_checks, connection_checks, error_shapes)
    )
    sources += Path(str(connection_checks.__file__)).with_name("diagnosis.py").read_text(encoding="utf-8")
    quoted = set(re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+)*)"', sources))
    quoted |= {f"{thing}-{end}" for thing in ("header", "body") for end in ("limit", "size-ok")}

    assert [] == sorted(set(TEXTS) - quoted - {"key-accepted", "no-key"})
    assert [] == sorted(name for name in QUIRKS if name not in TEXTS and name not in UNSEEN)
    assert [] == [name for name, text in TEXTS.items() if text.level != "ok" and not (text.meaning and text.advice)]


def answer(body: bytes, **facts: Any) -> RawAnswer:
    usual: dict[str, Any] = {"status": 200, "pieces": ((0.1, body),), "ended_at": 0.2}
    return RawAnswer(**(usual | facts))


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        (RawAnswer(end="unreachable", problem="refused"), "no-answer"),
        (answer(b'{"choices": [', end="cut"), "answer-cut"),
        (answer(b""), "empty-answer"),
        (answer(b"hello"), "no-json"),
        (answer(b'"text"'), "no-json"),
        (answer(b'{"a": 1}'), "no-completion"),
        (answer(b"upstream timed out", status=504), "text-error"),
        (answer(b'{"reason": "x"}', status=500), "unusual-error"),
        (answer(b'{"error": {"message": "x", "code": "y"}}', status=500), "error"),
    ],
)
def test_other_answers(seen: RawAnswer, name: str) -> None:
    """What is no answer of any known kind has a name, too."""
    assert name in {one.name for one in findings({"whole": seen})}


def test_a_broken_connection() -> None:
    """A stream whose connection broke is a problem of the connection, and not whole."""
    event = b'data: {"id": "a", "object": "b", "choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n'
    names = {one.name for one in findings({"stream": answer(event, end="cut")})}

    assert {"stream-cut", "truncated"} <= names


def test_what_servers_say_is_harmless() -> None:
    """Errors are quoted without what would steer a terminal."""
    body = b'{"error": {"message": "\\u001b[31mred\\u202e"}}'
    (found,) = [one for one in findings({"whole": answer(body, status=500)}) if one.name == "error"]

    assert "\x1b" not in found.detail
    assert "500: " in found.detail
    assert "red" in found.detail


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (301, {"location": "https://example.com/"}, b""),
        (404, {"content-type": "text/html"}, b"<html><title>404 Not Found</title></html>"),
        (200, {"content-type": "text/html"}, b"<html>Welcome</html>"),
        (200, {"content-type": "application/json"}, b"{}"),
        (405, {}, b""),
    ],
)
def test_a_wrong_address_is_all_that_is_said(status: int, headers: dict[str, str], body: bytes) -> None:
    """Where no answer is one of a gateway, no conclusion is drawn from how it is given; a redirect is named."""
    one = RawAnswer(status=status, headers=headers, pieces=((0.1, body),))
    probed = dict.fromkeys(("whole", "stream", "tools", "tools_stream"), one)
    seen = Observations(models=one, answers=probed, refusals={"wrong_key": one, "wrong_model": one}, model=MODEL)
    found = {finding.name: finding for finding in diagnosed(seen)}

    assert {"wrong-address", "no-proxy"} == set(found)
    assert found["wrong-address"].level == "problem"
    assert headers.get("location", "") in found["wrong-address"].detail
    assert "ANYFAST_BASE_URL" in found["wrong-address"].advice


@pytest.mark.parametrize("body", [b'{"error": {"message": "no such model"}}', b'{"data": []}'])
def test_a_gateway_that_refuses_is_one(body: bytes) -> None:
    """An error object of a 404, or a list of models, is what a gateway says."""
    one = RawAnswer(status=404, headers={}, pieces=((0.1, body),))
    seen = Observations(models=one, answers={"whole": one}, refusals={}, model=MODEL)
    assert "wrong-address" not in {finding.name for finding in diagnosed(seen)}
