"""What the flags of predict.py mean, and whether they go together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from sfmlearner_tf import run_config
from sfmlearner_tf.data.frames import parse_crop
from sfmlearner_tf.data.video import find_ffmpeg
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.predict_cloud import CLIP_POINTS, Camera, CloudWriter, find_camera
from sfmlearner_tf.tools.predict_input import Recording, check_images
from sfmlearner_tf.tools.predict_networks import check_source
from sfmlearner_tf.tools.predict_scale import CameraHeight, SparseDepths
from sfmlearner_tf.tools.predict_surfaces import SurfaceWriter, check_edges

if TYPE_CHECKING:
    from sfmlearner_tf.prediction import DepthPredictor

OUTPUTS = ("png", "npy", "mp4", "ply", "normals", "edges")

FLAGS = flags.FLAGS


def check_flags() -> None:
    """Raises UserError if flags exclude or lack each other, whatever the recording."""
    check_source(FLAGS.ckpt_file, FLAGS.saved_model)
    if FLAGS.seq_length and FLAGS.seq_length % 2 == 0:
        raise UserError(f"--seq_length={FLAGS.seq_length}: expected an odd number")
    scales = [f"--{name}" for name in ("scale", "scale_from_sparse", "camera_height_m") if FLAGS[name].present]
    if len(scales) > 1:
        raise UserError(
            f"expected at most one of {' and '.join(scales)}, found {'both' if len(scales) == 2 else 'all'}"
        )
    if FLAGS.refine_steps and FLAGS.saved_model:
        raise UserError("--refine_steps: expected --ckpt_file, which can be trained, found --saved_model")
    others = [name for name in FLAGS.output or [] if name not in OUTPUTS]
    if others:
        raise UserError(f"--output: expected any of {', '.join(OUTPUTS)}, found {others[0]!r}")
    outputs = FLAGS.output or []
    if "edges" in outputs:
        check_edges(FLAGS.ckpt_file)
        if FLAGS.refine_steps:
            raise UserError("--output=edges: expected no --refine_steps, whose networks see no edges")
    needs_camera = {
        "ply": "ply" in outputs,
        "normals": "normals" in outputs,
        "--camera_height_m": FLAGS.camera_height_m,
        "--refine_steps": FLAGS.refine_steps,
    }
    for name, is_asked in needs_camera.items():
        if is_asked:
            read_camera(name)


def read_camera(needed_by: str) -> Camera:
    """The camera of the cropped images, see `find_camera`. Raises UserError as it does."""
    return find_camera(needed_by, FLAGS.intrinsics, FLAGS.ckpt_file, parse_crop(FLAGS.crop))


def make_output_dir() -> None:
    """Raises UserError where that cannot be."""
    try:
        os.makedirs(FLAGS.output_dir, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir={FLAGS.output_dir}: expected a writable folder; {error.strerror}") from error


def choose_outputs(recording: Recording) -> list[str]:
    """What is written: the names of --output, or what suits the recording. Raises UserError if that is nothing."""
    if FLAGS.output is None:
        return ["mp4" if recording.is_video else "png"]
    if not FLAGS.output and not FLAGS.poses:
        raise UserError(f"--output: expected any of {', '.join(OUTPUTS)} without --poses, found nothing")
    return FLAGS.output


def check_recording(recording: Recording, outputs: list[str]) -> None:
    """Raises UserError if the flags ask for something this recording does not allow."""
    folders = {os.path.realpath(os.path.dirname(frame.path)) for frame in recording.frames}
    if len(recording.frames) > 1 and not recording.is_video and os.path.realpath(FLAGS.output_dir) in folders:
        raise UserError(f"--output_dir={FLAGS.output_dir}: expected a folder other than that of the images")
    if "mp4" in outputs or FLAGS.poses:
        check_images(recording, one_size="mp4" in outputs)
    if "mp4" in outputs:
        find_ffmpeg()


def find_color_range(recording: Recording, outputs: list[str]) -> str:
    """Whether the colours are "fixed" for all frames or "per_image"."""
    return FLAGS.color_range or ("fixed" if recording.is_video or "mp4" in outputs else "per_image")


def find_scale_source(recording: Recording) -> SparseDepths | CameraHeight | None:
    """What gives the scale, where it is measured. Raises UserError if that cannot be read or lacks the camera."""
    if FLAGS.scale_from_sparse:
        return SparseDepths(FLAGS.scale_from_sparse, recording)
    if FLAGS.camera_height_m:
        camera = read_camera("--camera_height_m")
        return CameraHeight(FLAGS.camera_height_m, camera, recording)
    return None


def find_cloud_writer(outputs: list[str], scale: float, num_frames: int) -> CloudWriter | None:
    """What writes point clouds; None where they are not asked for."""
    if "ply" not in outputs:
        return None
    camera = read_camera("ply")
    points_per_image = CLIP_POINTS // num_frames if FLAGS.poses else 0
    return CloudWriter(Path(FLAGS.output_dir), camera, scale, FLAGS.max_depth, points_per_image)


def find_surface_writer(outputs: list[str], network: DepthPredictor | None) -> SurfaceWriter | None:
    """What writes normals and edges; None where neither is asked for."""
    if network is None or not {"normals", "edges"} & set(outputs):
        return None
    from sfmlearner_tf.prediction import load_edge_predictor

    camera = read_camera("normals") if "normals" in outputs else None
    edges = load_edge_predictor(FLAGS.ckpt_file, network.height, network.width) if "edges" in outputs else None
    return SurfaceWriter(Path(FLAGS.output_dir), camera, edges, "npy" in outputs)


def is_metric() -> bool:
    """Whether depth was trained to be in metres."""
    config = run_config.read_beside(FLAGS.ckpt_file) if FLAGS.ckpt_file else None
    return config is not None and config.speed_weight > 0
