"""What gateways and the providers behind them really do to the format of an answer, by name.

A client that was tested against the format as documented meets these in production. Each names its public source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

from anyfast_async.simulator.quirks.draft import AnswerDraft, Quirk
from anyfast_async.simulator.quirks.quirk_calls import CALLS
from anyfast_async.simulator.quirks.quirk_errors import ERRORS
from anyfast_async.simulator.quirks.quirk_forms import FORMS
from anyfast_async.simulator.quirks.quirk_framing import FRAMING
from anyfast_async.simulator.quirks.quirk_peers import PEERS

__all__ = ["QUIRKS", "Quirk", "changed", "quirk_named"]

QUIRKS: Mapping[str, Quirk] = MappingProxyType({one.name: one for one in (*FORMS, *FRAMING, *CALLS, *ERRORS, *PEERS)})
"""Every quirk that :class:`Simulator` knows, by name."""


def quirk_named(name: str) -> Quirk:
    """The quirk of that name.

    Raises:
        ValueError: there is none; the message has the nearest name.
    """
    if name in QUIRKS:
        return QUIRKS[name]
    near = get_close_matches(name, QUIRKS, n=1, cutoff=0)
    message = f"unknown quirk {name!r}: did you mean {near[0]!r}? QUIRKS has all of them"
    raise ValueError(message)


def changed(wire: AnswerDraft, quirks: Iterable[Quirk]) -> AnswerDraft:
    """The answer after these quirks, one after the other; those that are about the other form leave it alone."""
    asked = "streamed" if wire.streamed else "whole"
    for quirk in quirks:
        if quirk.forms in (asked, "both"):
            quirk.change(wire)
    return wire
