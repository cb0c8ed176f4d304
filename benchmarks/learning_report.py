"""The table of docs/learning.md and the curves of docs/learning.png, from the CSVs of benchmarks/learning.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np

DOCS = Path(__file__).resolve().parents[1] / "docs"
BASELINE = "mean"  # the CSV of the trivial predictors
# Their curves are drawn.
MEASURED = ("abs_rel", "translation_error", "ate_5")


def write_report(results: Path) -> None:
    """The table of all runs, into docs/learning.md, and their curves, docs/learning.png."""
    baseline = read_rows(results / f"{BASELINE}.csv")
    runs: dict[tuple[str, int], list[np.ndarray]] = {}
    for path in sorted(results.glob("*-*-*.csv")):
        variant, count, _ = path.stem.rsplit("-", 2)
        runs.setdefault((variant, int(count)), []).append(read_rows(path))
    lines = [
        "| objective | steps | seeds | Abs Rel | of mean depth's | translation error | 5-frame ATE, m | alarms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        f"| mean depth, mean motion | | | {baseline['abs_rel'][0]:.3f} | 1 | {baseline['translation_error'][0]:.3f} | "
        f"{baseline['ate_5'][0]:.4f} | |",
    ]
    for (variant, steps), found in sorted(runs.items(), key=lambda item: (-item[0][1], item[0][0])):
        shown = (*MEASURED, "alarms")
        last = {name: [float(rows[name][-1]) for rows in found] for name in shown}
        ratios = [value / baseline["abs_rel"][0] for value in last["abs_rel"]]
        cells = [join(last["abs_rel"], 3), join(ratios, 2), join(last["translation_error"], 3), join(last["ate_5"], 4)]
        alarms = join([sum(last["alarms"])], 0)
        lines.append(f"| {variant.replace('+', ', ')} | {steps} | {len(found)} | {' | '.join(cells)} | {alarms} |")
    put_table(lines, "table")
    draw_curves(runs, baseline, DOCS / "learning.png")
    print("\n".join(lines))


def put_table(lines: list[str], name: str) -> None:
    """Puts the table in place of the one of that name in docs/learning.md."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    document = DOCS / "learning.md"
    before, _, rest = document.read_text(encoding="utf-8").partition(start)
    table = "\n".join([start, *lines, end])
    document.write_text(before + table + rest.partition(end)[2], encoding="utf-8")


def join(values: list[float], digits: int) -> str:
    """One value, or the mean and in brackets those of each seed; nothing where it was not measured."""
    if np.isnan(values).any():
        return ""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{np.mean(values):.{digits}f} ({', '.join(f'{value:.{digits}f}' for value in values)})"


def draw_curves(runs: dict[tuple[str, int], list[np.ndarray]], baseline: np.ndarray, path: Path) -> None:
    """Abs Rel, translation error and ATE over the steps, of the longest runs; a line a seed."""
    from matplotlib.figure import Figure

    longest = max(steps for _, steps in runs)
    figure = Figure(figsize=(13, 4), layout="constrained")
    for axis, name in zip(figure.subplots(1, 3), MEASURED):
        shown = [(variant, found) for (variant, steps), found in runs.items() if steps == longest]
        for number, (variant, found) in enumerate(shown):
            for i, rows in enumerate(found):
                axis.plot(rows["step"], rows[name], color=f"C{number}", marker=".", label=None if i else variant)
        axis.axhline(baseline[name][0], color="grey", linestyle="--", label="mean depth, mean motion")
        axis.set(title=name, xlabel="step", yscale="log")
        axis.grid(alpha=0.3, which="both")
    axis.legend()
    figure.savefig(path, dpi=100)


def read_rows(path: Path) -> np.ndarray:
    """A CSV as a structured array with a column for each name."""
    return np.atleast_1d(np.genfromtxt(path, delimiter=",", names=True))
