"""Errors to exit codes and advice."""

from __future__ import annotations

import pytest

from anyfast_async import (
    AnyFastError,
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    BudgetExceeded,
    ConfigurationError,
    ConnectTimeout,
    InsufficientQuotaError,
    ModelNotFoundError,
    NotSentError,
    RequestValidationError,
    ResponseTimeout,
)
from anyfast_async._core.errors.failures import KINDS
from anyfast_async.cli import advice, exit_codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("x"), 2),
        (RequestValidationError("x"), 2),
        (AuthenticationError("x"), 3),
        (InsufficientQuotaError("x"), 3),
        (ModelNotFoundError("x"), 3),
        (BudgetExceeded("x"), 3),
        (NotSentError("x"), 3),
        (ConnectTimeout("x"), 3),
        (ResponseTimeout("x"), 1),
        (APIConnectionError("x"), 1),
        (BadRequestError("x"), 1),
    ],
)
def test_exit_codes(error: AnyFastError, code: int) -> None:
    """2 is for what the user wrote, 3 for what no other request would get past either, 1 for the request itself."""
    assert code == exit_codes.exit_code(error)


def test_advice_is_for_kinds_that_there_are() -> None:
    """Each word that the command has advice for is a kind of error."""
    assert advice._ADVICE.keys() <= KINDS


def test_a_request_id_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The id for the gateway's support is part of the report, unless the message has it."""
    error = BadRequestError("400: no")
    error.request_id = "req-1"
    exit_codes.report(error)
    assert "error: 400: no\nrequest id: req-1\n" == capsys.readouterr().err

    named = BadRequestError("400: no (request id: req-1)")
    named.request_id = "req-1"
    exit_codes.report(named)
    assert "error: 400: no (request id: req-1)\n" == capsys.readouterr().err
