#!/bin/sh
# aiolimiter 1.3.0: acquire(90) of a limiter for 100, among callers that acquire(5) again and again.
#
# Guess before the run: waiters go in the order of asking, so that it goes once those before it have gone, ten here.
# Seen: whoever wants less goes first, and who asks anew finds room before those that wait. 200 small ones go by, and the
# large one goes only when they stop.
# What it means: amounts of one size, or a limiter that keeps the order.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q aiolimiter==1.3.0
cat > "$folder/run.py" <<'PY'
import asyncio

from aiolimiter import AsyncLimiter

SMALL = 200


async def main():
    limiter = AsyncLimiter(100, 0.5)
    asked = asyncio.Event()
    went = 0

    async def small():
        nonlocal went
        while went < SMALL:
            await limiter.acquire(5)
            went += asked.is_set()
            await asyncio.sleep(0)

    async def large():
        await asyncio.sleep(0.5)
        asked.set()
        await limiter.acquire(90)
        return went

    waiting = asyncio.create_task(large())
    await asyncio.gather(*(small() for _ in range(10)))
    print(f"the large one, after {SMALL} small ones: {'went' if waiting.done() else 'waits'}")
    await waiting
    print("the large one, when they have stopped: went")


asyncio.run(main())
PY
cat > "$folder/expected" <<'TXT'
the large one, after 200 small ones: waits
the large one, when they have stopped: went
TXT
"$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
