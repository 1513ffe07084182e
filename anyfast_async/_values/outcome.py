"""What an answer amounts to, and what is wrong with it in words, whichever words its upstream ends it with.

Finish reasons: OpenAI's reference; Google's ``Candidate.FinishReason``; new-api, which passes on what it does not know;
Anthropic, Mistral, DeepSeek, vLLM and OpenRouter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from anyfast_async._values.reasoning import thought_in
from anyfast_async.errors import escaped

if TYPE_CHECKING:
    from anyfast_async.completions import ChatCompletion, Choice
    from anyfast_async.messages import AssistantMessage

Outcome: TypeAlias = Literal["ok", "refused", "filtered", "cut", "empty", "failed"]
"""What became of a request.

``"ok"``        an answer
``"refused"``   the model said that it will not
``"filtered"``  a filter stopped the answer
``"cut"``       there is the beginning of an answer: ``max_tokens`` was reached, or it broke off
``"empty"``     the answer has neither text nor a tool call nor an image
``"failed"``    there is no answer, but an error
"""
ODD: Final[tuple[Outcome, ...]] = ("empty", "cut", "filtered", "refused")
"""Answers that need a look, and can be asked for again."""

_MEANINGS: Final = {
    "filtered": r"filter|safety|recitation|block|prohibit|spii|sensitive|moderat|policy|violation|image_other|no_image",
    "refused": r"refus",
    "cut": r"length|max_|limit|context|truncat|incomplete",
    "broken": (
        r"error|malformed|unexpected|too_many|missing|abort|cancel|timeout|fail|insufficient|interrupt|unavailable"
        r"|unspecified|\A(?:other|unknown|language)\Z"
    ),
}
"""Finish reasons, in lower case, that say that the answer is not what was asked for. Any other one is an end."""
_MAX_TOKENS: Final = frozenset({"length", "max_tokens", "max_output_tokens", "max_completion_tokens"})
_SHOWN: Final = 200


@lru_cache(maxsize=256)
def _meaning(reason: str | None) -> str | None:
    word = (reason or "").lower()
    return next((meaning for meaning, words in _MEANINGS.items() if re.search(words, word)), None) if word else None


def is_end(reason: str | None) -> bool:
    """Return whether a finish reason says, or does not deny, that the answer is whole."""
    return _meaning(reason) is None


def is_empty(message: AssistantMessage | None) -> bool:
    """Return whether a message holds nothing that a program or a person could use; thoughts alone are nothing."""
    if message is None:
        return True
    calls = message.tool_calls or ()
    if message.text or any(call.id or call.name or call.arguments or call.extra for call in calls):
        return False
    parts = message.content if isinstance(message.content, tuple) else ()
    if any(isinstance(p, Mapping) and p.get("type", "text") != "text" and thought_in(p) is None for p in parts):
        return False
    function = message.extra.get("function_call")
    named = isinstance(function, Mapping) and bool(function.get("name"))
    return not (named or message.extra.get("images") or message.extra.get("audio"))


def outcome_of_choice(choice: Choice) -> Outcome:
    """Return what one choice amounts to."""
    message = choice.message
    match _meaning(choice.finish_reason):
        case "filtered":
            return "filtered"
        case "refused":
            return "refused"
        case _ if message is not None and message.refusal:
            return "refused"
        case _ if is_empty(message):
            return "empty"
        case "cut" | "broken":
            return "cut"
    return "ok"


def outcome_of(completion: ChatCompletion) -> Outcome:
    """Return what an answer amounts to: that of the first choice that is not ok."""
    for choice in completion.choices:
        if (outcome := outcome_of_choice(choice)) != "ok":
            return outcome
    return "ok" if completion.choices else "empty"


def diagnosis_of(completion: ChatCompletion) -> str | None:
    """Return what is wrong with the first choice that is not ok, and what helps; None if all are."""
    for place, choice in enumerate(completion.choices):
        if (outcome := outcome_of_choice(choice)) != "ok":
            words = _words(completion, choice, outcome)
            return f"choice {place}: {words}" if place else words
    return None if completion.choices else "the answer is empty"


def _words(completion: ChatCompletion, choice: Choice, outcome: Outcome) -> str:
    reason, empty = choice.finish_reason or "", outcome == "empty"
    said = escaped(reason, 60)
    if outcome == "refused":
        refusal = choice.message.refusal if choice.message is not None else None
        return f"the model refused: {escaped(refusal, _SHOWN)}" if refusal else "the model refused"
    if reason.lower() in _MAX_TOKENS:
        return _words_of_length(completion, empty=empty)
    if reason == "content_filter":
        return (
            "the answer was stopped (content_filter); on Gemini the gateway also says so for reasons that it "
            "does not know, such as a malformed function call"
        )
    if outcome == "filtered":
        return f"the answer was stopped by a filter ({said})"
    what = "the answer is empty" if empty else "the answer is cut off"
    match _meaning(reason):
        case "cut":
            return f"{what}: the model's own limit was reached ({said})"
        case "broken" if "call" in reason.lower():
            return f"{what}: the model wrote a tool call that cannot be read ({said}); ask again, or make tools simpler"
        case "broken":
            return f"{what}: the upstream ended it with an error ({said}); ask again"
    return what


def _words_of_length(completion: ChatCompletion, *, empty: bool) -> str:
    if not empty:
        return "the answer is cut off: max_tokens was reached; raise max_tokens"
    details = completion.usage.completion_tokens_details if completion.usage is not None else None
    thought = details.reasoning_tokens if details is not None else None
    if not (thought or completion.reasoning):
        return "the answer is empty: max_tokens left no room for it, thinking counts too; raise max_tokens"
    spent = f" ({thought} tokens of thinking)" if thought else ""
    return f"the answer is empty: thinking used up max_tokens{spent}; raise it, or lower reasoning_effort"
