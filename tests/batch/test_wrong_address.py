"""When a run ends because nobody there answers chats."""

from __future__ import annotations

import pytest

from anyfast_async.batch.wrong_address import ENOUGH, WrongAddress
from anyfast_async.errors import AnyFastError, APIStatusError, ModelNotFoundError, ResponseShapeError


def status(code: int, kind: type[APIStatusError] = APIStatusError) -> APIStatusError:
    """An answer with a status."""
    error = kind("no")
    error.status_code = code
    return error


PAGE = ResponseShapeError("the answer is a web page; does base_url end in /v1?: <html>")
OTHER = ResponseShapeError("the answer is no completion")


@pytest.mark.parametrize("error", [status(404), status(405), status(501), PAGE])
def test_equal_answers_of_something_else(error: AnyFastError) -> None:
    """A few equal ones are enough, and no fewer."""
    watch = WrongAddress()

    assert [None] * (ENOUGH - 1) == [watch.failed(error) for _ in range(ENOUGH - 1)]
    ended = watch.failed(error)
    assert ended is not None
    assert "base URL" in str(ended)


@pytest.mark.parametrize(
    "errors",
    [[status(404), status(405)], [status(404), status(400)], [status(404, ModelNotFoundError)], [OTHER], [status(500)]],
)
def test_other_failures(errors: list[AnyFastError]) -> None:
    """Answers of several kinds, of a model that is not there, of a gateway in trouble: those say nothing of it."""
    watch = WrongAddress()

    assert all(watch.failed(error) is None for error in errors * (2 * ENOUGH))


def test_one_answer_is_enough() -> None:
    """Where one row was answered there is a chat endpoint, whatever others are told."""
    watch = WrongAddress()
    watch.answered()

    assert all(watch.failed(PAGE) is None for _ in range(2 * ENOUGH))
