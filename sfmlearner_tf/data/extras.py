"""Inputs of the objective beside frames and camera, such as object masks, a depth prior or a speed.

A new one is one entry of `EXTRAS`: it is read from a file beside each example's strip, goes through the augmentation
with the frames, and reaches every term of the objective as `view.extras[name]`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import tensorflow as tf

from sfmlearner_tf.data.formatted import DISTANCES, FURTHER_FILES, OBJECTS

if TYPE_CHECKING:
    from sfmlearner_tf.config import TrainConfig


class Extra(NamedTuple):
    """One further input.

    suffix: its file is <folder>/<frame><suffix>, beside the strip <frame>.jpg.
    decode: from the bytes of the file and the options of training to a tensor: [H, W, C], or of any shape with resize
        "none".
    resize: how augmentation and the scales of the losses resize it: "area" averages (float32), "nearest" keeps values
        (labels, depth with holes), "none" leaves it as it is (a number). What is resized is cropped and mirrored too.
    is_needed: whether a training run reads it.
    made_by: the flag of prepare_train_data.py that writes it, for messages.
    """

    suffix: str
    decode: Callable[[tf.Tensor, TrainConfig], tf.Tensor]
    resize: Literal["area", "nearest", "none"]
    is_needed: Callable[[TrainConfig], bool]
    made_by: str = ""


def split_strip(strip: tf.Tensor, channels: int, config: TrainConfig) -> tuple[tf.Tensor, tf.Tensor]:
    """The target [H, W, C] of a strip of frames, and the others beside each other on the channels, [H, W, C*N].

    Raises:
        ValueError, tf.errors.InvalidArgumentError: the strip has another size or number of channels.
    """
    strip = tf.ensure_shape(strip, [config.img_height, config.img_width * config.seq_length, channels])
    frames = tf.split(strip, config.seq_length, axis=1)
    return frames.pop(config.target_index), tf.concat(frames, axis=-1)


def _decode_objects(content: tf.Tensor, config: TrainConfig) -> tf.Tensor:
    """The numbers of objects in a strip, of the target and then of the sources: uint8 [H, W, 1 + N]."""
    strip = tf.io.decode_png(content)[..., :1]  # Casser et al. write all channels alike
    return tf.concat(split_strip(strip, 1, config), axis=-1)


def _decode_distances(content: tf.Tensor, config: TrainConfig) -> tf.Tensor:
    """How far each source is from the target, float32 [N], metres."""
    distances = tf.strings.to_number(tf.strings.split(tf.strings.strip(content), ","))
    tf.debugging.Assert(tf.reduce_all((distances >= 0) & tf.math.is_finite(distances)), ["no distances:", distances])
    return tf.ensure_shape(distances, [config.num_sources])


EXTRAS: dict[str, Extra] = {
    OBJECTS: Extra(
        FURTHER_FILES[OBJECTS][0], _decode_objects, "nearest", lambda config: config.needs_objects, "masks_dir"
    ),
    DISTANCES: Extra(
        FURTHER_FILES[DISTANCES][0], _decode_distances, "none", lambda config: config.speed_weight > 0, "speeds"
    ),
}


def needed_extras(config: TrainConfig) -> dict[str, Extra]:
    """Those that a training run reads, by name."""
    return {name: extra for name, extra in EXTRAS.items() if extra.is_needed(config)}
