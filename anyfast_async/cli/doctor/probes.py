"""What is asked of a gateway, and in which order: what costs tokens, what is free, and how much at most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

from anyfast_async.cli.doctor.observations import Limit, Observations, RawAnswer
from anyfast_async.cli.doctor.raw_exchange import RawExchanges

WRONG_MODEL: Final = "anyfast-doctor-no-such-model"
_WRONG_KEY: Final = "sk-anyfast-doctor-wrong-key"
_HEADERS: Final = (4, 12, 30, 60)
"""KiB of a header that is tried."""
_BODIES: Final = (512, 1536, 8192)
"""KiB of a body that is tried, for a model that does not exist: nothing is generated."""
_KIB: Final = 1024

_CITY: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_TOOLS: Final = [
    {"type": "function", "function": {"name": name, "description": f"The {word} in a city.", "parameters": _CITY}}
    for name, word in (("get_weather", "weather"), ("get_time", "time"))
]
_BOTH: Final = "What are the weather and the time in Paris? Call get_weather and get_time, both at once."


@attrs.frozen
class Probe:
    """A request that costs tokens."""

    name: str
    prompt: str
    max_tokens: int
    fields: dict[str, Any] = attrs.field(factory=dict)

    def body(self, model: str) -> dict[str, Any]:
        """Return the body of the request."""
        messages = [{"role": "user", "content": self.prompt}]
        return {"model": model, "messages": messages, "max_tokens": self.max_tokens, **self.fields}


_STREAM: Final[dict[str, Any]] = {"stream": True, "stream_options": {"include_usage": True}}
_FORCED: Final[dict[str, Any]] = {"tools": _TOOLS, "tool_choice": "required"}
COUNTING: Final = "Count from one to forty in words, one per line, and write nothing else."
PROBES: Final[tuple[Probe, ...]] = (
    Probe("whole", "Say in one short sentence what a river is.", 600),
    Probe("stream", COUNTING, 900, _STREAM),
    Probe("tools", _BOTH, 600, {**_FORCED, "stream": False}),
    Probe("tools_stream", _BOTH, 600, {**_FORCED, **_STREAM}),
    Probe("thoughts", "Is 91 a prime? Answer in one sentence.", 900, {**_STREAM, "reasoning_effort": "low"}),
)
LEAVING: Final[Probe] = Probe("leaving", COUNTING, 900, {"stream": False})
"""Its caller leaves before the answer."""


def most_tokens() -> int:
    """Return how many tokens the answers may take at most, thinking included."""
    return sum(one.max_tokens for one in (*PROBES, LEAVING))


async def observed(
    raw: RawExchanges, model: str, *, keyless: bool = False, tell: Callable[[str], None] = lambda _: None
) -> Observations:
    """Ask it all, one after the other: what is in flight together would disturb the times.

    Args:
        raw: where to.
        model: for which model.
        keyless: whether no key is sent, so that a wrong one would prove nothing.
        tell: called with what is asked next.

    """
    tell("list of models")
    models = await raw.ask("/models")
    answers = await answered(raw, model, tell)
    tell("leaving early")
    can_leave = raw.base_url.scheme == "http" and answers["whole"].ok
    left = await _left(raw, model) if can_leave else None
    tell("refusals")
    refusals = await _refusals(raw, model, keyless=keyless)
    tell("sizes")
    # Where an unknown model is answered all the same, a large body for it would be a large bill.
    refused = None if refusals["wrong_model"].ok else refusals["wrong_model"].status
    return Observations(
        models=models,
        answers=answers,
        refusals=refusals,
        header_limit=await _limit(
            _HEADERS, models.status, lambda size: raw.ask("/models", headers={"X-Pad": "x" * size})
        ),
        body_limit=await _limit(_BODIES, refused, lambda size: raw.ask(body=_wrong_model("x" * size))),
        left=left,
        left_tried=can_leave and left != _UNTOLD,
        model=model,
    )


async def answered(raw: RawExchanges, model: str, tell: Callable[[str], None] = lambda _: None) -> dict[str, RawAnswer]:
    """Ask for the answers."""
    answers: dict[str, RawAnswer] = {}
    for probe in PROBES:
        tell(probe.name.replace("_", " "))
        answers[probe.name] = await raw.ask(body=probe.body(model))
    return answers


_UNTOLD: Final = -1.0


async def _left(raw: RawExchanges, model: str) -> float | None:
    try:
        return await raw.left(LEAVING.body(model))
    except (TimeoutError, OSError):
        return _UNTOLD


def _wrong_model(prompt: str) -> dict[str, Any]:
    return {"model": WRONG_MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 1}


async def _refusals(raw: RawExchanges, model: str, *, keyless: bool) -> dict[str, RawAnswer]:
    found = {"malformed": await raw.malformed()} if raw.proxy is None else {}
    found["wrong_model"] = await raw.ask(body=_wrong_model("Hi"))
    found["wrong_field"] = await raw.ask(body={"model": model, "messages": "no list", "max_tokens": 1})
    found["wrong_path"] = await raw.ask("/anyfast-doctor-no-such-path")
    if not keyless:
        found["wrong_key"] = await raw.ask(body=_wrong_model("Hi"), headers={"Authorization": f"Bearer {_WRONG_KEY}"})
    return found


async def _limit(sizes: tuple[int, ...], usual: int | None, ask: Callable[[int], Any]) -> Limit | None:
    """Try larger and larger ones until one is answered otherwise than a small one."""
    if usual is None:
        return None
    taken, asked = 0, tuple(size * _KIB for size in sizes)
    for size in asked:
        seen: RawAnswer = await ask(size)
        if seen.status != usual:
            return Limit(taken=taken, refused=size, status=seen.status, asked=asked)
        taken = size
    return Limit(taken=taken, asked=asked)
