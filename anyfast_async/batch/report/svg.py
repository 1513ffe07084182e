"""Charts as pictures of themselves: a Vega-Lite specification to SVG. The only file that imports vl_convert."""

from __future__ import annotations

import re
from typing import Any, Final

_LABELLED: Final = re.compile(r'<path aria-label="([^"]*)"([^>]*)/>')


def svg(specification: dict[str, Any]) -> str:
    """Draw a Vega-Lite chart; what is the description of a mark shows when the pointer rests on it.

    The picture needs no script, and nothing from elsewhere: data and fonts are in the call.
    """
    import vl_convert  # noqa: PLC0415 - 90 MB and a JavaScript engine, for a report only

    drawn = vl_convert.vegalite_to_svg(specification)
    # Browsers show a <title> as a tooltip; the renderer writes descriptions for screen readers only.
    return _LABELLED.sub(r'<path aria-label="\1"\2><title>\1</title></path>', drawn)
