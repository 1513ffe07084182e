"""Bytes of an answer, cut anywhere, to its chunks, its end or its error: the same whatever the cut."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.stream.chunk_template import payload_of
from anyfast_async._core.stream.reader import TRIALS, AnswerReader, is_whole

HEADERS = {"content-type": "text/event-stream"}


class Seen(NamedTuple):
    chunks: list[Any]
    error: str | None
    done: bool
    ended: bool
    ignored: int
    whole: bool


def read(*pieces: bytes, closed: bool = True) -> Seen:
    """What these pieces of a body come to."""
    reader = AnswerReader(HEADERS, clock=lambda: 0.0)
    for piece in pieces:
        if reader.error is None:
            reader.feed(piece)
    if closed and reader.error is None:
        reader.close()
    error = None if reader.error is None else f"{type(reader.error).__name__}: {reader.error}"
    chunks = [payload_of(item) for item in reader.items]
    return Seen(chunks, error, reader.done, reader.ended, reader.ignored, reader.whole)


def chunk(delta: Any = None, finish: Any = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish, **more}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def event(value: Any, *fields: str) -> bytes:
    lines = [*fields, f"data: {value if isinstance(value, str) else json.dumps(value)}"]
    return ("\n".join(lines) + "\n\n").encode()


TEXT, END = event(chunk({"content": "Hi"})), event(chunk(finish="stop"))
USAGE = event({"choices": [], "usage": {"prompt_tokens": 1}})
DONE = event("[DONE]")
FAILED = event({"error": {"message": "boom", "code": 500}})
ODD = [
    TEXT,
    event(chunk({"content": "é \U0001f600"})),
    event(chunk({"content": 'a "quoted" \\ text'})),
    event(chunk({"reasoning_content": "hm"})),
    event(chunk({"content": "B"}, index=1)),
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n',
    END,
    event(chunk(finish="stop", index=1)),
    event(chunk(finish="error", error={"message": "late"})),
    USAGE,
    DONE,
    FAILED,
    b": a comment\n\n",
    b"data:\n\n",
    event("null"),
    event("5"),
    event({"type": "ping"}, "event: ping"),
    event({"message": "boom"}, "event: error"),
    event('{"half":'),
    event('"[DONE]"'),
    b'{"error":{"message":"bare"}}\n',
    b"id: 7\r\nretry: 10\r\n" + TEXT.replace(b"\n", b"\r\n"),
]


# -- cuts ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(ODD), max_size=7), st.data())
def test_the_cut_tells_nothing(events: list[bytes], data: st.DataObject) -> None:
    """A body of any events comes to the same chunks, end and error in one piece and in any others."""
    body = b"".join(events)[: data.draw(st.integers(0, 10_000))]
    places = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))

    pieces = [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]

    assert read(body) == read(*pieces) == read(*[body[i : i + 1] for i in range(len(body))])


@given(st.lists(st.text(max_size=5), min_size=3, max_size=30), st.integers(0, 29))
def test_texts_by_template_are_the_texts(texts: list[str], odd: int) -> None:
    """Chunks that are told by their bytes are those that decoding gives, an odd one among them too."""
    chunks = [chunk({"content": text}) for text in texts]
    chunks[odd % len(chunks)]["id"] = "other"

    assert chunks == read(b"".join(map(event, chunks))).chunks


def test_chunks_of_nothing_in_common_are_not_compared_for_ever() -> None:
    """After some templates that were of no use no more are made."""
    reader = AnswerReader(HEADERS, clock=lambda: 0.0)
    for number in range(2 * TRIALS):
        reader.feed(event({**chunk({"content": "x"}), "id": str(number)}))
    reader.feed(event(chunk({"content": "y"})) * 3)

    assert all(isinstance(item, dict) for item in reader.items)
    assert [chunk({"content": "y"})] * 3 == [*reader.items][-3:]


def test_a_template_that_is_of_use_gives_new_trials() -> None:
    """However often what chunks have in common changes, those that are alike are told by their bytes."""
    reader = AnswerReader(HEADERS, clock=lambda: 0.0)
    for number in range(3 * TRIALS):
        reader.feed(event({**chunk({"content": "x"}), "id": str(number)}) * 3)

    assert [dict, tuple, tuple] * (3 * TRIALS) == [type(item) for item in reader.items]


@pytest.mark.parametrize("last", [DONE, END, FAILED, b"data: half"])
def test_nothing_is_expected_where_an_answer_ends(last: bytes) -> None:
    """What comes then is read as a whole, however much it looks like a text of the answer."""
    reader = AnswerReader(HEADERS, clock=lambda: 0.0)
    reader.feed(TEXT)
    assert reader.expects

    reader.feed(last)
    assert not reader.expects


def test_half_an_object_outside_of_any_event_says_nothing() -> None:
    """It is counted as such, and is no event; one that is whole counts for itself, whatever comes behind it."""
    seen = read(b'{"half": \n', TEXT)
    assert (1, None, 1) == (len(seen.chunks), seen.error, seen.ignored)

    seen = read(b'{"error":{"message":"boom"}} and more\n', TEXT)
    assert seen.error is not None
    assert "boom" in seen.error


# -- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["[DONE]", " [DONE] ", '"[DONE]"', "[done]", "DONE", "[DONE];"])
def test_every_word_for_the_end(word: str) -> None:
    """What some send in place of ``[DONE]`` ends an answer as well; nothing is read behind it."""
    seen = read(TEXT, event(word), TEXT, FAILED)
    assert (1, True, None) == (len(seen.chunks), seen.done, seen.error)


@given(st.lists(st.sampled_from([FAILED, event('{"half":'), event({"message": "late"}, "event: error"), USAGE, DONE])))
def test_nothing_behind_the_end_takes_the_answer_away(late: list[bytes]) -> None:
    """Behind the finish reason of every choice errors and damage say nothing, while usage is still taken."""
    seen = read(TEXT, END, *late)
    before_done = late[: late.index(DONE)] if DONE in late else late

    assert (None, True) == (seen.error, seen.ended)
    assert 2 + before_done.count(USAGE) == len(seen.chunks)


def test_an_error_of_a_choice_behind_its_end() -> None:
    """It says nothing either, and what stands beside it is taken."""
    late = {**chunk(finish="error", error={"message": "late"}), "usage": {"prompt_tokens": 1}}

    seen = read(TEXT, END, event(late))

    assert (None, True) == (seen.error, seen.ended)
    assert [[], {"prompt_tokens": 1}] == [seen.chunks[-1]["choices"], seen.chunks[-1]["usage"]]


@pytest.mark.parametrize(
    "last", [chunk({"content": "more"}, "error"), chunk({"content": "more"}, error={"message": "boom"})]
)
def test_an_error_that_comes_with_content(last: dict[str, Any]) -> None:
    """A choice that goes on behind its finish reason had not ended: its error counts, and what it said is kept."""
    seen = read(TEXT, END, event(last))
    assert seen.error is not None
    assert last == seen.chunks[-1]


def test_one_choice_of_two_has_ended() -> None:
    """An answer has ended when every choice has; until then an error is one."""
    both = event(chunk({"content": "a"})), event(chunk({"content": "b"}, index=1))
    seen = read(*both, END, FAILED)
    assert (False, "InternalServerError") == (seen.ended, (seen.error or "").partition(":")[0])
    assert read(*both, END, event(chunk(finish="length", index=1)), FAILED).error is None


def test_a_finish_reason_on_every_chunk() -> None:
    """Behind one that content followed no other is believed, so that an error is not taken for late."""
    each = event(chunk({"content": "a"}, "stop"))
    assert read(each, each, FAILED).error is not None
    assert read(each, FAILED).error is None


@pytest.mark.parametrize(
    ("rest", "chunks", "failed"),
    [
        (TEXT.rstrip(b"\n"), 2, False),
        (TEXT[:-1], 2, False),
        (TEXT[:-5], 1, False),
        (b"data: " + FAILED.removeprefix(b"data: ").rstrip(), 1, True),
        (b"event: error\ndata: half", 1, True),
        (b"data: [DON", 1, False),
    ],
)
def test_a_last_event_without_its_blank_line(rest: bytes, chunks: int, failed: bool) -> None:
    """It counts if it is whole JSON or an error; half of one is passed over, for the finish reason is missing then."""
    seen = read(TEXT, rest)
    assert (chunks, failed) == (len(seen.chunks), seen.error is not None)


# -- what says nothing -----------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["null", "5", "[]", '""', '"word"', "true"]), max_size=5))
def test_scalars_say_nothing_and_are_counted(values: list[str]) -> None:
    """Between chunks they change nothing but the count."""
    seen = read(TEXT, *map(event, values), END, DONE)
    assert (2, None, len(values)) == (len(seen.chunks), seen.error, seen.ignored)


@pytest.mark.parametrize("kind", ["ping", "heartbeat", "metrics", "message_start"])
def test_events_of_a_type_that_is_none_of_ours(kind: str) -> None:
    """They say nothing, whatever they hold, unless that is a chunk or an error."""
    assert (1, 1) == (len((seen := read(TEXT, event({"a": 1}, f"event: {kind}"))).chunks), seen.ignored)
    assert 2 == len(read(TEXT, event(chunk({"content": "x"}), f"event: {kind}")).chunks)
    assert read(TEXT, event({"error": {"message": "boom"}}, f"event: {kind}")).error is not None


def test_damage_in_the_middle_is_an_error() -> None:
    """What is no JSON might be a piece of the answer; what came before it is there."""
    seen = read(TEXT, event('{"choices":[{'), TEXT)
    assert 1 == len(seen.chunks)
    assert (seen.error or "").startswith("ResponseShapeError")


# -- what is told of a piece -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (TEXT, True),
        (event(chunk({"reasoning": "hm"})), True),
        (event(chunk({"role": "assistant", "content": ""})), False),
        (END, False),
        (USAGE, False),
        (TEXT[:-2], False),
        (TEXT * 5, True),
        (b"", False),
    ],
)
def test_whether_there_was_content(data: bytes, says: bool) -> None:
    """The clocks hear of text and thoughts when they are whole, not of bytes, roles and numbers."""
    assert says is AnswerReader(HEADERS, clock=lambda: 0.0).feed(data)


def test_content_that_the_end_of_the_body_completes() -> None:
    """An event that only the end of the body ends is heard of then."""
    reader = AnswerReader(HEADERS, clock=lambda: 0.0)
    assert not reader.feed(TEXT.rstrip())
    assert reader.close()


# -- whole answers ---------------------------------------------------------------------------------------------------

ANSWER = {"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]}


@pytest.mark.parametrize("indent", [None, 2])
def test_a_whole_answer_under_another_label(indent: int | None) -> None:
    """JSON without events, on one line or on several, is one chunk, and known to be whole."""
    seen = read(json.dumps(ANSWER, indent=indent).encode())
    assert ([ANSWER], None, True) == (seen.chunks, seen.error, seen.whole)


@pytest.mark.parametrize(
    "pieces",
    [
        [event(ANSWER)],
        [json.dumps(ANSWER).encode(), b"\n", json.dumps(ANSWER).encode()],
        [TEXT, json.dumps(ANSWER).encode()],
        [json.dumps(chunk({"content": "Hi"})).encode()],
    ],
)
def test_what_is_not_known_to_be_whole(pieces: list[bytes]) -> None:
    """An event may be the first of several, and so may a line; only an object alone is a whole answer."""
    seen = read(*pieces)
    assert (True, False) == (bool(seen.chunks), seen.whole)


def test_an_answer_that_is_given() -> None:
    """One that was read elsewhere is a chunk and the end."""
    reader = AnswerReader({}, clock=lambda: 0.0)
    assert reader.give(ANSWER)
    assert (True, True, [ANSWER]) == (reader.done, reader.whole, list(reader.items))


@pytest.mark.parametrize(
    ("choices", "whole"),
    [
        ([{"message": {}}], True),
        ([{"message": {}, "delta": None}], True),
        ([{"message": {}}, {"message": {"content": "x"}}], True),
        ([{"message": {}}, {"delta": {}}], False),
        ([{"message": {}, "delta": {"content": "x"}}], False),
        ([{"message": None}], False),
        ([], False),
        (None, False),
    ],
)
def test_is_whole(choices: Any, whole: bool) -> None:
    """An answer is whole where each choice has a message, and none has a delta that says something."""
    assert whole is is_whole({"choices": choices})


def test_the_key_is_hidden_in_errors_alone() -> None:
    """What an error says is shown without the key; what the model says is not touched."""
    reader = AnswerReader(HEADERS, clock=lambda: 0.0, hide=lambda text: text.replace("sk-secret", "***"))
    reader.feed(event(chunk({"content": "sk-secret"})) + event({"error": {"message": "bad key sk-secret"}}))
    assert "sk-secret" == payload_of(reader.items[0])["choices"][0]["delta"]["content"]
    assert "bad key ***" in str(reader.error)
    assert "sk-secret" not in repr(reader.error)


def test_what_says_nothing_is_counted_once() -> None:
    """An error behind the end, and a scalar."""
    reader = AnswerReader({}, clock=lambda: 0.0)
    reader.feed(TEXT + END + FAILED + event(7))
    assert (None, 2) == (reader.error, reader.ignored)


def test_an_event_that_is_taken_says_its_text() -> None:
    """Who hands it on need not read it again, and does not: it stands among the items once."""
    reader = AnswerReader({}, clock=lambda: 0.0)
    for text in ("a", "b", "c"):
        data = event(chunk({"content": text}))
        assert reader.expects is (text != "a")
        if not reader.expects:
            reader.feed(data)
        else:
            assert text == reader.take(data)

    assert ["a", "b", "c"] == [payload_of(item)["choices"][0]["delta"]["content"] for item in reader.items]
    assert None is reader.take(event(chunk({"reasoning": "d"})))


def test_what_an_event_is_glued_to() -> None:
    """A chunk without ``data:`` whose line end was lost: the next event, on the same line, is read as well."""
    glued = json.dumps(chunk({"content": "a"})).encode() + event(chunk({"content": "b"}, "stop"))
    seen = read(glued, DONE)

    assert (None, True) == (seen.error, seen.done)
    assert ["a", "b"] == [one["choices"][0]["delta"]["content"] for one in seen.chunks]


def test_every_text_is_content_however_it_is_recognised() -> None:
    """The clock of the first token, and of silences, goes by it."""
    reader = AnswerReader({}, clock=lambda: 0.0)
    assert [True] * 4 == [reader.feed(event(chunk({"content": one}))) for one in "abcd"]
    assert not reader.feed(event(chunk({"content": ""})))
