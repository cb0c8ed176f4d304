"""Table and curves of the CSVs of benchmarks/train_on_real.py."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from learning_report import DOCS, join, put_table
from real_video import Errors

from kitti_eval.files import write_aside

RESULTS = DOCS / "real_video"
STAGES = ("generated", "both", "real")
THEN = "+then+"  # in a variant, before what is changed in the second stage alone
TRIVIAL = "trivial"  # the CSV of the trivial predictors
# A variant, a stage and its steps; of each seed its errors by step.
Runs = dict[tuple[str, str, str], dict[str, dict[str, Errors]]]


def write_rows(path: Path, rows: Mapping[int, Errors] | Mapping[str, Errors]) -> None:
    """The errors, by step or by name."""
    lines = [("step", *Errors._fields), *((key, *(f"{value:.5f}" for value in errors)) for key, errors in rows.items())]
    with write_aside(path) as file:
        file.write("".join(",".join(map(str, line)) + "\n" for line in lines).encode())


def read_rows(path: Path) -> dict[str, Errors]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row.pop("step"): Errors(**{k: float(v) for k, v in row.items()}) for row in csv.DictReader(file)}


def write_report(results: Path) -> None:
    """Prints the table of all runs, and draws their curves beside the CSVs; of those in docs, docs/learning.md has the
    table."""
    trivial = read_rows(results / f"{TRIVIAL}.csv")
    runs: Runs = defaultdict(dict)
    for path in sorted(results.glob("*-*-*-*.csv")):
        variant, stage, steps, seed = path.stem.rsplit("-", 3)
        runs[variant, stage, steps][seed] = read_rows(path)
    lines = [
        "| predictor or training | steps | seeds | Abs Rel, 01 | 06 | both | of mean depth's | drive 0052 | "
        "5-frame ATE, m, 01 | 06 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, errors in trivial.items():
        lines.append(f"| {name} | | | {' | '.join(format_cells([errors], trivial['mean depth']))} |")
    for (variant, stage, steps), found in sorted(runs.items(), key=lambda item: (item[0][0], STAGES.index(item[0][1]))):
        last = [list(rows.values())[-1] for rows in found.values()]
        cells = format_cells(last, trivial["mean depth"])
        lines.append(f"| {format_name(variant, stage)} | {steps} | {len(last)} | {' | '.join(cells)} |")
    if results.resolve() == RESULTS:
        put_table(lines, "real video")
    draw_curves(runs, trivial, results / "curves.png")
    print("\n".join(lines))


def format_name(variant: str, stage: str) -> str:
    return f"{variant.replace(THEN, ', then ').replace('+', ', ')}, {stage}"


def format_cells(errors: list[Errors], mean_depth: Errors) -> list[str]:
    """Each error, over seeds."""
    depths = [[each.abs_rel_01 for each in errors], [each.abs_rel_06 for each in errors]]
    both = [each.abs_rel for each in errors]
    cells = [join(values, 3) for values in (*depths, both)]
    cells += [join([value / mean_depth.abs_rel for value in both], 2), join([each.abs_rel_0052 for each in errors], 3)]
    return [*cells, join([each.ate_01 for each in errors], 3), join([each.ate_06 for each in errors], 3)]


def draw_curves(runs: Runs, trivial: dict[str, Errors], path: Path) -> None:
    """Errors over the steps on real video; a line a seed."""
    from matplotlib.figure import Figure

    panels = {
        "Abs Rel, odometry 01 and 06\n(dashed: mean depth)": (lambda errors: errors.abs_rel, "mean depth"),
        "Abs Rel, drive 0052\n(dashed: a constant)": (lambda errors: errors.abs_rel_0052, "constant depth"),
        "5-frame ATE, odometry 01 and 06, m\n(dashed: a straight drive)": (
            lambda errors: (errors.ate_01 + errors.ate_06) / 2,
            "mean depth",
        ),
    }
    starts = {(variant, seed): rows for (variant, stage, _), found in runs.items() if stage == "generated"
              for seed, rows in found.items()}  # fmt: skip
    figure = Figure(figsize=(15, 5.5), layout="constrained")
    for axis, (title, (select, baseline)) in zip(figure.subplots(1, len(panels)), panels.items()):
        shown = [(key, found) for key, found in runs.items() if key[1] != "generated"]
        for number, ((variant, stage, steps), found) in enumerate(shown):
            for i, (seed, rows) in enumerate(found.items()):
                points = [(int(step), select(errors)) for step, errors in rows.items()]
                start = starts.get((variant.partition(THEN)[0], seed))
                if stage == "both" and start:
                    points.insert(0, (0, select(list(start.values())[-1])))
                label = None if i else f"{format_name(variant, stage)}, {steps}"
                axis.plot(*zip(*points), color=f"C{number}", marker=".", label=label)
        axis.axhline(select(trivial[baseline]), color="grey", linestyle="--")
        axis.set(title=title, xlabel="step on real video", yscale="log")
        axis.grid(alpha=0.3, which="both")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=100)
