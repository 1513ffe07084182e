"""Charts as pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

import pytest

from anyfast_async._core.histogram import Histogram
from anyfast_async.batch.report.charts import by_model
from anyfast_async.batch.report.run_charts import over_time, times
from anyfast_async.batch.report.svg import svg

from .written import HOSTILE, answer, busy, gather, leave

pytestmark = pytest.mark.skipif(find_spec("vl_convert") is None, reason="extra [report]")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.slow
def test_charts_are_drawn(tmp_path: Path) -> None:
    """Every chart is a picture with its marks: no script, no style, colours of the page alone, numbers as tooltips."""
    found = gather(leave(tmp_path, [("a", answer())], busy()))
    drawn = {chart.title: ET.fromstring(svg(chart.spec)) for chart in (*over_time(found, None), *times(found))}  # noqa: S314 - made here

    assert [
        "Throughput",
        "In work",
        "Tokens",
        "Second attempts",
        *("Latency", "Latency by model", "First token"),
    ] == list(drawn)
    for title, picture in drawn.items():
        elements = list(picture.iter())
        assert {f"{SVG}{name}" for name in ("svg", "g", "path", "line", "text", "title")} >= {e.tag for e in elements}
        assert not [e for e in elements if "style" in e.attrib or any(name.startswith("on") for name in e.attrib)]
        colours = {e.get(name) for e in elements for name in ("fill", "stroke")} - {None, "none", "transparent"}
        assert all(str(colour).startswith("var(--") for colour in colours - {"#000", "black"}), (title, colours)
        assert not [e.text for e in elements if e.tag == f"{SVG}text" and "e+" in str(e.text)]
        tips = [e.text for e in elements if e.tag == f"{SVG}title"]
        assert len(tips) > (1 if title == "Latency by model" else 10)
        assert all(tip and ":" in tip for tip in tips)


@pytest.mark.slow
def test_hostile_names_are_text() -> None:
    """A model may be called anything: in the picture it is text."""
    latency = Histogram()
    latency.extend([0.1, 0.2])
    picture = ET.fromstring(svg(by_model({HOSTILE: latency, "b": latency})))  # noqa: S314 - made here

    assert not [one for one in picture.iter() if one.tag.rpartition("}")[2] in ("script", "img")]
    assert any("<script>" in str(one.text) for one in picture.iter())
