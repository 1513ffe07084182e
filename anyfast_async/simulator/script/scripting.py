"""Telling a simulator what to do: the arguments of its scripting methods, turned into rules."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Literal

import attrs

from anyfast_async.simulator.http.encoding import json_text
from anyfast_async.simulator.http.rate_limiter import Limiter, MinuteWindow
from anyfast_async.simulator.http.refusals import error_for
from anyfast_async.simulator.quirks.catalogue import quirk_named
from anyfast_async.simulator.script.exchange import RecordedExchange, RecordedPiece, request_value
from anyfast_async.simulator.script.rules import BreakOff, Cut, Drop, Failure, Fault, Reply, Script, Stall, When

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Scripting"]

_UNSET: Any = object()
_LOWEST_STATUS, _LOWEST_ERROR, _HIGHEST_STATUS = 200, 400, 599
_JSON = "application/json; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_PLAIN = "text/plain; charset=utf-8"


class Scripting:
    """The methods of a simulator that script replies, faults, quirks and limits."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def reply(
        self,
        text: str | None = None,
        *,
        when: When = None,
        times: int | None = None,
        json: object = _UNSET,
        chunks: Sequence[str] | None = None,
        tool_calls: Sequence[tuple[str, Mapping[str, Any] | str] | Mapping[str, Any]] = (),
        reasoning: str | None = None,
        finish_reason: str | None = None,
        usage: Mapping[str, Any] | None = None,
        ttft: float | None = None,
    ) -> None:
        """Script an answer. It is given as it stands: ``max_tokens`` and ``stop`` do not shorten it.

        What is not given is made up as for any request: ``reply(ttft=2)`` only delays the usual answer.

        Args:
            text: the content of the answer.
            when: which requests it is for: text that occurs in their messages, a compiled pattern that is
                found there, or a function of the decoded body; None (default): all.
            times: for how many requests; None (default): any number.
            json: instead of ``text``: a value whose JSON text is the content.
            chunks: instead of ``text``: the content in the pieces in which it is streamed.
            tool_calls: functions that are called, each as ``(name, arguments)`` or as a mapping: with
                ``name``, ``arguments`` and perhaps ``id``, or in the form of the API. Arguments may be a JSON
                text.
            reasoning: the thoughts (``reasoning_content``).
            finish_reason: instead of ``"stop"``, or ``"tool_calls"`` after tool calls.
            usage: token counts that replace those made up, by their names in the API.
            ttft: seconds until the first token; default: as ``latency`` says.

        Raises:
            ValueError: more than one of ``text``, ``json`` and ``chunks``.
        """
        if (text is not None) + (json is not _UNSET) + (chunks is not None) > 1:
            message = "reply() takes one of text, json= and chunks="
            raise ValueError(message)
        if json is not _UNSET:
            text = json_text(json)
        reply = Reply(
            text=text,
            chunks=None if chunks is None else tuple(chunks),
            tool_calls=tuple(_tool_call(call) for call in tool_calls),
            reasoning=reasoning,
            finish_reason=finish_reason,
            usage=usage,
            ttft=ttft,
        )
        self._script.add_reply(reply, when, _checked_times(times))

    def fail(
        self,
        status: int,
        *,
        times: int | None = 1,
        when: When = None,
        code: str | int | None = None,
        message: str | None = None,
        retry_after: float | str | None = None,
        body: bytes | str | Mapping[str, Any] | Sequence[Any] | None = None,
        headers: Mapping[str, str] | None = None,
        after: int | None = None,
    ) -> None:
        """Script an error. Its body is the one that the gateway sends with that status, unless it is given.

        Args:
            status: HTTP status, 200 to 599; below 400 only with ``body``.
            times: for how many requests (default 1); None: any number.
            when: as in :meth:`reply`. Errors for all requests also hit ``GET /v1/models``.
            code: ``error.code``, for another kind of error than the usual one of that status:
                ``fail(429, code="insufficient_quota")``.
            message: ``error.message``.
            retry_after: value of a ``Retry-After`` header (seconds or an HTTP date). The gateway sends none.
            body: the whole body: bytes or text as they are, anything else as JSON.
            headers: further headers.
            after: for streamed requests: let the error come as an event, after so many events with status
                200. Requests that are not streamed get it as their answer.

        Raises:
            ValueError: a status below 400 without a body, or no valid status at all.
        """
        if not _LOWEST_STATUS <= status <= _HIGHEST_STATUS or (status < _LOWEST_ERROR and body is None):
            problem = f"status {status}: from 400 to 599, or from 200 with body="
            raise ValueError(problem)
        error = error_for(status, code=code, message=message)
        sent = {name.title(): value for name, value in (headers or {}).items()}
        if retry_after is not None:
            sent.setdefault("Retry-After", str(retry_after))
        if body is not None:
            raw, content_type = _raw_body(body)
            error = attrs.evolve(error, body=raw, content_type=content_type, upstream_called=False)
        _check_not_negative("after", after or 0)
        failure = Failure(attrs.evolve(error, headers=sent), after)
        self._script.add_fault(failure, when, _checked_times(times))

    def cut(
        self,
        after: int = 1,
        *,
        times: int | None = 1,
        when: When = None,
        rst: bool = False,
        clean: bool = False,
    ) -> None:
        """Script a broken answer.

        Args:
            after: events of a stream (``[DONE]`` does not count) that are still sent; 0: only the head. A
                stream is always cut before its ``[DONE]``. An answer that is not streamed breaks off in the
                middle of its body; with 0 after its head.
            times: for how many requests (default 1); None: any number.
            when: as in :meth:`reply`.
            rst: end the connection with a TCP reset instead of an orderly FIN.
            clean: break off like a model's provider instead: the gateway then ends the stream in good order,
                with ``[DONE]``, but without ``finish_reason`` and usage. Not streamed: an error 500.
        """
        _check_not_negative("after", after)
        fault: Fault = BreakOff(after) if clean else Cut(after, rst)
        self._script.add_fault(fault, when, _checked_times(times))

    def drop(self, *, times: int | None = 1, when: When = None, rst: bool = False) -> None:
        """Script a connection that closes after the request, without a byte of an answer.

        The arguments are those of :meth:`cut`.
        """
        self._script.add_fault(Drop(rst), when, _checked_times(times))

    def stall(self, after: int = 1, *, seconds: float | None = None, times: int | None = 1, when: When = None) -> None:
        """Script a silence.

        Args:
            after: events of a stream that are sent before it; 0: only the head. An answer that is not
                streamed stays away altogether.
            seconds: how long; then the answer goes on. None (default): until the client goes away.
            times: for how many requests (default 1); None: any number.
            when: as in :meth:`reply`.
        """
        _check_not_negative("after", after)
        _check_not_negative("seconds", seconds or 0)
        self._script.add_fault(Stall(after, seconds), when, _checked_times(times))

    def quirk(self, name: str, *, times: int | None = None, when: When = None) -> None:
        """Script a deviation from the documented format, as gateways and providers really show it.

        What is said stays what :meth:`reply` scripted, or what was made up; the quirk changes how it goes over the
        wire, or puts an error in its place. All quirks that match are applied, in the order they were scripted.

        Args:
            name: one of :data:`~anyfast_async.simulator.QUIRKS`.
            times: for how many requests; None (default): any number.
            when: as in :meth:`reply`.

        Raises:
            ValueError: there is no such quirk; the message has the nearest name.
        """
        self._script.add_quirk(quirk_named(name), when, _checked_times(times))

    def exchange(
        self,
        *,
        method: str = "POST",
        path: str = "/v1/chat/completions",
        request: object = None,
        request_base64: str | None = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        chunks: Sequence[Mapping[str, Any]] = (),
        end: Literal["whole", "cut", "left"] = "whole",
        times: int | None = 1,
    ) -> None:
        """Script what was recorded, byte by byte: :class:`anyfast_async.testing.Cassette` writes these.

        As soon as there is one, nothing else answers: no reply, fault or quirk, and not the gateway's own checks. A
        request that equals none of them is refused with status 501, and leaving the context then raises an
        ``AssertionError`` that has the nearest one and the differences. Equal ones are played in their order.

        Args:
            method: of the request.
            path: of the request, with its query.
            request: its JSON, as text or as a value; texts that begin with ``sha256:`` stand for their hash.
            request_base64: instead, a body that is no text.
            status: of the answer; None: none came, and the connection stays silent until the client goes.
            headers: of the answer. With ``Content-Length`` it is sent in one piece, else chunked.
            chunks: its body, each piece a mapping with ``data`` (text or bytes) or ``base64``, and ``at``, seconds
                after the request, which the option ``timing`` of the simulator keeps.
            end: "cut": the connection breaks after that; "left": so it did when the client had gone.
            times: for how many such requests (default 1); None: any number.

        Raises:
            ValueError: a base64 that is none, or both ``request`` and ``request_base64``.
        """
        if request is not None and request_base64 is not None:
            message = "exchange() takes one of request and request_base64"
            raise ValueError(message)
        value = request_value(request.encode()) if isinstance(request, str) else request
        self._script.add_exchange(
            RecordedExchange(
                method=method,
                path=path,
                request=value if request_base64 is None else request_value(_unpacked(request_base64)),
                status=status,
                headers=dict(headers or {}),
                chunks=tuple(RecordedPiece(float(one.get("at", 0)), _bytes(one)) for one in chunks),
                end=end,
            ),
            _checked_times(times),
        )

    def limit(
        self,
        *,
        requests_per_minute: int | None = None,
        requests_per_second: int | None = None,
        empty_body: bool = False,
    ) -> None:
        """Refuse chat requests beyond so many in any 60 s or 1 s with a 429, as the gateway's limiter does.

        There is no ``Retry-After``, and refused requests do not count. Without arguments there is no limit.

        Args:
            requests_per_minute: requests admitted in any 60 s.
            requests_per_second: requests admitted in any 1 s.
            empty_body: refuse without a body, like a gateway that counts in its memory; else (default) with
                the JSON error of one that counts in Redis.
        """
        for limit in (requests_per_minute, requests_per_second):
            _check_not_negative("limit", 0 if limit is None else limit)
        limits = ((requests_per_minute, 60.0), (requests_per_second, 1.0))
        windows = tuple(MinuteWindow(limit, seconds) for limit, seconds in limits if limit is not None)
        self._script.limiter = Limiter(windows, empty_body) if windows else None


def _checked_times(times: int | None) -> int | None:
    if times is not None and times < 1:
        message = f"times={times}: at least 1, or None for any number"
        raise ValueError(message)
    return times


def _check_not_negative(name: str, value: float) -> None:
    if value < 0:
        message = f"{name}={value}: must not be negative"
        raise ValueError(message)


def _bytes(chunk: Mapping[str, Any]) -> bytes:
    if "base64" in chunk:
        return _unpacked(chunk["base64"])
    data = chunk["data"]
    return data.encode() if isinstance(data, str) else bytes(data)


def _unpacked(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        message = "base64 that is none"
        raise ValueError(message) from None


def _tool_call(call: tuple[str, Mapping[str, Any] | str] | Mapping[str, Any]) -> tuple[str | None, str, str]:
    if isinstance(call, tuple):
        return None, call[0], _arguments(call[1])
    function = call.get("function", call)
    return call.get("id"), function["name"], _arguments(function.get("arguments", {}))


def _arguments(arguments: object) -> str:
    return arguments if isinstance(arguments, str) else json_text(arguments)


def _raw_body(body: bytes | str | Mapping[str, Any] | Sequence[Any]) -> tuple[bytes, str]:
    """The bytes of a scripted body, and its content type unless a header says otherwise."""
    if isinstance(body, bytes | str):
        raw = body.encode() if isinstance(body, str) else body
        start = raw.lstrip()[:1]
        json_like = start in (b"{", b"[")
        return raw, _JSON if json_like else _HTML if start == b"<" else _PLAIN
    return json_text(body).encode(), _JSON
