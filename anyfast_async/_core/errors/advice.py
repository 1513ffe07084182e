"""What to do about an error, said behind its message: after a 401, a redirect, a silent 524, an unknown model."""

from __future__ import annotations

from typing import Final

from anyfast_async._core.errors import quota_and_model
from anyfast_async._core.errors.error_bodies import Problem
from anyfast_async.errors import escaped

REDIRECTS: Final = range(300, 400)


def advice_on(status: int, location: str, problem: Problem) -> str:
    """Return what is said behind the message of an error, in brackets; empty for most."""
    if status in REDIRECTS:
        where = escaped(location, 120)
        return f" (a redirect to {where}; redirects are not followed, because the key must not go there: set base_url)"
    if status == 524:  # noqa: PLR2004
        return " (a proxy gave up on an answer that was silent for 100 s: pass via_stream=True, or use client.stream)"
    if problem.code in quota_and_model.MODEL_CODES:
        return " (no channel serves this model for this key: see `anyfast models` for what it may use)"
    return ""


def after_401(checks: str, console: str) -> str:
    """Return what to do about a key that was refused.

    Args:
        checks: where the key comes from; empty if there is none.
        console: what else there is to look at.

    """
    return f"check {checks}, or {console}" if checks else "this server wants a key, and NO_KEY (--no-key) sends none"
