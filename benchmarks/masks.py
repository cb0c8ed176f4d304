"""Measures what explainability masks leave out, on the streets of benchmarks/traffic.py.

    python benchmarks/masks.py --output_dir=traffic --ckpt_files=masks/model.latest

Every third frame. Prints for each checkpoint the mean mask where things stand still and where they move, and how well
low masks tell what moves: the area under the ROC curve, 0.5 for chance. Some seconds a checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import imageio.v2 as imageio
import numpy as np
from absl import flags
from scipy.stats import mannwhitneyu
from traffic import render

from kitti_eval import command
from sfmlearner_tf.data.synthetic_kitti import mask_path
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools import demo_world, held_out

if TYPE_CHECKING:
    from sfmlearner_tf import SfMLearner

EVERY = 3
FLAGS = flags.FLAGS  # those of traffic.py: --output_dir and --ckpt_files


def main() -> None:
    drives = render(Path(FLAGS.output_dir))
    camera = demo_world.read_intrinsics(Path(FLAGS.output_dir, "kitti_raw"))
    print("| checkpoint | mask, still | mask, moving | area under the ROC curve |\n| --- | --- | --- | --- |")
    for ckpt_file in FLAGS.ckpt_files:
        learner = load(ckpt_file)
        masks, moves = map(np.concatenate, zip(*(find_masks(learner, drive, camera) for drive in drives)))
        area = mannwhitneyu(masks[~moves], masks[moves]).statistic / (np.sum(moves) * np.sum(~moves))
        print(f"| {ckpt_file} | {masks[~moves].mean():.3f} | {masks[moves].mean():.3f} | {area:.3f} |", flush=True)


def load(ckpt_file: str) -> SfMLearner:
    """Raises UserError if the run has no masks."""
    from sfmlearner_tf import SfMLearner

    learner = SfMLearner.from_checkpoint(ckpt_file)
    if not learner.config.explain_reg_weight:
        raise UserError(f"--ckpt_files={ckpt_file}: expected a run with --explain_reg_weight, found none")
    return learner


def find_masks(learner: SfMLearner, drive: Path, camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The masks of all pixels of a drive, the mean over both sources, and whether each pixel is of a moving car."""
    triplets = held_out.read_triplets(drive)
    images = sorted((drive / "image_02" / "data").glob("*.png"))
    masks, moves = [], []
    for i in range(0, len(triplets), EVERY):
        out = learner.forward(triplets[i].target[None], triplets[i].sources[None], camera[None])
        masks.append(out["masks"][0].numpy()[0].mean(axis=-1).ravel())
        moves.append(np.asarray(imageio.imread(mask_path(FLAGS.output_dir, str(images[i + 1])))).ravel() > 0)
    return np.concatenate(masks), np.concatenate(moves)


if __name__ == "__main__":
    command.run(main)
