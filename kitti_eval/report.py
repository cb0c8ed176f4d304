"""Compares our results with published ones, as text and as a self-contained HTML page."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from typing import Any, NamedTuple

from kitti_eval.depth_metrics import DepthErrors

# Published numbers have three decimals, so smaller differences are only rounding.
ROUNDING = 0.0005
CLOSE = 0.05
HIGHER_IS_BETTER = ("a1", "a2", "a3")
VERDICTS = "Verdicts: equal to the published digits; close, within 5 percent; better; worse. Meaningful on KITTI only."


class Cell(NamedTuple):
    """One of our numbers, the published one, and the verdict (`judge`)."""

    metric: str
    ours: float
    published: float
    difference: float
    verdict: str


class Comparison(NamedTuple):
    """A table: what was measured, what it is compared with, and one cell per metric."""

    title: str
    published_as: str
    cells: list[Cell]


class Picture(NamedTuple):
    """A PNG and its caption."""

    caption: str
    png: bytes


class Section(NamedTuple):
    """A section of the report: `lines` of text, tables and pictures, in this order."""

    title: str
    lines: list[str]
    comparisons: list[Comparison]
    pictures: list[Picture]


def judge(metric: str, ours: float, published: float) -> Cell:
    """Verdicts: `equal` to the published digits, `close` (within 5 percent), else `better` or `worse`."""
    difference = ours - published
    if abs(difference) <= ROUNDING:
        verdict = "equal"
    elif abs(difference) <= CLOSE * abs(published):
        verdict = "close"
    else:
        verdict = "better" if (difference > 0) == (metric in HIGHER_IS_BETTER) else "worse"
    return Cell(metric, ours, published, difference, verdict)


def compare_depth(title: str, ours: DepthErrors, published_as: str, published: DepthErrors) -> Comparison:
    """Compares all seven depth errors with a published row."""
    cells = [judge(name, *pair) for name, *pair in zip(DepthErrors._fields, ours, published)]
    return Comparison(title, published_as, cells)


def compare_ate(title: str, ours: Mapping[str, float], published_as: str, published: tuple[float, float]) -> Comparison:
    """Compares our `mean` and `std` of the snippet ATE with the published ones."""
    cells = [judge(f"ATE {name}", ours[name], value) for name, value in zip(("mean", "std"), published)]
    return Comparison(title, published_as, cells)


def describe_sections(sections: list[Section]) -> list[dict[str, Any]]:
    """The content of the tables, for JSON."""
    return [
        {"section": section.title, "table": table.title, "published_as": table.published_as, **cell._asdict()}
        for section in sections
        for table in section.comparisons
        for cell in table.cells
    ]


def format_comparison(comparison: Comparison) -> str:
    """The table as text, one metric per line."""
    header = f"{comparison.title}, against {comparison.published_as}"
    columns = f"{'metric':>20} {'ours':>9} {'published':>9} {'diff':>9}  verdict"
    rows = [
        f"{cell.metric:>20} {cell.ours:9.3f} {cell.published:9.3f} {cell.difference:+9.3f}  {cell.verdict}"
        for cell in comparison.cells
    ]
    return "\n".join([header, columns, *rows])


def render_report(title: str, sections: list[Section]) -> str:
    """A self-contained HTML page: styles and pictures are embedded."""
    body = "\n".join(_render_section(section) for section in sections)
    return _PAGE.format(title=html.escape(title), style=_STYLE, body=body)


def _render_section(section: Section) -> str:
    lines = [f"<p>{html.escape(line)}</p>" for line in section.lines]
    tables = [_render_comparison(comparison) for comparison in section.comparisons]
    pictures = [_render_picture(picture) for picture in section.pictures]
    blocks = [*lines, '<div class="tables">', *tables, '</div><div class="pictures">', *pictures, "</div>"]
    return f"<section><h2>{html.escape(section.title)}</h2>{''.join(blocks)}</section>"


def _render_comparison(comparison: Comparison) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(cell.metric)}</th><td>{cell.ours:.3f}</td><td>{cell.published:.3f}</td>"
        f'<td>{cell.difference:+.3f}</td><td class="{cell.verdict}">{cell.verdict}</td></tr>'
        for cell in comparison.cells
    )
    caption = f"{html.escape(comparison.title)}<br><small>against {html.escape(comparison.published_as)}</small>"
    header = "<tr><th></th><th>ours</th><th>published</th><th>difference</th><th>verdict</th></tr>"
    return f"<table><caption>{caption}</caption>{header}{rows}</table>"


def _render_picture(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    caption = html.escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222; }
h1, h2 { font-weight: 600; } h2 { border-bottom: 1px solid #ccc; margin-top: 2em; }
.tables { display: flex; flex-wrap: wrap; gap: 1.5em 3em; }
table { border-collapse: collapse; } caption { text-align: left; font-weight: 600; padding-bottom: .4em; }
caption small { font-weight: 400; color: #666; }
th, td { padding: .15em .8em; text-align: right; border-bottom: 1px solid #eee; }
td { font-variant-numeric: tabular-nums; }
.better, .equal { color: #17692c; } .close { color: #666; } .worse { color: #b3261e; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 1.5em; margin: 1.5em 0; }
figure { margin: 0; } img { width: 100%; } figcaption { color: #555; overflow-wrap: anywhere; }
"""
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""
