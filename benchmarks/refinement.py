"""Measures what a few steps of training on each frame and its neighbours bring (`predict --refine_steps`).

    python benchmarks/refinement.py --dataset_dir=demo/world/kitti_raw --ckpt_file=demo/checkpoints/model.latest

Takes the held-out streets of a generated world, every n-th frame. Prints Abs Rel (a median scale for each image, up to
80 m) before and after, on how many frames it got worse, and seconds a frame. Some 5 seconds a frame on two cores.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import MappingProxyType

import numpy as np
from absl import flags
from PIL import Image
from tqdm import tqdm

from kitti_eval import command
from sfmlearner_tf.data.calibration import read_kitti_projection
from sfmlearner_tf.data.sequences import Frame
from sfmlearner_tf.tools import demo_world, held_out
from sfmlearner_tf.tools.predict_input import Picture
from sfmlearner_tf.tools.predict_refine import Refiner, find_options

_DATASET_DIR = flags.DEFINE_string("dataset_dir", None, "KITTI raw of the generated world.", required=True)
_CKPT_FILE = flags.DEFINE_string("ckpt_file", None, "Checkpoint of a run of three frames.", required=True)
_STEPS = flags.DEFINE_integer("steps", 20, "Steps for each frame.", lower_bound=1)
_EVERY = flags.DEFINE_integer("every", 10, "Take every n-th frame.", lower_bound=1)


def main() -> None:
    drives = demo_world.split_drives(Path(_DATASET_DIR.value))[1]
    refiner, plain = (make_refiner(drives[0], steps) for steps in (_STEPS.value, 0))
    before, after, seconds = [], [], 0.0
    for drive in drives:
        for triplet in tqdm(held_out.read_triplets(drive)[:: _EVERY.value], drive.name, disable=None):
            before.append(measure(plain, triplet))
            started = time.perf_counter()
            after.append(measure(refiner, triplet))
            seconds += time.perf_counter() - started
    worse = np.mean(np.greater(after, before))
    print("| frames | Abs Rel before | after | change | frames that got worse | seconds a frame |")
    print("| --- | --- | --- | --- | --- | --- |")
    change = np.mean(after) / np.mean(before) - 1
    cells = [len(after), f"{np.mean(before):.4f}", f"{np.mean(after):.4f}", f"{change:+.1%}", f"{worse:.1%}"]
    print(f"| {' | '.join(map(str, cells))} | {seconds / len(after):.2f} |")


def make_refiner(drive: Path, steps: int) -> Refiner:
    camera = read_kitti_projection(str(drive.parent / "calib_cam_to_cam.txt"), "P_rect_02")
    config = find_options(_CKPT_FILE.value, demo_world.HEIGHT, demo_world.WIDTH)
    return Refiner(_CKPT_FILE.value, config, steps, lambda width, height: camera)


def measure(refiner: Refiner, triplet: held_out.Triplet) -> float:
    """Abs Rel of the frame in the middle."""
    frames = [triplet.sources[..., :3], triplet.target, triplet.sources[..., 3:]]
    pictures = [
        Picture(i, Frame(str(i), ""), Image.fromarray(frame), MappingProxyType({"depth": frame}))
        for i, frame in enumerate(frames)
    ]
    _, (_, depth), _ = refiner.predict_depths(pictures)
    return held_out.compute_abs_rel(triplet, depth)


if __name__ == "__main__":
    command.run(main)
