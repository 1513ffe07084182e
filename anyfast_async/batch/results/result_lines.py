"""Lines of output and error files to rows, whoever wrote them. Pure.

Nearly every line is an answer in which nothing stands in an odd place: :func:`usual_row` reads those, in an eighth of
the time, and leaves any other to :func:`row_of`, which says the same of the usual ones.
"""

from __future__ import annotations

from typing import Any, Final

from anyfast_async._core import answer
from anyfast_async._core.journal import journal_lines
from anyfast_async._core.json import codec
from anyfast_async._core.json.jsontext import loads_strictly
from anyfast_async._core.usage import Used
from anyfast_async._values.outcome import is_end
from anyfast_async.batch.results.other_forms import chat_body, other_line
from anyfast_async.batch.results.row import (
    LARGEST,
    FailedRow,
    Row,
    UsedTokens,
    answered_row,
    failed_row,
    object_in_text,
    tokens_of,
)
from anyfast_async.completions import ChatCompletion, Usage
from anyfast_async.errors import AnyFastError, OutputError, ResponseShapeError, escaped

_NEVER_RUN: Final = frozenset({"batch_expired", "batch_cancelled"})
"""Codes of OpenAI's lines for rows that were never executed."""
_OK: Final = 200


# -- any line --------------------------------------------------------------------------------------------------------


def row_of(line: bytes) -> Row | None:
    """Return what a line of an output or error file says, None if it is broken or no such line.

    Args:
        line: with its line end or without.

    """
    custom_id = journal_lines.recorded_id(line)
    value = journal_lines.value_of(line) if custom_id is not None else None
    if custom_id is None or value is None or "custom_id" not in value:
        value = other_line(line)
        if value is None:
            return None
        custom_id = str(value["custom_id"])
    response = value.get("response")
    status = response.get("status_code") if isinstance(response, dict) else None
    body = chat_body(response.get("body")) if isinstance(response, dict) else None
    good = status is None or status in answer.SUCCESS
    if good and isinstance(body, dict) and body.get("choices") and not value.get("error"):
        return answered_row(custom_id, codec.structure(body, ChatCompletion))
    problem = value.get("error")
    if isinstance(problem, str):  # vLLM
        problem = {"message": problem} if problem else None
    if isinstance(response, dict) and not good:
        error = journal_lines.error_in(codec.dumps({"response": response, "error": problem}))
    elif problem is not None:
        error = journal_lines.error_in(codec.dumps({"response": None, "error": problem}))
    elif answer.is_error(body):
        error = answer.inband_error(body, {}, now=0.0)
    else:
        error = ResponseShapeError("the answer is no completion")
    failure = _failure(error, problem, status)
    if good and error.kind == OutputError.kind and isinstance(body, dict) and body.get("choices"):
        return answered_row(custom_id, codec.structure(body, ChatCompletion), failure)
    return failed_row(custom_id, failure)


def _failure(error: AnyFastError, problem: Any, status: Any) -> FailedRow:
    status = status if isinstance(status, int) else None
    if type(error) is not AnyFastError:
        return FailedRow(error.kind, str(error), error.retryable, error.billed, status)
    code = problem.get("code") if isinstance(problem, dict) else None
    kind = escaped(code, 40) if isinstance(code, str) and code else error.kind
    if kind in _NEVER_RUN:
        return FailedRow(kind, str(error), retryable=True, billed="no")
    message = escaped(str(error)) if problem else ""
    return FailedRow(kind, message or "no reason is given", retryable=None, billed="maybe", status_code=status)


# -- usual lines -----------------------------------------------------------------------------------------------------


def usual_row(line: bytes) -> Row | None:
    """Return what a line says, None if it takes a closer look."""
    if journal_lines.is_damaged(line):
        return None
    try:
        value = loads_strictly(line)
        custom_id, response = value["custom_id"], value["response"]
        body = response["body"]
        (choice,) = body["choices"]
        message = choice["message"]
        text = message["content"]
    except (KeyError, TypeError, ValueError):  # what has names is an object: a list or a text has none
        return None
    get, status, reason, usage = body.get, response.get("status_code"), choice.get("finish_reason"), body.get("usage")
    model, created = get("model"), get("created")
    if (
        (status != _OK and status is not None)
        or value.get("error")
        or type(custom_id) is not str
        or type(text) is not str
        or not text
        or message.get("refusal")
        or message.get("tool_calls")
        or not (reason is None or type(reason) is str)
        or not is_end(reason)
        or not (model is None or type(model) is str)
        or not (created is None or type(created) is int)
        or "output" in body
        or "candidates" in body
    ):
        return None
    if usage is None:
        prompt = completion = cached = reasoning = used = None
    elif type(usage) is dict:
        tokens = usual_tokens(usage) or tokens_of(codec.structure(usage, Usage))
        prompt, completion, cached, reasoning, used = tokens
    else:
        return None
    fields = object_in_text(text)
    told = (custom_id, "ok", text, fields, reason, model, prompt, completion, cached, reasoning)
    return tuple.__new__(Row, (*told, None, None, (), used, None, None, None, None, "yes", None, created))


def usual_tokens(usage: dict[str, Any]) -> UsedTokens | None:
    """Return what a *usage* says that adds up, None if it does not, or its numbers are of another kind."""
    get = usage.get
    prompt, completion, total = get("prompt_tokens"), get("completion_tokens"), get("total_tokens")
    if (
        type(prompt) is not int
        or type(completion) is not int
        or type(total) is not int
        or not 0 < prompt < LARGEST
        or not 0 < completion < LARGEST
        or total != prompt + completion
    ):
        return None
    asked, answered = get("prompt_tokens_details"), get("completion_tokens_details")
    if asked is None and answered is None:
        return tuple.__new__(
            UsedTokens, (prompt, completion, None, None, tuple.__new__(Used, (prompt, completion, 0, 0, 0)))
        )
    asked, answered = {} if asked is None else asked, {} if answered is None else answered
    if type(asked) is not dict or type(answered) is not dict:
        return None
    cached, audio = asked.get("cached_tokens"), asked.get("audio_tokens")
    reasoning, image = answered.get("reasoning_tokens"), answered.get("image_tokens")
    for one, most in ((cached, prompt), (audio, prompt), (reasoning, LARGEST), (image, completion)):
        if one is not None and (type(one) is not int or not 0 <= one <= most):
            return None
    return UsedTokens(
        prompt, completion, cached, reasoning, Used(prompt, completion, cached or 0, audio or 0, image or 0)
    )
