"""What a map gives back, as rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from anyfast_async import AnyFast, APIError, ChatCompletion, OutputError, Result
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
