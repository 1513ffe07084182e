"""What to do about an error, said behind its message: after a 401, a redirect, a silent 524, an unknown model."""

from __future__ import annotations

from anyfast_async._core.errors.failures import of_code, of_status
from anyfast_async.errors import escaped


def advice_on(status: int, location: str, code: object) -> str:
    """Return what is said behind the message of an error, in brackets; empty for most."""
    coded = of_code(code)
    hint = of_status(status).hint or (coded.hint if coded is not None else "")
    return f" ({hint.format(where=escaped(location, 120))})" if hint else ""


def after_401(checks: str, console: str) -> str:
    """Return what to do about a key that was refused.

    Args:
        checks: where the key comes from; empty if there is none.
        console: what else there is to look at.

    """
    return f"check {checks}, or {console}" if checks else "this server wants a key, and NO_KEY (--no-key) sends none"
