"""Charts as inline SVG that the page's style sheet colours, so that one chart reads in light and dark.

matplotlib draws with stand-in colours, which are replaced by CSS variables; text stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# role -> the stand-in that matplotlib draws with; the page defines --<role>
_ROLES = ("ink", "muted", "rule", "agent", "code", "text", "other")
COLOURS = {role: f"#0a0b{number:02x}" for number, role in enumerate(_ROLES, 1)}
_ROLE_OF = {colour: role for role, colour in COLOURS.items()}
_FONT_POINTS = 11.0


@contextmanager
def chart_style(name: str) -> Iterator[None]:
    """matplotlib's settings for one chart; `name` makes its ids its own, and the same each time."""
    import matplotlib as mpl

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "DejaVu Sans",  # comes with matplotlib; the page sets its own font
        "font.size": _FONT_POINTS,
        "text.parse_math": False,
        "text.color": COLOURS["ink"],
        "axes.edgecolor": COLOURS["rule"],
        "axes.labelcolor": COLOURS["muted"],
        "axes.linewidth": 1.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "grid.color": COLOURS["rule"],
        "grid.linewidth": 0.8,
        "xtick.color": COLOURS["rule"],
        "xtick.labelcolor": COLOURS["muted"],
        "ytick.left": False,
        "ytick.labelcolor": COLOURS["muted"],
        "lines.solid_capstyle": "round",
        "lines.linewidth": 2.0,
    }
    with mpl.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A transparent figure of this size in points, with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    figure.patch.set_alpha(0.0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0.0)
    return figure, axes


def to_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an `<svg>` element for an HTML page: no colours or ids but its own, nothing to load."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text)  # HTML knows them
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r"#0a0b[0-9a-f]{2}(?=[;\"])", _variable, text)
    return text.replace("<svg", f'<svg role="img" aria-label="{_attribute(description)}"', 1).strip()


def _variable(match: re.Match[str]) -> str:
    role = _ROLE_OF.get(match[0])
    return match[0] if role is None else f"var(--{role})"


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
