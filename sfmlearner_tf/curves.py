"""What validation measured, step by step: a CSV and a picture beside the checkpoints."""

from __future__ import annotations

import csv
import io
import math
import os

from kitti_eval.files import write_whole
from sfmlearner_tf.errors import UserError

CSV_NAME, PNG_NAME = "validation.csv", "validation.png"


class Curves:
    """The rows of a folder's validation.csv, one a validation: step and metrics by name.

    Args:
        folder: where they lie.
        last_step: rows of later steps are dropped, since training continues from here. 0 drops all.
    """

    def __init__(self, folder: str, last_step: int) -> None:
        self.folder = folder
        self.rows = _read(os.path.join(folder, CSV_NAME), last_step)

    def best(self, metric: str) -> float:
        """The smallest value of a metric so far, infinite where there is none."""
        values = [row[metric] for row in self.rows if metric in row]
        return min(filter(math.isfinite, values), default=math.inf)

    def add(self, step: int, metrics: dict[str, float]) -> None:
        """Adds a row and writes both files. Raises UserError where they cannot be written."""
        self.rows.append({"step": float(step), **metrics})
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "step": int(row["step"])} for row in self.rows)
        try:
            write_whole(os.path.join(self.folder, CSV_NAME), text.getvalue().encode())
            write_whole(os.path.join(self.folder, PNG_NAME), self._draw(names[1:]))
        except (OSError, ValueError) as error:  # the latter where matplotlib cannot draw numbers such as 1e308
            raise UserError(f"cannot write {os.path.join(self.folder, CSV_NAME)} or its picture: {error}") from None

    def _draw(self, names: list[str]) -> bytes:
        """The picture, PNG: one small plot a metric."""
        from matplotlib.figure import Figure

        columns = min(3, len(names))
        figure = Figure(figsize=(3.6 * columns, 2.6 * math.ceil(len(names) / columns)), layout="constrained")
        axes = figure.subplots(math.ceil(len(names) / columns), columns, squeeze=False).ravel()
        for axis, name in zip(axes, names):
            points = [(row["step"], row[name]) for row in self.rows if name in row]
            axis.plot(*zip(*points), marker=".")
            axis.set_title(name, parse_math=False)
            axis.set_xlabel("step")
            axis.grid(alpha=0.3)
        for axis in axes[len(names) :]:
            axis.set_axis_off()
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=110)
        return content.getvalue()


def _read(path: str, last_step: int) -> list[dict[str, float]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
        return [row for row in rows if 0 <= row["step"] <= last_step]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise UserError(f"{path}: expected a CSV of numbers by step that an earlier run wrote; {error}") from None
