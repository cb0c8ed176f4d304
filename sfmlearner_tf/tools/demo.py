"""The whole pipeline on generated data: render, prepare, train, evaluate, export, draw.

    python tools/demo.py --output_dir=demo

Rendering, preparing and training are ordinary commands, printed before they run. The results are a table of errors on
held-out scenes before and after training, a picture of predictions, a loss curve, a page that shows them (index.html),
a checkpoint and a SavedModel. A second run skips finished rendering and preparation, and resumes training that was
stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from absl import flags

from kitti_eval import command
from kitti_eval.locks import lock_folder
from sfmlearner_tf.curves import PNG_NAME
from sfmlearner_tf.run_config import holds_run
from sfmlearner_tf.tools import held_out
from sfmlearner_tf.tools.demo_page import write_page
from sfmlearner_tf.tools.demo_world import HEIGHT, WIDTH, call, make_world, read_intrinsics, split_drives

if TYPE_CHECKING:
    from sfmlearner_tf import SfMLearner

PICTURES = 4
MEAN = "mean depth, mean motion"

_OUTPUT_DIR = flags.DEFINE_string("output_dir", "demo", "Folder for all output.")
_STEPS = flags.DEFINE_integer("steps", 1000, "Training steps.", lower_bound=1)
_TRAIN_SCENES = flags.DEFINE_integer("num_train_scenes", 24, "Scenes to learn from.", lower_bound=1)
_TEST_SCENES = flags.DEFINE_integer("num_test_scenes", 4, "Held-out scenes to evaluate on.", lower_bound=1)
_FRAMES = flags.DEFINE_integer("frames_per_scene", 50, "Frames of each scene.", lower_bound=3)


def main() -> None:
    folder = Path(_OUTPUT_DIR.value)
    with lock_folder(folder):
        run(folder)


def run(folder: Path) -> None:
    """The demo, all of whose output goes to a folder that no other process works in."""
    checkpoint_dir = folder / "checkpoints"
    make_world(folder, _TRAIN_SCENES.value, _TEST_SCENES.value, _FRAMES.value)
    train(folder, checkpoint_dir)

    from sfmlearner_tf import SfMLearner, TrainConfig
    from sfmlearner_tf.export import export_saved_model
    from sfmlearner_tf.tools import demo_pictures

    learner = SfMLearner(TrainConfig(img_height=HEIGHT, img_width=WIDTH))
    world = folder / "world" / "kitti_raw"
    seen, held_out_drives = split_drives(world)
    triplets = [triplet for drive in held_out_drives for triplet in held_out.read_triplets(drive)]
    rows = evaluate_trivial_predictors([t for drive in seen for t in held_out.read_triplets(drive)], triplets)
    rows["before training"] = evaluate(learner, triplets)
    learner.restore(str(checkpoint_dir / "model.latest"))
    rows["after training"] = evaluate(learner, triplets)

    export_saved_model(learner, str(folder / "saved_model"))
    difference = compare_saved_model(learner, str(folder / "saved_model"), triplets[0])
    shown = triplets[:: max(1, len(triplets) // PICTURES)][:PICTURES]
    demo_pictures.draw_predictions(learner, shown, read_intrinsics(world), str(folder / "prediction.png"))
    demo_pictures.draw_loss_curve(str(checkpoint_dir), str(folder / "loss.png"))

    print(format_table(rows, len(triplets)))
    print("trained with --preset=recommended, which goes beyond the paper; the default is the release's objective\n")
    write_page(folder / "index.html", rows, list_pictures(folder), suggest(folder))
    print(f"page:        {folder / 'index.html'}, with {folder / 'prediction.png'} and {folder / 'loss.png'}")
    print(f"checkpoint:  {checkpoint_dir / 'model.latest'}")
    print(f"SavedModel:  {folder / 'saved_model'}, largest relative difference after reloading {difference:.1e}")


def list_pictures(folder: Path) -> dict[str, Path]:
    """What the page shows, by caption."""
    pictures = {
        "Frames not seen in training: predicted and true depth, and a neighbour warped into them": "prediction.png",
        "The loss while training": "loss.png",
        "Losses on examples kept for validation": f"checkpoints/{PNG_NAME}",
    }
    return {caption: folder / name for caption, name in pictures.items() if (folder / name).exists()}


def suggest(folder: Path) -> list[str]:
    """Commands to go on with."""
    weights = folder / "checkpoints" / "model.latest"
    return [
        f"python -m sfmlearner_tf.tools.predict --ckpt_file={weights} --input=photos --output_dir=out",
        f"python -m sfmlearner_tf.tools.predict --ckpt_file={weights} --input=drive.mp4 --output_dir=out "
        "--output=mp4,npy --poses",
        f"saved_model_cli show --dir {folder / 'saved_model'} --tag_set serve --signature_def depth",
        f"tensorboard --logdir={folder / 'checkpoints'}",
    ]


def train(folder: Path, checkpoint_dir: Path) -> None:
    """Trains, or resumes an earlier run that was stopped."""
    arguments = [
        f"--dataset_dir={folder / 'formatted'}",
        f"--checkpoint_dir={checkpoint_dir}",
        f"--img_height={HEIGHT}",
        f"--img_width={WIDTH}",
        # Goes beyond the paper, so that depth is learned within minutes.
        "--preset=recommended",
        f"--max_steps={_STEPS.value + 1}",
        f"--summary_freq={max(1, _STEPS.value // 20)}",
        f"--val_freq={max(1, _STEPS.value // 5)}",
    ]
    if holds_run(str(checkpoint_dir)):
        arguments.append("--continue_train")
    call("sfmlearner_tf.train", *arguments)


def evaluate(learner: SfMLearner, triplets: list[held_out.Triplet], batch_size: int = 8) -> held_out.Errors:
    """The errors of the networks on `triplets`."""
    depths, motions = [], []
    for start in range(0, len(triplets), batch_size):
        batch = triplets[start : start + batch_size]
        targets, sources = np.stack([t.target for t in batch]), np.stack([t.sources for t in batch])
        depths += list(learner.predict_depth(targets).numpy()[..., 0])
        motions += list(learner.predict_pose(targets, sources).numpy()[..., :3])
    return held_out.compute_errors(triplets, depths, motions)


def evaluate_trivial_predictors(
    seen: list[held_out.Triplet], triplets: list[held_out.Triplet]
) -> dict[str, held_out.Errors]:
    """The errors on `triplets` of always predicting the mean depth and motion of `seen`."""
    depths = [held_out.mean_depth(seen)] * len(triplets)
    motions = [held_out.mean_motion(seen)] * len(triplets)
    return {MEAN: held_out.compute_errors(triplets, depths, motions)}


def compare_saved_model(learner: SfMLearner, path: str, triplet: held_out.Triplet) -> float:
    """The largest relative difference in depth between the reloaded SavedModel and the learner."""
    import tensorflow as tf

    images = triplet.target[np.newaxis]
    loaded = tf.saved_model.load(path).signatures["depth"](images=tf.constant(images))["depth"].numpy()
    expected = learner.predict_depth(images).numpy()
    return float(np.max(np.abs(loaded - expected) / expected))


def format_table(rows: dict[str, held_out.Errors], count: int) -> str:
    """A table with one line per predictor, and the definitions of the errors."""
    lines = [f"\nHeld-out scenes, {count} triplets", f"{'':26}{'Abs Rel':>10}{'translation error':>20}"]
    lines += [f"{name:26}{errors.abs_rel:10.3f}{errors.translation:20.3f}" for name, errors in rows.items()]
    ratio = rows["after training"].translation / rows["before training"].translation
    lines.append(f"translation error after / before: {ratio:.3f}")
    ratio = rows["after training"].abs_rel / rows[MEAN].abs_rel
    lines.append(f"Abs Rel after training / of mean depth: {ratio:.3f}")
    lines.append("Abs Rel of depth after median scaling; translation error: norm of error / norm of motion,")
    lines.append("one scale per triplet.\n")
    return "\n".join(lines)


def cli() -> NoReturn:
    command.run(main)


if __name__ == "__main__":
    cli()
