"""Error bodies of the gateway."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from anyfast_async.simulator.http.refusals import error_for, render

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator

    from ..raw_client import Http

ID = "20260427111505260254000NBdvZFoP"


@pytest.mark.parametrize(
    ("status", "code", "wanted"),
    [
        (400, None, ["upstream_error", 400]),
        (401, None, ["new_api_error", ""]),
        (403, None, ["new_api_error", "insufficient_user_quota"]),
        (404, None, ["upstream_error", 404]),
        (413, None, ["new_api_error", "read_request_body_failed"]),
        (418, None, ["upstream_error", 418]),
        (429, None, ["new_api_error", ""]),
        (429, "insufficient_quota", ["insufficient_quota", "insufficient_quota"]),
        (429, "rate_limit_exceeded", ["requests", "rate_limit_exceeded"]),
        (429, 429, ["upstream_error", 429]),
        (500, None, ["new_api_error", "do_request_failed"]),
        (500, "invalid_request", ["new_api_error", "invalid_request"]),
        (500, "channel:no_available_key", ["new_api_error", "channel:no_available_key"]),
        (400, "prompt_blocked", ["prompt_blocked", "prompt_blocked"]),
        (500, "something_else", ["upstream_error", "something_else"]),
        (501, None, ["new_api_error", "api_not_implemented"]),
        (502, None, ["bad_response_status_code", "bad_response_status_code"]),
        (503, None, ["new_api_error", "system_cpu_overloaded"]),
        (503, "model_not_found", ["new_api_error", "model_not_found"]),
        (529, None, ["overloaded_error", "overloaded_error"]),
        (599, None, ["upstream_error", 599]),
    ],
)
def test_type_and_code(status: int, code: str | int | None, wanted: list[object]) -> None:
    """A status, or a code, has the type and code that the gateway sends with it."""
    error = error_for(status, code=code)
    fields = json.loads(render(error, ID))["error"]
    assert error.status == status
    assert [fields["type"], fields["code"]] == wanted
    assert fields["message"]


@pytest.mark.parametrize(("status", "signed"), [(401, True), (429, True), (500, True), (400, False), (502, False)])
def test_request_id_in_messages(status: int, *, signed: bool) -> None:
    """The gateway's own messages end in the request id; relayed ones do not."""
    message = json.loads(render(error_for(status), ID))["error"]["message"]
    assert message.endswith(f" (request id: {ID})") is signed


@pytest.mark.parametrize(("status", "keys"), [(429, "code message type"), (500, "message type param code")])
def test_keys(status: int, keys: str) -> None:
    """Errors before the relay have no ``param``, and their keys are sorted: they come from a Go map."""
    assert list(json.loads(render(error_for(status), ID))["error"]) == keys.split()


def test_message() -> None:
    """A message replaces the usual one."""
    assert json.loads(render(error_for(400, message="Too hot"), ID))["error"]["message"] == "Too hot"


@pytest.mark.parametrize("status", [520, 521, 522, 523, 524, 525, 526])
def test_proxy_pages(status: int) -> None:
    """Statuses of the proxy in front come as an HTML page."""
    error = error_for(status)
    assert error.content_type.startswith("text/html")
    assert f"{status}: " in render(error, ID).decode()


async def test_content_type_of_streamed_errors(sim: Simulator, http: Http) -> None:
    """An error after the provider was called is JSON under the content type of an event stream."""
    for _ in range(2):
        sim.fail(500)
        sim.fail(503)
    types = [(await http.chat(stream=stream)).headers["Content-Type"] for stream in (True, True, False, False)]
    json_type = "application/json; charset=utf-8"
    assert types == ["text/event-stream", json_type, json_type, json_type]


@pytest.mark.parametrize("path", ["/x", "/chat/completions/", "/embeddings", "/chat"])
async def test_unknown_api_path(http: Http, path: str) -> None:
    """Below /v1 an unknown path is 404, key or no key."""
    response = await http.send("POST", path, authorization="")
    assert response.status == 404
    assert response.json == {
        "error": {
            "message": f"Invalid URL (POST /v1{path})",
            "type": "invalid_request_error",
            "param": "",
            "code": "",
        }
    }
    assert response.headers["X-Oneapi-Request-Id"]


async def test_wrong_method(http: Http) -> None:
    """A wrong method is an unknown path, too."""
    response = await http.send("GET", "/chat/completions")
    assert (response.status, response.error["message"]) == (404, "Invalid URL (GET /v1/chat/completions)")


async def test_console(http: Http) -> None:
    """Elsewhere the web console answers 200 with HTML: the trap of a base URL without /v1."""
    response = await http.send("POST", "/../chat/completions")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert response.raw.startswith(b"<!doctype html>")
