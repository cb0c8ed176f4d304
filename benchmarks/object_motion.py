"""Measures the motion of objects of a run with --object_motion, on the streets of benchmarks/traffic.py.

    python benchmarks/object_motion.py --output_dir=traffic --ckpt_files=objects/model.latest

Every third frame, all cars of at least 40 pixels that the run lets move. Prints for each checkpoint how far the
predicted way of a car's middle is from its true one, over the true one, beside the camera's motion: 1 is no better than
no motion. Predictions are scaled by the median depth of their frame. For all cars, and for those of each lane. Half a
minute a checkpoint.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import imageio.v2 as imageio
import numpy as np
from absl import flags
from traffic import render

from kitti_eval import command
from sfmlearner_tf import run_config
from sfmlearner_tf.data.masks import number_objects
from sfmlearner_tf.data.synthetic_kitti import mask_path
from sfmlearner_tf.data.synthetic_traffic import LANES
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools import demo_world, held_out

EVERY = 3
LEAST_PIXELS = 40

# Those of traffic.py: --output_dir and --ckpt_files.
FLAGS = flags.FLAGS


class Moment(NamedTuple):
    """A frame between its neighbours.

    numbers: uint8 [H, W, 3], which object each pixel is of, in the target and in both sources. cars: the number that a
    car has in objects.csv, by that of the object. src_T_tgt: [2, 4, 4], the camera's true motion, metres.
    """

    triplet: held_out.Triplet
    numbers: np.ndarray
    cars: dict[int, int]
    src_T_tgt: np.ndarray
    frame: int


def main() -> None:
    drives = render(Path(FLAGS.output_dir))
    camera = demo_world.read_intrinsics(Path(FLAGS.output_dir, "kitti_raw"))
    kinds = [lane.kind for lane in LANES]
    print(f"| checkpoint | all | {' | '.join(kinds)} |\n| --- | --- |{' --- |' * len(kinds)}")
    for ckpt_file in FLAGS.ckpt_files:
        see = load(ckpt_file, camera)
        ways: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for drive in drives:
            places = read_places(drive / "objects.csv")
            for moment in read_moments(drive):
                for car, found in measure(see, moment, places).items():
                    ways[places[moment.frame, car][0]].append(found)
        cells = []
        for rows in ([row for kind in kinds for row in ways[kind]], *(ways[kind] for kind in kinds)):
            missed, true = np.sum(rows, axis=0)
            cells.append(f"{missed / true:.3f}")
        print(f"| {ckpt_file} | {' | '.join(cells)} |", flush=True)


def read_places(path: Path) -> dict[tuple[int, int], tuple[str, np.ndarray]]:
    """The kind and cam_T_car [4, 4] of each car, by frame and number."""
    places = {}
    with path.open() as file:
        for row in csv.DictReader(file):
            pose = np.eye(4)
            pose[:3] = [[float(row[f"cam_T_car_{i}{j}"]) for j in range(4)] for i in range(3)]
            places[int(row["frame"]), int(row["car"])] = row["kind"], pose
    return places


def read_moments(drive: Path) -> Iterator[Moment]:
    from sfmlearner_tf.data.oxts import read_camera_poses

    poses = read_camera_poses(str(drive.parent), drive.name)
    pictures = sorted((drive / "image_02" / "data").glob("*.png"))
    masks = [np.asarray(imageio.imread(mask_path(FLAGS.output_dir, str(picture)))) for picture in pictures]
    for i, triplet in list(enumerate(held_out.read_triplets(drive), start=1))[::EVERY]:
        frames = [masks[i], masks[i - 1], masks[i + 1]]
        numbers = number_objects(frames, tracked=True)
        cars = {
            int(number): int(masks[i][numbers[0] == number][0])
            for number in np.unique(numbers[0])
            if number and (numbers[0] == number).sum() >= LEAST_PIXELS
        }
        src_T_tgt = np.linalg.inv(poses[[i - 1, i + 1]]) @ poses[i]
        yield Moment(triplet, np.stack(numbers, axis=-1), cars, src_T_tgt, i)


def load(ckpt_file: str, camera: np.ndarray):
    """What gives depth [H, W] and the motions [K, 2, 4, 4] of a moment's objects. Raises UserError without any."""
    import tensorflow as tf

    from sfmlearner_tf import Batch, SfMLearner
    from sfmlearner_tf.geometry import pose_vec2mat
    from sfmlearner_tf.networks.motion import ExtendedMotion

    config = run_config.read_beside(ckpt_file)
    if config is None or not config.object_motion:
        raise UserError(f"{ckpt_file}: expected a run with --object_motion")
    learner = SfMLearner(config)
    learner.restore_weights(ckpt_file)

    @tf.function(autograph=False)
    def compute(batch: Batch):
        outputs = learner.compute(batch)
        assert isinstance(outputs.motion, ExtendedMotion)
        return 1 / outputs.views[0].disparity, pose_vec2mat(outputs.motion.objects[0].poses)

    def see(moment: Moment) -> tuple[np.ndarray, np.ndarray]:
        fields = (moment.triplet.target, moment.triplet.sources, camera, moment.numbers)
        target, sources, intrinsics, objects = (tf.constant(values[np.newaxis]) for values in fields)
        depth, motions = compute(Batch(target, sources, intrinsics, {"objects": objects}))
        return depth.numpy()[0, ..., 0], motions.numpy()[0]

    return see


def measure(see, moment: Moment, places: dict) -> dict[int, tuple[float, float]]:
    """How far the ways of each car to both sources are missed, and how long they are, metres."""
    depth, motions = see(moment)
    valid = (moment.triplet.depth_m > held_out.MIN_DEPTH_M) & (moment.triplet.depth_m < held_out.MAX_DEPTH_M)
    scale = np.median(moment.triplet.depth_m[valid]) / np.median(depth[valid])
    found = {}
    for number, car in moment.cars.items():
        sources = [(moment.frame - 1, car), (moment.frame + 1, car)]
        if number > len(motions) or not all(source in places for source in sources):
            continue
        here = places[moment.frame, car][1]
        middle = here @ [0, -0.75, 0, 1]
        ways = []
        for source, src_T_tgt, predicted in zip(sources, moment.src_T_tgt, motions[number - 1]):
            own = np.linalg.inv(src_T_tgt) @ places[source][1] @ np.linalg.inv(here)
            way = (own @ middle - middle)[:3]
            guess = scale * (predicted @ [*middle[:3] / scale, 1])[:3] - middle[:3]
            ways.append([float(np.linalg.norm(guess - way)), float(np.linalg.norm(way))])
        missed, length = np.sum(ways, axis=0)
        found[car] = float(missed), float(length)
    return found


if __name__ == "__main__":
    command.run(main)
