"""Classes as ``response_format``: a class to its schema, an answer to the class.

Classes that make their own schema and read their own JSON (``model_json_schema``, ``model_validate_json``) are asked
to; attrs classes and dataclasses are done here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from anyfast_async._structured import parsing
from anyfast_async._structured.json_in_text import NoJsonError, json_in
from anyfast_async._structured.json_schema import kept, response_format, writes_out
from anyfast_async._structured.own_schema import in_plain_words
from anyfast_async._structured.schema_references import arranged, changed
from anyfast_async.errors import FieldError, OutputError
from anyfast_async.openai._answers import ChatCompletion, ParsedChatCompletion
from anyfast_async.openai._errors import ContentFilterFinishReasonError, LengthFinishReasonError


def is_class(response_format: Any) -> bool:
    """Return whether answers are to be parsed, rather than a JSON object passed on."""
    return response_format is not None and not isinstance(response_format, Mapping)


def response_format_of(kind: Any, model: Any) -> dict[str, Any]:
    """Return the ``response_format`` that asks *model* for a *kind*; it is kept, so nobody may change it.

    Raises:
        ConfigurationError: it holds a type that JSON has no shape for.

    """
    write_out = writes_out(model if isinstance(model, str) else None)
    return kept(kind, ("strict", write_out), lambda: _strict_format(kind, write_out=write_out))


def _strict_format(kind: Any, *, write_out: bool) -> dict[str, Any]:
    if not callable(getattr(kind, "model_json_schema", None)):
        wanted = response_format(kind, write_out=write_out)
        return wanted | {"json_schema": wanted["json_schema"] | {"strict": True}}
    own = _strict(kind.model_json_schema())
    schema = arranged(in_plain_words(own) if write_out else own, write_out=write_out)
    return {"type": "json_schema", "json_schema": {"schema": schema, "name": kind.__name__, "strict": True}}


def _strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return *schema* with every key required and no others allowed."""
    found = changed(schema, _strict)
    if "default" in found and not found["default"]:
        del found["default"]
    if isinstance(schema.get("properties"), Mapping):
        found["required"] = list(schema["properties"])
    if schema.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


def read(kind: Any, text: str) -> Any:
    """Return the *kind* that the JSON in *text* describes.

    Raises:
        OutputError: it does not fit; classes that read their own JSON raise what they always do.

    """
    if callable(getattr(kind, "model_validate_json", None)):
        return kind.model_validate_json(_json_of(text))
    try:
        return parsing.parse(text, kind)
    except parsing.FieldMismatchError as mismatch:
        found = mismatch.errors
    what = f"the answer is no {getattr(kind, '__name__', kind)}"
    raise _misfit(what, found)


def _json_of(text: str) -> str:
    """Return the JSON in a text by the one rule for that, else the text, of which the class says what is wrong."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        try:
            return json.dumps(json_in(text))
        except (NoJsonError, RecursionError):
            return text
    return text


def _misfit(what: str, found: tuple[FieldError, ...]) -> OutputError:
    error = OutputError(f"{what}:" + "".join(f"\n  {e}" for e in found))
    error.errors = found
    return error


def strict_tools(tools: Any) -> frozenset[str]:
    """Return the names of the functions whose arguments are decoded."""
    functions = [tool.get("function") for tool in tools or () if isinstance(tool, Mapping)]
    return frozenset(f["name"] for f in functions if isinstance(f, Mapping) and f.get("strict") and "name" in f)


def arguments_of(name: str | None, arguments: str | None, strict: frozenset[str]) -> Any:
    """Return the decoded arguments of a call to a strict function, None for any other.

    Raises:
        OutputError: the model wrote no JSON.

    """
    if name not in strict:
        return None
    try:
        return json.loads(arguments or "")
    except ValueError:
        problem = FieldError("$", "the arguments are no JSON")
    what = f"the call of {name} cannot be decoded"
    raise _misfit(what, (problem,))


def parsed_completion(completion: ChatCompletion, kind: Any, strict: frozenset[str]) -> ParsedChatCompletion:
    """Return *completion* with ``parsed`` and ``parsed_arguments``; *kind* is None if texts are not parsed.

    Raises:
        LengthFinishReasonError: it was cut by the token limit.
        ContentFilterFinishReasonError: it was withheld.
        OutputError: it does not fit.

    """
    for choice in completion.choices:
        if choice.finish_reason == "length":
            raise LengthFinishReasonError(completion=completion)
        if choice.finish_reason == "content_filter":
            raise ContentFilterFinishReasonError(completion=completion)
    found = ParsedChatCompletion(**completion.to_dict())
    for choice in found.choices:
        message = choice.message
        if kind is not None and message.content and not message.refusal:
            message.parsed = read(kind, message.content)
        for call in message.tool_calls or ():
            if call.type == "function":
                function = call.function
                function.parsed_arguments = arguments_of(function.name, function.arguments, strict)
    return found
