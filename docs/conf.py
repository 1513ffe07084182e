"""How sphinx builds the documentation: ``nox -s docs``. Nothing is fetched while it is built."""

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

from anyfast_async import __version__

project = "anyfast-async"
author = "The anyfast-async developers"
copyright = f"2026, {author}"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"anyfast-async {version}"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("JSON", "KeySource", "Message", "Part", "Content", "Prompt")}
# References into our own package must lead somewhere; those to other projects would need the network.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!anyfast_async).*"),
    (r"py:class", r"anyfast_async\..*\.[RT]"),  # type variables
    (r"py:class", r"anyfast_async\._.*"),  # what a name with an underscore is, nobody need know
    (r"py:class", r"anyfast_async\.batch\.[a-z_]+\..*"),  # nor how a batch is made
]

_GOOGLE = Config(napoleon_google_docstring=True, napoleon_numpy_docstring=False)
# What sphinx writes of a signature -> what a reader wants to see there.
_SHORTER = (
    (re.compile(r"\b(Limits|RetryPolicy|Timeouts)\((?:[^()]|\([^()]*\))*\)"), r"\1()"),
    (re.compile(r"TypeAliasForwardRef\('(\w+)'\)"), r"\1"),
    (re.compile(r"<object object[^>]*>"), "..."),
    (re.compile(r"\bNOTHING\b"), "..."),
)


def setup(app: Sphinx) -> None:
    """Hook in what follows."""
    app.connect("autodoc-process-docstring", read_google_style)
    app.connect("autodoc-process-signature", shorten)


def read_google_style(app: Sphinx, what: Any, name: str, documented: Any, options: Any, lines: list[str]) -> None:
    """Read ``Args:`` and the like; napoleon itself would take an attribute's text up to a colon for its type."""
    if what not in ("attribute", "data", "property"):
        lines[:] = GoogleDocstring(lines, _GOOGLE, app, what, name, documented, options).lines()


def shorten(
    app: Sphinx, what: Any, name: str, documented: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """Write ``Limits()`` for its long form, ``...`` for "not given", and names of type aliases as they are."""
    if signature is None:
        return None
    for pattern, shorter in _SHORTER:
        signature = pattern.sub(shorter, signature)
    return signature, returns
