"""What became of a conversation in which a model may call tools."""

from __future__ import annotations

import attrs

from anyfast_async._values.bases import Value
from anyfast_async.completions import ChatCompletion, Usage
from anyfast_async.messages import Message, ToolCall


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ToolUse(Value):
    """One call of a tool that a model asked for, and what it was told."""

    round: int
    """From 1."""
    call: ToolCall
    """What the model asked for, as it came."""
    content: str
    """What the model was told."""
    error: str | None = None
    """Why there is no result, in the words that the model was told; None: there is one."""
    seconds: float
    """What it took, without the wait for its turn."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ToolRun(Value):
    """What became of a conversation in which a model may call tools."""

    history: tuple[Message, ...]
    """All messages: those that were given, every answer as it came, what the tools said. The next question goes behind
    it."""
    completions: tuple[ChatCompletion, ...]
    """The answers, oldest first; the last one ended the run, or was the last before an error."""
    uses: tuple[ToolUse, ...]
    """The calls of tools, in the order in which they were asked for."""

    @property
    def completion(self) -> ChatCompletion:
        """The last answer; an empty one if there is none."""
        return self.completions[-1] if self.completions else ChatCompletion()

    @property
    def text(self) -> str:
        """The text of the last answer."""
        return self.completion.text

    @property
    def rounds(self) -> int:
        """How often the model answered."""
        return len(self.completions)

    @property
    def usage(self) -> Usage | None:
        """The tokens of all answers; None if one of them does not say."""
        usages = [completion.usage for completion in self.completions]
        if not usages or any(usage is None or not usage.known for usage in usages):
            return None
        prompt, completion, total = (
            sum(getattr(usage, name) or 0 for usage in usages)
            for name in ("prompt_tokens", "completion_tokens", "total_tokens")
        )
        return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total)
