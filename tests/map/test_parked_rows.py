"""Rows that stand aside: they hold no place, and come back when there is one, or when the others are done."""

from __future__ import annotations

import asyncio

import pytest

from anyfast_async._map.parked_rows import ParkedRows

pytestmark = pytest.mark.virtual


def news() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_place_is_given_up_and_taken_again() -> None:
    """Another takes it meanwhile; back, it waits until a place is free."""
    aside, told = ParkedRows(), news()
    left: list[str] = []

    def leave() -> bool:
        left.append("left")
        return True

    aside.begin(leave, lambda: False)
    standing = asyncio.create_task(aside.stand(told))
    await turn()
    assert (left, aside.count) == (["left"], 1)

    told.set_result(None)
    await turn()
    assert (len(aside.returning), standing.done(), aside.count) == (1, False, 0)
    aside.free()
    assert not await standing


async def test_with_nobody_to_take_it_the_place_stays() -> None:
    """Where no other row comes, it is there when the row is back."""
    aside, told = ParkedRows(), news()
    aside.begin(lambda: False, lambda: False)
    standing = asyncio.create_task(aside.stand(told))
    await turn()
    told.set_result(None)
    assert not await standing
    assert not aside.returning


async def test_all_come_back_when_the_others_are_done() -> None:
    """Whatever they wait for: there is nobody left who could bring it."""
    aside, done = ParkedRows(), False
    aside.begin(lambda: False, lambda: done)
    standing = [asyncio.create_task(aside.stand(news())) for _ in range(3)]
    await turn()
    aside.look()
    await turn()
    assert not any(one.done() for one in standing)

    done = True
    aside.look()
    assert await asyncio.gather(*standing) == [True] * 3


@pytest.mark.parametrize("granted", [True, False])
async def test_cancelled_on_the_way_back_it_keeps_no_place(granted: bool) -> None:
    """A place that was given in the same tick goes to the next one."""
    aside = ParkedRows()
    aside.begin(lambda: True, lambda: False)
    told = [news(), news()]
    first, second = (asyncio.create_task(aside.stand(one)) for one in told)
    await turn()
    for one in told:
        one.set_result(None)
    await turn()
    if granted:
        aside.free()
    first.cancel()
    await turn()
    if not granted:
        aside.free()
    await asyncio.wait({first, second})
    assert first.cancelled()
    assert second.result() is False
