"""What the upstream says, whoever serves it: raw sockets, an ASGI application, or a framework's model.

A prompt's first word says what happens. The text of an answer is its prompt, so that another caller's answer is found.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

SILENCE = 4.0
"""Seconds for which the upstream is silent: far longer than the proxies wait."""
GAP = 0.25
"""Seconds between the events of a stream that is `live`."""
LONG = 60_000
"""Characters of a header that is longer than most servers take."""
KEY = "sk-interop"
MODEL = "m"
RETRY_AFTER = 7
ARGUMENTS = '{"city": "Bern", "days": 3}'


class Log:
    """Lines of JSON: when, what (`asked`, `first`, `left`), and about which prompt. Clocks of all processes agree."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, what: str, prompt: str) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps([time.monotonic(), what, prompt]) + "\n")

    def read(self) -> list[tuple[float, str, str]]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [(at, what, prompt) for at, what, prompt in map(json.loads, lines)]

    def asked(self, prompt: str) -> int:
        """How often the last byte of a request with this prompt was read."""
        return sum(what == "asked" and told == prompt for _, what, told in self.read())

    def when(self, what: str, prompt: str) -> float | None:
        """The last time that this happened."""
        return next((at for at, said, told in reversed(self.read()) if (said, told) == (what, prompt)), None)


def prompt_of(request: dict[str, Any]) -> str:
    """The text of the last message."""
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def usage_of(prompt: str) -> dict[str, int]:
    """Numbers that no tokenizer counts."""
    return {"prompt_tokens": 1001, "completion_tokens": len(prompt), "total_tokens": 1001 + len(prompt)}


def refusal(request: dict[str, Any], key: str | None) -> tuple[int, dict[str, str], dict[str, Any]] | None:
    """Status, headers and body of what is not answered, None if it is."""
    if key != KEY:
        error = {"message": "Incorrect API key provided", "type": "invalid_request_error", "code": "invalid_api_key"}
        return 401, {}, {"error": error}
    if prompt_of(request).startswith("limited"):
        error = {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}
        return 429, {"Retry-After": str(RETRY_AFTER)}, {"error": error}
    if prompt_of(request).startswith("broke"):
        text = "You exceeded your current quota, please check your plan and billing details."
        return 429, {}, {"error": {"message": text, "type": "insufficient_quota", "code": "insufficient_quota"}}
    return None


def _tool_calls() -> list[dict[str, Any]]:
    return [
        {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": ARGUMENTS}}
        for name in ("weather", "clock")
    ]


def completion(request: dict[str, Any]) -> dict[str, Any]:
    """The answer in one."""
    prompt = prompt_of(request)
    message: dict[str, Any] = {"role": "assistant", "content": prompt}
    finish = "stop"
    if request.get("tools"):
        message, finish = {"role": "assistant", "content": None, "tool_calls": _tool_calls()}, "tool_calls"
    value: dict[str, Any] = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": request.get("model", MODEL),
        "choices": [
            {"index": index, "message": message, "finish_reason": finish} for index in range(request.get("n") or 1)
        ],
    }
    return value if prompt.startswith("uncounted") else value | {"usage": usage_of(prompt)}


def chunks(request: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer as a stream, without its end marker: a word of the prompt each, choices taking turns."""
    prompt, count = prompt_of(request), request.get("n") or 1
    deltas: list[dict[str, Any]] = [{"content": word + " "} for word in prompt.split(" ")]
    deltas[-1]["content"] = deltas[-1]["content"][:-1]
    finish = "stop"
    if request.get("tools"):
        finish, deltas = "tool_calls", []
        for index, call in enumerate(_tool_calls()):
            first = {**call, "index": index, "function": {"name": call["function"]["name"], "arguments": ""}}
            deltas.append({"tool_calls": [first]})
            for at in range(0, len(ARGUMENTS), 9):
                part = {"index": index, "function": {"arguments": ARGUMENTS[at : at + 9]}}
                deltas.append({"tool_calls": [part]})
    deltas[0] = {"role": "assistant", **deltas[0]}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": request.get("model", MODEL)}
    told: list[dict[str, Any]] = []
    for number, delta in enumerate([*deltas, {}]):
        for index in range(count):
            reason = finish if number == len(deltas) else None
            told.append({**head, "choices": [{"index": index, "delta": delta, "finish_reason": reason}]})
    if (request.get("stream_options") or {}).get("include_usage") and not prompt.startswith("uncounted"):
        told.append({**head, "choices": [], "usage": usage_of(prompt)})
    return told


def gap(prompt: str) -> float:
    """Seconds between two events."""
    return {"live": GAP, "leave": 0.05, "cut": 0.02}.get(prompt.split(maxsplit=1)[0], 0.0)


def event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
