"""How fast the generated world is rendered and written: frames a second, files on disk included.

Three settings: the left pictures alone (odometry layout), the whole raw layout of one camera (picture, exact depth,
lidar, oxts), and that of a stereo pair. Wanted: at least 30 frames/s at 64x208 with 2x2 rays a pixel on two cores.

Example:
  python benchmarks/render.py --frames=200
"""

import tempfile
import time

from absl import flags
from whole_numbers import read_whole_numbers

from kitti_eval import command
from sfmlearner_tf.data.synthetic_kitti import write_dataset
from sfmlearner_tf.data.synthetic_options import SyntheticKitti

_FRAMES = flags.DEFINE_integer("frames", 200, "Frames rendered for each figure.", lower_bound=4)
_IMG_HEIGHT = flags.DEFINE_integer("img_height", 64, "Height of the pictures in pixels.")
_IMG_WIDTH = flags.DEFINE_integer("img_width", 208, "Width of the pictures in pixels.")
_PROCESSES = flags.DEFINE_list("processes", ["1", "2"], "Numbers of worker processes to measure.")

_SETTINGS = {
    "left pictures": {"layouts": ("odometry",), "stereo": False},
    "one camera, depth, lidar": {"layouts": ("raw",), "stereo": False},
    "two cameras, depth, lidar": {"layouts": ("raw",), "stereo": True},
}


def frames_per_second(setting: dict, processes: int) -> float:
    """Frames a second over the whole run, the start of the processes included."""
    options = SyntheticKitti(
        num_train_scenes=3,
        num_test_scenes=1,
        frames_per_scene=_FRAMES.value // 4,
        img_height=_IMG_HEIGHT.value,
        img_width=_IMG_WIDTH.value,
        **setting,
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        frames = write_dataset(folder, options, processes)
        return frames / (time.perf_counter() - start)


def main() -> None:
    """Prints a line for each setting and number of processes."""
    numbers = read_whole_numbers(_PROCESSES, at_least=1)
    print(f"{_IMG_HEIGHT.value}x{_IMG_WIDTH.value}, 2x2 rays a pixel, {_FRAMES.value // 4 * 4} frames")
    for name, setting in _SETTINGS.items():
        for processes in numbers:
            print(
                f"{name:26s} {processes} process(es): {frames_per_second(setting, processes):6.1f} frames/s", flush=True
            )


if __name__ == "__main__":
    command.run(main)
