"""Which rows that have a result are sent again: the words of ``--retry-failed`` and of ``map(retry=)``. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from anyfast_async._core.errors.failures import KINDS
from anyfast_async._values.outcome import ODD
from anyfast_async.errors import ConfigurationError

ALL: Final = "all"
"""Every row that failed."""
NONE: Final = "none"
SPELLED: Final = {"length": "cut", "content_filter": "filtered"}
"""What the wire calls them."""


@attrs.frozen
class SendAgain:
    """Which rows that have a result are sent again."""

    kinds: frozenset[str] = frozenset()
    """Kinds of errors of failed rows."""
    outcomes: frozenset[str] = frozenset()
    """Of answers, of :data:`ODD`."""
    every_failure: bool = False

    @classmethod
    def of(cls, words: str | Iterable[str], *, name: str = "retry") -> SendAgain:
        """Return what *words* say: one text with commas, or several texts.

        Args:
            words: ``"all"`` (every failed row), ``"none"``, kinds of errors, and outcomes of answers.
            name: of the argument, for the error.

        Raises:
            ConfigurationError: a word is none of these, or ``"none"`` is not alone.

        """
        texts = [words] if isinstance(words, str) else list(words)
        given = [SPELLED.get(word, word) for text in texts for word in map(str.strip, text.split(",")) if word]
        unknown = [word for word in given if word not in (ALL, NONE, *ODD, *KINDS)]
        if unknown or not given or (NONE in given and len(set(given)) > 1):
            wrong = f"{unknown[0]!r}" if unknown else repr(",".join(given))
            message = (
                f"{name} must be 'all' (every failed row), 'none', or words with commas between them: outcomes of "
                f"answers ({', '.join(ODD)}) and kinds of errors ({', '.join(sorted(KINDS))}), not {wrong}"
            )
            raise ConfigurationError(message)
        return cls(frozenset(given) & KINDS, frozenset(given) & frozenset(ODD), ALL in given)

    @property
    def is_named(self) -> bool:
        """Whether kinds or outcomes are named: rows are asked again on purpose."""
        return bool(self.kinds or self.outcomes)

    def failed(self, kind: str) -> bool:
        """Return whether a row that failed with an error of *kind* is sent again."""
        return self.every_failure or kind in self.kinds

    def answered(self, outcome: str) -> bool:
        """Return whether a row whose answer has this *outcome* is sent again."""
        return outcome in self.outcomes
