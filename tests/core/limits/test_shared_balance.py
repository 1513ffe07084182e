"""What a client has of a shared quota, and what it tells the store: a given answer, then arithmetic."""

from __future__ import annotations

import pytest

from anyfast_async._core.limits.shared_balance import SharedBalance
from anyfast_async._core.limits.shared_quota import StoreReply


def test_a_new_client_goes_as_soon_as_a_store_has_granted_it() -> None:
    """What it gets with the first answer may be used at once: nobody who has told all is asked twice."""
    ours = SharedBalance(requests=600, tokens=1000, places=8, client="a")
    question = ours.question(0.0, [100.0], 1)
    assert question is not None
    ours.take_in(0.0, 0.01, question, StoreReply(born=77, held=1, permits=((0, 5),)))

    assert (ours.state, ours.wait(0.01, 100.0)) == ("near", 0.0)


@pytest.mark.parametrize(
    ("requests", "tokens", "told"),
    [(600, 1000, (2, 500)), (600, None, (2, 0)), (None, 1000, (0, 500))],
)
def test_what_was_taken_without_the_store_is_told_as_far_as_it_is_limited(
    requests: int | None, tokens: int | None, told: tuple[int, int]
) -> None:
    """Requests and tokens that went meanwhile count in the minute that all share; what has no limit is not counted."""
    ours = SharedBalance(requests=requests, tokens=tokens, places=8, client="a", state="away")
    for amount in (200.0, 300.0):
        assert 0.0 == ours.wait(0.0, amount)
        ours.take(0.0, amount)

    assert [told] == [one[1:] for one in ours.hello(10.0).history]
