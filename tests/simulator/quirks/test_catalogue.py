"""The quirks as such: named, sourced, pure, and together with everything else that can be scripted."""

from __future__ import annotations

import copy
import itertools
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async.simulator import QUIRKS, Simulator
from anyfast_async.simulator.http.encoding import DONE
from anyfast_async.simulator.quirks.catalogue import changed, quirk_named
from anyfast_async.simulator.quirks.draft import AnswerDraft, Piece

from ..raw_client import MODEL, Http

if TYPE_CHECKING:
    import aiohttp

MESSAGES = [{"role": "user", "content": "Hi"}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"delta": delta, "logprobs": None, "finish_reason": finish, "index": 0}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice], **more}


def wire(*, streamed: bool) -> AnswerDraft:
    call = {"index": 0, **CALL}
    message = {"role": "assistant", "content": "a b", "reasoning_content": "t", "tool_calls": [CALL]}
    events: list[dict[str, Any] | bytes] = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "t"}),
        chunk({"content": "a b"}),
        chunk({"content": "", "tool_calls": [call]}, "tool_calls"),
        chunk({}, "tool_calls"),
        {**chunk({}), "choices": [], "usage": USAGE},
    ]
    whole = {"id": "c", "model": MODEL, "created": 1, "usage": USAGE}
    return AnswerDraft(
        request={"messages": MESSAGES},
        streamed=streamed,
        whole=copy.deepcopy({**whole, "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}),
        pieces=[Piece(0.0, one) for one in [*copy.deepcopy(events), DONE]],
    )


def sent(one: AnswerDraft) -> object:
    return one.encoded() if one.streamed else one.body()


@pytest.mark.parametrize("name", QUIRKS)
def test_says_what_it_is(name: str) -> None:
    """Each is found by its name and says what it does and where that is publicly known from."""
    quirk = quirk_named(name)

    assert quirk.name == name == name.lower()
    assert len(quirk.description) > 10
    assert len(quirk.source) > 10
    assert not quirk.source.startswith(("/", "."))


@pytest.mark.parametrize("name", QUIRKS)
def test_changes_its_form_only(name: str) -> None:
    """Each changes the answers that it is about, and no byte of the others."""
    quirk = QUIRKS[name]
    # The answer at hand has a finish reason, calls and content, is at its usual place in a stream, has one choice, and
    # all of it is due at once.
    unchanged = {"raw-stop-reason", "null-content", "late-tool-calls", "thought-signature"}
    unchanged |= {"lighttpd-buffered", "litserve-n2-one-event", "litellm-one-end-of-two"}

    for streamed in (True, False):
        usual = sent(wire(streamed=streamed))
        about_it = quirk.forms == "both" or (quirk.forms == "streamed") == streamed
        same = sent(changed(wire(streamed=streamed), [quirk])) == usual
        assert same is not about_it or (about_it and name in unchanged)


@pytest.mark.slow
def test_any_two_go_together() -> None:
    """Every ordered pair, in both forms, gives bytes: none trips over what another has done.

    In full with ANYFAST_LONG, else each seventh pair.
    """
    pairs = [*itertools.permutations(QUIRKS.values(), 2)]
    for first, second in pairs if os.environ.get("ANYFAST_LONG") else pairs[::7]:
        for streamed in (True, False):
            result = sent(changed(wire(streamed=streamed), [first, second]))
            assert isinstance(result, bytes | list)


def test_quirks_do_not_learn() -> None:
    """The same answer is changed in the same way each time: nothing is kept from one answer to the next."""
    for quirk in QUIRKS.values():
        once, again = (sent(changed(wire(streamed=True), QUIRKS.values())) for _ in range(2))
        assert once == again, quirk.name


def test_unknown_name() -> None:
    """An unknown name is an error that has the nearest known one."""
    with pytest.raises(ValueError, match="unknown quirk 'reasoning-fields': did you mean 'reasoning-field'"):
        Simulator(quirks=["reasoning-fields"])
    with pytest.raises(ValueError, match="did you mean 'html-200'"):
        Simulator().quirk("html200")
    with pytest.raises(TypeError, match="are collections"):
        Simulator(quirks="crlf")


async def test_for_every_answer(session: aiohttp.ClientSession) -> None:
    """Quirks of the constructor change every answer, and scripted ones come on top."""
    async with Simulator(quirks=["unknown-fields"]) as sim:
        http = Http(session, sim.base_url)
        sim.quirk("no-usage", times=1)
        first, second = [(await http.chat("Hi")).json for _ in range(2)]

    assert first["service_tier"] == second["service_tier"] == "default"
    assert "usage" not in first
    assert "usage" in second


async def test_scripted_as_anything_else(sim: Simulator, http: Http) -> None:
    """``when`` and ``times`` choose the answers, ``reset`` forgets; a reply keeps its text."""
    sim.reply("Paris")
    sim.quirk("html-200", when="page", times=1)
    sim.quirk("headless", when="bare")

    page, again, bare, other = [await http.chat(prompt) for prompt in ("page", "page", "bare", "other")]
    sim.reset()
    after = await http.chat("bare")

    assert page.raw.startswith(b"<!doctype html>")
    assert (again.text, bare.text, other.text) == ("Paris", "Paris", "Paris")
    assert ("id" in bare.json, "id" in other.json, "id" in after.json) == (False, True, True)


async def test_refused_requests_use_none_up(sim: Simulator, http: Http) -> None:
    """A request that a scripted error refuses does not count for a quirk."""
    sim.fail(429)
    sim.quirk("error-in-200", times=1)

    refused, changed_one = await http.chat("Hi"), await http.chat("Hi")

    assert refused.status == 429
    assert (changed_one.status, list(changed_one.json)) == (200, ["error"])


async def test_strict_takes_a_quirk_for_a_script(session: aiohttp.ClientSession) -> None:
    """In a strict simulator a scripted quirk is an answer; one of the constructor is not."""
    async with Simulator(strict=True) as sim:
        sim.quirk("crlf")
        assert (await Http(session, sim.base_url).chat("Hi")).status == 200

    with pytest.raises(AssertionError, match="no scripted reply"):
        async with Simulator(strict=True, quirks=["crlf"]) as sim:
            assert (await Http(session, sim.base_url).chat("Hi")).status == 501


async def test_with_faults(sim: Simulator, http: Http) -> None:
    """Faults count the events that a quirk made; an error in the stream is framed as its events are."""
    sim.reply("one two three")
    sim.quirk("data-without-space")
    sim.fail(500, after=2)

    raw = (await http.chat("Hi", stream=True)).raw.decode()

    events = raw.strip().split("\n\n")
    assert [event.startswith("data:{") for event in events] == [True, True, True, False]
    assert list(json.loads(events[2].removeprefix("data:"))) == ["error"]
    assert events[3] == "data:[DONE]"


def test_events_that_are_held_back() -> None:
    """A proxy that buffers hands on everything at the end; one that waits for an acknowledgement, 0.2 s late."""
    for name, due in (("lighttpd-buffered", [3.0] * 4), ("haproxy-first-200ms", [1.2, 1.2, 2.0, 3.0])):
        draft = wire(streamed=True)
        draft.pieces = [Piece(at, chunk({"content": "a"})) for at in (1.0, 1.1, 2.0, 3.0)]
        assert [piece.due for piece in changed(draft, [quirk_named(name)]).pieces] == due


def test_choices_that_share_events() -> None:
    """Events of the same turn become one, with the choices in their order; what has no choice stays."""
    draft = wire(streamed=True)
    turns = [chunk({"content": text}) for text in "abcd"]
    for number, one in enumerate(turns):
        one["choices"][0]["index"] = number % 2
    last: dict[str, Any] = {**chunk({}), "choices": []}
    draft.pieces = [*(Piece(0.0, one) for one in [*turns, last]), Piece(0.0, DONE)]
    told = [piece.data for piece in changed(draft, [quirk_named("litserve-n2-one-event")]).pieces]
    assert [[one["delta"]["content"] for one in data["choices"]] for data in told[:3] if isinstance(data, dict)] == [
        ["a", "b"],
        ["c", "d"],
        [],
    ]
    assert told[3:] == [DONE]
