"""Predicts depth, and camera motion, of your own pictures: an image, a folder of them, or a video.

    python tools/predict.py --input=photos --ckpt_file=checkpoints/model-190532 --output_dir=out
    python tools/predict.py --input=drive.mp4 --saved_model=demo/saved_model --output_dir=out --poses --output=mp4,npy

--output names what is written into --output_dir:

  png   <image>_depth.png: the image above its depth, near is bright (--layout, --color_range)
  npy   <image>_depth.npy: float32 [H, W], camera z, at the size of the image
  mp4   <input>_depth.mp4: the pictures as a video

Frames of a video are called <video>_000000 and so on. --poses adds <input>_trajectory.txt in the TUM format, `time tx
ty tz qx qy qz qw`, a line for each frame: where the camera is, in the frame of the first one; time is in seconds for a
video, else the number of the image. Photos are turned upright as their EXIF data says, before anything else.

Depth and translation are up to one factor, which images alone cannot tell. It is yours to give: --scale=5.4, or
--scale_from_sparse=depths.csv, a table with the columns u, v (pixels of the image; 0, 0 is the centre of the upper left
one) and depth_m, and a column image with the image's name, or the number of a video's frame, where there are several.
The factor is the median of measured over predicted depth, and makes all of them metres.

Ctrl-C keeps the pictures and arrays that are done; a video and a trajectory are written when they are whole.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags
from PIL import Image
from tqdm import tqdm

from kitti_eval import command
from kitti_eval.files import write_text
from kitti_eval.pose_files import format_tum
from sfmlearner_tf.data.sequences import Note
from sfmlearner_tf.data.video import find_ffmpeg
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.predict_input import Picture, Recording, check_images, list_recording, read_pictures
from sfmlearner_tf.tools.predict_output import LAYOUTS, PictureWriter, find_range, open_video
from sfmlearner_tf.tools.predict_scale import Point, compute_ratios, read_points
from sfmlearner_tf.tools.predict_trajectory import MotionPredictor, chain_vectors

if TYPE_CHECKING:
    from sfmlearner_tf.prediction import DepthNetwork, PoseNetwork

OUTPUTS = ("png", "npy", "mp4")
# Frames, spread over the recording, that fix the range of colours.
_SAMPLES = 16

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "input", None, "An image, a folder of images, a pattern such as 'a/*.jpg', or a video.", required=True
)
flags.DEFINE_string("output_dir", None, "Folder for what is predicted.", required=True)
flags.DEFINE_string("ckpt_file", None, "Checkpoint, such as folder/model-190532.")
flags.DEFINE_string("saved_model", None, "Folder of a SavedModel, in place of a checkpoint; it has sizes of its own.")
flags.DEFINE_integer("img_height", 128, "Height that images are resized to for the network, pixels.", lower_bound=32)
flags.DEFINE_integer("img_width", 416, "Width that images are resized to for the network, pixels.", lower_bound=32)
flags.DEFINE_integer("batch_size", 4, "Images per step.", lower_bound=1)
flags.DEFINE_list("output", None, "Any of png, npy, mp4, with commas; by default mp4 for a video, else png.")
flags.DEFINE_enum("layout", "above", LAYOUTS, "Where a picture shows the image: 'depth' shows none.")
flags.DEFINE_enum(
    "color_range",
    None,
    ["fixed", "per_image"],
    f"What the colours span: the disparities of {_SAMPLES} frames spread over the input, so that nothing flickers, or"
    " of each image; by default fixed for videos in or out.",
)
flags.DEFINE_float("fps", None, "Frames per second of the mp4; by default the video's own, 10 for images.", 0.01, 1000)
flags.DEFINE_bool("poses", False, "Write the camera's trajectory, too.")
flags.DEFINE_integer("seq_length", 3, "Frames that the pose network sees, odd, as in training.", lower_bound=3)
flags.DEFINE_float("scale", None, "Metres of one unit of the network.", lower_bound=1e-9)
flags.DEFINE_string("scale_from_sparse", None, "CSV file of a few measured depths (u,v,depth_m), to find the scale.")


def main() -> None:
    _check_flags()
    recording = list_recording(FLAGS.input)
    outputs = _choose_outputs(recording)
    points = read_points(FLAGS.scale_from_sparse, recording) if FLAGS.scale_from_sparse else {}
    _check_recording(recording, outputs)
    # TensorFlow takes seconds to load: what is wrong with the flags and the input is told before.
    depth_network, pose_network = _load_networks(needs_depth=bool(outputs or points))
    _make_output_dir()
    motions = MotionPredictor(pose_network, FLAGS.batch_size) if pose_network else None
    fixes_range = bool({"png", "mp4"} & set(outputs)) and _color_range(recording, outputs) == "fixed"
    scale, ends = _look_ahead(recording, points, fixes_range, depth_network)
    notes: list[Note] = []
    with _open_writer(recording, outputs, 1.0 if scale is None else scale, ends) as writer:
        pictures = _read_all(recording, needs_all=bool(motions or "mp4" in outputs), notes=notes)
        count = _predict(pictures, depth_network if outputs else None, motions, writer)
    if motions:
        _write_trajectory(recording, motions, 1.0 if scale is None else scale)
    unit = "an unknown unit (--scale or --scale_from_sparse make it metres)" if scale is None else "metres"
    print(f"{FLAGS.output_dir}: {count} of {len(recording.frames)} frames; depth and translation are in {unit}")
    if notes or count < len(recording.frames):
        reason = f"{notes[0].kind}: {notes[0].what}" if notes else "the others are not there"
        raise UserError(f"{count} of {len(recording.frames)} frames could be read, and these are done; {reason}")


def _check_flags() -> None:
    if (FLAGS.ckpt_file is None) == (FLAGS.saved_model is None):
        found = "none" if FLAGS.ckpt_file is None else "both"
        raise UserError(f"expected one of --ckpt_file and --saved_model, found {found}")
    if FLAGS.seq_length % 2 == 0:
        raise UserError(f"--seq_length={FLAGS.seq_length}: expected an odd number")
    if FLAGS.scale is not None and FLAGS.scale_from_sparse:
        raise UserError("--scale: expected no --scale_from_sparse beside it, found both")
    others = [name for name in FLAGS.output or [] if name not in OUTPUTS]
    if others:
        raise UserError(f"--output: expected any of {', '.join(OUTPUTS)}, found {others[0]!r}")


def _choose_outputs(recording: Recording) -> list[str]:
    if FLAGS.output is None:
        return ["mp4" if recording.is_video else "png"]
    if not FLAGS.output and not FLAGS.poses:
        raise UserError(f"--output: expected any of {', '.join(OUTPUTS)} where there is no --poses, found nothing")
    return FLAGS.output


def _check_recording(recording: Recording, outputs: list[str]) -> None:
    """Raises UserError where the recording does not suit what is asked of it."""
    if FLAGS.poses and len(recording.frames) < FLAGS.seq_length:
        raise UserError(
            f"--poses: expected at least --seq_length={FLAGS.seq_length} frames, found {len(recording.frames)} in"
            f" {FLAGS.input}"
        )
    folders = {os.path.realpath(os.path.dirname(frame.path)) for frame in recording.frames}
    if len(recording.frames) > 1 and not recording.is_video and os.path.realpath(FLAGS.output_dir) in folders:
        raise UserError(f"--output_dir={FLAGS.output_dir}: expected another folder than that of the images")
    if "mp4" in outputs or FLAGS.poses:
        check_images(recording, one_size="mp4" in outputs)
    if "mp4" in outputs:
        find_ffmpeg()


def _make_output_dir() -> None:
    try:
        os.makedirs(FLAGS.output_dir, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir={FLAGS.output_dir}: expected a folder to write to; {error.strerror}") from error


def _color_range(recording: Recording, outputs: list[str]) -> str:
    return FLAGS.color_range or ("fixed" if recording.is_video or "mp4" in outputs else "per_image")


def _load_networks(needs_depth: bool) -> tuple[DepthNetwork | None, PoseNetwork | None]:
    """What the flags ask for; None in place of a network that is not needed."""
    from sfmlearner_tf import prediction

    size = FLAGS.img_height, FLAGS.img_width
    if FLAGS.ckpt_file:
        depth = prediction.load_depth_network(FLAGS.ckpt_file, *size) if needs_depth else None
        pose = prediction.load_pose_network(FLAGS.ckpt_file, FLAGS.seq_length, *size) if FLAGS.poses else None
        return depth, pose
    saved = prediction.SavedNetworks(FLAGS.saved_model)
    depth = saved.depth() if needs_depth else None
    pose = saved.pose(*size) if FLAGS.poses else None
    sizes = {"img_height": depth.height, "img_width": depth.width} if depth else {}
    sizes.update({"seq_length": pose.seq_length} if pose else {})
    for name, own in sizes.items():
        if FLAGS[name].present and FLAGS[name].value != own:
            raise UserError(f"--{name}={FLAGS[name].value}: expected {own} or no such flag for {FLAGS.saved_model}")
    return depth, pose


def _look_ahead(
    recording: Recording, points: dict[int, list[Point]], needs_ends: bool, network: DepthNetwork | None
) -> tuple[float | None, tuple[float, float] | None]:
    """The scale, None where nothing is known of it, and the ends of the colours, None where each image has its own."""
    count = len(recording.frames)
    samples = set(np.linspace(0, count - 1, min(count, _SAMPLES)).astype(int).tolist()) if needs_ends else set()
    ratios: list[float] = []
    disparities = []
    if network and (samples or points):
        chosen = sorted(samples | points.keys())
        with contextlib.closing(read_pictures(recording, chosen, notes=[])) as pictures:
            progress = tqdm(pictures, "looking ahead", len(chosen), unit="frame", disable=None)
            for picture, depth in _predict_depths(progress, network):
                ratios += compute_ratios(points.get(picture.number, []), picture, depth)
                disparities += [1 / depth] if picture.number in samples else []
    ends = find_range(disparities) if disparities else None
    if not points:
        return FLAGS.scale, ends
    if not ratios:
        raise UserError(f"--scale_from_sparse={FLAGS.scale_from_sparse}: none of the images that it names can be read")
    lower, scale, upper = np.percentile(ratios, (25, 50, 75))
    print(f"scale {scale:.4g}: the median of {len(ratios)} points, half of them within {lower:.4g} to {upper:.4g}")
    return float(scale), ends


def _predict_depths(pictures: Iterable[Picture], network: DepthNetwork) -> Iterator[tuple[Picture, np.ndarray]]:
    """Each picture with its depth [network.height, network.width]."""
    from sfmlearner_tf.prediction import batched

    for batch in batched(pictures, FLAGS.batch_size):
        size = network.width, network.height
        # Parity: the release resizes the images of its depth test with Lanczos.
        images = [np.asarray(picture.image.resize(size, Image.Resampling.LANCZOS)) for picture in batch]
        yield from zip(batch, network.predict(np.stack(images)).numpy())


@contextlib.contextmanager
def _open_writer(
    recording: Recording, outputs: list[str], scale: float, ends: tuple[float, float] | None
) -> Iterator[PictureWriter]:
    folder = Path(FLAGS.output_dir)
    rate = FLAGS.fps or recording.frames_per_second or 10
    video_path = folder / f"{recording.name}_depth.mp4"
    with open_video(video_path, rate) if "mp4" in outputs else contextlib.nullcontext() as video:
        yield PictureWriter(folder, "png" in outputs, "npy" in outputs, video, FLAGS.layout, ends, scale)


def _read_all(recording: Recording, needs_all: bool, notes: list[Note]) -> Iterator[Picture]:
    """The frames that can be read. Raises UserError where one is missing before others, if `needs_all`."""
    count = len(recording.frames)
    with contextlib.closing(read_pictures(recording, list(range(count)), notes)) as pictures:
        for number, picture in enumerate(tqdm(pictures, "predicting", count, unit="frame", disable=None)):
            if needs_all and picture.number != number:
                raise UserError(f"{notes[-1].what}; a video and a trajectory need every frame")
            yield picture


def _predict(
    pictures: Iterator[Picture], network: DepthNetwork | None, motions: MotionPredictor | None, writer: PictureWriter
) -> int:
    """Predicts and writes frame after frame; returns how many there were."""
    count = 0
    for picture, depth in _predict_depths(pictures, network) if network else ((picture, None) for picture in pictures):
        if depth is not None:
            writer.write(picture, depth)
        if motions:
            motions.add(picture.image)
        count += 1
    return count


def _write_trajectory(recording: Recording, motions: MotionPredictor, scale: float) -> None:
    motions.flush()
    if not motions.vectors:
        raise UserError("--poses: expected as many frames as the pose network sees, found fewer that can be read")
    poses, times_s = chain_vectors(motions.vectors, recording.times_s, scale)
    write_text(Path(FLAGS.output_dir, f"{recording.name}_trajectory.txt"), format_tum(poses, times_s))


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
