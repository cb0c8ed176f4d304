"""Trains on the generated world and writes how held-out depth and motion get better, one CSV a run.

    python benchmarks/learning.py --output_dir=learning --variants=release,recommended --seeds=1,2,3

The world: 24 scenes to learn from, 4 held out, 50 frames each, 64x208; batch 4, from random weights. A variant is a
preset, or a preset with options changed, such as release+ssim_weight=0.85+random_flip=true. release is taken with
--smooth_weight=0.1. A run that has its CSV in --results_dir is not run again; the rows of one that runs, or was
stopped, are in a file that ends in .writing. The weights go to --output_dir/checkpoints, in place of those of an
earlier run of the same name. At the end the table and the plot of all CSVs are put into docs/learning.md and
docs/learning.png; --variants= (none) does only that.
"""

from __future__ import annotations

import csv
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from ate import compute_ate_5
from learning_report import BASELINE, DOCS, MEASURED, write_report
from whole_numbers import read_whole_numbers

from kitti_eval import command
from sfmlearner_tf.data.synthetic import KITTI_FOCAL_LENGTH
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools import demo_world, held_out
from sfmlearner_tf.watchdogs import READINGS

# focal_error: of the learned focal lengths, |f / true f - 1|, over both axes and all examples.
COLUMNS = ("step", *MEASURED, "focal_error", "pixel_loss", "seconds", *READINGS, "alarms")

_OUTPUT_DIR = flags.DEFINE_string("output_dir", "learning", "Folder of the world and of the trained weights.")
_RESULTS_DIR = flags.DEFINE_string("results_dir", str(DOCS / "learning"), "Folder of the CSVs, one a run.")
_VARIANTS = flags.DEFINE_list("variants", ["release"], "What to train, see above.")
_SEEDS = flags.DEFINE_list("seeds", ["1"], "Seeds of each variant.")
_STEPS = flags.DEFINE_integer("steps", 4000, "Training steps.", lower_bound=1)
_EVAL_FREQ = flags.DEFINE_integer("eval_freq", 500, "Steps between two evaluations.", lower_bound=1)
_FOCAL_LENGTH = flags.DEFINE_float(
    "focal_length", KITTI_FOCAL_LENGTH, "Of the world's camera, in widths of the image; another needs its own folders."
)
_THREADS = flags.DEFINE_integer("threads", 0, "Threads of each operation; 0 takes all cores.", lower_bound=0)


class Drive(NamedTuple):
    """A held-out drive: its triplets and the true camera poses [n, 4, 4] of its frames."""

    triplets: list[held_out.Triplet]
    poses: np.ndarray


def main() -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(_THREADS.value)
    folder, results = Path(_OUTPUT_DIR.value), Path(_RESULTS_DIR.value)
    runs = [(variant, seed) for seed in read_whole_numbers(_SEEDS) for variant in _VARIANTS.value]
    paths = {run: results / f"{run[0]}-{_STEPS.value}-{run[1]}.csv" for run in runs}
    missing = {run: make_config(folder, *run) for run in runs if not paths[run].exists()}
    baseline = results / f"{BASELINE}.csv"
    if missing or not baseline.exists():
        drives = read_drives(folder)
    if not baseline.exists():
        write_rows(baseline, [(0, *evaluate_trivial_predictors(folder, drives))])
    for run, config in missing.items():
        write_rows(paths[run], train(config, drives))
    write_report(results)


def make_config(folder: Path, variant: str, seed: int) -> Any:
    """The options of one run.

    Raises:
        UserError: no such preset or option, or a value out of its range.
    """
    from sfmlearner_tf import TrainConfig

    preset, *changes = variant.split("+")
    options = {
        "dataset_dir": str(folder / "formatted"),
        "checkpoint_dir": str(folder / "checkpoints" / f"{variant}-{_STEPS.value}-{seed}"),
        "overwrite": True,
        "img_height": demo_world.HEIGHT,
        "img_width": demo_world.WIDTH,
        "max_steps": _STEPS.value + 1,
        "seed": seed,
        # What is measured, is measured here; of the weights the last ones will do.
        "val_freq": 0,
        "summary_freq": _STEPS.value + 1,
        "save_latest_freq": _STEPS.value + 1,
        "max_to_keep": 1,
        **({"smooth_weight": 0.1} if preset == "release" else {}),
    }
    try:
        return TrainConfig.from_preset(preset, **{**options, **dict(read_change(change) for change in changes)})
    except ValueError as error:
        raise UserError(f"--variants: {error}") from None


def read_change(change: str) -> tuple[str, Any]:
    """The option and its value of "name=value".

    Raises:
        UserError: no such option, or no value of it.
    """
    from sfmlearner_tf import TrainConfig

    name, _, text = change.partition("=")
    types = {option.name: str(option.type) for option in dataclasses.fields(TrainConfig)}
    if name not in types:
        raise UserError(f"--variants: expected an option of training in {change!r}, found none of that name")
    parse: dict[str, tuple[Callable[[str], Any], str]] = {
        "bool": ({"true": True, "false": False}.__getitem__, "true or false"),
        "int": (int, "a whole number"),
        "float": (float, "a number"),
        "str": (str, "a text"),
    }
    read, expected = parse[types[name]]
    try:
        return name, read(text)
    except (KeyError, ValueError):
        raise UserError(f"--variants: expected {expected} in {change!r}") from None


def read_drives(folder: Path) -> list[Drive]:
    """The held-out drives; renders and prepares the world where that is not done yet."""
    from sfmlearner_tf.data.oxts import read_camera_poses

    demo_world.make_world(folder, focal_length=_FOCAL_LENGTH.value)
    _, drives = demo_world.split_drives(folder / "world" / "kitti_raw")
    return [Drive(held_out.read_triplets(drive), read_camera_poses(str(drive.parent), drive.name)) for drive in drives]


def train(config: Any, drives: list[Drive]) -> Iterator[tuple[float, ...]]:
    """One run, as the training command does it; yields a row of COLUMNS before, on the way and after."""
    from sfmlearner_tf.trainer import Trainer

    trainer = Trainer(config)
    camera = demo_world.read_intrinsics(Path(config.dataset_dir).parent / "world" / "kitti_raw")

    def camera_error() -> float:
        return compute_focal_error(trainer.learner, drives, camera) if config.learn_intrinsics else float("nan")

    yield (0, *evaluate(trainer.learner, drives), camera_error(), *[float("nan")] * (2 + len(READINGS)), 0)
    pixel_losses, looks, started = [], [], time.time()
    for step in trainer.steps():
        pixel_losses.append(float(step.losses["pixel"]))
        looks += [step.readings] if step.readings else []
        if step.number % _EVAL_FREQ.value == 0 or step.number == _STEPS.value:
            medians = [float(np.median([look[name] for look in looks])) for name in READINGS]
            photometric, seconds = float(np.mean(pixel_losses)), time.time() - started
            errors = evaluate(trainer.learner, drives)
            row = (step.number, *errors, camera_error(), photometric, seconds, *medians, trainer.alarms)
            print(", ".join(f"{name} {value:.4g}" for name, value in zip(COLUMNS, row)), flush=True)
            yield row
            pixel_losses, looks = [], []


def evaluate(learner: Any, drives: list[Drive], batch_size: int = 8) -> tuple[float, float, float]:
    """Abs Rel, translation error and 5-frame ATE on the held-out drives."""
    errors, ates = [], []
    for drive in drives:
        depths, poses = [], []
        for start in range(0, len(drive.triplets), batch_size):
            batch = drive.triplets[start : start + batch_size]
            targets, sources = (np.stack([getattr(each, name) for each in batch]) for name in ("target", "sources"))
            depths += list(learner.predict_depth(targets).numpy()[..., 0])
            poses += list(predict_motion(learner, targets, sources))
        motions = np.stack(poses)
        errors.append(held_out.compute_errors(drive.triplets, depths, motions[:, :, :3, 3]))
        ates.append(compute_ate_5(drive.poses[1:], motions[:, 1]))
    return (*np.mean(errors, axis=0), float(np.mean(ates)))


def compute_focal_error(learner: Any, drives: list[Drive], camera: np.ndarray) -> float:
    """The mean relative error of the learned focal lengths; `camera`: the true matrix [3, 3]."""
    found = []
    for triplet in (triplet for drive in drives for triplet in drive.triplets):
        outputs = learner.forward(triplet.target[None], triplet.sources[None], np.eye(3, dtype=np.float32)[None])
        found.append(outputs["intrinsics"].numpy()[0])
    focal = np.array(found)[:, [0, 1], [0, 1]]
    return float(np.abs(focal / camera[[0, 1], [0, 1]] - 1).mean())


def predict_motion(learner: Any, middle: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The motions [n, 2, 4, 4] from the middle frames [n, H, W, 3] to those before and after, `others` [n, H, W, 6]."""
    from kitti_eval.trajectory import pose_vectors_to_matrices

    before, after = others[..., :3], others[..., 3:]
    if learner.config.target_frame == "middle":
        return pose_vectors_to_matrices(learner.predict_pose(middle, others).numpy())
    poses = learner.predict_pose(after, np.concatenate([before, middle], axis=-1)).numpy()
    before_T_after, middle_T_after = np.moveaxis(pose_vectors_to_matrices(poses), 1, 0)
    after_T_middle = np.linalg.inv(middle_T_after)
    return np.stack([before_T_after @ after_T_middle, after_T_middle], axis=1)


def evaluate_trivial_predictors(folder: Path, drives: list[Drive]) -> tuple[float, float, float]:
    """The same errors of the mean depth and the mean motion of the training scenes."""
    seen, _ = demo_world.split_drives(folder / "world" / "kitti_raw")
    triplets = [triplet for drive in seen for triplet in held_out.read_triplets(drive)]
    depth, motion = held_out.mean_depth(triplets), held_out.mean_motion(triplets)
    errors, ates = [], []
    for drive in drives:
        count = len(drive.triplets)
        errors.append(held_out.compute_errors(drive.triplets, [depth] * count, [motion] * count))
        to_next = np.tile(np.eye(4), (count, 1, 1))
        to_next[:, :3, 3] = motion[1]
        ates.append(compute_ate_5(drive.poses[1:], to_next))
    return (*np.mean(errors, axis=0), float(np.mean(ates)))


def write_rows(path: Path, rows: Iterable[tuple[float, ...]]) -> None:
    """The CSV of one run; while the rows come it has another ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(f"{path}.writing")
    with aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for number, row in enumerate(rows):
            writer.writerows([row] if number else [COLUMNS[: len(row)], row])
            file.flush()
    aside.replace(path)


if __name__ == "__main__":
    command.run(main)
