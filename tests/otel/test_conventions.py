"""The names of the GenAI conventions, against the package that still has them."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes import (
    error_attributes,
    gen_ai_attributes,
    http_attributes,
    server_attributes,
)
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.schemas import Schemas

from anyfast_async.otel import _conventions as names
from anyfast_async.otel._conventions import LATEST, PUBLISHED, wanted, wants_content

PACKAGE = {
    value
    for module in (error_attributes, gen_ai_attributes, http_attributes, server_attributes)
    for value in vars(module).values()
    if isinstance(value, str)
}
METRICS = {value for name, value in vars(gen_ai_metrics).items() if name.startswith("GEN_AI_")}


def ours() -> set[str]:
    """Every attribute that is written down."""
    values: list[Any] = [value for name, value in vars(names).items() if name.isupper()]
    values += names.REQUEST_FIELDS.values()
    return {one for one in values if isinstance(one, str) and re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", one)}


def test_attributes_are_those_of_the_package() -> None:
    """Each attribute is one of the conventions' own package, or begins with our name."""
    assert set() == {name for name in ours() - PACKAGE if not name.startswith("anyfast.")}
    assert len(ours() & PACKAGE) >= 27


def test_metrics_are_those_of_the_package() -> None:
    """Each metric of the published state is in the package."""
    assert {PUBLISHED.duration, PUBLISHED.time_to_first_chunk, PUBLISHED.tokens} <= METRICS
    assert Schemas.V1_41_0.value == PUBLISHED.schema


def test_the_package_still_says_where_they_are() -> None:
    """The package says that its names are deprecated, and where they went: ours are still the last published."""
    source = Path(gen_ai_metrics.__file__).read_text(encoding="utf-8")

    assert "https://github.com/open-telemetry/semantic-conventions-genai" in source, version(
        "opentelemetry-semantic-conventions"
    )


def test_states_share_no_metric() -> None:
    """Whoever switches to the names in development finds no old name with another meaning."""

    def of(state: names.Conventions) -> set[str | None]:
        return {state.duration, state.time_to_first_chunk, state.tokens, *state.spent.values()}

    assert set() == of(PUBLISHED) & of(LATEST)
    assert all(name is None or name.startswith("gen_ai.client.inference.") for name in of(LATEST))


@pytest.mark.parametrize(
    ("value", "state"),
    [
        ("", PUBLISHED),
        ("http", PUBLISHED),
        ("gen_ai_latest_experimental", LATEST),
        ("http/dup, gen_ai_latest_experimental", LATEST),
        ("gen_ai_latest_experimental_no", PUBLISHED),
    ],
)
def test_the_state_in_development_is_asked_for(value: str, state: names.Conventions) -> None:
    """The variable has several values, separated by commas; one of them asks for it."""
    assert wanted(value) is state


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        *[("", False), ("false", False), ("NO_CONTENT", False), ("EVENT_ONLY", False)],
        *[("true", True), ("True", True), ("SPAN_ONLY", True), ("SPAN_AND_EVENT", True)],
    ],
)
def test_content_is_asked_for(value: str, asked: bool) -> None:
    """Prompts and answers are recorded only where the variable says so."""
    assert asked == wants_content(value)
