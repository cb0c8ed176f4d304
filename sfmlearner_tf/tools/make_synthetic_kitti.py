"""Renders a generated world in the official layouts of KITTI raw and KITTI odometry.

Textured streets with exact depth, poses and intrinsics, to try and test every command without real recordings:

  <output_dir>/kitti_raw/<date>/calib_*.txt, <date>/<drive>/{image_02,image_03,oxts,velodyne_points,proj_depth}
  <date>/<drive>/objects.csv                     with --traffic, where each car is at each frame, seen from the camera
  <output_dir>/kitti_raw_masks                   with --traffic, which car each pixel of a picture is of, uint8, 0 for
                                                 none: --masks_dir of prepare_train_data.py, with --tracked_masks
  <output_dir>/kitti_raw/test_files.txt          held-out frames, in the format of the Eigen test list
  <output_dir>/kitti_odometry/sequences/NN/{image_2,calib.txt,times.txt}, poses/NN.txt

Held-out scenes are named after Eigen test scenes (and are sequences 09 and 10), so they are not used for training.
Equal flags give identical files. A second run renders only what is missing.

Example:
  python tools/make_synthetic_kitti.py --output_dir=data/synthetic
"""

import os

from absl import flags

from kitti_eval import command
from sfmlearner_tf.data.synthetic_kitti import write_dataset
from sfmlearner_tf.data.synthetic_options import SyntheticKitti

_DEFAULT = SyntheticKitti()
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Output folder; created if missing.", required=True)
_NUM_TRAIN_SCENES = flags.DEFINE_integer(
    "num_train_scenes", _DEFAULT.num_train_scenes, "Scenes to train on; the first nine are also sequences 00 to 08."
)
_NUM_TEST_SCENES = flags.DEFINE_integer(
    "num_test_scenes", _DEFAULT.num_test_scenes, "Held-out scenes; the first two are also sequences 09 and 10."
)
_FRAMES_PER_SCENE = flags.DEFINE_integer(
    "frames_per_scene", _DEFAULT.frames_per_scene, "Frames per scene, about 0.35 m apart."
)
_IMG_HEIGHT = flags.DEFINE_integer("img_height", _DEFAULT.img_height, "Height of the images in pixels, at least 32.")
_IMG_WIDTH = flags.DEFINE_integer("img_width", _DEFAULT.img_width, "Width of the images in pixels, at least 32.")
_FOCAL_LENGTH = flags.DEFINE_float(
    "focal_length", _DEFAULT.focal_length, "Focal length in widths of the image; the default is KITTI's."
)
_TRAFFIC = flags.DEFINE_float(
    "traffic", _DEFAULT.traffic, "Share of the places on the road that have a moving car, for example 0.3."
)
_SEED = flags.DEFINE_integer("seed", _DEFAULT.seed, "Random seed of the streets.")
_NUM_THREADS = flags.DEFINE_integer(
    "num_threads", os.cpu_count() or 1, "Worker processes; they do not affect the files.", lower_bound=1
)
_LAYOUTS = flags.DEFINE_list("layouts", list(_DEFAULT.layouts), "Layouts to write: raw, odometry or both.")
_STEREO = flags.DEFINE_bool("stereo", _DEFAULT.stereo, "Also render the right camera, image_03 (baseline 0.54 m).")


def main() -> None:
    """Writes the data set that the flags describe."""
    options = SyntheticKitti(
        num_train_scenes=_NUM_TRAIN_SCENES.value,
        num_test_scenes=_NUM_TEST_SCENES.value,
        frames_per_scene=_FRAMES_PER_SCENE.value,
        img_height=_IMG_HEIGHT.value,
        img_width=_IMG_WIDTH.value,
        focal_length=_FOCAL_LENGTH.value,
        traffic=_TRAFFIC.value,
        seed=_SEED.value,
        layouts=tuple(_LAYOUTS.value),
        stereo=_STEREO.value,
    )
    rendered = write_dataset(_OUTPUT_DIR.value, options, _NUM_THREADS.value)
    scenes = options.num_train_scenes + options.num_test_scenes
    print(f"{_OUTPUT_DIR.value}: {scenes} scenes of {options.frames_per_scene} frames; {rendered} frames rendered now")


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
