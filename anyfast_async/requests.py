"""What is asked: ``ChatRequest``, and the options of a call.

This file is the one way in: keyword arguments, ``ChatRequest`` objects, plain dicts and lines of a batch file all end
up in :func:`as_request`, and every bad field is reported at once.

To add a documented field, this file is enough: one line in :class:`RequestFields`, one field with its rule in
:class:`ChatRequest`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, get_args

import attrs

from anyfast_async._values.bases import Value
from anyfast_async._values.json_values import problems_of_json
from anyfast_async._values.message_rules import problems_of_messages
from anyfast_async._values.rules import Rule, boolean, json_object, number, shown, string, whole, word
from anyfast_async._values.text import did_you_mean
from anyfast_async.errors import AnyFastError, FieldError, RequestValidationError, escaped
from anyfast_async.messages import JSON, Message, Prompt, SystemMessage, as_messages
from anyfast_async.policies import Timeouts

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""How long a model may think; which words a model takes differs by family."""


# -- the rules of single fields --------------------------------------------------------------------------------------

_SIGNED_64 = 2**63


def _model(value: Any) -> str | None:
    if isinstance(value, str) and value.strip():
        return None
    return f"must be a non-empty string, not {shown(value)}"


def _stop(value: Any) -> str | None:
    # 16 is the largest documented number of sequences (DeepSeek); Gemini uses the first 5.
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, Sequence) and 0 < len(texts) <= 16 and all(isinstance(t, str) and t for t in texts):  # noqa: PLR2004
        return None
    return f"must be a non-empty string or 1 to 16 of them, not {shown(value)}"


def _response_format(value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return f"must be an object such as {{'type': 'json_object'}}, not {shown(value)}"
    problem = word("text", "json_object", "json_schema")(value.get("type"))
    return f"type {problem}" if problem else None


def _objects(value: Any) -> str | None:
    if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(v, Mapping) for v in value):
        return None
    return f"must be a list of objects, not {shown(value)}"


def _tool_choice(value: Any) -> str | None:
    return None if isinstance(value, Mapping) else word("none", "auto", "required")(value)


_USER_ID = r"[a-zA-Z0-9\-_]{1,512}"


def _user_id(value: Any) -> str | None:
    if isinstance(value, str) and re.fullmatch(_USER_ID, value):
        return None
    return f"must be 1 to 512 letters, digits, '-' or '_', not {shown(value)}"


def _field(rule: Rule) -> Any:
    return attrs.field(default=None, kw_only=True, metadata={"rule": rule})


# -- the options of a call -------------------------------------------------------------------------------------------


class RequestFields(TypedDict, total=False):
    """The documented fields of the wire; ``None`` means not sent. Ranges stand at :class:`ChatRequest`."""

    model: str | None
    max_tokens: int | None
    max_completion_tokens: int | None
    temperature: float | None
    top_p: float | None
    frequency_penalty: float | None
    presence_penalty: float | None
    stop: str | Sequence[str] | None
    n: int | None
    response_format: JSON | None
    tools: Sequence[JSON] | None
    tool_choice: str | JSON | None
    parallel_tool_calls: bool | None
    reasoning_effort: ReasoningEffort | None
    thinking: JSON | None
    enable_thinking: bool | None
    seed: int | None
    logprobs: bool | None
    top_logprobs: int | None
    stream_options: JSON | None
    user: str | None
    user_id: str | None


class CallOptions(TypedDict, total=False):
    """What steers a call, beside the fields of the wire."""

    system: str | None
    """A system message put before the others."""
    timeout: float | Timeouts | None
    """Seconds for the whole call, or a :class:`Timeouts`."""
    via_stream: bool
    """``complete`` only: stream on the wire and fold, for proxies that cut silent answers after 100 s."""
    accept_missing_finish: bool
    """Streams: take an orderly end without ``finish_reason`` for complete (some upstreams never send one)."""
    extra_body: JSON | None
    """Fields put into the body beside the documented ones; they win over them."""
    extra_headers: Mapping[str, str] | None
    """Headers added to this call."""


class ChatOptions(RequestFields, CallOptions, total=False):
    """Every keyword of ``complete``, ``stream`` and ``map``."""


@attrs.frozen(slots=False, eq=False, repr=False)  # made for each call: without slots it takes half the time
class ChatRequest(Value):
    """One request, checked as a whole when it is made.

    ``None`` means not sent. Sources: the AnyFast chat-completions pages, general and per model family.

    Raises:
        RequestValidationError: naming every bad field with its allowed range.

    """

    messages: tuple[Message, ...] = attrs.field(converter=as_messages)
    """At least one; a ``str`` is one user message."""
    model: str | None = _field(_model)
    """Any id that the key sees; None takes the client's."""
    max_tokens: int | None = _field(whole(1))
    """Longest answer in tokens, from 1. Thinking counts too: a small number can leave no room for any text."""
    max_completion_tokens: int | None = _field(whole(1))
    """As ``max_tokens``, for the models that only honour this name (Kimi, Qwen); it wins over ``max_tokens``."""
    temperature: float | None = _field(number(0, 2))
    """0 to 2; the gateway's default is 1."""
    top_p: float | None = _field(number(0, 1))
    """Nucleus sampling, 0 to 1."""
    frequency_penalty: float | None = _field(number(-2, 2))
    """-2 to 2; positive repeats less what was frequent. Gemini ignores it."""
    presence_penalty: float | None = _field(number(-2, 2))
    """-2 to 2; positive repeats less what was there at all. Gemini ignores it."""
    stop: str | Sequence[str] | None = _field(_stop)
    """A sequence where generation stops, or up to 16 (Gemini uses the first 5)."""
    n: int | None = _field(whole(1))
    """Choices, from 1. Gemini always answers with one."""
    response_format: JSON | None = _field(_response_format)
    """``{"type": "text" | "json_object" | "json_schema"}``."""
    tools: Sequence[JSON] | None = _field(_objects)
    tool_choice: str | JSON | None = _field(_tool_choice)
    """``"none"``, ``"auto"``, ``"required"`` or ``{"type": "function", "function": {"name": ...}}``."""
    parallel_tool_calls: bool | None = _field(boolean)
    reasoning_effort: ReasoningEffort | None = _field(word(*get_args(ReasoningEffort)))
    thinking: JSON | None = _field(json_object)
    """``{"type": "enabled" | "disabled"}`` (DeepSeek, Doubao, GLM, Kimi)."""
    enable_thinking: bool | None = _field(boolean)
    """Qwen's switch."""
    seed: int | None = _field(whole(-_SIGNED_64, _SIGNED_64 - 1))
    logprobs: bool | None = _field(boolean)
    top_logprobs: int | None = _field(whole(0, 20))
    """0 to 20, with ``logprobs``."""
    stream_options: JSON | None = _field(json_object)
    """``{"include_usage": bool}``; streams ask for usage unless this says otherwise."""
    user: str | None = _field(string)
    """Your id for your user."""
    user_id: str | None = _field(_user_id)
    """DeepSeek's, up to 512 letters, digits, ``-`` and ``_``."""
    extra_body: JSON | None = _field(json_object)
    """Fields put into the body beside the documented ones; they win over them."""

    def __attrs_post_init__(self) -> None:
        if problems := _problems(vars(self)):
            raise RequestValidationError.of(problems)


def _problems(fields: Mapping[str, Any]) -> list[FieldError]:
    problems = problems_of_messages(fields["messages"])
    for name, value in fields.items():
        if value is None or name == "messages":
            continue
        if problem := _RULES[name](value):
            problems.append(FieldError(name, problem))
        elif type(value) not in _SCALARS:
            problems += problems_of_json(name, value, level=0 if name == "extra_body" else 1)
    return problems


_SCALARS = frozenset({str, int, float, bool})


def _request(fields: dict[str, Any]) -> ChatRequest:
    """Return ``ChatRequest(**fields)``, made in less time: only what is given is looked at."""
    fields["messages"] = as_messages(fields["messages"])
    if _problems(fields):
        return ChatRequest(**fields)  # which raises, with the problems in its fields' order
    request = object.__new__(ChatRequest)
    vars(request).update(_ABSENT)
    vars(request).update(fields)
    return request


_ABSENT: dict[str, Any] = dict.fromkeys(field.name for field in attrs.fields(ChatRequest))
_RULES: dict[str, Rule] = {a.name: a.metadata["rule"] for a in attrs.fields(ChatRequest) if "rule" in a.metadata}

WIRE_FIELDS: tuple[str, ...] = tuple(name for name in _RULES if name != "extra_body")
"""The names of the documented body fields beside ``messages``, in the order in which they are sent."""

PASSED_ON: frozenset[str] = frozenset(
    {
        *("audio", "function_call", "functions", "logit_bias", "metadata", "modalities", "prediction"),
        *("prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store", "verbosity"),
        "web_search_options",
    }
)
"""Fields of OpenAI's API that a JSON body may have and that are sent as they stand: they have no rule here."""
_LITERAL = frozenset({"google"})

# -- the one way in --------------------------------------------------------------------------------------------------

_CALL_OPTIONS = tuple(CallOptions.__annotations__)
_KNOWN = ("messages", *_RULES, *_CALL_OPTIONS)


def unknown_option(name: str) -> FieldError:
    """Say what to do about an option that there is not."""
    if name == "stream":
        return FieldError(name, "must be absent or false; to stream, use client.stream(...)")
    shown_name = escaped(str(name), 60)
    if name in _CALL_OPTIONS:
        return FieldError(shown_name, "is an option of the call, not a field of the request's body")
    near = did_you_mean(shown_name, _KNOWN)
    hint = f"{near} Otherwise" if near else "to send a field that is not documented"
    return FieldError(shown_name, f"is no known option; {hint} use extra_body={{{shown_name!r}: ...}}")


def as_request(prompt: Prompt | ChatRequest, fields: Mapping[str, Any], *, system: str | None = None) -> ChatRequest:
    """Return the checked request that *prompt* and the keyword arguments *fields* make.

    A ``ChatRequest`` is taken as it is, with *fields* put over it. *system* goes before the messages.

    Raises:
        RequestValidationError: naming every bad field.

    """
    given: dict[str, Any] = {}
    problems = []
    for name, value in fields.items():
        if name not in _RULES:
            problems.append(unknown_option(name))
        elif value is not None:
            given[name] = value
    messages: Any = prompt
    if isinstance(prompt, ChatRequest):
        if not given and not problems and system is None:
            return prompt
        messages = prompt.messages
        given = {name: value for name, value in vars(prompt).items() if name in _RULES and value is not None} | given
    if system is not None:
        first = SystemMessage(system)
        rest = as_messages(messages)
        messages = (first, *rest) if isinstance(rest, tuple) and rest else rest
    given["messages"] = messages
    try:
        request = _request(given)
    except RequestValidationError as error:
        found = [_at_callers_place(e) for e in error.errors] if system is not None else error.errors
        raise RequestValidationError.of([*problems, *found]) from None
    if problems:
        raise RequestValidationError.of(problems)
    return request


def _at_callers_place(error: FieldError) -> FieldError:
    """Count messages as the caller did, who gave the system message beside them."""
    found = re.match(r"messages\[(\d+)\](?:\.content)?", error.path)
    if found is None:
        return error
    if found[1] == "0":
        return FieldError("system" + error.path[found.end() :], error.problem)
    return FieldError(f"messages[{int(found[1]) - 1}]{error.path[len(f'messages[{found[1]}]') :]}", error.problem)


def request_from_body(body: Any) -> ChatRequest:
    """Return the checked request of a JSON *body*, such as that of a line in an OpenAI Batch file.

    Raises:
        RequestValidationError: naming every bad field.

    """
    if not isinstance(body, Mapping):
        raise RequestValidationError.of([FieldError("body", f"must be an object, not {shown(body)}")])
    fields = {name: value for name, value in body.items() if name != "messages" and (name != "stream" or value)}
    if isinstance(given := fields.get("extra_body"), Mapping):
        fields["extra_body"] = _applied(given)
    passed = {name: fields.pop(name) for name in PASSED_ON & fields.keys()}
    if passed and isinstance(given := fields.get("extra_body", {}), Mapping):
        fields["extra_body"] = {**passed, **given}
    return as_request(body.get("messages", ()), fields)


def _applied(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what an ``extra_body`` in a JSON body puts beside the other fields.

    The gateway reads Google's own settings under a literal ``extra_body.google``: these stay where they are.
    """
    literal = {name: given[name] for name in _LITERAL & given.keys()}
    rest = {name: value for name, value in given.items() if name not in literal}
    return rest | {"extra_body": literal} if literal else rest


def prompt_of(item: Any, request: Callable[[Any], Prompt | ChatRequest]) -> Prompt | ChatRequest:
    """Return what to send for an *item* of a map, which *request* makes.

    Raises:
        RequestValidationError: *request* failed for this item.

    """
    try:
        return request(item)
    except AnyFastError:
        raise
    except Exception as error:
        problem = f"request= raised {type(error).__name__} for this item: {escaped(str(error), 100)}"
        raise RequestValidationError.of([FieldError("item", problem)]) from error
