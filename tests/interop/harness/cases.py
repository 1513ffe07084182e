"""What is done to each peer, and what is right: one function a case, `CASES` has all.

A case asks twice, raw (what the peer does) and through the client (what that is told as), and gives a :class:`Cell`.
What is wrong with it is a list of sentences. They follow from what the upstream wrote down and from the bytes that
came, never from what a peer is known to do, so they hold for peers that nobody has seen yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import attrs
from answers import ARGUMENTS, GAP, LONG, RETRY_AFTER, SILENCE, usage_of
from peers import Running, free_port
from raw_probe import Came, Line

from anyfast_async import (
    AnyFast,
    AnyFastError,
    AuthenticationError,
    ChatCompletion,
    InsufficientQuotaError,
    Limits,
    RateLimitError,
    RetryPolicy,
    Timeouts,
)

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("weather", "clock")
]
WAIT: float = 2.0 * SILENCE
MANY, LONG_ENOUGH = 130, 40.0
"""Requests on one connection, and the seconds after which fewer are enough."""
AT_ONCE = 0.12
"""Seconds that are called at once: everything here runs on one busy machine."""
PATIENT = Timeouts(first_token=SILENCE, idle=SILENCE, response=SILENCE)
WAYS = ("whole", "streamed")
WORDS = "live one two three four"
COUNT = "Count slowly, please: " + " ".join(map(str, range(60)))
"""What makes a server answer at length, one that repeats what it is told too."""


@attrs.frozen
class Cell:
    """What was seen of one peer in one case."""

    does: str
    """The peer."""

    told: str
    """The client."""

    wrong: tuple[str, ...] = ()


@attrs.frozen
class Stage:
    """A peer that runs, and how to talk to it."""

    running: Running
    connect: Callable[..., AnyFast]
    start: Callable[..., Any]
    """A context with another instance: `start(limited=True)`, `start(deserted=True)`."""

    def client(self, at: Running | None = None, **settings: Any) -> AnyFast:
        one = at or self.running
        defaults: dict[str, Any] = {
            "api_key": one.peer.key,
            "model": one.model,
            "retry": RetryPolicy(backoff=(0.01, 0.02)),
            "proxy": one.proxy,
            "ssl_context": one.tls,
        }
        return self.connect(one.url, **(defaults | settings))

    @contextlib.asynccontextmanager
    async def line(self, at: Running | None = None) -> AsyncIterator[Line]:
        one = at or self.running
        line = await Line.to(one.port, one.tls)
        try:
            yield line
        finally:
            await line.close()

    async def raw(self, prompt: str, at: Running | None = None, *, wait: float = WAIT, **more: Any) -> Came:
        """One exchange on a connection of its own."""
        try:
            async with self.line(at) as line:
                return await self.ask(line, prompt, at, wait=wait, **more)
        except ConnectionError:
            return Came(end="refused")

    async def ask(self, line: Line, prompt: str, at: Running | None = None, *, wait: float = WAIT, **more: Any) -> Came:
        one = at or self.running
        headers = {"Authorization": f"Bearer {more.pop('key', one.peer.key)}", **more.pop("headers", {})}
        request = {"model": one.model, "messages": [{"role": "user", "content": prompt}], **more}
        target = f"{one.peer.path}/chat/completions"
        if one.peer.forward:
            target = f"http://127.0.0.1:{one.upstream}{target}"
        return await line.ask(target, request, headers, wait)

    def asked(self, prompt: str) -> int:
        return self.running.log.asked(prompt)

    @property
    def scripted(self) -> bool:
        return self.running.peer.scripted

    @property
    def behind(self) -> bool:
        """Whether there is an upstream behind the peer."""
        return self.running.peer.kind in ("proxy", "gateway")


Case: TypeAlias = Callable[[Stage], Awaitable[Cell]]


# -- words ------------------------------------------------------------------------------------------------------


def said(came: Came) -> str:
    """An answer in a few words."""
    if not came.status:
        return {"refused": "refuses to connect", "late": "silence", "reset": "resets"}.get(
            came.end, "closes unanswered"
        )
    ends = {
        "cut": ", cut",
        "reset": ", reset",
        "late": ", then silence",
        "close": ", until it closes",
        "broken framing": ", broken framing",
    }
    kind = came.headers.get("content-type", "no type").split(";")[0]
    return f"{came.status} {kind.rpartition('/')[2]}{ends.get(came.end, '')}"


def failed(error: BaseException | None) -> str:
    """An error in a few words."""
    if not isinstance(error, AnyFastError):
        return f"{type(error).__name__}!"
    status = getattr(error, "status_code", None)
    reason = getattr(error, "reason", None)
    sent = len(error.attempts)
    parts = [type(error).__name__, f"({status or reason})" if status or reason else ""]
    spoken = getattr(error, "spoken_by", None)
    more = [f"billed {error.billed}"]
    more += [f"by the {spoken}"] if status and spoken else []
    more += [f"{sent} sends"] if sent > 1 else []
    return f"{''.join(parts)}, {', '.join(more)}"


async def told_by(asking: Awaitable[ChatCompletion]) -> tuple[ChatCompletion | None, AnyFastError | None]:
    try:
        return await asking, None
    except AnyFastError as error:
        return None, error


def ledger(stage: Stage, prompt: str, before: int, outcome: ChatCompletion | AnyFastError | None) -> list[str]:
    """What was read upstream stands in the ledger: at least that many attempts that may have been billed."""
    if not stage.scripted or outcome is None:
        return []
    attempts = outcome.attempts if isinstance(outcome, AnyFastError) else outcome.trace.attempts if outcome.trace else 1
    count = attempts if isinstance(attempts, int) else sum(one.billed != "no" for one in attempts)
    sent = stage.asked(prompt) - before
    if stage.running.peer.kind == "gateway":
        sent = min(sent, 1)  # it tries again by itself, which nobody tells
    return [f"{sent} requests were read upstream, {count} stand in the ledger"] if sent > count else []


# -- answers ----------------------------------------------------------------------------------------------------


async def answer(stage: Stage) -> Cell:
    came = await stage.raw("hello whole")
    completion = await stage.client().complete("hello whole")
    wrong = [] if not stage.scripted or completion.text == "hello whole" else [f"the text is {completion.text!r}"]
    wrong += [] if completion.finish_reason else ["no finish reason"]
    added = sorted(set(came.headers) & {"server", "via", "x-varnish", "x-cache", "x-litellm-version", "x-request-id"})
    does = f"{came.version}, {came.framing}" + (f"; adds {', '.join(added)}" if added else "")
    return Cell(does, "whole" if not wrong else "wrong", tuple(wrong))


async def stream(stage: Stage) -> Cell:
    """When the first event arrives, against when it left the upstream (or, without one, against the end)."""
    prompt = WORDS if stage.scripted else COUNT
    await stage.raw("hello warm", stream=True)  # some load what they need with the first stream
    began = time.monotonic()
    came = await stage.raw(prompt, stream=True)
    took = time.monotonic() - began
    left = stage.running.log.when("first", prompt) or began
    raw_delay = (came.first or time.monotonic()) - left
    texts: list[tuple[float, str]] = []
    async with stage.client().stream(prompt) as answering:
        async for text in answering:
            texts.append((time.monotonic(), text))  # noqa: PERF401 - each at its time
    left = stage.running.log.when("first", prompt) or texts[0][0]
    delay, spread = texts[0][0] - left, texts[-1][0] - texts[0][0]
    joined = "".join(text for _, text in texts)
    wrong = [f"the text is {joined!r}"] if stage.scripted and joined != prompt else []
    wrong += ["nothing came"] if not joined else []
    if stage.scripted:
        whole = GAP * (len(prompt.split()) - 1)
        does = "live" if raw_delay < AT_ONCE else "held to the end" if raw_delay > whole else f"{raw_delay:.1f} s late"
        seen = "live" if delay < AT_ONCE else "at the end" if delay > whole else f"{delay:.1f} s late"
        if does == "live" and delay > raw_delay + 2 * AT_ONCE:
            wrong.append(f"the client has the first text {delay - raw_delay:.2f} s later than the bytes came")
    else:
        does = f"first of {len(came.events)} events after {(came.first or began) - began:.1f} of {took:.1f} s"
        seen = f"{len(texts)} texts, spread over {spread:.1f} s"
    does += f", {came.framing}" + ("" if came.done else ", no [DONE]")
    return Cell(does, seen, tuple(wrong))


async def models(stage: Stage) -> Cell:
    one = stage.running
    target = f"{one.peer.path}/models"
    if one.peer.forward:
        target = f"http://127.0.0.1:{one.upstream}{target}"
    async with stage.line() as line:
        came = await line.ask(target, None, {"Authorization": f"Bearer {one.peer.key}"}, WAIT)
    try:
        names = [model.id for model in await stage.client().models()]
    except AnyFastError as error:
        return Cell(said(came), failed(error), () if came.status != 200 or not came.json() else (str(error),))
    wrong = [f"{names}"] if stage.scripted and names != [one.model] else []
    return Cell(said(came), f"{len(names)} models", tuple(wrong))


async def two_choices(stage: Stage) -> Cell:
    prompt = "hello two of you"
    came = await stage.raw(prompt, n=2, stream=True)
    whole = await stage.raw(prompt, n=2)
    indexes = [[one.get("index") for one in value.get("choices", ())] for value in came.events if "choices" in value]
    together = any(len(set(one)) > 1 for one in indexes)
    ended = {
        one.get("index") for value in came.events for one in value.get("choices") or () if one.get("finish_reason")
    }
    count = len((whole.json() or {}).get("choices") or ())
    seen = len({index for one in indexes for index in one})
    does = f"{count} whole, {seen} streamed" + (" in one event" if together else "")
    does += f", {len(ended)} ended" if len(ended) != seen else ""
    client = stage.client()
    told, wrong = [], []
    for name, asking in (("whole", client.complete(prompt, n=2)), ("streamed", client.stream(prompt, n=2).drain())):
        completion, error = await told_by(asking)
        held = completion or getattr(error, "partial", None)
        texts = [one.message.text if one.message else "" for one in held.choices] if held else []
        if stage.scripted and held and set(texts) - {prompt}:
            wrong.append(f"{name}: the texts are {texts}")
        if completion and not all(one.finish_reason for one in completion.choices):
            wrong.append(f"{name}: a choice without an end was told as whole")
        told.append(f"{name}: {len(texts)}" if completion else f"{name}: {failed(error)}")
    return Cell(does, "; ".join(told), tuple(wrong))


def _last_usage(came: Came) -> dict[str, Any] | None:
    if came.headers.get("content-type", "").startswith("application/json"):
        value = came.json()
        return value.get("usage") if isinstance(value, dict) else None
    return next((one["usage"] for one in reversed(came.events) if one.get("usage")), None)


async def uncounted(stage: Stage) -> Cell:
    """Behind it nobody says how many tokens it was."""
    if not stage.scripted:
        came = await stage.raw("hello usage", stream=True)
        completion, error = await told_by(stage.client().stream("hello usage", stream_options=None).drain())
        has = completion.usage.total_tokens if completion and completion.usage else None
        total = (_last_usage(came) or {}).get("total_tokens")
        told = failed(error) if error else f"total {has}"
        return Cell(f"not asked for: {'none' if total is None else f'total {total}'}", told)
    prompt = "uncounted words of a model"
    sent = [_last_usage(await stage.raw(prompt))]
    sent.append(_last_usage(await stage.raw(prompt, stream=True, stream_options={"include_usage": True})))
    client = stage.client()
    answers = [await client.complete(prompt), await client.stream(prompt).drain()]
    totals = [None if one is None else one.get("total_tokens") for one in sent]
    found = [None if one.usage is None else one.usage.total_tokens for one in answers]
    wrong = [f"{total} tokens, which nobody counted, are told as the gateway's" for total in found if total is not None]
    does = [
        f"{how}: {'none' if total is None else f'makes up {total}'}" for how, total in zip(WAYS, totals, strict=True)
    ]
    seen = [f"{how}: {'none' if total is None else total}" for how, total in zip(WAYS, found, strict=True)]
    return Cell("; ".join(does), "; ".join(seen), tuple(wrong))


async def usage(stage: Stage) -> Cell:
    prompt = "hello usage"
    came = await stage.raw(prompt, stream=True, stream_options={"include_usage": True})
    whole = await stage.raw(prompt)
    client = stage.client()
    right, does, told, wrong = usage_of(prompt), [], [], []
    for name, wire, asking in (
        ("whole", whole, client.complete(prompt)),
        ("streamed", came, client.stream(prompt).drain()),
    ):
        sent = _last_usage(wire)
        completion, error = await told_by(asking)
        has = completion.usage.total_tokens if completion and completion.usage else None
        total = sent.get("total_tokens") if sent else None
        same = stage.scripted and sent and all(sent.get(key) == value for key, value in right.items())
        does.append(f"{name}: {'as sent' if same else 'none' if sent is None else f'total {total}'}")
        source = completion.usage_source if completion else failed(error) if error else ""
        told.append(f"{name}: {'the same' if has == total else has} ({source})")
        if has != total and sent is not None and stage.scripted:
            wrong.append(f"{name}: {total} came, {has} is told")
    if stage.scripted and "total" in " ".join(does):
        does.append(f"of {right['total_tokens']}")
    return Cell("; ".join(does), "; ".join(told), tuple(wrong))


async def tools(stage: Stage) -> Cell:
    prompt = "hello tools"
    came = await stage.raw(prompt, tools=TOOLS, stream=True)
    fragments = sum(bool(one.get("delta", {}).get("tool_calls")) for e in came.events for one in e.get("choices") or ())
    client = stage.client()
    told, wrong = [], []
    for name, asking in (
        ("whole", client.complete(prompt, tools=TOOLS)),
        ("streamed", client.stream(prompt, tools=TOOLS).drain()),
    ):
        completion, error = await told_by(asking)
        calls = completion.tool_calls if completion else ()
        got = [(one.id, one.function.name, one.function.arguments) for one in calls if one.function]
        right = [(f"call_{one}", one, ARGUMENTS) for one in ("weather", "clock")]
        if stage.scripted and got != right:
            wrong.append(f"{name}: {got or error}")
        told.append(f"{name}: {len(got)} calls" if completion else f"{name}: {failed(error)}")
    return Cell(said(came) if came.status != 200 else f"{fragments} fragments", "; ".join(told), tuple(wrong))


# -- sizes ------------------------------------------------------------------------------------------------------


async def _sized(stage: Stage, prompt: str, came: Came, **options: Any) -> Cell:
    before = stage.asked(prompt)
    completion, error = await told_by(stage.client().complete(prompt, **options))
    wrong = ledger(stage, prompt, before, completion or error)
    if completion and stage.scripted and completion.text != prompt:
        wrong.append("another text")
    if error and error.billed == "no" and stage.scripted and stage.asked(prompt) > before:
        wrong.append("it was read upstream, and is told as not billed")
    return Cell(said(came), "whole" if completion else failed(error), tuple(wrong))


async def request_head(stage: Stage) -> Cell:
    headers = {"X-Long": "y" * LONG}
    return await _sized(stage, "hello head", await stage.raw("hello head", headers=headers), extra_headers=headers)


async def answer_head(stage: Stage) -> Cell:
    if not stage.scripted:
        came = await stage.raw("hello head")
        size = sum(len(name) + len(value) + 4 for name, value in came.headers.items())
        completion, error = await told_by(stage.client().complete("hello head"))
        return Cell(f"its own has {size} bytes", "whole" if completion else failed(error))
    return await _sized(stage, "long head", await stage.raw("long head"))


async def big_prompt(stage: Stage) -> Cell:
    prompt = "hello " + "word " * 400_000 + "end"
    timeouts = Timeouts(response=30)
    client = stage.client(timeouts=timeouts)
    came = await stage.raw(prompt, wait=30)
    before = stage.asked(prompt)
    completion, error = await told_by(client.complete(prompt))
    wrong = ledger(stage, prompt, before, completion or error)
    wrong += ["another text"] if completion and stage.scripted and completion.text != prompt else []
    return Cell(said(came), "whole" if completion else failed(error), tuple(wrong))


# -- what goes wrong --------------------------------------------------------------------------------------------


async def _broken(stage: Stage, prompt: str) -> Cell:
    came = await stage.raw(prompt, stream=True)
    before, texts = stage.asked(prompt), []
    error: AnyFastError | None = None
    try:
        async with stage.client(timeouts=PATIENT).stream(prompt) as answering:
            async for text in answering:
                texts.append(text)  # noqa: PERF401 - it ends with an error
    except AnyFastError as caught:
        error = caught
    joined, wrong = "".join(texts), ledger(stage, prompt, before, error)
    if error is None:
        wrong.append(f"a cut answer is told as whole: {joined!r}")
    elif not prompt.startswith(joined):
        wrong.append(f"the text is {joined!r}")
    elif error.billed == "no":
        wrong.append("it was read upstream, and is told as not billed")
    elif texts and (error.partial.text if error.partial else "") != joined:
        wrong.append(f"partial is not what was handed out: {error.partial}")
    inside = any("error" in value for value in came.events)
    ended = any(one.get("finish_reason") for value in came.events for one in value.get("choices") or ())
    does = said(came) if came.status != 200 else "an error event" if inside else "invents an end" if ended else ""
    does = does or {"length": "a clean end", "last chunk": "a clean end", "close": "a clean end"}.get(
        came.end, came.end
    )
    does += f" after {sum('choices' in one for one in came.events)} of 3 events" if came.status == 200 else ""
    return Cell(does, failed(error) if error else "told as whole", tuple(wrong))


async def _ended(stage: Stage, how: Callable[[], None], what: str) -> Cell:
    """Something is done to the peer's process in the middle of a stream; then it is started anew."""
    texts: list[str] = []
    error: AnyFastError | None = None
    whole = False
    client = stage.client(retry=RetryPolicy(attempts=1), timeouts=Timeouts(first_token=20, idle=2))
    prompt = "leave early" if stage.scripted else COUNT
    try:
        async with client.stream(prompt) as answering:
            async for text in answering:
                if not texts:
                    await asyncio.to_thread(how)
                texts.append(text)
        whole = bool(answering.completion.finish_reason)
    except AnyFastError as caught:
        error = caught
    finally:
        stage.running.signal(signal.SIGCONT)
        await asyncio.to_thread(stage.running.stop)
        await asyncio.to_thread(stage.running.start)
    if error is None and whole:
        return Cell(f"{what}: it had said all before", "whole")
    wrong = [] if error else ["a cut answer is told as whole"]
    wrong += ["told as not billed"] if error and error.billed == "no" else []
    partial = error.partial.text if error and error.partial else ""
    wrong += [f"partial is {partial!r}"] if error and partial != "".join(texts) else []
    return Cell(what, failed(error) if error else "told as whole", tuple(wrong))


def _term(stage: Stage) -> None:
    if stage.running.process:
        stage.running.process.terminate()


async def cut(stage: Stage) -> Cell:
    if not stage.scripted:
        return await _ended(stage, lambda: _term(stage), "is told to end")
    return await _broken(stage, "cut by a close")


async def reset(stage: Stage) -> Cell:
    if not stage.behind:
        return await _ended(stage, stage.running.kill, "is killed")
    return await _broken(stage, "cut by a reset")


async def early(stage: Stage) -> Cell:
    """Behind it the stream ends in good order, before the model did."""
    if not stage.scripted:
        came = await stage.raw("hello again", stream=True, max_tokens=2)
        ended = [one.get("finish_reason") for value in came.events for one in value.get("choices") or ()]
        completion, error = await told_by(stage.client().stream("hello again", max_tokens=2).drain())
        does = f"max_tokens=2: finish_reason {', '.join(sorted({str(one) for one in ended if one})) or 'none'}"
        told = f"finish_reason {completion.finish_reason}" if completion else failed(error)
        return Cell(does, told)
    return await _broken(stage, "cut too early")


async def cut_whole(stage: Stage) -> Cell:
    """Half of an answer in one."""
    if not stage.scripted:
        client = stage.client(retry=RetryPolicy(attempts=1))
        asking = asyncio.create_task(told_by(client.complete(COUNT)))
        await asyncio.sleep(0.15)
        await asyncio.to_thread(stage.running.kill)
        completion, error = await asking
        await asyncio.to_thread(stage.running.stop)
        await asyncio.to_thread(stage.running.start)
        if completion:
            return Cell("is killed: it had said all before", "whole")
        return Cell("is killed", failed(error))
    prompt = "cut in half, close"
    came, before = await stage.raw(prompt), stage.asked(prompt)
    completion, error = await told_by(stage.client(timeouts=PATIENT).complete(prompt))
    wrong = ledger(stage, prompt, before, completion or error)
    wrong += [f"half an answer is told as whole: {completion.text!r}"] if completion else []
    wrong += ["it was read upstream, and is told as not billed"] if error and error.billed == "no" else []
    return Cell(said(came), failed(error) if error else "told as whole", tuple(wrong))


async def down(stage: Stage) -> Cell:
    """Nobody listens behind it, or in its own place."""
    if not stage.behind:
        await asyncio.to_thread(stage.running.stop)
        try:
            came = await stage.raw("hello down")
            _, error = await told_by(stage.client(retry=RetryPolicy(attempts=1)).complete("hello down"))
        finally:
            await asyncio.to_thread(stage.running.start)
    else:
        try:
            async with stage.start(deserted=True) as one:
                came = await stage.raw("hello down", one)
                _, error = await told_by(stage.client(one).complete("hello down"))
        except RuntimeError:
            url = f"http://127.0.0.1:{free_port()}/v1"
            _, error = await told_by(stage.connect(url, retry=RetryPolicy(attempts=1)).complete("hello down"))
            return Cell("does not start", failed(error), ())
    wrong = [] if error else ["an answer from nobody"]
    return Cell(said(came), failed(error) if error else "an answer", tuple(wrong))


async def slow(stage: Stage) -> Cell:
    """Silence before the answer, longer than the peer waits; where it waits for ever, the client does not."""
    prompt, client = "silent please", stage.client(timeouts=Timeouts(response=SILENCE - 0.3))
    if not stage.scripted:
        stage.running.signal(signal.SIGSTOP)
        try:
            _, error = await told_by(client.complete("hello"))
        finally:
            stage.running.signal(signal.SIGCONT)
        return Cell("the process is stopped", failed(error) if error else "an answer", () if error else ("answered",))
    came, before = await stage.raw(prompt), stage.asked(prompt)
    completion, error = await told_by(client.complete(prompt))
    wrong = ledger(stage, prompt, before, completion or error)
    wrong += ["it was read upstream, and is told as not billed"] if error and error.billed == "no" else []
    wrong += ["sent more than twice"] if len(error.attempts if error else ()) > 2 else []
    does = said(came) if came.status != 200 else "waits"
    return Cell(does, failed(error) if error else "whole", tuple(wrong))


async def pause(stage: Stage) -> Cell:
    """Silence in the middle of a stream."""
    if not stage.scripted:
        return await _ended(stage, lambda: stage.running.signal(signal.SIGSTOP), "is stopped")
    prompt = "pause one two three"
    came = await stage.raw(prompt, stream=True)
    texts: list[str] = []
    error: AnyFastError | None = None
    try:
        async with stage.client(timeouts=Timeouts(first_token=SILENCE - 0.3, idle=SILENCE - 0.3)).stream(
            prompt
        ) as answering:
            async for text in answering:
                texts.append(text)  # noqa: PERF401 - it ends with an error
    except AnyFastError as caught:
        error = caught
    joined = "".join(texts)
    wrong = [] if prompt.startswith(joined) else [f"the text is {joined!r}"]
    if error is None and joined != prompt:
        wrong.append("a cut answer is told as whole")
    wrong += ["told as not billed"] if error and error.billed == "no" else []
    whole = any(one.get("finish_reason") for value in came.events for one in value.get("choices") or ())
    does = "waits" if came.done and whole else said(came)
    if any("error" in value for value in came.events):
        does = "an error event"
    elif came.status == 200 and came.end in ("last chunk", "close") and not whole:
        does = "a clean end in the middle"
    return Cell(does, failed(error) if error else "whole", tuple(wrong))


# -- connections ------------------------------------------------------------------------------------------------


async def kept(stage: Stage) -> Cell:
    """How many requests a connection takes, how long it is kept; and calls at the moment when it closes."""
    count, idle, closed, began = 0, None, False, time.monotonic()
    async with stage.line() as line:
        while count < MANY and not closed and time.monotonic() - began < LONG_ENOUGH:
            came = await stage.ask(line, f"hello {count}")
            if came.end not in ("length", "last chunk"):
                count += came.end == "close"
                closed = True
            else:
                count += 1
                closed = came.headers.get("connection", "").lower() == "close"
        if not closed:
            idle = await line.closed_within(2.5)
    does = f"closes after {count}" if closed else f"{count} and more"
    if not closed:
        does += ", idle " + ("over 2.5 s" if idle is None else f"{idle:.1f} s")
    client = stage.client()
    wrong: list[str] = []
    sent = Counter[str]()
    number, began = 0, time.monotonic()
    while number < 40 and time.monotonic() - began < LONG_ENOUGH:
        prompt = f"hello again {number}"
        before = stage.asked(prompt)
        if number % 10 == 9:  # about when the peer closes
            await asyncio.sleep((idle or 0.3) + (number // 10 - 1.5) * 0.004)
        completion, error = await told_by(client.complete(prompt))
        wrong += ledger(stage, prompt, before, completion or error)
        if completion is None or (stage.scripted and completion.text != prompt):
            wrong.append(f"{prompt}: {error or completion}")
        sent["twice"] += stage.asked(prompt) - before > 1
        number += 1
    return Cell(
        does, f"{number} of {number}" + (f", {sent['twice']} read twice" if sent["twice"] else ""), tuple(wrong)
    )


async def _load(
    stage: Stage, prompts: list[str], at: Running | None = None, **settings: Any
) -> tuple[list[Any], list[str], Counter[str]]:
    log = stage.running.log
    before = Counter(prompt for _, what, prompt in log.read() if what == "asked")
    client = stage.client(at, **settings)
    async with asyncio.timeout(100):
        results = list(await client.map(prompts))
    after = Counter(prompt for _, what, prompt in log.read() if what == "asked")
    wrong = []
    if stage.scripted:
        wrong += [f"{one.item}: {one.text!r}" for one in results if one.ok and one.text != one.item]
        booked = {one.item: sum(a.billed != "no" for a in one.attempts) for one in results}
        for prompt, number in (after - before).items():
            if number > booked.get(prompt, 0) and stage.running.peer.kind != "gateway":
                wrong.append(f"{prompt}: read {number} times, {booked.get(prompt)} in the ledger")
    refusals = Counter(str(a.status_code or a.outcome) for one in results for a in one.attempts if a.outcome != "ok")
    return results, wrong, refusals


def running_slowly(stage: Stage) -> bool:
    return stage.running.peer.starting > 60 and stage.running.peer.kind == "engine"


async def reloaded(stage: Stage) -> Cell:
    """Reloaded under load, or where it cannot be, ended and started anew: no row fails, each has its own answer."""
    slow_start = not stage.running.peer.reload and stage.running.peer.starting > 30
    count = 24 if running_slowly(stage) else 60 if slow_start else 200
    prompts = [f"work {number} reload" for number in range(count)]
    running = stage.running

    async def reloads() -> None:
        for _ in range(1 if slow_start else 3):
            await asyncio.sleep(0.25)
            await asyncio.to_thread(running.reload)

    reloading = asyncio.create_task(reloads())
    settings: dict[str, Any] = {"retry": RetryPolicy(backoff=(0.05, 0.5)), "limits": Limits(concurrency=8)}
    results, wrong, refusals = await _load(stage, prompts, **settings)
    await reloading
    for _ in range(100):
        if await asyncio.to_thread(running.answers):
            break
        await asyncio.sleep(0.1)
    wrong += [f"{one.item}: {one.error}" for one in results if not one.ok]
    how = "reloads" if stage.running.peer.reload else "restarts"
    does = f"{how}: " + (", ".join(f"{number} x {what}" for what, number in sorted(refusals.items())) or "nothing seen")
    ok = sum(one.ok for one in results)
    return Cell(does, f"{ok} of {len(prompts)}", tuple(wrong))


async def leaving(stage: Stage) -> Cell:
    """The caller leaves a stream: whether what is behind hears of it while it goes on."""
    prompt = "leave early" if stage.scripted else COUNT
    client = stage.client()
    async with client.stream(prompt) as answering:
        async for _ in answering:
            break
    left, seen = time.monotonic(), None
    if not stage.scripted:
        completion, error = await told_by(client.complete("hello after that"))
        late = time.monotonic() - left
        return Cell(
            f"the next call is answered after {late:.1f} s",
            "ok" if completion else failed(error),
            () if completion else (str(error),),
        )
    while time.monotonic() - left < 3:
        at = stage.running.log.when("left", prompt)
        if at is not None and at > left - 1:
            seen = at - left
            break
        await asyncio.sleep(0.02)
    does = "not heard of in 3 s" if seen is None else "heard of at once" if seen < 0.3 else f"after {seen:.1f} s"
    return Cell(does, "closed at once")


# -- refusals ---------------------------------------------------------------------------------------------------


async def throttled(stage: Stage) -> Cell:
    """A 429 with a delay from behind it."""
    prompt = stage.running.peer.prompts.get("throttled", "limited please")
    came = await stage.raw(prompt)
    completion, error = await told_by(stage.client(retry=RetryPolicy(attempts=1, throttle_patience=0)).complete(prompt))
    if completion and not stage.scripted:
        return Cell(f"{said(came)}: throttles nobody", "whole")
    after = came.headers.get("retry-after")
    renamed = [name for name in came.headers if name.endswith("-retry-after")]
    does = said(came) + (", its delay" if after == str(RETRY_AFTER) else f", {renamed[0]}" if renamed else ", no delay")
    wrong = [] if isinstance(error, RateLimitError) else [f"told as {error!r}"]
    delay = getattr(error, "retry_after", None)
    if (after or renamed) and delay != RETRY_AFTER:
        wrong.append(f"the delay is {delay}")
    return Cell(does, f"{type(error).__name__}, {f'after {delay:g} s' if delay else 'no delay'}", tuple(wrong))


async def no_credit(stage: Stage) -> Cell:
    """A 429 from behind it that no waiting helps against."""
    prompt = stage.running.peer.prompts.get("no credit", "broke, sorry")
    came = await stage.raw(prompt)
    policy = RetryPolicy(attempts=1, throttle_patience=0)
    completion, error = await told_by(stage.client(retry=policy).complete(prompt))
    if completion and not stage.scripted:
        return Cell(f"{said(came)}: asks for no money", "whole")
    sent = (came.json() or {}).get("error") or {}
    wrong = [] if isinstance(error, InsufficientQuotaError) else [f"told as {error!r}"]
    return Cell(f"{said(came)}, code {sent.get('code')}", failed(error) if error else "an answer", tuple(wrong))


async def limited(stage: Stage) -> Cell:
    """Its own limiter, under a load of 16 at once: no row fails."""
    prompts = [f"work {number} limited" for number in range(40)]
    settings: dict[str, Any] = {"retry": RetryPolicy(), "limits": Limits(concurrency=16)}
    if not stage.running.peer.limit:
        results, wrong, refusals = await _load(stage, prompts[:24], **settings)
    else:
        async with stage.start(limited=True) as one:
            results, wrong, refusals = await _load(stage, prompts, one, **settings)
    ok = sum(one.ok for one in results)
    wrong += [f"{one.item}: {one.error}" for one in results if not one.ok][:3]
    what = ", ".join(f"{number} x {name}" for name, number in sorted(refusals.items()))
    does = f"refuses: {what}" if what else "lets all wait" if stage.running.peer.limit else "has none here"
    return Cell(does, f"{ok} of {len(results)}", tuple(wrong))


async def wrong_key(stage: Stage) -> Cell:
    key = "sk-wrong-key-of-the-tests"
    came = await stage.raw("hello key", key=key)
    completion, error = await told_by(stage.client(api_key=key).complete("hello key"))
    if not stage.running.peer.asks_key:
        return Cell(f"{said(came)}: asks for none", "whole" if completion else failed(error))
    wrong = [] if isinstance(error, AuthenticationError) else [f"told as {error!r}"]
    wrong += ["the key is shown"] if key in repr(error) + str(error) else []
    return Cell(said(came), failed(error) if error else "an answer", tuple(wrong))


CASES: dict[str, Case] = {
    "answer": answer,
    "stream": stream,
    "models": models,
    "two choices": two_choices,
    "usage": usage,
    "no usage behind": uncounted,
    "tools": tools,
    "long head of a request": request_head,
    "long head of an answer": answer_head,
    "prompt of 2 MB": big_prompt,
    "stream cut": cut,
    "stream reset": reset,
    "stream ends early": early,
    "answer cut": cut_whole,
    "nobody behind": down,
    "silence first": slow,
    "silence in between": pause,
    "kept connections": kept,
    "reload under load": reloaded,
    "leaving": leaving,
    "throttled behind": throttled,
    "no credit behind": no_credit,
    "own limits": limited,
    "wrong key": wrong_key,
}
SHORT = (
    "answer",
    "two choices",
    "usage",
    "tools",
    "stream cut",
    "answer cut",
    "throttled behind",
    "no credit behind",
    "wrong key",
)
"""Those that take no time."""
