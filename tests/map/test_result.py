"""What a map gives back, as rows of a table."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from anyfast_async import AnyFast, APIError, ChatCompletion, OutputError, Result
from anyfast_async._map.result import ResultList
from anyfast_async.completions import Choice
from anyfast_async.messages import AssistantMessage

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator


@attrs.frozen
class City:
    name: str
    people: int


async def test_rows_are_flat(sim: Simulator, client: AnyFast) -> None:
    """``row()`` has the same keys for an answer and for an error, and the row's own id."""
    sim.reply("Paris", when="capital", usage={"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6})
    sim.fail(400, message="no", when="broken")
    source = [{"custom_id": "x", "q": "capital?"}, {"id": 7, "q": "broken"}, {"q": "capital!"}]

    results: list[Result[Any]] = await client.map(source, request=lambda row: row["q"], concurrency=1)
    rows = [result.row() for result in results]

    assert rows[0] == {
        "id": "x",
        "text": "Paris",
        "outcome": "ok",
        "finish_reason": "stop",
        "prompt_tokens": 5,
        "completion_tokens": 1,
        "error_kind": None,
        "error": None,
    }
    wanted = (7, None, "failed", "bad_request")
    assert (rows[1]["id"], rows[1]["text"], rows[1]["outcome"], rows[1]["error_kind"]) == wanted
    assert rows[2]["id"] == 2
    assert len({tuple(row) for row in rows}) == 1


def test_row_of_a_parsed_value_has_its_fields() -> None:
    """With a value of a class, the row has that class's fields in place of the text."""
    row = Result(0, "x", value=City("Rome", 3), completion=ChatCompletion()).row()

    assert (row["name"], row["people"], "text" in row) == ("Rome", 3, False)


def test_falsy_ids_are_ids() -> None:
    """0 and an empty text are what the row was given, not its place."""
    assert [Result(5, "x", name).row()["id"] for name in (0, "", 0.0, None)] == [0, "", 0.0, 5]


def test_outcome_of_a_result() -> None:
    """An answer's own outcome counts; one that does not parse has failed, unless it was cut, filtered or refused."""
    whole = ChatCompletion(choices=(Choice(message=AssistantMessage("x"), finish_reason="stop"),))
    cut = ChatCompletion(choices=(Choice(message=AssistantMessage("x"), finish_reason="length"),))
    found: list[Result[Any]] = [
        Result(0, "x", completion=whole),
        Result(0, "x", completion=cut),
        Result(0, "x", completion=whole, error=OutputError("no City")),
        Result(0, "x", completion=cut, error=OutputError("no City")),
        Result(0, "x", error=APIError("no")),
    ]

    assert [("ok", True), ("cut", True), ("failed", False), ("cut", False), ("failed", False)] == [
        (result.outcome, result.ok) for result in found
    ]


# -- what is shown ---------------------------------------------------------------------------------------------------


def said(text: str, finish: str = "stop") -> ChatCompletion:
    return ChatCompletion(choices=(Choice(index=0, message=AssistantMessage(text), finish_reason=finish),))


FLOOD = f"![image](data:image/png;base64,{'iVBORw0KGgo' * 10_000})"


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (Result(0, "a", completion=said("Paris")), "Result(index=0, item='a', text='Paris')"),
        (Result(1, "a", 7, said("x")), "Result(index=1, id=7, item='a', text='x')"),
        (Result(1, "a", completion=said("{}"), value={"a": 1}), "Result(index=1, item='a', value={'a': 1})"),
        (
            Result(2, {"q": 1}, completion=said("x", "length"), recorded=True),
            "Result(index=2, item={'q': 1}, text='x', outcome='cut', recorded=True)",
        ),
        (Result(3, "a", error=APIError("no")), "Result(index=3, item='a', error=APIError('no'))"),
        (
            Result(4, "x" * 300, completion=said(FLOOD)),
            (
                f"Result(index=4, item='{'x' * 200}'... (300 characters), "
                f"text='![image](data:image/png;base64,iVBORw0K...)' ({len(FLOOD)} characters))"
            ),
        ),
    ],
)
def test_a_result_is_shown_in_short(result: Result[Any], shown: str) -> None:
    """What went in, what came out, and what is odd about it; no field that says nothing, and no flood."""
    assert repr(result) == shown


def test_results_are_a_table_in_a_notebook() -> None:
    """The table has a row for each result, in order, and says how many failed, of what; nothing in it is HTML."""
    results: ResultList[Any] = ResultList(
        [
            Result(0, "<b>a</b>", completion=said("<script>alert(1)</script> & \x1b[2J")),
            Result(1, "b", "row-1", error=APIError("no <i>")),
            Result(2, FLOOD, completion=said(FLOOD, "length")),
        ]
    )

    page = results._repr_html_()

    assert page.startswith("<p>3 results, 1 failed (api 1)</p><table>")
    assert page.count("<tr>") == 4
    assert "<td>&lt;b&gt;a&lt;/b&gt;</td><td>&lt;script&gt;alert(1)&lt;/script&gt; &amp; \\u001b[2J</td>" in page
    assert "<td>row-1</td><td>b</td><td>no &lt;i&gt;</td><td>failed</td>" in page
    assert "<td>cut</td>" in page
    assert len(page) < 1500


def test_a_long_table_is_cut() -> None:
    """Of many results a table shows the first, and how many more there are; the list is a list like any other."""
    results: ResultList[Any] = ResultList(Result(i, i, completion=said("x" * 1000)) for i in range(1000))

    page = results._repr_html_()

    assert (21, True) == (page.count("<tr>"), page.endswith("<p>and 980 more</p>"))
    assert len(page) < 8000
    assert results == list(results)
    assert pickle.loads(pickle.dumps(results)) == results  # noqa: S301 - our own
    assert ResultList()._repr_html_().startswith("<p>0 results</p>")


async def test_a_map_gives_such_a_list(sim: Simulator, client: AnyFast) -> None:
    """Awaiting a map gives a list that is such a table."""
    results: list[Result[Any]] = await client.map(["a", "b"])
    assert isinstance(results, ResultList)
    assert [0, 1] == [result.index for result in results]
