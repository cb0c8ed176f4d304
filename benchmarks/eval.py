"""Times the depth evaluation: the ground truth of one real frame, and many frames on one and on two processes.

Example:
  python benchmarks/eval.py --shared=../shared

The frames are those of the golden evaluation (drive 0052 of KITTI raw, about 114,000 lidar points each), repeated up
to --images; the means of the distinct ones are compared with the golden numbers.
"""

import json
import statistics
import time
from pathlib import Path

import numpy as np
from absl import flags

from kitti_eval import command
from kitti_eval.depth_evaluation import DepthProtocol, evaluate_images, summarize
from kitti_eval.depth_ground_truth import load_ground_truth
from kitti_eval.image_lists import read_image_list

_SHARED = flags.DEFINE_string("shared", "../shared", "Folder of the reference material.")
_IMAGES = flags.DEFINE_integer("images", 697, "Images of the long run.", lower_bound=100)


def main() -> None:
    """Prints the times, the speed-up and the largest difference from the golden numbers."""
    golden, kitti_dir = Path(_SHARED.value, "golden", "eval_depth"), Path(_SHARED.value, "data", "kitti_raw")
    image_files = read_image_list(golden / "test_files.txt")
    predictions = np.load(golden / "predictions.npy")

    times_ms = [1e3 * _measure(lambda: load_ground_truth(kitti_dir, image_files[0], "eigen")) for _ in range(50)]
    print(f"ground truth of one frame: median {statistics.median(times_ms):.1f} ms, slowest {max(times_ms):.1f} ms")

    for cap, expected in json.loads((golden / "expected.json").read_text()).items():
        protocol = DepthProtocol(max_depth_m=float(cap.rpartition("_")[2]))
        errors = summarize(list(evaluate_images(kitti_dir, image_files, predictions, protocol))).errors._asdict()
        print(
            f"{cap}: largest difference from golden {max(abs(errors[name] - expected[name]) for name in expected):.1e}"
        )

    repeats = np.arange(_IMAGES.value) % len(image_files)
    many_files, many_predictions = [image_files[index] for index in repeats], predictions[repeats]
    seconds = {
        processes: _measure(
            lambda: list(evaluate_images(kitti_dir, many_files, many_predictions, DepthProtocol(), processes))  # noqa: B023
        )
        for processes in (1, 2)
    }
    print(f"{_IMAGES.value} frames: {seconds[1]:.2f} s on 1 process, {seconds[2]:.2f} s on 2")
    print(f"speed-up: {seconds[1] / seconds[2]:.2f}")


def _measure(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
