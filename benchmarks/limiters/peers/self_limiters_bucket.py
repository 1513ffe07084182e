"""self-limiters' ``TokenBucket``, requests alone."""

from __future__ import annotations

from peer import Limiter
from self_limiters import TokenBucket

PACKAGES = ("self-limiters",)


class Adapter(Limiter):
    tokens = False

    async def acquire(self, tokens: int) -> None:  # noqa: ARG002 - it has no use for them
        a_second = self.terms.requests // 60
        async with TokenBucket(
            name="gateway",
            capacity=a_second,
            refill_amount=1,
            refill_frequency=1 / a_second,
            redis_url=f"redis://127.0.0.1:{self.terms.port}",
            max_sleep=3_600,
        ):
            pass
