"""The page that the demo ends with: what was measured, and the pictures."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from kitti_eval.files import write_whole
from sfmlearner_tf.tools import held_out

_STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff; }
h1, h2 { line-height: 1.2; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; }
th, td { padding: 0.3rem 1rem; border-bottom: 1px solid #ccc; text-align: right; }
th:first-child, td:first-child { text-align: left; }
pre { background: #f4f4f4; padding: 1rem; overflow-x: auto; }
"""


def write_page(
    path: Path,
    rows: Mapping[str, held_out.Errors],
    pictures: Mapping[str, Path],
    commands: Sequence[str],
) -> None:
    """Writes `path`, a page of HTML that needs nothing but the pictures.

    Args:
        rows: the errors of each predictor on the held-out scenes.
        pictures: by their captions; below the folder of the page.
        commands: what to try next.
    """
    table = "\n".join(
        f"<tr><td>{html.escape(name)}</td><td>{errors.abs_rel:.3f}</td><td>{errors.translation:.3f}</td></tr>"
        for name, errors in rows.items()
    )
    shown = "\n".join(
        f'<h2>{html.escape(caption)}</h2>\n<img src="{html.escape(picture.relative_to(path.parent).as_posix())}" '
        f'alt="{html.escape(caption)}">'
        for caption, picture in pictures.items()
    )
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>SfMLearner: the demo</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Depth and motion from generated video</h1>
<p>Errors on streets that training has not seen. Abs Rel: mean of the error of depth over the true depth, after median
scaling. Translation: norm of the error over norm of the motion, after one scale for three frames.</p>
<table>
<tr><th></th><th>Abs Rel</th><th>translation</th></tr>
{table}
</table>
{shown}
<h2>What to try next</h2>
<pre>{html.escape(chr(10).join(commands))}</pre>
</body>
</html>
"""
    write_whole(path, page.encode())
