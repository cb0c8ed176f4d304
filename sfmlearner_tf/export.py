"""SavedModel: both networks as functions that other programs can call without this package."""

from __future__ import annotations

import os
import shutil

import tensorflow as tf

from sfmlearner_tf.command import UserError
from sfmlearner_tf.geometry import pose_vec2mat
from sfmlearner_tf.learner import SfMLearner


def export_saved_model(learner: SfMLearner, output_dir: str) -> None:
    """Writes a SavedModel whose images may be of any size: they are resized to that of the learner's config inside.

    Signatures, batch size free:
        depth (also serving_default): images uint8 [B, H, W, 3] -> depth and disparity [B, h, w, 1] at the networks'
            size, depth_at_input_size and disparity_at_input_size [B, H, W, 1]; arbitrary scale.
        pose: target uint8 [B, H, W, 3], sources uint8 [B, H, W, 3*N] -> poses [B, N, 6], target to source, as
            (tx, ty, tz, rx, ry, rz), and the same as matrices src_T_tgt [B, N, 4, 4].

    Raises:
        UserError: `output_dir` exists and is no SavedModel, or cannot be written.
    """
    if os.path.exists(output_dir) and not os.path.isfile(os.path.join(output_dir, "saved_model.pb")):
        raise UserError(f"{output_dir} exists and is no SavedModel: expected a new folder or an earlier export")
    module = tf.Module()
    module.variables_by_name = learner.weights
    signatures = _signatures(learner)
    aside = f"{output_dir.rstrip('/')}.writing"
    try:
        shutil.rmtree(aside, ignore_errors=True)
        tf.saved_model.save(module, aside, signatures)
        shutil.rmtree(output_dir, ignore_errors=True)
        os.rename(aside, output_dir)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"cannot write {output_dir}: {str(error).splitlines()[0]}") from None


def _signatures(learner: SfMLearner) -> dict[str, tf.types.experimental.ConcreteFunction]:
    config = learner.config
    size = (config.img_height, config.img_width)

    def depth(images: tf.Tensor) -> dict[str, tf.Tensor]:
        # Parity: for depth the release resizes its test images with Lanczos, for motion bilinearly.
        disparity = 1 / learner.predict_depth(_resize(images, size, tf.image.ResizeMethod.LANCZOS3))
        at_input_size = tf.image.resize(disparity, tf.shape(images)[1:3])
        return {
            "disparity": disparity,
            "depth": 1 / disparity,
            "disparity_at_input_size": at_input_size,
            "depth_at_input_size": 1 / at_input_size,
        }

    def pose(target: tf.Tensor, sources: tf.Tensor) -> dict[str, tf.Tensor]:
        method = tf.image.ResizeMethod.BILINEAR
        poses = learner.predict_pose(_resize(target, size, method), _resize(sources, size, method))
        return {"poses": poses, "src_T_tgt": pose_vec2mat(poses)}

    def images_spec(channels: int, name: str) -> tf.TensorSpec:
        return tf.TensorSpec([None, None, None, channels], tf.uint8, name)

    depth_function = tf.function(depth).get_concrete_function(images_spec(3, "images"))
    pose_function = tf.function(pose).get_concrete_function(
        images_spec(3, "target"), images_spec(3 * config.num_sources, "sources")
    )
    return {"serving_default": depth_function, "depth": depth_function, "pose": pose_function}


def _resize(images_u8: tf.Tensor, size: tuple[int, int], method: str) -> tf.Tensor:
    """Resizes uint8 images with antialiasing, as Pillow does; images of that size already come back as they are."""
    resized = tf.image.resize(images_u8, size, method, antialias=True)
    return tf.saturate_cast(tf.round(resized), tf.uint8)
