"""What a person at the command line can do about an error."""

from __future__ import annotations

from typing import Final

from anyfast_async.errors import AnyFastError, APIConnectionError, ConfigurationError, NotSentError

_ADVICE: Final = {
    "auth": "To try it without a key: --simulate.",
    "quota": "Add credit to the account, or raise the quota of the key, in the gateway's console.",
    "model": "Choose one with -m.",
    "permission": "This key may not do that; see its settings in the gateway's console.",
}


def is_unreachable(error: BaseException) -> bool:
    """Return whether there was no connection to the gateway at all."""
    return isinstance(error, APIConnectionError) and error.phase == "unsent"


def advice(error: AnyFastError) -> str | None:
    """Return what a person can do about *error*, None if the message says all."""
    if isinstance(error, ConfigurationError) and error.message.startswith("no key:"):
        return "Or add --simulate to this command."
    if is_unreachable(error):
        return "Is the network up, and ANYFAST_BASE_URL right? Behind a proxy, set HTTPS_PROXY."
    return _ADVICE.get(cause_of(error).kind)


def cause_of(error: AnyFastError) -> AnyFastError:
    """Return what a row was not sent because of, where that is known; else *error* itself."""
    cause = error.__cause__ if isinstance(error, NotSentError) else None
    return cause if isinstance(cause, AnyFastError) else error
