"""Gateways for models: they know the format, answer for many servers behind them, and try again by themselves."""

from __future__ import annotations

from pathlib import Path

from peers import Peer

_AUTH = (Path(__file__).parents[1] / "litellm_auth.py").read_text()
_LITELLM = """
model_list:
  - model_name: m
    litellm_params:
      model: openai/m
      api_base: http://127.0.0.1:<up>/v1
      api_key: sk-interop
      timeout: <patience>
      stream_timeout: <patience>
      <limit>
litellm_settings:
  telemetry: false
  num_retries: 0
router_settings:
  num_retries: 0
  disable_cooldowns: true
  optional_pre_call_checks: ["enforce_model_rate_limits"]
general_settings:
  custom_auth: litellm_auth.check_key
  dangerously_permit_weak_or_unset_master_key: true
"""


def _router(name: str, package: str, command: str) -> Peer:
    return Peer(
        name=name,
        kind="gateway",
        pip=(package,),
        folder=package,
        version=f"pip {package}",
        command=f"{command} --host 127.0.0.1 --port <port> --worker-urls http://127.0.0.1:<up> --policy round_robin"
        " --prometheus-port <admin> --request-timeout-secs 2"
        # The time is that of a whole stream. Without the breaker, else the failures of one case would answer the next.
        " --disable-circuit-breaker <limit>",
        ready="/v1/models",
        limit="--max-concurrent-requests 4 --queue-size 1",
    )


GATEWAYS = (
    Peer(
        name="LiteLLM",
        kind="gateway",
        pip=("litellm[proxy]==1.106.2",),
        folder="litellm",
        version="pip litellm",
        files={"config.yaml": _LITELLM, "litellm_auth.py": _AUTH},
        command="<bin>/litellm --config <dir>/config.yaml --host 127.0.0.1 --port <port> --num_workers 1"
        " --telemetry False",
        env={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it is fetched
            "LITELLM_TELEMETRY": "False",
            "LITELLM_LOG": "ERROR",
            "DISABLE_SCHEMA_UPDATE": "true",
            "NO_DOCS": "True",
        },
        ready="/health/liveliness",
        starting=120,
        limit="max_parallel_requests: 4",
        cannot_tell={
            "no usage behind": "it counts by itself, and does not say so",
            "stream ends early": "the end that is made up looks like one that the model gave",
        },
    ),
    _router("sglang-router", "sglang-router", "<bin>/python -m sglang_router.launch_router"),
    _router("smg", "smg", "<bin>/smg launch"),
    _router("vllm-router", "vllm-router", "<bin>/vllm-router"),
)
"""In front of upstream.py, which they take for a model's server."""
