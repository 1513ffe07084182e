"""What the simulated model says to a request.

Pure and deterministic: everything is drawn from a generator that is seeded with the request itself, so that
the same request gets the same answer in every run, streamed or not. How the answer goes over the wire is the
business of ``wire_shapes``.
"""

from __future__ import annotations

import base64
import hashlib
from random import Random
from typing import TYPE_CHECKING, Any

import attrs

from anyfast_async.simulator.http.encoding import canonical, json_text
from anyfast_async.simulator.model import prose
from anyfast_async.simulator.model.picture import png
from anyfast_async.simulator.model.prompt import last_role, last_text, last_user_text, prompt_tokens
from anyfast_async.simulator.model.schema_values import example

if TYPE_CHECKING:
    from anyfast_async.simulator.script.rules import Reply

__all__ = ["Answer", "Candidate", "SimulatedToolCall", "answer", "digest"]

# What an image costs in output tokens (Gemini API pricing: 1290 for a picture of up to 1024 x 1024).
_IMAGE_TOKENS = 1290
_EFFORT_TOKENS = {"none": 0, "minimal": 8, "low": 16, "medium": 32, "high": 64, "xhigh": 96, "max": 128}
_MOST_THOUGHTS = 128
_DYNAMIC_THOUGHTS = 32
# Fields that choose how much is sent and how, not what is said: the same prompt with a smaller max_tokens is
# a beginning of the same text.
_NOT_SAID = ("stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "n", "user")
_MAX_STOPS = 5  # relay-gemini.go passes on the first five only


@attrs.frozen
class SimulatedToolCall:
    """One call of a function."""

    id: str
    name: str
    arguments: str


@attrs.frozen(kw_only=True)
class Candidate:
    """One choice: pieces of text as they are generated, and why it ended."""

    reasoning: tuple[str, ...] = ()
    """Thoughts that are shown."""

    pieces: tuple[str, ...] = ()
    tool_calls: tuple[SimulatedToolCall, ...] = ()
    finish_reason: str = "stop"
    thought_tokens: int = 0
    text_tokens: int = 0

    @property
    def tokens(self) -> int:
        """All that was generated."""
        return self.thought_tokens + self.text_tokens


@attrs.frozen(kw_only=True)
class Answer:
    """All that is said to one request."""

    id: str
    model: str
    created: int
    candidates: tuple[Candidate, ...]
    usage: dict[str, Any]


def digest(*parts: bytes | int) -> bytes:
    """A hash of several values, the same on every machine."""
    whole = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        whole.update(b"%d:" % len(raw) + raw)
    return whole.digest()


def answer(
    body: dict[str, Any], *, request_id: str, created: int, seed: int, length: int | None, reply: Reply | None
) -> Answer:
    """The answer to a valid request.

    Args:
        body: the decoded request.
        request_id: the gateway's id of the request; the completion's id is made from it
            (relay-gemini.go: `helper.GetResponseID`).
        created: Unix seconds.
        seed: of the simulator.
        length: tokens of an unscripted text; None: it varies from request to request.
        reply: a scripted answer.

    Raises:
        SchemaError: a schema in the request is none.
    """
    said = canonical({name: value for name, value in body.items() if name not in _NOT_SAID})
    # The Gemini channel always asks for one candidate (relay-gemini.go). Here n is honoured all the same, so
    # that a program's handling of several choices can be tested.
    candidates = tuple(
        _candidate(body, Random(digest(seed, said, index)), length, reply)  # noqa: S311  # seeded on purpose
        for index in range(body.get("n") or 1)
    )
    return Answer(
        id=f"chatcmpl-{request_id}",
        model=body["model"],
        created=created,
        candidates=candidates,
        usage=_usage(body, candidates, reply),
    )


def _candidate(body: dict[str, Any], random: Random, length: int | None, reply: Reply | None) -> Candidate:
    if reply is not None and (reply.text is not None or reply.chunks is not None or reply.tool_calls):
        return _scripted(body, random, reply)
    calls = _chosen_calls(body, random)
    thoughts, shown = _thoughts(body, random)
    if calls:
        used = sum(prose.count(call.name + call.arguments) for call in calls)
        drafted = Candidate(
            reasoning=tuple(thoughts) if shown else (),
            tool_calls=calls,
            finish_reason="tool_calls",
            thought_tokens=len(thoughts),
            text_tokens=used,
        )
    else:
        drafted = _limited(body, thoughts, _pieces(body, random, length), shown=shown)
    return drafted if reply is None else _overridden(drafted, reply)


# -- scripted ------------------------------------------------------------------------------------------------


def _scripted(body: dict[str, Any], random: Random, reply: Reply) -> Candidate:
    """A scripted answer is said as scripted: neither max_tokens nor stop shorten it."""
    pieces = tuple(prose.split(reply.text or "")) if reply.chunks is None else reply.chunks
    calls = tuple(
        SimulatedToolCall(_call_id(random) if call_id is None else call_id, name, arguments)
        for call_id, name, arguments in reply.tool_calls
    )
    thoughts, shown = _thoughts(body, random)
    count = prose.count("".join(pieces)) + sum(prose.count(call.name + call.arguments) for call in calls)
    drafted = Candidate(
        reasoning=tuple(thoughts) if shown else (),
        pieces=pieces,
        tool_calls=calls,
        finish_reason="tool_calls" if calls else "stop",
        thought_tokens=len(thoughts),
        text_tokens=count,
    )
    return _overridden(drafted, reply)


def _overridden(drafted: Candidate, reply: Reply) -> Candidate:
    if reply.reasoning is not None:
        pieces = tuple(prose.split(reply.reasoning))
        drafted = attrs.evolve(drafted, reasoning=pieces, thought_tokens=len(pieces))
    if reply.finish_reason is not None:
        drafted = attrs.evolve(drafted, finish_reason=reply.finish_reason)
    return drafted


# -- text ----------------------------------------------------------------------------------------------------


def _pieces(body: dict[str, Any], random: Random, length: int | None) -> list[str]:
    """The whole text in the pieces it is generated in, before any limit."""
    response_format = body.get("response_format") or {}
    kind = response_format.get("type")
    if kind == "json_schema":
        wrapper = response_format.get("json_schema")
        schema = wrapper.get("schema") if isinstance(wrapper, dict) else None
        return prose.split(json_text(example(schema or {"type": "object"}, random, _topic(body))))
    if kind == "json_object":
        value = {"answer": prose.sentence(random), "topic": prose.quote(_question(body)), "confidence": 0.9}
        return prose.split(json_text(value))
    wanted = length if length is not None else random.randint(24, 96)
    if "-image" in body["model"]:
        return [*prose.split(prose.prose(_question(body), random, min(wanted, 16))), _image(random)]
    return prose.split(prose.prose(_question(body), random, wanted))[: length or None]


def _image(random: Random) -> str:
    # relay-gemini.go: inline data becomes a Markdown image in the content, parts joined by a newline.
    return f"\n![image](data:image/png;base64,{base64.b64encode(png(random)).decode()})"


def _question(body: dict[str, Any]) -> str:
    return last_text(body) if last_role(body) == "tool" else last_user_text(body)


def _topic(body: dict[str, Any]) -> list[str]:
    return prose.topic(last_user_text(body))


def _limited(body: dict[str, Any], thoughts: list[str], pieces: list[str], *, shown: bool) -> Candidate:
    """Apply stop sequences and the token limit; thinking counts against the limit, as it does at Gemini."""
    pieces = _stopped(pieces, body.get("stop"))
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or None
    thoughts = thoughts if limit is None else thoughts[:limit]
    left = None if limit is None else limit - len(thoughts)
    kept, used = _fitting(pieces, left)
    return Candidate(
        reasoning=tuple(thoughts) if shown else (),
        pieces=tuple(kept),
        finish_reason="stop" if len(kept) == len(pieces) else "length",
        thought_tokens=len(thoughts),
        text_tokens=used,
    )


def _fitting(pieces: list[str], limit: int | None) -> tuple[list[str], int]:
    used = 0
    for index, piece in enumerate(pieces):
        cost = _IMAGE_TOKENS if piece.startswith("\n![image](data:") else 1
        if limit is not None and used + cost > limit:
            return pieces[:index], used
        used += cost
    return pieces, used


def _stopped(pieces: list[str], stop: object) -> list[str]:
    whole = "".join(pieces)
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    places = [whole.find(one) for one in stops[:_MAX_STOPS] if isinstance(one, str) and one]
    end = min((place for place in places if place >= 0), default=None)
    return pieces if end is None else prose.split(whole[:end])


# -- thinking ------------------------------------------------------------------------------------------------


def _thoughts(body: dict[str, Any], random: Random) -> tuple[list[str], bool]:
    """The thoughts in pieces, and whether they are shown."""
    count, shown = _thinking(body)
    return (prose.split(prose.thoughts(last_user_text(body), random, count))[:count] if count else []), shown


def _thinking(body: dict[str, Any]) -> tuple[int, bool]:
    extra = body.get("extra_body")
    google = extra.get("google") if isinstance(extra, dict) else None
    config = google.get("thinking_config") if isinstance(google, dict) else None
    if isinstance(config, dict):
        # relay-gemini.go: without include_thoughts a budget above 0 shows them; -1 leaves the amount to the
        # model.
        budget = config.get("thinking_budget", -1)
        count = _DYNAMIC_THOUGHTS if budget < 0 else min(budget, _MOST_THOUGHTS)
        return count, bool(config.get("include_thoughts", budget > 0))
    effort = body.get("reasoning_effort")
    return (0 if effort is None else _EFFORT_TOKENS.get(effort, _DYNAMIC_THOUGHTS)), True


# -- tool calls ----------------------------------------------------------------------------------------------


def _chosen_calls(body: dict[str, Any], random: Random) -> tuple[SimulatedToolCall, ...]:
    """The calls a model would make: what tool_choice forces, else the functions that the prompt names."""
    functions = [function for tool in body.get("tools") or () if (function := _function(tool))]
    choice = body.get("tool_choice")
    if not functions or choice == "none":
        return ()
    asked = last_text(body).casefold()
    named = [one for one in functions if _is_named(one["name"], asked)]
    if isinstance(choice, dict):
        wanted = _function(choice)
        chosen = [one for one in functions if wanted and one["name"] == wanted["name"]][:1]
    elif choice == "required":
        chosen = named or [random.choice(functions)]
    else:
        # After a tool has answered, the model answers: a tool loop ends.
        chosen = [] if last_role(body) == "tool" else named
    words = _topic(body)
    return tuple(
        SimulatedToolCall(
            _call_id(random),
            one["name"],
            json_text(example({"type": "object", **(one.get("parameters") or {})}, random, words)),
        )
        for one in chosen
    )


def _function(tool: object) -> dict[str, Any] | None:
    function = tool.get("function") if isinstance(tool, dict) else None
    return function if isinstance(function, dict) and isinstance(function.get("name"), str) else None


def _is_named(name: str, asked: str) -> bool:
    folded = name.casefold()
    return folded in asked or folded.replace("_", " ") in asked


def _call_id(random: Random) -> str:
    return f"call_{random.randbytes(12).hex()}"


# -- usage ---------------------------------------------------------------------------------------------------


def _usage(body: dict[str, Any], candidates: tuple[Candidate, ...], reply: Reply | None) -> dict[str, Any]:
    """new-api dto/openai_response.go: Usage, as the Gemini channel fills it."""
    given = dict(reply.usage) if reply is not None and reply.usage is not None else {}
    prompt = given.get("prompt_tokens", prompt_tokens(body))
    # candidates + thoughts: completion_tokens include the reasoning
    completion = given.get("completion_tokens", sum(one.tokens for one in candidates))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": 0,
            "text_tokens": prompt,
            "audio_tokens": 0,
            "image_tokens": 0,
        },
        "completion_tokens_details": {
            "text_tokens": 0,
            "audio_tokens": 0,
            "image_tokens": 0,
            "reasoning_tokens": sum(one.thought_tokens for one in candidates),
        },
        "input_tokens": 0,
        "output_tokens": 0,
        "input_tokens_details": None,
        "claude_cache_creation_5_m_tokens": 0,
        "claude_cache_creation_1_h_tokens": 0,
        **given,
    }
