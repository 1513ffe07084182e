"""A base URL behind which there is no chat endpoint, as the first answers show it."""

from __future__ import annotations

from typing import Final

from anyfast_async.errors import AnyFastError, APIStatusError, ModelNotFoundError, ResponseShapeError

ENOUGH: Final = 5
"""Rows, one after another, that are answered like that."""
_STATUSES: Final = frozenset({404, 405, 501})


class WrongAddressError(AnyFastError):
    """The first rows were all answered as by something that is no chat endpoint; the run was stopped."""

    kind = "wrong_address"


class WrongAddress:
    """Looks at failures as long as nothing was answered.

    Args:
        answered: whether an earlier run had answers.

    """

    def __init__(self, *, answered: bool = False) -> None:
        self._answered = answered
        self._sign: str = ""
        self._count: int = 0

    def answered(self) -> None:
        """Take in that a row has an answer: there is a chat endpoint."""
        self._answered = True

    def failed(self, error: AnyFastError) -> WrongAddressError | None:
        """Take in why a row failed; return what ends the run, once that is plain."""
        sign = "" if self._answered else _sign(error)
        self._count = self._count + 1 if sign and sign == self._sign else int(bool(sign))
        self._sign = sign
        if self._count < ENOUGH:
            return None
        message = (
            f"{self._count} rows, one after another, were answered with {sign}, and none with a completion: there is "
            "no chat endpoint behind this base URL; it must end where the endpoints begin, mostly in /v1"
        )
        return WrongAddressError(message)


def _sign(error: AnyFastError) -> str:
    """Return in which way an answer is that of something else, "" if it is not."""
    if isinstance(error, APIStatusError) and not isinstance(error, ModelNotFoundError):
        return f"status {error.status_code}" if error.status_code in _STATUSES else ""
    return "a web page" if isinstance(error, ResponseShapeError) and "a web page" in str(error)[:40] else ""
