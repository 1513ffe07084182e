"""Quotas that are used up and models that cannot be had: by code, by details, by words where nothing else is said."""

from __future__ import annotations

from typing import Any

import pytest

from anyfast_async._core.errors.quota_and_model import is_daily, is_model, is_quota, refilled_after

SPENT = "You exceeded your current quota, please check your plan and billing details."
BOTH = "10 requests per minute exceeded; 4990 of 5000 requests per day left"


def google(*quotas: str, **metadata: str) -> Any:
    failure = {"violations": [{"quotaId": quota} for quota in quotas]}
    return {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [5, failure, {"metadata": metadata}]}}


PER_DAY = google("GenerateRequestsPerDayPerProjectPerModel-FreeTier")
PER_MINUTE = google("GenerateRequestsPerMinutePerProjectPerModel")


@pytest.mark.parametrize(
    ("status", "names", "message", "body", "delay", "wanted"),
    [
        (429, ("insufficient_quota",), "", None, 20.0, True),
        (429, (None, "insufficient_quota"), "", None, None, True),
        (403, ("insufficient_user_quota",), "", None, None, True),
        (200, ("pre_consume_token_quota_failed",), "", None, None, True),
        (402, (), "Insufficient Balance", None, None, True),
        (429, (), SPENT, PER_DAY, 2.0, True),
        (429, (), SPENT, [PER_DAY], 2.0, True),
        (429, (), "", google("A", quota_limit="GenerateContentRequestsPerDayPerProject"), 2.0, True),
        (429, (), "", google(quota_unit="1/d/{project}"), None, True),
        (429, (), SPENT, PER_MINUTE, 47.4, False),
        (429, (), SPENT, None, 47.4, False),
        (429, (), SPENT, None, None, True),
        (429, (), "Your credit balance is too low to access the API", None, None, True),
        (403, (), "用户额度不足", None, None, True),
        (429, (), "Quota exceeded: requests per day limit reached for gemini-2.5-pro", None, None, True),
        (429, (), "GenerateRequestsPerDayPerProject", None, None, True),
        (429, (), "10 per_day", None, None, True),
        (429, (), BOTH, None, 1.0, False),
        (429, (), BOTH, None, None, False),
        (429, (), "10 per minute", None, None, False),
        (429, (429,), "", None, None, False),
        (500, (), SPENT, None, None, False),
        (400, (), "10 per day", PER_DAY, None, False),
    ],
)
def test_is_quota(
    *, status: int, names: tuple[object, ...], message: str, body: Any, delay: float | None, wanted: bool
) -> None:
    """Code, type and details decide; a stated short delay is nearer to the truth than any word of a text."""
    assert wanted == is_quota(status, names, message, body, delay)


def test_a_quota_of_a_day_is_back_after_midnight_in_california() -> None:
    """Beside it Google states the delay of the next attempt, which is no time to come back at."""
    at = 1_700_000_000.0  # 22:13:20 UTC
    assert refilled_after(PER_DAY, 2.0, at) == 9 * 3600 + 46 * 60 + 40
    assert refilled_after(PER_DAY, None, at - at % 86400 + 8 * 3600) == 86400.0
    assert refilled_after(PER_DAY, 7200.0, at) == 7200.0
    assert refilled_after(PER_MINUTE, 2.0, at) == 2.0
    assert refilled_after(None, None, at) is None


@pytest.mark.parametrize("body", [None, "text", [], {}, {"error": "x"}, {"error": {"details": "x"}}, PER_MINUTE])
def test_what_is_no_quota_of_a_day(body: Any) -> None:
    """Other shapes, and quotas of a minute."""
    assert not is_daily(body)


@pytest.mark.parametrize(
    ("status", "code", "message", "wanted"),
    [
        (404, "model_not_found", "", True),
        (503, "model_not_found", "", True),
        (400, "unknown_model", "", True),
        (404, "", "The model `gone-model` does not exist or you do not have access to it.", True),
        (404, 404, "models/foo-1 is not found for API version v1beta", True),
        (404, None, "Model not found", True),
        (403, "", "该令牌无权访问模型 gemini-2.5-pro", True),
        (403, "", "This token does not have access to model gemini-2.5-pro", True),
        (403, "access_denied", "group default is not allowed to use model x", True),
        (404, None, "Invalid URL (POST /v1/foo)", False),
        (403, "", "your IP is not in the list of allowed addresses", False),
        (403, None, "Your chosen model requires moderation and your input was flagged", False),
        (403, None, "The model refused: not allowed", False),
        (500, None, "The model `x` does not exist", False),
    ],
)
def test_is_model(*, status: int, code: object, message: str, wanted: bool) -> None:
    """By code whatever the status; by the words of a 403 or 404 that are about the model."""
    assert wanted == is_model(status, code, message)
