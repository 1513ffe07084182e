"""Charts as pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from importlib.util import find_spec

import pytest

from anyfast_async import Stats
from anyfast_async._core.errors.failures import status_error
from anyfast_async.batch import RowDone, Tally
from anyfast_async.batch.report.charts import charts
from anyfast_async.batch.report.recorder import Recorder
from anyfast_async.batch.report.svg import INSTALL, missing, svg

needs_charts = pytest.mark.skipif(find_spec("vl_convert") is None, reason="extra [report]")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def record() -> Recorder:
    """A run of two minutes with everything in it."""
    tally = Tally(10, 0)
    made = Recorder(tally)
    for second in range(120):
        held = 5.0 if 40 < second < 60 else 0.0
        stats = Stats(
            in_flight=second, queued=2, limited_by=None, held_for=held, requests=0, tokens_used=0, tokens_reserved=0
        )
        made.tick(stats, second)
        made.row(RowDone("a", status_error(500)("x"), tally, None, ()), second)
        for histogram in (tally.latency, tally.first_token):
            histogram.add(second / 10)
    return made


@needs_charts
@pytest.mark.slow
def test_charts_are_drawn(record: Recorder) -> None:
    """Every chart is a picture with its marks: no script, no style, colours of the page alone, numbers as tooltips."""
    drawn = {chart.title: ET.fromstring(svg(chart.spec)) for chart in charts(record)}  # noqa: S314 - made here

    assert ["Throughput", "In work", "Tokens", "Latency", "First token"] == list(drawn)
    for title, picture in drawn.items():
        elements = list(picture.iter())
        assert {f"{SVG}{name}" for name in ("svg", "g", "path", "line", "text", "title")} >= {e.tag for e in elements}
        assert not [e for e in elements if "style" in e.attrib or any(name.startswith("on") for name in e.attrib)]
        colours = {e.get(name) for e in elements for name in ("fill", "stroke")} - {None, "none", "transparent"}
        assert all(str(colour).startswith("var(--") for colour in colours - {"#000", "black"}), (title, colours)
        assert not [e.text for e in elements if e.tag == f"{SVG}text" and "e+" in str(e.text)]
        tips = [e.text for e in elements if e.tag == f"{SVG}title"]
        assert len(tips) > 10
        assert all(tip and ":" in tip for tip in tips)


def test_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package that draws, there is one line that installs it."""
    monkeypatch.setattr("anyfast_async.batch.report.svg.find_spec", lambda name: None)
    assert missing() == INSTALL == "pip install 'anyfast-async[report]'"

    monkeypatch.setattr("anyfast_async.batch.report.svg.find_spec", lambda name: name)
    assert missing() is None
