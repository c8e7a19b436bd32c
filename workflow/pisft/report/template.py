"""How pages are rendered, and the look that they share (style.css). Start from `template(path)`."""

from __future__ import annotations

from pathlib import Path

import jinja2


def template(path: Path) -> jinja2.Template:
    """The template at `path`, which may include what lies beside it and `style.css`; a name it lacks is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([path.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda x: f"{100 * x:.1f} %"
    environment.filters["count"] = lambda n: f"{n:,}".replace(",", " ")
    return environment.get_template(path.name)
