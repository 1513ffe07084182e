"""The prompts of ``anyfast demo``. Pure."""

from __future__ import annotations

from typing import Any, Final

from anyfast_async.batch.input.request_lines import URL

_TASKS: Final = (
    "Explain {topic} in one sentence.",
    "Give three facts about {topic}.",
    "Write a haiku about {topic}.",
    "Name the best known book about {topic}.",
    "What do people get wrong about {topic}?",
    "Translate into Spanish: I like to read about {topic}.",
    "Who discovered or invented {topic}?",
    "Write a headline about {topic}.",
    "Compare {topic} with music, in two sentences.",
    "Ask a good exam question about {topic}.",
)
_TOPICS: Final = (
    "photosynthesis",
    "the printing press",
    "black holes",
    "coffee",
    "glaciers",
    "the violin",
    "vaccines",
    "chess",
    "volcanoes",
    "paper",
    "bees",
    "gravity",
    "the Silk Road",
    "tides",
    "bread",
    "semiconductors",
    "whales",
    "the alphabet",
    "rainbows",
    "zero",
)


def prompt(number: int) -> str:
    """Return the prompt *number*, from 0; the first 200 are different."""
    task, topic = _TASKS[number % len(_TASKS)], _TOPICS[number // len(_TASKS) % len(_TOPICS)]
    return task.format(topic=topic)


def line(number: int, model: str) -> dict[str, Any]:
    """Return the line of a batch file with the prompt *number*, from 0."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt(number)}]}
    return {"custom_id": f"demo-{number + 1:03}", "method": "POST", "url": URL, "body": body}
