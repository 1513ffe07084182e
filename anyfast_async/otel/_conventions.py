"""The names of OpenTelemetry's GenAI conventions: the only place where they stand.

They are in development and have moved. Two states of them are spoken:

* :data:`PUBLISHED`, the default: version 1.41.0, the last that was published with all other conventions
  (``open-telemetry/semantic-conventions``, tag ``v1.41.0``, ``docs/gen-ai``), and what the package
  ``opentelemetry-semantic-conventions`` 0.66b2 still has. A test compares the names with that package.
* :data:`LATEST`, with ``gen_ai_latest_experimental`` among the values of ``OTEL_SEMCONV_STABILITY_OPT_IN``: as their
  new home has them, which has no version yet (``open-telemetry/semantic-conventions-genai``, commit 024a4f944a12,
  ``docs/gen-ai/client-inference.md`` and ``gen-ai-token-metrics.md``). It counts tokens with counters, one a kind.

What begins with ``anyfast.`` is ours, where the conventions have no name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from anyfast_async._values.bases import Shown

OPT_IN: Final = "OTEL_SEMCONV_STABILITY_OPT_IN"
LATEST_OPT_IN: Final = "gen_ai_latest_experimental"
CONTENT_OPT_IN: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The switch of OpenTelemetry's own instrumentations for prompts and answers in what is recorded."""
CONTENT_ON_SPANS: Final = frozenset({"true", "1", "span_only", "span_and_event"})
"""Its values that put them on spans; events are not written."""

# -- attributes ------------------------------------------------------------------------------------------------------

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
CHOICE_COUNT: Final = "gen_ai.request.choice.count"
OUTPUT_TYPE: Final = "gen_ai.output.type"
REQUEST_FIELDS: Final[Mapping[str, str]] = {
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "max_tokens": "gen_ai.request.max_tokens",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
}
"""Fields of a request, and their names."""
STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - of tokens that are counted
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
STATUS_CODE: Final = "http.response.status_code"
RESEND_COUNT: Final = "http.request.resend_count"

CALL_ID: Final = "anyfast.call.id"
REQUEST_ID: Final = "anyfast.request.id"
LANE: Final = "anyfast.lane"
ATTEMPT: Final = "anyfast.attempt"
BILLED: Final = "anyfast.billed"
QUEUED: Final = "anyfast.queued"
WAIT: Final = "anyfast.wait"
WHY: Final = "anyfast.why"
REASON: Final = "anyfast.hold.reason"
STATE: Final = "anyfast.hold.state"
RETRIED: Final = "anyfast.retried"

# -- events of spans -------------------------------------------------------------------------------------------------

RETRY: Final = "anyfast.retry"
HOLD: Final = "anyfast.hold"

# -- metrics ---------------------------------------------------------------------------------------------------------

ATTEMPTS: Final = "anyfast.client.attempts"
HOLDS: Final = "anyfast.client.holds"
SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Bounds of the buckets for times, as the conventions advise."""
TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
"""Bounds of the buckets for tokens."""


@attrs.frozen(kw_only=True, repr=False)
class Conventions(Shown):
    """One state of them: where they differ."""

    schema: str | None
    """The URL of their schema, None where they have none."""
    duration: str
    time_to_first_chunk: str
    tokens: str | None = None
    """A histogram of tokens of both types; None: :attr:`input_tokens` and the others."""
    input_tokens: str = ""
    output_tokens: str = ""
    """Histograms of one call."""
    spent: Mapping[str, str] = attrs.field(factory=dict)
    """Counters by the attributes of a span that they add up."""
    modality: str | None = None
    """An attribute of counters, which is ``"unknown"``: the gateway does not tell them apart for sure."""


PUBLISHED: Final = Conventions(
    schema="https://opentelemetry.io/schemas/1.41.0",
    duration="gen_ai.client.operation.duration",
    time_to_first_chunk="gen_ai.client.operation.time_to_first_chunk",
    tokens="gen_ai.client.token.usage",
)
LATEST: Final = Conventions(
    schema=None,
    duration="gen_ai.client.inference.duration",
    time_to_first_chunk="gen_ai.client.inference.time_to_first_chunk",
    input_tokens="gen_ai.client.inference.operation.input_tokens",
    output_tokens="gen_ai.client.inference.operation.output_tokens",
    spent={
        INPUT_TOKENS: "gen_ai.client.inference.usage.input_tokens",
        OUTPUT_TOKENS: "gen_ai.client.inference.usage.output_tokens",
        CACHED_TOKENS: "gen_ai.client.inference.usage.cache_read.input_tokens",
        REASONING_TOKENS: "gen_ai.client.inference.usage.reasoning.output_tokens",
    },
    modality="gen_ai.token.modality",
)


def wanted(opt_in: str) -> Conventions:
    """Return the state that the value of :data:`OPT_IN` asks for."""
    return LATEST if LATEST_OPT_IN in opt_in.replace(" ", "").split(",") else PUBLISHED


def wants_content(opt_in: str) -> bool:
    """Return whether the value of :data:`CONTENT_OPT_IN` asks for prompts and answers on spans."""
    return opt_in.strip().lower() in CONTENT_ON_SPANS
