#!/bin/sh
# litellm 1.110.2: ten calls at once through a Router whose deployment has max_parallel_requests=2, answers after 0.2 s.
#
# Guess before the run: a semaphore, so that two are in flight, the others wait, and ten are answered.
# Seen: two are answered; the eight others fail at once with RateLimitError, and the gateway never hears of them.
# What it means: a list of calls needs a queue of one's own (asyncio.Semaphore) in front of the Router; with retries who
# was refused meets others at every turn, and the order is lost.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q litellm==1.110.2
cat > "$folder/run.py" <<'PY'
import asyncio
import json
import logging
import os
from collections import Counter

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

logging.disable(logging.CRITICAL)
litellm.suppress_debug_info = True
ANSWER = json.dumps(
    {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()
arrived = 0


async def serve(reader, writer):
    global arrived
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
    arrived += 1
    await asyncio.sleep(0.2)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    writer.write(head % len(ANSWER) + ANSWER)
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    given = {"model": "openai/m", "api_base": base, "api_key": "k", "max_parallel_requests": 2}
    router = litellm.Router(model_list=[{"model_name": "m", "litellm_params": given}], num_retries=0)
    message = [{"role": "user", "content": "hi"}]
    calls = (router.acompletion("m", message) for _ in range(10))
    ends = Counter(type(one).__name__ for one in await asyncio.gather(*calls, return_exceptions=True))
    print(f"answered {ends['ModelResponse']}, RateLimitError {ends['RateLimitError']}, arrived {arrived}", flush=True)
    os._exit(0)


asyncio.run(main())
PY
echo "answered 2, RateLimitError 8, arrived 2" > "$folder/expected"
"$folder/venv/bin/python" "$folder/run.py" > "$folder/seen" 2> "$folder/errors" || cat "$folder/errors"
cat "$folder/seen"
diff "$folder/expected" "$folder/seen"
