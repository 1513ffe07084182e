"""When a streamed answer is complete: what is wrong with one that ended in order."""

from __future__ import annotations

from anyfast_async._core.stream.fold import Fold
from anyfast_async.errors import IncompleteStreamError


def verdict(fold: Fold, *, accept_missing_finish: bool = False, whole: bool = False) -> IncompleteStreamError | None:
    """Return what is wrong with a stream that ended in order, None if nothing is.

    Complete means a finish reason on every choice; ``[DONE]`` proves nothing, because the gateway writes it after
    broken upstreams too (new-api ``relay/helper/common.go``). An answer that came *whole*, as one JSON object, needs
    none.
    """
    if whole or fold.finished or (accept_missing_finish and not fold.empty):
        return None
    if not fold.empty:
        lacking, several = fold.unfinished, fold.count > 1
        which = f" for choice {', '.join(map(str, lacking))}" if several else ""
        error = IncompleteStreamError(
            f"the stream ended without a finish_reason{which}: the answer is probably cut short. If this model never "
            "sends one, pass accept_missing_finish=True",
        )
        error.reason = "no_finish"
        return error
    error = IncompleteStreamError(
        "the stream ended without an answer: the prompt was blocked, or the upstream sent nothing"
    )
    error.reason = "empty"
    return error
