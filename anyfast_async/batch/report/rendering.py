"""Pages from templates. The only file that imports jinja2.

What a page shows is escaped, because every value is that is not marked as HTML. There is no script in a page and no
style but its own sheet, and a policy that the browser enforces says so: whatever a model or a gateway wrote is text,
even where escaping had a hole.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, Final

from anyfast_async.batch.report.charts import Chart
from anyfast_async.errors import escaped

GENERATOR: Final = "anyfast report"
"""What such a page says that it was made by."""
INSTALL: Final = "pip install 'anyfast-async[report]'"
_LONGEST: Final = 4000
"""Characters of one text that are shown."""
_PACKAGES: Final = ("jinja2", "vl_convert")


def missing() -> str | None:
    """Return the line that installs what pages and their charts need, None if it is there."""
    return INSTALL if any(find_spec(one) is None for one in _PACKAGES) else None


def is_made_by(generator: str, head: bytes) -> bool:
    """Return whether *head*, the beginning of a file, is that of a page which says that it was made so."""
    return f'<meta name="generator" content="{generator}">'.encode() in head


def rendered(
    template: str,
    values: Mapping[str, Any],
    draw: Callable[[dict[str, Any]], str],
    hide: Callable[[str], str] = str,
) -> str:
    """Return a page: one file that needs nothing else.

    Args:
        template: the name of the file in ``templates/``.
        values: what stands in it.
        draw: makes SVG of a Vega-Lite specification.
        hide: takes out of a text what is not to be shown.

    """
    import jinja2  # noqa: PLC0415 - of an extra
    from markupsafe import Markup  # noqa: PLC0415 - jinja2's own

    folder = files("anyfast_async.batch.report").joinpath("templates")
    style = folder.joinpath("style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    def shown(value: Any) -> Any:
        """Return *value* without what is not to be shown, control characters and marks of direction as escapes."""
        if isinstance(value, str) and not isinstance(value, Markup):
            return "\n".join(escaped(line, _LONGEST) for line in hide(value[:_LONGEST]).split("\n"))
        return value

    def picture(chart: Chart) -> Markup:
        label = Markup('<svg role="img" aria-label="{}" ').format(chart.title)
        return Markup(draw(chart.spec).replace("<svg ", label, 1))  # noqa: S704 - the renderer escapes texts

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        finalize=shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["picture"] = picture
    sheet: dict[str, Any] = {"style": Markup(style), "digest": digest}  # noqa: S704 - our own file
    return environment.get_template(template).render({**values, **sheet})
