"""A request to headers and bytes: local files, large requests, and what cannot be sent."""

from __future__ import annotations

import base64
import json
import random
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from anyfast_async import (
    AssistantMessage,
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    RequestValidationError,
    UserMessage,
    VideoPart,
)
from anyfast_async._core.json import codec
from anyfast_async._http import request_body, request_headers
from anyfast_async._http.api_key import Secret
from anyfast_async._http.local_files import content_of
from anyfast_async._http.request_body import OFF_LOOP, encoded
from anyfast_async._http.request_headers import STREAM_HEADERS, UNARY_HEADERS, Route, new_idempotency_key

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))


def request(*parts: Any) -> ChatRequest:
    return ChatRequest([UserMessage(["What is this?", *parts])], model="m")


async def content(*parts: Any) -> list[Any]:
    body = json.loads(await encoded(request(*parts), stream=False))
    found: list[Any] = body["messages"][0]["content"]
    return found[1:]


def data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


async def test_local_files_become_data_urls(tmp_path: Path) -> None:
    """A file goes out as a data: URL of its type, whichever part holds it, and as base64 where the wire wants that."""
    files = {name: tmp_path / name for name in ("a.png", "a.PDF", "a.wav", "a.mp4")}
    for number, file in enumerate(files.values()):
        file.write_bytes(PNG + bytes([number]))
    image, document, sound, film = (PNG + bytes([number]) for number in range(4))
    assert [
        {"type": "image_url", "image_url": {"url": data_url("image/png", image), "detail": "low"}},
        {"type": "image_url", "image_url": {"url": data_url("image/png", image)}},
        {"type": "file", "file": {"filename": "a.PDF", "file_data": data_url("application/pdf", document)}},
        {"type": "input_audio", "input_audio": {"data": base64.b64encode(sound).decode(), "format": "wav"}},
        {"type": "video_url", "video_url": data_url("video/mp4", film)},
    ] == await content(
        ImagePart.from_path(files["a.png"], detail="low"),
        files["a.png"],
        FilePart.from_path(str(files["a.PDF"])),
        AudioPart.from_path(files["a.wav"]),
        VideoPart.from_path(files["a.mp4"]),
    )


async def test_files_are_read_when_the_request_is_sent_and_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making the request opens nothing; sending it reads off the loop, so that others go on."""
    file = tmp_path / "late.png"
    made = request(file)
    file.write_bytes(PNG)
    threads = []

    def watched(path: Path, limit: int) -> bytes:
        threads.append(threading.current_thread())
        return content_of(path, limit)

    monkeypatch.setattr(request_body, "content_of", watched)
    await encoded(made, stream=False)
    assert threads
    assert threading.main_thread() not in threads


async def test_every_file_that_cannot_be_sent_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing and too large files are bad fields: all of them at once, by name, and nothing is sent."""
    monkeypatch.setattr(request_body, "MAX_FILE", 10)
    (tmp_path / "large.png").write_bytes(PNG)
    with pytest.raises(RequestValidationError) as caught:
        await encoded(request(tmp_path / "large.png", tmp_path / "none.png"), stream=False)
    assert [
        f"cannot send the file {tmp_path / 'large.png'}: it is larger than 10 bytes",
        f"cannot send the file {tmp_path / 'none.png'}: No such file or directory",
    ] == [error.problem for error in caught.value.errors]


async def test_large_requests_are_encoded_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a million characters on the loop does not wait for the encoder; below it does, which is cheaper."""
    threads = []
    encode = codec.encode

    def watched(*args: Any, **kwargs: Any) -> bytes:
        threads.append(threading.current_thread())
        return encode(*args, **kwargs)

    monkeypatch.setattr(codec, "encode", watched)
    for size in (1000, OFF_LOOP):
        await encoded(ChatRequest([{"role": "user", "content": [{"type": "text", "text": "x" * size}]}]), stream=False)
    assert [True, False] == [thread is threading.main_thread() for thread in threads]


async def test_what_is_no_json_is_a_bad_field() -> None:
    """A request that was changed after its check, into one that never ends, is refused when it is encoded."""
    tool: dict[str, Any] = {"type": "function"}
    made = ChatRequest([{"role": "user", "content": [tool]}], model="m", tools=[tool])
    tool["again"] = [tool]
    with pytest.raises(RequestValidationError, match=r"body: holds what JSON cannot: .*\.again\[0\]: contains itself"):
        await encoded(made, stream=False)


def test_headers_ask_for_what_is_read() -> None:
    """JSON may be compressed; a stream may not, so that no proxy holds events back."""
    assert ("application/json", "gzip, deflate") == (UNARY_HEADERS["Accept"], UNARY_HEADERS["Accept-Encoding"])
    assert "identity" == STREAM_HEADERS["Accept-Encoding"]
    assert STREAM_HEADERS["Accept"].startswith("text/event-stream")
    assert UNARY_HEADERS["User-Agent"].startswith("anyfast-async/")


# -- heads -----------------------------------------------------------------------------------------------------------

SECRET = Secret("sk-0123456789abcdef")


def test_head_of_a_request() -> None:
    """The request line, the host as HTTP wants it, the headers of the route, and what differs from call to call."""
    route = Route(
        "POST", URL("https://Bücher.example:8443/v1/chat/completions?a=b c"), {"A": "1", "B": "2"}, {"a": "3"}
    )

    assert route.head(SECRET, "k-1", b"{}") == (
        b"POST /v1/chat/completions?a=b+c HTTP/1.1\r\nHost: xn--bcher-kva.example:8443\r\na: 3\r\nB: 2\r\n"
        b"Idempotency-Key: k-1\r\nAuthorization: Bearer sk-0123456789abcdef\r\nContent-Length: 2\r\n\r\n"
    )
    assert {"a": "3", "B": "2", "Idempotency-Key": "k-1", "Authorization": "Bearer sk-0123456789abcdef"} == (
        route.fields(SECRET, "k-1")
    )
    assert ("bücher.example", True) == (route.host, route.secure)


def test_head_of_a_request_without_a_body() -> None:
    """Neither a length nor, where the caller makes none, an idempotency key."""
    assert Route("GET", URL("http://127.0.0.1/v1/models")).head(SECRET, None, None) == (
        b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer sk-0123456789abcdef\r\n\r\n"
    )


@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key"])
def test_idempotency_key_of_the_user_wins(name: str) -> None:
    """A key among the headers of the route is the only one, whatever its case."""
    route = Route("POST", URL("http://127.0.0.1/"), {name: "mine"})

    assert route.head(SECRET, "ours", b"").lower().count(b"idempotency-key") == 1
    assert {name: "mine", **SECRET.headers()} == route.fields(SECRET, "ours")


def test_idempotency_keys_differ() -> None:
    """Every call has its own, whatever the seed of the program's randomness."""
    random.seed(0)
    first = new_idempotency_key()
    random.seed(0)

    assert first != new_idempotency_key()
    assert re.fullmatch("[0-9a-f]{32}", first)


def test_an_idempotency_key_is_there_though_other_threads_take_those_made_in_advance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever makes them has one of its own."""

    class Taken(list[str]):
        def extend(self, _: object) -> None:
            """Have them gone by the next line."""

    monkeypatch.setattr(request_headers, "_UNUSED", Taken())
    assert len({new_idempotency_key() for _ in range(3)}) == 3


async def test_size_counts_all_text_of_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain messages and those with more than text are weighed alike: what is large goes to a thread."""
    threads: list[bool] = []
    real = codec.encode

    def watched(*args: Any, **kwargs: Any) -> bytes:
        threads.append(threading.current_thread() is threading.main_thread())
        return real(*args, **kwargs)

    monkeypatch.setattr(codec, "encode", watched)
    large = "x" * OFF_LOOP
    for message in (
        UserMessage(large),
        {"role": "user", "content": large},
        AssistantMessage(large),
        AssistantMessage("", reasoning_content=large),
        AssistantMessage("", extra={"thought_signature": large}),
        {"role": "user", "content": "", "more": large},
    ):
        await encoded(ChatRequest([message], model="m"), stream=False)

    assert [False] * 6 == threads
