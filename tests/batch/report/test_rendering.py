"""Pages from templates."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.util import find_spec

import pytest

from anyfast_async.batch.report import rendering
from anyfast_async.batch.report.rendering import GENERATOR, INSTALL, is_made_by, missing, rendered

EMPTY = {"generator": GENERATOR, "title": "<t>", "names": ("a", "b"), "all_tiles": [("<1>", "<2>", False)]}
EMPTY |= {"figures_of": [], "charts": [], "changes": [], "samples": []}


@pytest.mark.skipif(find_spec("jinja2") is None, reason="extra [report]")
def test_policy() -> None:
    """The page forbids scripts, requests and every style but its own sheet, whose hash is right."""
    text = rendered("comparison.html", EMPTY, str)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'" == policy
    )
    assert text.index("Content-Security-Policy") < text.index("<style>")
    assert "<title>&lt;t&gt;</title>" in text
    assert is_made_by(GENERATOR, text[:4096].encode())
    assert not is_made_by("anyfast bench", text[:4096].encode())


@pytest.mark.parametrize("lacking", ["jinja2", "vl_convert"])
def test_install_line(monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    """Without one of the packages there is one line that installs them."""
    monkeypatch.setattr(rendering, "find_spec", lambda name: None if name == lacking else name)
    assert missing() == INSTALL == "pip install 'anyfast-async[report]'"

    monkeypatch.setattr(rendering, "find_spec", lambda name: name)
    assert missing() is None
