"""What calls with the same options have in common: that it is the same as without, and what it is not kept for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async import AnyFast, RequestValidationError, Timeouts
from anyfast_async._call.plan import MOST, PLACE, CallPlan, Plans
from anyfast_async._core.json import codec
from anyfast_async._core.limits.token_estimate import asked
from anyfast_async._limits.reservation import limits_of
from anyfast_async.requests import ChatRequest
from anyfast_async.simulator import Simulator

KEY = "sk-0123456789abcdef"
SPEC: Any = None


def client(**options: Any) -> AnyFast:
    return AnyFast(KEY, base_url="http://127.0.0.1:1/v1", model="gemini-2.5-pro", **options)


def planned(options: dict[str, Any], made: AnyFast | None = None) -> CallPlan | None:
    """The plan for options that come for the second time."""
    calls = (made or client())._calls
    assert calls.plan(options) is None
    return calls.plan(options)


OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "usual": {"max_tokens": 200, "temperature": 0.7},
    "system": {"system": 'Answer in "French".', "stop": ("a", "b"), "top_p": 1},
    "none of them sent": {"max_tokens": None, "timeout": None},
    "model": {"model": "gpt-5", "n": 2, "reasoning_effort": "low"},
    "clocks": {"timeout": Timeouts(total=3.0)},
    "streamed": {"via_stream": True, "logprobs": True},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("prompt", ["Hi", "Grüße, 日本 🙂", 'a "quoted" \\ text\n', "\ud800 alone", PLACE, "\x02"])
def test_body_and_request_are_the_same_as_without(name: str, prompt: str) -> None:
    """Byte for byte, whatever the prompt holds; and so is the request that is made of it."""
    made = client()
    options = OPTIONS[name]
    plan = planned(options, made)
    assert plan is not None
    request = made._calls.request(prompt, options)

    assert plan.body(prompt) == codec.encode(request, stream=bool(options.get("via_stream")))
    assert attrs.asdict(plan.request(prompt)) == attrs.asdict(request)
    assert plan.counted(prompt) == (asked(request), limits_of(request))


@given(prompt=st.text(min_size=1), system=st.text())
def test_any_text_comes_through(prompt: str, system: str) -> None:
    """What stands in the body is the prompt, and the system's message is as it was."""
    request = ChatRequest([{"role": "system", "content": system}, {"role": "user", "content": PLACE}], model="m")
    try:
        plan = CallPlan(request, SPEC, streams=False, says_whole=True)
    except ValueError:
        assert PLACE in system
        return
    body = plan.body(prompt)
    assert body is not None
    said = [message["content"] for message in json.loads(body)["messages"]]
    assert said == [json.loads(codec.dumps(text)) for text in (system, prompt)]


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 7},
        {"user": "u-1"},
        {"user_id": "u"},
        {"tools": []},
        {"extra_body": {"a": 1}},
        {"extra_headers": {"a": "b"}},
        {"response_format": {"type": "json_object"}},
        {"stop": ["a"]},
        {"stop": (["a"],)},
        {"max_tokens": 0},
        {"nonsense": 1},
        {"system": PLACE},
        {"system": "x" * 300_000},
    ],
    ids=str,
)
def test_what_can_change_or_is_wrong_is_looked_at_each_time(options: dict[str, Any]) -> None:
    """Values that differ from call to call, that somebody may change, that are large, or that are wrong."""
    calls = client()._calls
    assert [calls.plan(options) for _ in range(3)] == [None] * 3


def test_equal_numbers_of_two_types_are_two() -> None:
    """``1``, ``1.0`` and ``True`` are equal, and are not written the same."""
    calls = client()._calls
    bodies = set()
    for value in (1, 1.0):
        calls.plan({"temperature": value})
        plan = calls.plan({"temperature": value})
        assert plan is not None
        bodies.add(plan.body("x"))
    assert len(bodies) == 2
    calls.plan({"top_logprobs": True})
    assert calls.plan({"top_logprobs": True}) is None  # it is no number


def test_prompts_that_are_no_plain_text_are_looked_at() -> None:
    """Messages, an empty text, a text of another class, one that is encoded off the loop."""

    class Text(str):
        __slots__ = ()

    plan = planned({})
    assert plan is not None
    assert [plan.body(prompt) for prompt in ("", Text("x"), "x" * 2**20, ["x"], None, {"role": "user"})] == [None] * 6


def test_no_more_are_kept_than_said() -> None:
    """The oldest goes first."""
    plans = Plans()
    plan = planned({})
    assert plan is not None
    for n in range(MOST + 1):
        plans.add({"max_tokens": n}, None, plan)
    assert [plans.get({"max_tokens": n}) for n in (0, 1, MOST)] == [None, plan, plan]


async def test_another_client_has_its_own(sim: Simulator, connect: Callable[..., AnyFast]) -> None:
    """``with_options`` changes what is sent from the next call on."""
    first = connect(sim.base_url)
    for _ in range(3):
        await first.complete("one", max_tokens=5)
    second = first.with_options(model="gemini-2.5-pro", headers={"X-Own": "1"})
    for _ in range(3):
        await second.complete("two", max_tokens=5)
    assert [request.headers.get("x-own") for request in sim.requests] == [None] * 3 + ["1"] * 3
    assert {request.body["model"] for request in sim.requests[3:]} == {"gemini-2.5-pro"}


async def test_errors_of_options_name_all_fields() -> None:
    """A bad prompt and bad options are told of together, however often the options came before."""
    made = client()
    for _ in range(3):
        with pytest.raises(RequestValidationError) as caught:
            await made.complete("", max_tokens=0)
        assert {error.path for error in caught.value.errors} == {"messages", "max_tokens"}
    await asyncio.sleep(0)
