"""What comes out: the shortcuts of answers and chunks."""

from __future__ import annotations

import base64
import pickle
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from anyfast_async import completions
from anyfast_async._core.json import codec
from anyfast_async.completions import ChatCompletion, ChatCompletionChunk, Image, Trace, Usage
from anyfast_async.errors import ConfigurationError, OutputError
from anyfast_async.messages import AssistantMessage


def answer(message: dict[str, Any] | None, *, finish: str | None = "stop", usage: Any = None) -> ChatCompletion:
    value = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}
    return codec.structure(value, ChatCompletion)


# -- shortcuts --------------------------------------------------------------------------------------------------------


def test_shortcuts_of_an_empty_answer() -> None:
    """An answer without choices, or with one without a message, has empty shortcuts and raises nothing."""
    for empty in (ChatCompletion(), answer(None, finish=None)):
        assert ("", "", (), (), None) == (
            empty.text,
            empty.reasoning,
            empty.tool_calls,
            empty.images,
            empty.finish_reason,
        )
        assert AssistantMessage() == empty.message


def test_first_choice_is_choice_0() -> None:
    """Choices stay in the order they came in; the shortcuts are about choice 0, as the tokens of a stream are."""
    said = [(1, "b", "length"), (0, "a", "stop")]
    value = {"choices": [{"index": n, "message": {"content": text}, "finish_reason": end} for n, text, end in said]}
    found = codec.structure(value, ChatCompletion)
    assert ("a", "stop", [1, 0]) == (found.text, found.finish_reason, [choice.index for choice in found.choices])
    alone = codec.structure({"choices": value["choices"][:1]}, ChatCompletion)
    assert ("b", "length") == (alone.text, alone.finish_reason)


@pytest.mark.parametrize(
    ("message", "reasoning"),
    [
        ({"reasoning_content": "a"}, "a"),
        ({"reasoning": "b"}, "b"),
        ({"reasoning_content": "a", "reasoning": "b"}, "a"),
        ({"reasoning_content": None, "reasoning": "b"}, "b"),
        ({"reasoning": 5}, ""),
        ({}, ""),
    ],
)
def test_reasoning(message: dict[str, Any], reasoning: str) -> None:
    """Thoughts are found by either name; reasoning_content goes first (vLLM and OpenRouter say reasoning)."""
    assert reasoning == answer(message).reasoning


@pytest.mark.parametrize(
    ("content", "text"),
    [("a", "a"), ("", ""), (None, ""), ([{"type": "text", "text": "a"}, {"type": "image_url"}, {"text": "b"}], "ab")],
)
def test_text(content: Any, text: str) -> None:
    """The text of an answer, also where an upstream sent it in parts."""
    assert text == answer({"content": content}).text


def test_tool_calls() -> None:
    """The tool calls of the first choice, with name and arguments."""
    message = {"tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
    assert [("a", "f", "{}")] == [(c.id, c.name, c.arguments) for c in answer(message).tool_calls]


def test_text_of_a_chunk() -> None:
    """The text that an event adds to choice 0, where an index that is missing counts as 0."""
    choices = [
        {"index": 0, "delta": {"content": "a"}},
        {"index": 1, "delta": {"content": "b"}},
        {"delta": {"content": "c"}},
        {"index": 0},
    ]
    assert "ac" == codec.structure({"choices": choices}, ChatCompletionChunk).text
    assert "" == ChatCompletionChunk().text


def test_only_the_answer_counts_in_equality() -> None:
    """Request id, trace, headers and the source of the usage take no part in equality, JSON or (mostly) repr."""
    bare = answer({"content": "x"}, usage={"total_tokens": 1})
    full = attrs.evolve(
        bare, request_id="r", trace=Trace(total=1.0), headers={"x-secret": "1"}, usage_source="estimate"
    )
    assert bare == full
    assert codec.as_dict(bare) == codec.as_dict(full)
    assert "x-secret" not in repr(full)
    assert full == pickle.loads(pickle.dumps(full))  # noqa: S301 - our own


def test_usage_source() -> None:
    """Usage that came is the gateway's; without usage there is no source."""
    assert ("gateway", None) == (
        ChatCompletion(usage=Usage(total_tokens=1)).usage_source,
        ChatCompletion().usage_source,
    )


def test_answers_are_frozen() -> None:
    """An answer does not change."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        answer({}).id = "x"  # type: ignore[misc]


def test_all_public_classes_are_listed() -> None:
    """The list of public names is every class that the module defines, sorted."""
    made = [n for n, v in vars(completions).items() if attrs.has(v) and v.__module__ == completions.__name__]
    assert sorted(n for n in made if not n.startswith("_")) == sorted(completions.__all__)


# -- what is wrong with an answer -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (answer({"content": "x"}), None),
        (answer({"content": "x"}, finish=None), None),
        (answer({"content": ""}), "the answer is empty"),
        (answer({"tool_calls": [{"id": "a"}]}, finish="tool_calls"), None),
        (answer({"content": "x"}, finish="length"), "cut off: max_tokens was reached"),
        (answer({"content": ""}, finish="length"), "max_tokens left no room"),
        (answer({"content": "", "reasoning_content": "hm"}, finish="length"), r"thinking used up max_tokens; raise"),
        (
            answer({"content": ""}, finish="length", usage={"completion_tokens_details": {"reasoning_tokens": 97}}),
            r"thinking used up max_tokens \(97 tokens of thinking\)",
        ),
        (answer({"content": ""}, finish="content_filter"), "stopped .content_filter."),
        (ChatCompletion(), "the answer is empty"),
    ],
)
def test_diagnosis(found: ChatCompletion, words: str | None) -> None:
    """An empty, cut or filtered answer says why and what helps; a good one says nothing."""
    if words is None:
        assert found.diagnosis is None
    else:
        with pytest.raises(OutputError, match=words):
            raise OutputError(found.diagnosis or "nothing")


# -- images -----------------------------------------------------------------------------------------------------------

PNG = base64.b64encode(b"\x89PNG").decode()
URL = f"data:image/png;base64,{PNG}"


@pytest.mark.parametrize(
    ("message", "urls"),
    [
        ({"content": f"a ![image]({URL}) b\n![]({URL})"}, [URL, URL]),
        (
            {"content": "![image](https://x/1.png) ![x](http://x/2.png) [link](https://x) ![a](/etc/passwd)"},
            ["https://x/1.png"],
        ),
        (
            {"content": "x", "images": [{"type": "image_url", "image_url": {"url": URL}}, {"image_url": URL}, {}, 5]},
            [URL, URL],
        ),
        (
            {"content": [{"type": "image_url", "image_url": {"url": URL}}, {"type": "text", "text": f"![i]({URL})"}]},
            [URL, URL],
        ),
        ({"content": "x", "images": "none"}, []),
        ({"content": None}, []),
    ],
)
def test_images(message: dict[str, Any], urls: list[str]) -> None:
    """Images in the text (new-api relay-gemini.go), beside it (OpenRouter) and among parts; no other links."""
    assert urls == [i.url for i in answer(message).images]


def test_image_data(tmp_path: Path) -> None:
    """An image in the answer gives its type and bytes, and is saved to a file that must be new."""
    image = Image(URL)
    assert ("image/png", b"\x89PNG") == (image.media_type, image.data)
    assert b"\x89PNG" == image.save(tmp_path / "a.png").read_bytes()
    with pytest.raises(FileExistsError):
        image.save(str(tmp_path / "a.png"))


@pytest.mark.parametrize(
    ("url", "media"), [("https://x/1.png", None), ("data:image/png;base64,%%%", "image/png"), ("data:;base64,Q", None)]
)
def test_image_without_data(url: str, media: str | None, tmp_path: Path) -> None:
    """An image elsewhere is not fetched, bad base64 is an error, a ValueError too, and nothing is written then."""
    image = Image(url)
    assert media == image.media_type
    with pytest.raises(OutputError, match=r"not fetched|base64|padding|data") as caught:
        image.save(tmp_path / "a.png")
    assert isinstance(caught.value, ValueError)
    assert [] == list(tmp_path.iterdir())


def test_image_with_line_ends() -> None:
    """Base64 that an upstream broke into lines is an image all the same."""
    (image,) = answer({"content": f"![image](data:image/png;base64,{PNG[:4]}\n{PNG[4:]})"}).images
    assert b"\x89PNG" == image.data


def test_images_are_found_in_linear_time() -> None:
    """A text of 16 kB that is nothing but the beginnings of images is searched in well under a second."""
    found = answer({"content": "![" * 8_000})

    def taken() -> float:
        began = time.process_time()
        assert () == found.images
        return time.process_time() - began

    assert min(taken() for _ in range(5)) < 0.1


# -- structured output ------------------------------------------------------------------------------------------------


@attrs.frozen
class City:
    name: str
    people: int


def test_parse() -> None:
    """The text of the answer becomes the wanted class."""
    assert City("Paris", 2) == answer({"content": '{"name":"Paris","people":2}'}).parse(City)


def test_parse_that_does_not_fit() -> None:
    """What does not fit is an OutputError with every place, the completion and its request id; a cut answer says so."""
    wrong = attrs.evolve(answer({"content": '{"name":5}'}, finish="length"), request_id="r")
    with pytest.raises(OutputError, match=r"the answer is no City; the answer was cut by max_tokens:\n  ") as found:
        wrong.parse(City)
    assert (wrong, "r", "yes") == (found.value.completion, found.value.request_id, found.value.billed)
    assert {"name", "people"} <= {e.path.strip("$.") for e in found.value.errors}
    with pytest.raises(OutputError, match="the answer is no City:"):
        answer({"content": "no JSON"}).parse(City)


@pytest.mark.parametrize("text", ["12", " 1.2\n", "-5"])
def test_a_number_that_was_cut_is_none(text: str) -> None:
    """Nothing ends a number: cut at ``max_tokens`` it may go on. What has its end is whole all the same."""
    with pytest.raises(OutputError, match="cut by max_tokens") as found:
        answer({"content": text}, finish="length").parse(float)
    assert [str(e) for e in found.value.errors] == ["$: is a number that may go on"]
    assert float(text) == answer({"content": text}).parse(float)
    assert 12 == answer({"content": '{"value": 12}'}, finish="length").parse(int)


def test_parse_into_what_has_no_shape() -> None:
    """A class that JSON has no shape for is the caller's mistake."""

    @attrs.frozen
    class Odd:
        x: complex

    with pytest.raises(ConfigurationError):
        answer({"content": "{}"}).parse(Odd)


# -- what is shown ---------------------------------------------------------------------------------------------------


def test_an_answer_is_shown_in_short() -> None:
    """An answer shows the fields that say something: no zeros among its tokens, nothing that did not come."""
    details = {"cached_tokens": 0, "text_tokens": 5}
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6, "prompt_tokens_details": details}
    usage |= {"completion_tokens_details": {"reasoning_tokens": 0}, "input_tokens": 0, "input_tokens_details": None}

    assert repr(answer({"content": "Paris"}, usage=usage)) == (
        "ChatCompletion(id='c', choices=(Choice(index=0, message=AssistantMessage(content='Paris', role=None), "
        "finish_reason='stop'),), usage=Usage(prompt_tokens=5, completion_tokens=1, total_tokens=6, "
        "prompt_tokens_details=PromptTokensDetails(text_tokens=5)))"
    )


@pytest.mark.parametrize("size", [10_000, 1_000_000])
@pytest.mark.parametrize(
    "message",
    [
        {"content": "![image](data:image/png;base64,%s)"},
        {"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,%s"}}]},
        {"content": "", "images": [{"image_url": {"url": "data:image/png;base64,%s"}}]},
        {"content": "", "reasoning_content": "%s", "thought_signature": "%s"},
        {"content": "", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "%s"}}]},
        {"content": "", "refusal": "%s"},
        {"content": "", "deep": [[[{"a": {"b": ["%s"] * 50}}] * 50] * 50]},
        {"content": "", "wide": {str(number): "%s" for number in range(1000)}},
    ],
)
def test_nothing_floods(message: dict[str, Any], size: int) -> None:
    """However much an answer holds, and wherever, a screen shows it."""
    flood = "iVBORw0KGg" * (size // 10)

    shown = answer(filling(message, flood))

    assert len(repr(shown)) < 20_000
    for image in shown.images:
        assert len(repr(image)) < 200


def filling(value: Any, flood: str) -> Any:
    """Return a JSON value with *flood* where ``%s`` stands."""
    if isinstance(value, str):
        return flood if value == "%s" else value.replace("%s", flood)
    if isinstance(value, list):
        return [filling(one, flood) for one in value]
    return {name: filling(one, flood) for name, one in value.items()} if isinstance(value, dict) else value


def test_an_image_is_a_picture_in_a_notebook() -> None:
    """A picture that is in the answer, and that browsers show, is shown by a notebook; others by a line."""
    shown = Image(f"data:image/png;base64,{PNG}")._repr_mimebundle_()
    assert shown == {"text/plain": repr(Image(f"data:image/png;base64,{PNG}")), "image/png": PNG}
    for url in ("https://x/1.png", "data:image/png;base64,%%%", "data:image/svg+xml;base64,QQ==", "data:;base64,QQ=="):
        assert Image(url)._repr_mimebundle_() == {"text/plain": repr(Image(url))}
