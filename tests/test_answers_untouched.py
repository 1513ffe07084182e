"""Keys, as answers, refusals and servers without keys meet them: no byte of an answer is edited, no error shows a key.

``data/cases/keys.json`` holds what servers send, which key the client has, and what has to come out.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from anyfast_async import NO_KEY, AnyFast, AnyFastError, AuthenticationError, ConfigurationError, RetryPolicy, Timeouts
from anyfast_async.openai import AsyncOpenAI
from anyfast_async.openai import AuthenticationError as DoorAuthenticationError

if TYPE_CHECKING:
    from conftest import Connect, RawRequest, RawServers

    from anyfast_async import ChatCompletion

ROWS: Final = json.loads((Path(__file__).parent / "data" / "cases" / "keys.json").read_text())
ANSWERS: Final = [
    pytest.param(row, how, id=f"{row['name']}-{how}")
    for row in ROWS
    if "recipe" not in row["input"]
    for how in (*row["through"], *(["sse", "chunks", "door"] if "stream" in row["through"] else []))
]


def chunk(delta: Any = None, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def bytes_of(given: dict[str, Any], raw: RawServers) -> bytes:
    """The answer that a row describes."""
    if "events" in given:
        payloads = [e if "error" in e else chunk(e.get("d"), e.get("f")) for e in given["events"]]
        events = [b"data: " + json.dumps(e).encode() + b"\n\n" for e in payloads]
        return raw.stream_head() + b"".join(map(raw.chunk, [*events, b"data: [DONE]\n\n"])) + b"0\r\n\r\n"
    headers = dict(line.split(": ") for line in given.get("head", ()))
    headers = {name.replace("-", "_"): value for name, value in headers.items()}
    return raw.answer(given.get("json", raw.completion_body("own")), given.get("status", 200), **headers)


def said(payloads: list[dict[str, Any]]) -> str:
    return "".join(c["delta"].get("content") or "" for p in payloads for c in p.get("choices", ()))


@pytest.fixture
async def door() -> AsyncIterator[Callable[..., AsyncOpenAI]]:
    """Makes clients in the vendor SDK's shape, and closes them."""
    made: list[AsyncOpenAI] = []

    def make(**arguments: Any) -> AsyncOpenAI:
        made.append(AsyncOpenAI(max_retries=0, **arguments))
        return made[-1]

    yield make
    for client in made:
        await client.close()


async def outcome(client: AnyFast, how: str) -> tuple[str, ChatCompletion | None]:
    """The text as this entrance hands it out, and the answer that it makes of it."""
    match how:
        case "complete" | "via_stream":
            completion = await client.complete("q", via_stream=how == "via_stream")
            return completion.text, completion
        case "map":
            completion = (await client.map(["q"]))[0].unwrap()
            return completion.text, completion
    async with client.stream("q") as stream:
        match how:
            case "stream":
                text = "".join([token async for token in stream])
            case "chunks":
                text = "".join([one.text async for one in stream.chunks()])
            case _:
                events = [event[6:] async for event in stream.sse()]
                payloads = [json.loads(event) for event in events if event != b"[DONE]\n\n"]
                if failed := [p["error"]["message"] for p in payloads if "error" in p]:
                    raise AnyFastError(failed[0])
                text = said(payloads)
    return text, stream.completion


@pytest.mark.parametrize(("row", "how"), ANSWERS)
async def test_the_table(
    row: dict[str, Any], how: str, raw_server: RawServers, connect: Connect, door: Callable[..., AsyncOpenAI]
) -> None:
    """An answer comes byte for byte, whatever the key, and an error without it, through every entrance."""
    expect, key = row["expect"], row["call"]["key"]
    server = await raw_server([bytes_of(row["input"], raw_server)])
    client = connect(server.base_url, api_key=key, retry=RetryPolicy(attempts=1), timeouts=Timeouts(total=8))
    completion: ChatCompletion | None = None
    if expect["outcome"] == "ok":
        if how == "door":
            stream = await door(api_key=key, base_url=server.base_url).chat.completions.create(
                model="m", messages=[{"role": "user", "content": "q"}], stream=True
            )
            text = "".join([one.choices[0].delta.content or "" async for one in stream])
        else:
            text, completion = await outcome(client, how)
        assert text == expect["text"]
        if completion is not None:
            assert completion.text == expect["text"]
            assert completion.finish_reason == expect.get("finish", completion.finish_reason)
            assert completion.request_id == expect.get("request_id", completion.request_id)
        if completion is not None and "usage" in expect:
            usage = completion.usage
            assert usage is not None
            assert [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens] == expect["usage"]
        return
    with pytest.raises(Exception, match=r"wrong key|Error code|An error") as caught:
        if how == "door":
            await door(api_key=key, base_url=server.base_url).chat.completions.create(
                model="m", messages=[{"role": "user", "content": "q"}]
            )
        else:
            await outcome(client, how)
    assert key not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


@pytest.mark.parametrize("key", ["k", "id", "test", "EMPTY", "ollama", "lm-studio"])
async def test_an_error_keeps_its_id_and_its_shape(key: str, raw_server: RawServers, connect: Connect) -> None:
    """Of an error the id of the request stays as it came, with the key in it too, and so do names of fields."""
    body = {"error": {"message": f"bad {key} given", "code": 7, "k": 1, "id": [key]}}
    answer = raw_server.answer(body, 400, x_oneapi_request_id=f"req-{key}-7")
    client = connect((await raw_server([answer])).base_url, api_key=key)
    with pytest.raises(AnyFastError) as caught:
        await client.complete("q")
    error: Any = caught.value
    assert error.request_id == f"req-{key}-7"
    assert error.body == {"error": {"message": "bad *** given", "code": 7, "k": 1, "id": ["***"]}}


# -- no key ----------------------------------------------------------------------------------------------------------


def unlocked(raw: RawServers) -> Callable[..., Any]:
    """A server that refuses whoever shows a key."""

    async def serve(request: RawRequest, writer: Any) -> None:
        writer.write(raw.answer({}, 403) if "authorization" in request.headers else raw.completion("open"))

    return serve


async def test_no_key_is_sent_where_none_is_wanted(
    raw_server: RawServers, connect: Connect, door: Callable[..., AsyncOpenAI], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With NO_KEY there is no Authorization header, on either way over the wire, whatever the environment says."""
    monkeypatch.setenv("ANYFAST_API_KEY", "sk-of-another-gateway")
    server = await raw_server([unlocked(raw_server)])
    client = connect(server.base_url, api_key=NO_KEY)
    assert (await client.complete("q")).text == "open"
    assert (await connect(server.base_url, api_key="sk-0").with_options(api_key=NO_KEY).complete("q")).text == "open"
    asked = door(api_key=NO_KEY, base_url=server.base_url).chat.completions
    answer: Any = await asked.create(model="m", messages=[{"role": "user", "content": "q"}])
    assert answer.choices[0].message.content == "open"
    through = connect("http://127.0.0.1:9/v1", api_key=NO_KEY, proxy=server.base_url.removesuffix("/v1"))
    assert (await through.complete("q")).text == "open"
    assert len(server.requests) == 4


async def test_a_server_that_wants_a_key_after_all(
    raw_server: RawServers, connect: Connect, door: Callable[..., AsyncOpenAI]
) -> None:
    """A 401 after NO_KEY says that this server wants a key, not to look at a variable that was never read."""
    server = await raw_server([raw_server.answer({"error": {"message": "no token"}}, 401)])
    with pytest.raises(AuthenticationError) as caught:
        await connect(server.base_url, api_key=NO_KEY).complete("q")
    assert str(caught.value) == "401: no token (this server wants a key, and NO_KEY (--no-key) sends none)"
    with pytest.raises(DoorAuthenticationError, match="no token"):
        await door(api_key=NO_KEY, base_url=server.base_url).models.list()


@pytest.mark.parametrize(
    "base_url", [None, "https://www.anyfast.ai", "https://WWW.anyfast.ai.:443/v1", "https://www.anyfast.ai/other/v1"]
)
async def test_the_default_gateway_always_wants_a_key(base_url: str | None, connect: Connect) -> None:
    """NO_KEY for the default gateway is refused when the client is made, in every way of making one."""
    with pytest.raises(ConfigurationError, match="wants a key"):
        AnyFast(NO_KEY, base_url=base_url)
    here = connect("http://127.0.0.1:9/v1", api_key=NO_KEY)
    with pytest.raises(ConfigurationError, match="wants a key"):
        here.with_options(base_url=base_url or "https://www.anyfast.ai/v1")
    with pytest.raises(ConfigurationError, match="wants a key"):
        AnyFast("sk-0", base_url=base_url).with_options(api_key=NO_KEY)
    with pytest.raises(ValueError, match="wants a key"):
        AsyncOpenAI(api_key=NO_KEY, base_url=base_url)


# -- key files in use ------------------------------------------------------------------------------------------------


async def test_a_replaced_file_is_used_after_a_refusal(
    raw_server: RawServers, connect: Connect, tmp_path: Path
) -> None:
    """A key file replaced by one that looks the same: the call goes on with the new key."""
    (row,) = [one["input"] for one in ROWS if one["name"] == "file-replaced"]
    file, other = tmp_path / "key", tmp_path / "next"
    revoked = False

    async def serve(request: RawRequest, writer: Any) -> None:
        good = not revoked or request.headers["authorization"] == f"Bearer {row['new']}"
        writer.write(raw_server.completion("ok") if good else raw_server.answer({"error": {"message": "no"}}, 401))

    for path, content in ((file, row["old"]), (other, row["new"])):
        path.write_text(content)
        os.utime(path, (1, 1))
    client = connect((await raw_server([serve])).base_url, api_key=file)
    await client.complete("a")
    os.replace(other, file)  # noqa: PTH105 - what deployments do
    revoked = True
    assert (await client.complete("b")).text == "ok"


async def test_an_emptied_file_and_a_refusal(raw_server: RawServers, connect: Connect, tmp_path: Path) -> None:
    """While the file is empty the last key goes on; is it refused, the message names the file and no variable."""
    (row,) = [one["input"] for one in ROWS if one["name"] == "file-empty"]
    file = tmp_path / "key"
    file.write_text(row["old"])
    refused = raw_server.answer({"error": {"message": "no"}}, 401)
    server = await raw_server([raw_server.completion("own")], [raw_server.completion("own")], [refused])
    client = connect(server.base_url, api_key=file)
    await client.complete("a")
    file.write_text(row["meanwhile"])
    assert (await client.complete("b")).text == "own"
    with pytest.raises(AuthenticationError) as caught:
        await client.complete("c")
    assert f"(check the key in {file}, or" in str(caught.value)
    assert "ANYFAST_API_KEY" not in str(caught.value)
    assert {f"Bearer {row['old']}"} == {request.headers["authorization"] for request in server.requests}
    assert len(server.requests) == 4
