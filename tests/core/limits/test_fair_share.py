"""Whose turn it is between lanes: shares by weight, priorities that starve nobody, no credit for rest."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest

from anyfast_async._core.limits.fair_share import LEAST_SHARE, FairShares, Share


def served(shares: dict[str, Share], size: Callable[[str], float], calls: int = 4000) -> dict[str, float]:
    """The tokens that lanes get which always have somebody waiting; what a call takes is known when it has ended."""
    fair, names = FairShares(), {share: name for name, share in shares.items()}
    took = dict.fromkeys(shares, 0.0)
    for _ in range(calls):
        share = fair.first(names)
        charged, used = share.likely, size(names[share])
        fair.charge(share, charged, names)
        share.correct(charged, used)
        share.learn(used)
        took[names[share]] += used
    total = sum(took.values())
    return {name: took[name] / total for name in shares}


@pytest.mark.parametrize(
    ("weights", "seed"), [([1.0, 1.0], 1), ([4.0, 1.0], 2), ([0.5, 7.0, 1.0], 3), ([1.0, 2.0, 3.0, 4.0, 0.1], 4)]
)
def test_tokens_go_by_weight_whatever_the_size_of_calls(weights: list[float], seed: int) -> None:
    """Lanes that always wait get tokens by their weights, though the calls of one are fifty times those of another."""
    chance = random.Random(seed)
    shares = {str(number): Share(weight) for number, weight in enumerate(weights)}
    means = {name: chance.choice((20.0, 200.0, 1000.0)) for name in shares}

    got = served(shares, lambda name: means[name] * chance.uniform(0.5, 1.5))

    for name, share in shares.items():
        assert got[name] == pytest.approx(share.weight / sum(weights), abs=0.02)


def test_an_urgent_lane_leaves_a_tenth() -> None:
    """What is more urgent goes first, but each priority below gets its least share while it waits."""
    got = served({"chat": Share(), "batch": Share(priority=1), "night": Share(100, priority=2)}, lambda _: 100.0)

    assert got["batch"] == pytest.approx(LEAST_SHARE, abs=0.02)
    assert got["night"] == pytest.approx(LEAST_SHARE, abs=0.02)


def test_weights_do_not_overrule_priorities() -> None:
    """A lane of little weight goes before one of much weight that is less urgent."""
    got = served({"chat": Share(0.01), "batch": Share(1000, priority=1)}, lambda _: 100.0)

    assert got["chat"] == pytest.approx(1 - LEAST_SHARE, abs=0.02)


def order(fair: FairShares, ready: Iterable[Share], turns: int) -> list[Share]:
    """Who goes, of lanes that all go on waiting."""
    ready, went = list(ready), []
    for _ in range(turns):
        went.append(fair.first(ready))
        fair.charge(went[-1], 1000.0, ready)
    return went


def test_who_wakes_goes_next_and_has_saved_nothing() -> None:
    """The first call of a lane that was quiet goes before all that wait in a busy one; then they take turns."""
    fair, busy, quiet = FairShares(), Share(), Share()
    order(fair, [busy], 100)

    fair.wakes(quiet)

    went = order(fair, [busy, quiet], 10)
    assert went[0] is quiet or went[1] is quiet
    assert 4 <= sum(share is quiet for share in went) <= 6


def test_nobody_is_owed_for_a_time_in_which_he_did_not_wait() -> None:
    """A less urgent lane that comes late waits as if it had just begun to."""
    fair, chat, batch = FairShares(), Share(), Share(priority=1)
    order(fair, [chat, batch], 5)
    order(fair, [chat], 1000)

    went = order(fair, [chat, batch], 12)

    assert sum(share is batch for share in went) == 1


def test_a_refused_call_costs_its_lane_nothing() -> None:
    """What was charged for a call that used nothing is given back."""
    fair, share = FairShares(), Share(4)
    fair.charge(share, 800.0, [share])
    assert share.tag == 200.0

    share.correct(800.0, 0.0)

    assert share.tag == 0.0
    assert share.mean is None


def test_nothing_is_owed_before_anything_went() -> None:
    """The first call goes to the urgent lane, however small the calls of the other are."""
    urgent, other = Share(), Share(priority=1)
    other.learn(0.5)

    assert FairShares().first([other, urgent]) is urgent
