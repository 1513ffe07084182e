"""What an answer is billed for."""

from __future__ import annotations

import pytest

from anyfast_async import CompletionTokensDetails, PromptTokensDetails, Usage
from anyfast_async._core.usage import SAME_AS, Used, used_by


@pytest.mark.parametrize(
    ("usage", "used"),
    [
        (Usage(prompt_tokens=10, completion_tokens=5, total_tokens=15), Used(10, 5)),
        (Usage(prompt_tokens=10, completion_tokens=5), Used(10, 5)),
        (Usage(prompt_tokens=1000, completion_tokens=100, total_tokens=51_100), Used(1000, 50_100)),
        (Usage(prompt_tokens=10, total_tokens=30), Used(10, 20)),
        (Usage(prompt_tokens=10, completion_tokens=5, total_tokens=12), Used(10, 5)),
        (Usage(total_tokens=7), Used(0, 7)),
        (Usage(total_tokens=1), Used(0, 1)),
        (Usage(completion_tokens=7), None),
        (Usage(prompt_tokens=7), None),
        (Usage(prompt_tokens=-5, completion_tokens=7), Used(0, 7)),
        (Usage(prompt_tokens=-5, completion_tokens=-7, total_tokens=-12), None),
        (Usage(prompt_tokens=10**400, completion_tokens=5, total_tokens=15), None),
        (Usage(prompt_tokens=10, completion_tokens=10**400, total_tokens=15), None),
        (Usage(prompt_tokens=10**400, completion_tokens=5, total_tokens=10**400 + 5), None),
        (Usage(prompt_tokens=10, completion_tokens=5, total_tokens=10**16), None),
        (Usage(), None),
        (Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0), None),
        (None, None),
    ],
)
def test_what_total_has_beyond_is_completion(usage: Usage | None, used: Used | None) -> None:
    """Thinking that is reported beside the completion is billed as completion; zeros, or one number, say nothing."""
    assert used == used_by(usage)


def test_no_part_is_below_zero() -> None:
    """Else a part that cannot be would make the rest dearer; nor is it of any size."""
    asked = PromptTokensDetails(cached_tokens=-(10**400), audio_tokens=-5)
    answered = CompletionTokensDetails(image_tokens=-5)
    usage = Usage(
        prompt_tokens=10,
        completion_tokens=5,
        prompt_tokens_details=asked,
        completion_tokens_details=answered,
    )
    assert Used(10, 5) == used_by(usage)


def test_an_answer_that_was_given_to_more_than_one_row_costs_once() -> None:
    """The others name the row that was sent, and have used nothing."""
    shared = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0, extra={SAME_AS: "row-1"})
    assert Used(0, 0) == used_by(shared)


def test_parts_are_no_larger_than_the_whole() -> None:
    """Cached and audio tokens are part of the prompt, image tokens of the answer, whatever the gateway says."""
    usage = Usage(
        prompt_tokens=10,
        completion_tokens=5,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=4, audio_tokens=400),
        completion_tokens_details=CompletionTokensDetails(image_tokens=3),
    )

    assert Used(10, 5, 4, 10, 3) == used_by(usage)
    assert Used(10, 5).tokens == 15
