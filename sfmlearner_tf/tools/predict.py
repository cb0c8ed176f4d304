"""Predicts depth and camera motion for your own images or video.

    python tools/predict.py --input=photos --ckpt_file=checkpoints/model-190532 --output_dir=out
    python tools/predict.py --input=drive.mp4 --saved_model=demo/saved_model --output_dir=out --poses --output=mp4,npy

--output selects what is written to --output_dir:

  png   <image>_depth.png: the image above its depth, near is bright (--layout, --color_range)
  npy   <image>_depth.npy: float32 [H, W], camera z, at the size of the image
  mp4   <input>_depth.mp4: the pictures as a video
  ply   <image>_cloud.ply: a coloured point cloud in the camera's frame, x right, y down, z forward, without what is far
        (--max_depth) or on an edge; needs --intrinsics unless training learned them (--learn_intrinsics). With
        --poses also <input>_clip.ply, all images in one
  normals
        <image>_normals.png: the surfaces' normals, red to the right, green up, blue towards the camera; with npy also
        <image>_normals.npy, float32 [H, W, 3], x right, y down, z forward; needs --intrinsics as ply does
  edges <image>_edges.png: where the network sees edges of things, and with npy <image>_edges.npy, float32 [H, W]; needs
        a checkpoint that was trained with --edges

Video frames are named <video>_000000 and so on. --poses also writes <input>_trajectory.txt in TUM format, `time tx ty
tz qx qy qz qw`, one line per frame: the camera pose relative to the first frame. The time is in seconds for a video,
else the number of the image. Images are first rotated upright according to their EXIF data.

<image> is the name of the file without its ending. If two images of a pattern have the same, all are named with their
folders and endings, a_1.png and b_1.png; if that is not unique either, --output_dir gets the same folders, a/1.png. A
pattern leaves out what lies in --output_dir. Images that cannot be read, or that have more than 89 million pixels, are
left out, and the exit status is 1.

Depth and translation are predicted up to one scale factor, unless training knew speeds (--speed_weight). To get
metres, give the factor, --scale=5.4, or measured depths, --scale_from_sparse=depths.csv: a table with the columns u, v
(pixels of the image; 0, 0 is the centre of the top left one), depth_m and, if there are several frames, image (the name
of an image or the number of a video frame). The factor is then the median of measured over predicted depth. Or give the
height of the camera above the road, --camera_height_m=1.65 --intrinsics=fx,fy,cx,cy: the road is looked for in the
depth.

Ctrl-C keeps the finished pictures and arrays; a video or trajectory is written only once it is complete. The same
command again predicts all frames anew.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags
from tqdm import tqdm

from kitti_eval import command
from kitti_eval.workers import map_ahead
from sfmlearner_tf.data.frames import parse_crop
from sfmlearner_tf.data.sequences import Note
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools import predict_flags
from sfmlearner_tf.tools.predict_cloud import FARTHEST_OF_MEDIAN, CloudWriter
from sfmlearner_tf.tools.predict_input import (
    Picture,
    Recording,
    Resizers,
    list_recording,
    read_all,
    read_pictures,
    spread,
)
from sfmlearner_tf.tools.predict_networks import load_checkpoint, load_saved_model
from sfmlearner_tf.tools.predict_output import LAYOUTS, PictureWriter, find_range, open_video
from sfmlearner_tf.tools.predict_refine import Refiner, find_options
from sfmlearner_tf.tools.predict_scale import CameraHeight, SparseDepths
from sfmlearner_tf.tools.predict_surfaces import SurfaceWriter
from sfmlearner_tf.tools.predict_trajectory import MotionPredictor, check_length, write_trajectory

if TYPE_CHECKING:
    from sfmlearner_tf.prediction import DepthPredictor, PosePredictor

# Frames, spread over the recording, that determine a fixed colour range.
_SAMPLES = 16
# Full-size pictures that are written at a time.
_WRITING = 4

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "input", None, "An image, a folder of images, a pattern such as 'a/*.jpg', or a video.", required=True
)
flags.DEFINE_string("output_dir", None, "Folder for the predictions.", required=True)
flags.DEFINE_string("ckpt_file", None, "Checkpoint, such as folder/model-190532.")
flags.DEFINE_string("saved_model", None, "Folder of a SavedModel, instead of a checkpoint; it sets the image size.")
flags.DEFINE_integer(
    "img_height", None, "Height to resize to, pixels; by default that of the training run, else 128.", 32, 4096
)
flags.DEFINE_integer(
    "img_width", None, "Width to resize to, pixels; by default that of the training run, else 416.", 32, 4096
)
flags.DEFINE_integer("batch_size", 4, "Images per step.", 1, 1024)
flags.DEFINE_list(
    "output", None, "Any of png, npy, mp4, ply, normals, edges, comma-separated; by default mp4 for a video, else png."
)
flags.DEFINE_enum("layout", "above", LAYOUTS, "Position of the image in a picture; 'depth' leaves it out.")
flags.DEFINE_enum(
    "color_range",
    None,
    ["fixed", "per_image"],
    f"Disparity range of the colours: fixed, from {_SAMPLES} frames spread over the input, to avoid flicker, or per"
    " image; by default fixed if the input or output is a video.",
)
flags.DEFINE_float("fps", None, "Frames per second of the mp4; by default the video's own, 10 for images.", 0.01, 1000)
flags.DEFINE_bool("poses", False, "Also write the camera trajectory.")
flags.DEFINE_integer(
    "seq_length", None, "Frames per input of the pose network, odd; by default those that it sees.", lower_bound=3
)
flags.DEFINE_float("scale", None, "Metres per unit of predicted depth.", 1e-9, 1e9)
flags.DEFINE_float(
    "camera_height_m", None, "Height of the camera above the road, which is looked for in the depth: gives the scale.",
    1e-3, 1e3,
)  # fmt: skip
flags.DEFINE_integer(
    "refine_steps", 0, "Steps of training on each frame and its neighbours before its depth is predicted, for a "
    "recording in order; 20 is usual. Takes seconds a frame.", 0, 10000,
)  # fmt: skip
flags.DEFINE_string(
    "intrinsics",
    None,
    "ply, normals, camera_height_m, refine_steps: fx,fy,cx,cy, pixels of the images; by default those learned.",
)
flags.DEFINE_string(
    "crop", None, "left,top,width,height in pixels to cut out of each image before all else, as preparation did. "
    "--intrinsics and --scale_from_sparse still mean pixels of the whole image.",
)  # fmt: skip
flags.DEFINE_float(
    "max_depth", None, f"ply: farthest depth; by default {FARTHEST_OF_MEDIAN:g} times the median.", 1e-9, 1e9
)
flags.DEFINE_string("scale_from_sparse", None, "CSV file of measured depths (u,v,depth_m) that give the scale.")


def main() -> None:
    predict_flags.check_flags()
    recording = list_recording(FLAGS.input, FLAGS.output_dir)._replace(crop=parse_crop(FLAGS.crop))
    outputs = predict_flags.choose_outputs(recording)
    source = predict_flags.find_scale_source(recording)
    predict_flags.check_recording(recording, outputs)
    # Imports TensorFlow, which takes seconds: wrong flags and input should fail first.
    from sfmlearner_tf.prediction import make_resizers

    depth_network, pose_network = _load_networks(needs_depth=bool(outputs or source))
    if pose_network:
        check_length(len(recording.frames), pose_network.seq_length, FLAGS.input)
    predict_flags.make_output_dir()
    resizers = make_resizers(depth=depth_network, pose=pose_network)
    motions = MotionPredictor(pose_network, FLAGS.batch_size) if pose_network else None
    fixes_range = bool({"png", "mp4"} & set(outputs)) and predict_flags.find_color_range(recording, outputs) == "fixed"
    scale, ends = _look_ahead(recording, source, fixes_range, depth_network, resizers)
    factor = 1.0 if scale is None else scale
    cloud = predict_flags.find_cloud_writer(outputs, factor, len(recording.frames))
    surfaces = predict_flags.find_surface_writer(outputs, depth_network)
    refiner = _make_refiner(recording, depth_network) if depth_network and outputs and FLAGS.refine_steps else None
    notes: list[Note] = []
    started = time.perf_counter()
    with _open_writer(recording, outputs, factor, ends, cloud, surfaces) as writer:
        pictures = read_all(recording, bool(motions or refiner or "mp4" in outputs), notes, resizers)
        predicted = _predict_all(pictures, depth_network if outputs else None, refiner)
        count = _write_all(predicted, len(recording.frames), motions, writer)
    rate = count / (time.perf_counter() - started)
    if motions:
        path = Path(FLAGS.output_dir, f"{recording.name}_trajectory.txt")
        trajectory = write_trajectory(path, motions, recording.times_s, factor)
        if cloud:
            cloud.write_clip(path.with_name(f"{recording.name}_clip.ply"), trajectory.poses)
    unit = "an unknown unit (--scale, --scale_from_sparse or --camera_height_m make it metres)"
    if scale is not None or predict_flags.is_metric():
        unit = "metres"
    done = f"{count} of {len(recording.frames)} frames, {rate:.1f} frames/s"
    print(f"{FLAGS.output_dir}: {done}; depth and translation are in {unit}")
    for note in notes:
        print(f"{note.kind}: {note.what}")
    if notes or count < len(recording.frames):
        reason = f"{notes[0].kind}: {notes[0].what}" if notes else "the others are missing"
        raise UserError(f"{count} of {len(recording.frames)} frames could be read and are done; {reason}")


def _load_networks(needs_depth: bool) -> tuple[DepthPredictor | None, PosePredictor | None]:
    """The networks; None for one that is not needed."""
    from sfmlearner_tf.device import set_up_gpus

    set_up_gpus()
    load, path = (load_checkpoint, FLAGS.ckpt_file) if FLAGS.ckpt_file else (load_saved_model, FLAGS.saved_model)
    return load(path, FLAGS.img_height, FLAGS.img_width, FLAGS.seq_length, depth=needs_depth, pose=FLAGS.poses)


def _look_ahead(
    recording: Recording,
    source: SparseDepths | CameraHeight | None,
    needs_ends: bool,
    network: DepthPredictor | None,
    resizers: Resizers,
) -> tuple[float | None, tuple[float, float] | None]:
    """The scale (None if unknown) and the disparity range of the colours (None if each image has its own)."""
    count = len(recording.frames)
    samples = set(spread(count, _SAMPLES)) if needs_ends else set()
    ratios: list[float] = []
    disparities = []
    if network and (samples or source):
        chosen = sorted(samples | (source.numbers if source else set()))
        with contextlib.closing(read_pictures(recording, chosen, [], resizers)) as pictures:
            progress = tqdm(pictures, "looking ahead", len(chosen), unit="frame", disable=None)
            for picture, depth in _predict_depths(progress, network):
                ratios += source.ratios(picture, depth) if source else []
                disparities += [1 / depth] if picture.number in samples else []
    ends = find_range(disparities) if disparities else None
    if not source:
        return FLAGS.scale, ends
    if not ratios:
        raise UserError(f"{source.flag}: expected images that give the scale, found none that can be read and does")
    lower, scale, upper = np.percentile(ratios, (25, 50, 75))
    print(
        f"scale {scale:.4g}: the median of {len(ratios)} {source.what}, half of them within {lower:.4g} to {upper:.4g}"
    )
    return float(scale), ends


def _predict_depths(pictures: Iterable[Picture], network: DepthPredictor) -> Iterator[tuple[Picture, np.ndarray]]:
    """Each picture with its depth [network.height, network.width]."""
    from sfmlearner_tf.prediction import batched

    for batch in batched(pictures, FLAGS.batch_size):
        yield from zip(batch, network.predict(np.stack([picture.resized["depth"] for picture in batch])).numpy())


@contextlib.contextmanager
def _open_writer(
    recording: Recording,
    outputs: list[str],
    scale: float,
    ends: tuple[float, float] | None,
    cloud: CloudWriter | None,
    surfaces: SurfaceWriter | None,
) -> Iterator[PictureWriter]:
    folder = Path(FLAGS.output_dir)
    rate = FLAGS.fps or recording.frames_per_second or 10
    video_path = folder / f"{recording.name}_depth.mp4"
    with open_video(video_path, rate) if "mp4" in outputs else contextlib.nullcontext() as video:
        yield PictureWriter(
            folder, "png" in outputs, "npy" in outputs, video, FLAGS.layout, ends, scale, cloud, surfaces
        )


def _make_refiner(recording: Recording, network: DepthPredictor) -> Refiner:
    config = find_options(FLAGS.ckpt_file, network.height, network.width)
    check_length(len(recording.frames), config.seq_length, FLAGS.input)
    camera = None if config.learn_intrinsics else predict_flags.read_camera("--refine_steps")
    return Refiner(FLAGS.ckpt_file, config, FLAGS.refine_steps, camera)


def _predict_all(
    pictures: Iterable[Picture], network: DepthPredictor | None, refiner: Refiner | None
) -> Iterator[tuple[Picture, np.ndarray | None]]:
    if refiner:
        yield from refiner.predict_depths(pictures)
    elif network:
        yield from _predict_depths(pictures, network)
    else:
        yield from ((picture, None) for picture in pictures)


def _write_all(
    predicted: Iterable[tuple[Picture, np.ndarray | None]],
    total: int,
    motions: MotionPredictor | None,
    writer: PictureWriter,
) -> int:
    """Writes all frames as they are predicted, of which there should be `total`; returns their number."""

    def write(found: tuple[Picture, np.ndarray | None]) -> tuple[Picture, np.ndarray | None]:
        picture, depth = found
        return picture, None if depth is None else writer.write(picture, depth)

    count = 0
    # Threads write while the network predicts the next batch; a video gets its frames here, in order.
    written = map_ahead(write, predicted, _WRITING)
    for picture, video_frame in tqdm(written, "predicting", total, unit="frame", disable=None):
        if writer.add_to_video and video_frame is not None:
            writer.add_to_video(video_frame)
        if motions:
            motions.add(picture.resized["pose"])
        count += 1
    return count


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
