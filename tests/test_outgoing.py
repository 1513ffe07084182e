"""A request to headers and bytes: local files, large requests, and what cannot be sent."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from anyfast_async import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    RequestValidationError,
    UserMessage,
    VideoPart,
    _outgoing,
)
from anyfast_async._core import codec
from anyfast_async._outgoing import OFF_LOOP, STREAM_HEADERS, UNARY_HEADERS, encoded

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
    read = _outgoing._read

    def watched(path: Path) -> bytes:
        threads.append(threading.current_thread())
        return read(path)

    monkeypatch.setattr(_outgoing, "_read", watched)
    await encoded(made, stream=False)
    assert threads
    assert threading.main_thread() not in threads


async def test_every_file_that_cannot_be_sent_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing and too large files are bad fields: all of them at once, by name, and nothing is sent."""
    monkeypatch.setattr(_outgoing, "MAX_FILE", 10)
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
    """A tool that holds a set cannot be sent; the error says what of it."""
    with pytest.raises(RequestValidationError, match="body: holds what JSON cannot: set"):
        await encoded(ChatRequest("x", model="m", tools=[{"type": {1}}]), stream=False)


def test_headers_ask_for_what_is_read() -> None:
    """JSON may be compressed; a stream may not, so that no proxy holds events back."""
    assert ("application/json", "gzip, deflate") == (UNARY_HEADERS["Accept"], UNARY_HEADERS["Accept-Encoding"])
    assert "identity" == STREAM_HEADERS["Accept-Encoding"]
    assert STREAM_HEADERS["Accept"].startswith("text/event-stream")
    assert UNARY_HEADERS["User-Agent"].startswith("anyfast-async/")
