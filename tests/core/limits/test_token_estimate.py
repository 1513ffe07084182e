"""Tokens before they are spent: prompts counted by kind, answers as they turn out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async import AssistantMessage, AudioPart, ChatRequest, FilePart, ImagePart, UserMessage, VideoPart
from anyfast_async._core.json import codec
from anyfast_async._core.limits.token_estimate import ASSUMED, Asked, Expected, asked, tokens_of, tokens_of_each
from anyfast_async.messages import FunctionCall, ToolCall

TEXT = Asked({"text": 100.0}, {"text": 400.0})


def data(media_type: str, size: int) -> str:
    return f"data:{media_type};base64," + "A" * size


def test_tokens_of() -> None:
    """A text's tokens go by its bytes, whatever it holds."""
    assert [0, 1, 2, 3, 1] == [tokens_of(t) for t in ("", "abcd", "abcde", "你好你", "\ud800")]


@pytest.mark.parametrize("texts", [[], ["", "abcd", "abcde"], ["abcde", "你好你", ""]])
def test_tokens_of_many_texts_are_those_of_each(texts: list[str]) -> None:
    """Plain ones, which are counted together, and others."""
    assert [tokens_of(text) for text in texts] == tokens_of_each(texts)


@pytest.mark.parametrize(
    ("request_", "tokens"),
    [
        (ChatRequest("abcdefgh"), 4 + 2),
        (ChatRequest("日本語"), 4 + 3),
        (ChatRequest([{"role": "user", "content": "abcd"}, {"role": "assistant", "content": "abcde"}]), 4 + 1 + 4 + 2),
        (ChatRequest([UserMessage(["abcd", ImagePart("data:image/png;base64," + "A" * 10_000)])]), 4 + 1 + 258),
        (
            ChatRequest([{"role": "user", "content": [{"type": "text", "text": "abcd"}, {"type": "image_url"}]}]),
            4 + 1 + 258,
        ),
        (ChatRequest("abcd", response_format={"type": "json_object"}), 4 + 1 + 6),
        (
            ChatRequest(
                [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}, {"role": "user", "content": "a"}]
            ),
            4 + 0 + 4 + 1 + 3,
        ),
    ],
)
def test_asked_tokens(request_: ChatRequest, tokens: int) -> None:
    """Text is four bytes a token, a picture a flat number, however large it is in the body."""
    assert tokens == asked(request_).tokens


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (ImagePart(data("image/png", 10**6)), "image"),
        (ImagePart(Path("a.png")), "image"),
        (ImagePart("https://example.com/a.png"), "image"),
        (ImagePart(data("application/pdf", 1000)), "file"),
        (ImagePart(Path("a.mp3")), "audio"),
        (AudioPart("AAAA", "wav"), "audio"),
        (FilePart("a.pdf", data("application/pdf", 1000)), "file"),
        (VideoPart(data("video/mp4", 1000)), "video"),
        (Path("a.pdf"), "file"),
        ({"type": "image_url", "image_url": {"url": data("image/webp", 10**6)}}, "image"),
        ({"type": "image_url", "image_url": data("audio/mp3", 1000)}, "audio"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "audio"),
        ({"type": "file", "file": {"filename": "a", "file_data": data("application/pdf", 10)}}, "file"),
        ({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}, "video"),
        ({"type": "something_new", "something_new": 3}, "file"),
    ],
)
def test_media_count_by_kind(part: Any, kind: str) -> None:
    """Base64 is no text: a part counts by what it is, told by its media type, and a picture of any size as one."""
    found = asked(ChatRequest([UserMessage(["abcd", part])]))

    assert {"text", kind} == set(found.likely)
    assert found.likely["text"] == 5
    assert 258 <= found.likely[kind] <= found.possible[kind] <= 10_000


def test_large_media_count_by_their_size() -> None:
    """A long recording or document takes more than a short one, and a budget reserves more than a limit."""
    short, long = (asked(ChatRequest([UserMessage([FilePart("a", data("application/pdf", n))])])) for n in (10, 10**6))

    assert (258, 4000) == (round(short.likely["file"]), round(long.likely["file"], -2))
    assert long.possible["file"] > 5 * long.likely["file"]


@given(st.lists(st.text(max_size=200), min_size=1, max_size=4), st.text(max_size=40))
def test_what_is_possible_is_never_less_than_a_token_a_byte(texts: list[str], tool: str) -> None:
    """No tokenizer makes more tokens of a text than it has bytes, in any script."""
    messages = [{"role": "user", "content": text} for text in texts if text] or [{"role": "user", "content": "x"}]
    found = asked(ChatRequest(messages, tools=[{"type": tool}]))

    size = sum(len(message["content"].encode("utf-8", "replace")) for message in messages)
    assert found.possible["text"] >= size + 8 * len(messages)
    assert found.tokens <= found.possible["text"]


# -- what is reserved ------------------------------------------------------------------------------------------------


def learn(expected: Expected, length: int, times: int, max_tokens: int | None = None, n: int = 1) -> None:
    for _ in range(times):
        expected.end(expected.begin(max_tokens, 0.0), n, 0.0, length)
        expected.asked(TEXT, 100)


def test_tool_calls_of_an_answer_count_as_they_are_sent() -> None:
    """A message that the model wrote goes back into the history: its calls count, whatever kind they are of."""
    calls = (
        ToolCall(id="k1", type="function", function=FunctionCall(name="weather", arguments='{"city":"Oslo"}')),
        ToolCall(id="k2", type="custom", extra={"custom": {"name": "py", "input": "1"}}),
    )
    answer = AssistantMessage(tool_calls=calls)
    raw = {"role": "assistant", "content": None, "tool_calls": codec.as_dict(answer)["tool_calls"]}

    first, second, other = (
        asked(ChatRequest(model="m", messages=[UserMessage("q"), one])) for one in (answer, raw, AssistantMessage("x"))
    )

    assert first == second
    assert first.tokens > other.tokens


def test_before_anything_is_known_everything_is_possible() -> None:
    """Until lengths are known a limit reserves max_tokens times n, and a token for each byte of the prompt."""
    assert 400 + 4 * 8000 == Expected().likely(TEXT, 8000, 4, 100_000)


def test_then_what_few_answers_exceed_and_never_more_than_given() -> None:
    """Known lengths of answers lower the reservation, whatever max_tokens says, and never raise it."""
    expected = Expected()
    learn(expected, 50, 200, 8000)

    assert expected.likely(TEXT, 8000, 1, 30_000) == pytest.approx(100 + 30_000 / 404)
    assert expected.likely(TEXT, 8000, 1, 3_000) == 100 + 50
    assert expected.likely(TEXT, 10, 1, 30_000) == 100 + 10


def test_short_answers_of_other_calls_teach_nothing_about_long_ones() -> None:
    """Calls that may not answer at length do not lower what is reserved for those that may."""
    expected = Expected()
    learn(expected, 5, 500, 5)

    assert expected.likely(TEXT, 8000, 1, 100_000) == 100 + 8000


def test_long_answers_of_other_calls_teach_the_short_ones() -> None:
    """What calls with a larger max_tokens use is known to be enough."""
    expected = Expected()
    learn(expected, 50, 500, 8000)

    assert expected.likely(TEXT, 1000, 1, 3_000) == 100 + 50


def test_slow_start_without_max_tokens() -> None:
    """Nothing known: each call reserves a quarter of the minute, so four go; then a share that shrinks."""
    expected = Expected()
    assert expected.likely(TEXT, None, 1, 100_000) == 400 + 25_000
    assert expected.likely(TEXT, None, 1, 100) == 400 + ASSUMED

    learn(expected, 20, 4)
    assert expected.likely(TEXT, None, 1, 100_000) == 100 + 100_000 / 12
    learn(expected, 20, 1000)
    assert expected.likely(TEXT, None, 1, 10_000) == 100 + 20


def test_a_budget_reserves_the_whole_of_max_tokens() -> None:
    """Whatever was learned: a token for each byte of the prompt, and max_tokens times n."""
    expected = Expected()
    learn(expected, 5, 500, 8000)

    assert (400, 32_000) == expected.possible(TEXT, 8000, 4, 10**6)


def test_pictures_teach_nothing_about_text() -> None:
    """A picture that costs little leaves the price of text alone, and text that of pictures."""
    expected = Expected()
    picture = Asked({"text": 5.0, "image": 258.0}, {"text": 20.0, "image": 3000.0})
    for _ in range(50):
        expected.asked(picture, 20)

    assert expected.likely(TEXT, 1, 1, 10**6) == 400 + 1
    assert expected.likely(picture, 1, 1, 10**6) == pytest.approx(20 + 15 + 1)
    learn(expected, 1, 50, 1)
    assert expected.likely(picture, 1, 1, 10**6) == pytest.approx(5 + 15 + 1)


def test_expensive_pictures_raise_what_a_budget_reserves() -> None:
    """A model that bills 25 000 tokens for a picture is believed, with a margin."""
    expected = Expected()
    picture = Asked({"text": 5.0, "image": 258.0}, {"text": 20.0, "image": 3000.0})
    expected.asked(picture, 25_505)

    assert expected.possible(picture, 1, 1, 10**6)[0] == pytest.approx(20 + 25_500 * 1.25)


def test_a_long_text_beside_a_picture_teaches_nothing() -> None:
    """What a prompt of mostly text was counted for says little about the picture in it."""
    expected = Expected()
    mixed = Asked({"text": 20_000.0, "image": 258.0}, {"text": 80_000.0, "image": 3000.0})
    expected.asked(mixed, 15_000)

    assert expected.likely(mixed, 1, 1, 10**6) == 83_000 + 1


def test_a_picture_beside_as_much_text_teaches_its_price() -> None:
    """Half of a prompt is enough to tell what its picture was counted for."""
    expected = Expected()
    half = Asked({"text": 258.0, "image": 258.0}, {"text": 1032.0, "image": 3000.0})
    expected.asked(half, 258 + 516)

    assert expected.likely(half, 1, 1, 10**6) == 1032 + 516 + 1


def test_a_prompt_that_cannot_be_estimated_teaches_nothing() -> None:
    """Where the gateway counts tokens of what is not known to hold any, what is reserved for text stays as it was."""
    expected = Expected()
    expected.asked(asked(None), 5)

    assert expected.likely(TEXT, 1, 1, 10**6) == 400 + 1


def test_a_minute_reserves_less_than_the_longest() -> None:
    """Of answers of 20 and of 900 tokens each takes little more than their mean, and by itself may be 900 long."""
    expected = Expected()
    for number in range(400):
        learn(expected, 900 if number % 20 == 0 else 20, 1, 8000)

    assert 100 + 64 < expected.likely(TEXT, 8000, 1, 3_000) < 100 + 64 + 3 * 200
    assert expected.longest(TEXT, 8000, 1) == 100 + 900
    assert expected.longest(TEXT, 80, 1) == 100 + 80


def test_without_max_tokens_a_minute_reserves_more() -> None:
    """Nothing bounds the longest answer then."""
    given, without = Expected(), Expected()
    for number in range(400):
        learn(given, number, 1, 8000)
        learn(without, number, 1)

    assert without.likely(TEXT, None, 1, 100) > given.likely(TEXT, 8000, 1, 100) + 100


def test_what_is_reserved_in_full_has_no_longer_one() -> None:
    """Until lengths are known."""
    assert Expected().longest(TEXT, 8000, 1) is None
