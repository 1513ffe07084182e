"""What is sent back to the model, when, and what the ledger says of it."""

from __future__ import annotations

import attrs

from anyfast_async import OutputError
from anyfast_async._structured.repair import asked_again, can_be_repaired, joined, judged
from anyfast_async.completions import ChatCompletion, Choice
from anyfast_async.errors import Attempt, FieldError
from anyfast_async.messages import AssistantMessage, ToolCall
from anyfast_async.requests import ChatRequest


def _misfit(message: AssistantMessage, *, reason: str = "stop", errors: int = 1) -> OutputError:
    error = OutputError("no")
    error.completion = ChatCompletion(choices=(Choice(index=0, message=message, finish_reason=reason),))
    error.errors = tuple(FieldError(f"$[{i}]", "is missing") for i in range(errors))
    return error


def test_asked_again() -> None:
    """The request grows by the answer as it came, unknown fields included, and by what is wrong with it."""
    request = ChatRequest("How?", model="m", temperature=0.5)
    answer = AssistantMessage("{}", role=None, extra={"thought_signature": "s"})
    again = asked_again(request, _misfit(answer, errors=25))
    assert attrs.evolve(again, messages=request.messages) == request
    question, shown, correction = again.messages
    assert question == request.messages[0]
    assert shown == attrs.evolve(answer, role="assistant")
    text = str(getattr(correction, "content", ""))
    assert "- $[19]: is missing\n- and 5 more\n" in text
    assert "$[20]" not in text


def test_what_can_be_repaired() -> None:
    """What is cut, refused, filtered, empty or a tool call is not sent back."""
    good = AssistantMessage("{}")
    assert can_be_repaired(_misfit(good))
    assert not can_be_repaired(_misfit(good, reason="length"))
    assert not can_be_repaired(_misfit(good, reason="content_filter"))
    assert not can_be_repaired(_misfit(AssistantMessage("no", refusal="no")))
    assert not can_be_repaired(_misfit(AssistantMessage("")))
    assert not can_be_repaired(_misfit(AssistantMessage("{}", tool_calls=(ToolCall(id="1"),))))
    assert not can_be_repaired(OutputError("no answer at hand"))


def test_ledger() -> None:
    """The attempts of two calls are counted through; what brought a wrong answer is no success."""
    ok = Attempt(1, "ok", 200, 1.0, "yes")
    failed, second = Attempt(1, "server", 500, 1.0, "no"), Attempt(2, "ok", 200, 1.0, "yes")
    assert judged((failed, second)) == (failed, attrs.evolve(second, outcome="output"))
    assert judged(()) == ()
    assert [one.number for one in joined((failed, second), (ok,))] == [1, 2, 3]
