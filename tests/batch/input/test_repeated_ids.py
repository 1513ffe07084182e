"""Ids that come again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anyfast_async.batch.input.repeated_ids import RepeatedIds


@given(
    st.lists(st.lists(st.one_of(st.text("ab1", max_size=3), st.integers(0, 20).map("row-{}".format)), min_size=1)),
    st.booleans(),
)
def test_any_ids(pieces: list[list[str]], in_order: bool) -> None:
    """Those that came before are found, and no others, whether ids begin in order or not."""
    if in_order:
        pieces = [[f"row-{n}" for n in range(8, 13)], *pieces]
    everything = [one for piece in pieces for one in piece]
    repeated = RepeatedIds(lambda: iter(everything))
    seen: set[str] = set()
    for piece in pieces:
        again = set()
        for one in piece:
            if one in seen:
                again.add(hash(one))
            seen.add(one)
        assert again == repeated.hashes(piece)
