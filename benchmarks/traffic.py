"""Measures depth on cars that move, in held-out streets of the generated world with traffic.

    python benchmarks/traffic.py --output_dir=traffic --ckpt_files=recommended/model.latest,free/model.latest

Renders six streets of 50 frames with --traffic=0.3. Prints for each checkpoint Abs Rel up to 80 m, after a median scale
for each image over all of its pixels: of what stands still, of all that moves, and of the cars of each lane, those
that drive along at the camera's speed, overtake, or come towards it. Last, the median of predicted over true depth of
those that drive along: above 1 there is a hole. A second a checkpoint once the streets are there.
To train on such a world, render one with another seed and prepare it as the demo does.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
from absl import flags

from kitti_eval import command
from kitti_eval.depth_metrics import scale_and_clip
from sfmlearner_tf.data.synthetic_kitti import mask_path
from sfmlearner_tf.data.synthetic_traffic import LANES
from sfmlearner_tf.tools import demo_world, held_out

# Streets that no training has seen that does not ask for this seed.
SEED = 78
KINDS = ("still", "moving", *(lane.kind for lane in LANES))

_OUTPUT_DIR = flags.DEFINE_string("output_dir", "traffic", "Folder of the rendered streets.")
_CKPT_FILES = flags.DEFINE_list("ckpt_files", None, "Checkpoints with a depth network.", required=True)


def main() -> None:
    from sfmlearner_tf import prediction

    drives = render(Path(_OUTPUT_DIR.value))
    paths = {drive: sorted((drive / "image_02" / "data").glob("*.png")) for drive in drives}
    header = [*KINDS, "along: depth / true"]
    print(f"| checkpoint | {' | '.join(header)} |\n| --- |{' --- |' * len(header)}")
    for ckpt_file in _CKPT_FILES.value:
        errors: dict[str, list[np.ndarray]] = defaultdict(list)
        predictor = prediction.load_depth_predictor(ckpt_file, demo_world.HEIGHT, demo_world.WIDTH)
        for drive, images in paths.items():
            kinds = {int(row["car"]): row["kind"] for row in csv.DictReader((drive / "objects.csv").open())}
            for frame, depth in enumerate(prediction.predict_depths(predictor, images, 8)):
                for kind, found in measure(drive, frame, depth, kinds).items():
                    errors[kind].append(found)
        cells = [f"{np.abs(np.concatenate(errors[kind])).mean():.4f}" for kind in KINDS]
        cells.append(f"{1 + np.median(np.concatenate(errors[KINDS[2]])):.2f}")
        print(f"| {ckpt_file} | {' | '.join(cells)} |", flush=True)


def render(folder: Path) -> list[Path]:
    """The folders of the held-out drives."""
    demo_world.call(
        "sfmlearner_tf.tools.make_synthetic_kitti",
        f"--output_dir={folder}",
        "--num_train_scenes=1",
        "--num_test_scenes=6",
        f"--img_height={demo_world.HEIGHT}",
        f"--img_width={demo_world.WIDTH}",
        f"--seed={SEED}",
        "--traffic=0.3",
        "--layouts=raw",
        "--stereo=false",
    )
    return demo_world.split_drives(folder / "kitti_raw")[1]


def measure(drive: Path, frame: int, depth: np.ndarray, kinds: dict[int, str]) -> dict[str, np.ndarray]:
    """The relative errors of the pixels of each kind, above 0 where depth is too far; `kinds`: those of the cars by
    their numbers."""
    name = f"{frame:010d}.png"
    truth = held_out.read_depth(drive / "proj_depth" / "groundtruth" / "image_02" / name)
    cars = np.asarray(imageio.imread(mask_path(_OUTPUT_DIR.value, str(drive / "image_02" / "data" / name))))
    valid = (truth > held_out.MIN_DEPTH_M) & (truth < held_out.MAX_DEPTH_M)
    truth, cars = truth[valid], cars[valid]
    limits = {"min_depth_m": held_out.MIN_DEPTH_M, "max_depth_m": held_out.MAX_DEPTH_M}
    errors = (scale_and_clip(truth, depth[valid], **limits) - truth) / truth
    lanes = {
        lane.kind: np.isin(cars, [number for number, kind in kinds.items() if kind == lane.kind]) for lane in LANES
    }
    return {kind: errors[where] for kind, where in {"still": cars == 0, "moving": cars > 0, **lanes}.items()}


if __name__ == "__main__":
    command.run(main)
