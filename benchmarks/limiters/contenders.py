"""Who is compared, and what was guessed of each before it ran."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contender:
    name: str
    """Its file in ``peers/``."""
    title: str
    needs: str = ""
    """The requirements file of its environment, without "limiter-"; this interpreter if it is empty."""
    tokens: bool = True
    """Whether it limits tokens, too."""
    python: str = ""
    speed: float = 0
    """How fast its clock is; 0: alone it jumps, which takes long with one that has threads of its own, and with others
    it is as fast as the run is asked to be. Who takes milliseconds of the processor for a call is driven at the world's
    pace."""
    store: str = ""
    """What its processes share, "" if they share nothing."""
    guess: tuple[float, float] = (1.0, 1.0)
    """Of the limit: the most in any 60 s, and what is used where each call may take more than it takes (``settle``);
    of those that share, the most in any 60 s, and round trips a call."""


ALONE = (
    Contender("ours", "anyfast-async", guess=(1.0, 1.0)),
    Contender("token_throttle_memory", "token-throttle", "token_throttle", python="3.12", guess=(2.0, 1.0)),
    Contender("lm_deluge_client", "lm-deluge", "lm_deluge", guess=(2.0, 0.3)),
    Contender("litellm_router", "LiteLLM Router, `enforce_model_rate_limits`", "litellm", speed=1, guess=(2.0, 1.0)),
    Contender("litellm_usage", "LiteLLM Router, `usage-based-routing-v2`", "litellm", speed=1, guess=(2.0, 1.2)),
    Contender(
        *("litellm_parallel", "LiteLLM Router, `max_parallel_requests`", "litellm"),
        tokens=False,
        speed=1,
        guess=(1.0, 0),
    ),
    Contender("litellm_check", "LiteLLM, the Router's check alone", "litellm", tokens=False, guess=(2.0, 0)),
    Contender("aiolimiter_leaky", "aiolimiter", "aiolimiter", guess=(2.0, 0.3)),
    Contender("limits_moving", "limits, moving window", "limits", guess=(1.0, 0.3)),
    Contender("pyrate", "pyrate-limiter, sliding window", "pyrate", guess=(1.0, 0.3)),
    Contender("throttled_gcra", "throttled-py, GCRA", "throttled", guess=(1.02, 0.3)),
    Contender("langchain_limiter", "langchain-core `InMemoryRateLimiter`", "langchain", tokens=False, guess=(1.0, 0)),
    Contender("asynciolimiter_limiter", "asynciolimiter", "asynciolimiter", tokens=False, guess=(1.0, 0)),
    Contender("by_hand", "by hand: a semaphore, each place kept a minute", tokens=False, guess=(1.0, 0)),
)
SHARED = (
    Contender("ours_valkey", "anyfast-async", store="Valkey", guess=(1.0, 1.0)),
    Contender("ours_sqlite", "anyfast-async", store="SQLite", guess=(1.0, 0)),
    Contender(
        *("token_throttle_redis", "token-throttle", "token_throttle"),
        python="3.12",
        speed=1,
        store="Valkey",
        guess=(2.0, 20),
    ),
    Contender("limits_moving_redis", "limits, moving window", "limits", store="Valkey", guess=(1.0, 30)),
    Contender("limits_counter_redis", "limits, sliding window counter", "limits", store="Valkey", guess=(1.2, 30)),
    Contender("pyrate_redis", "pyrate-limiter, sliding window", "pyrate", store="Valkey", guess=(1.0, 6)),
    Contender("throttled_gcra_redis", "throttled-py, GCRA", "throttled", store="Valkey", guess=(1.02, 30)),
    Contender(
        "self_limiters_bucket",
        "self-limiters `TokenBucket`",
        "self_limiters",
        tokens=False,
        store="Valkey",
        guess=(1.02, 1),
    ),
    Contender(
        *("litellm_router_redis", "LiteLLM Router, `enforce_model_rate_limits`", "litellm"),
        speed=1,
        store="Valkey",
        guess=(2.0, 4),
    ),
    Contender(
        *("litellm_usage_redis", "LiteLLM Router, `usage-based-routing-v2`", "litellm"),
        speed=1,
        store="Valkey",
        guess=(2.0, 3),
    ),
)
CONTENDERS = {one.name: one for one in (*ALONE, *SHARED)}
