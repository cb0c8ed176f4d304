"""What one step learns from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf


class Batch(NamedTuple):
    """Examples as they come from the disk, resized and augmented together.

    target: uint8 RGB [B, H, W, 3], the frame in the middle; with target_frame "last" the last.
    sources: uint8 RGB [B, H, W, 3*N], the others in temporal order.
    intrinsics: float32 [B, 3, 3] at full size, pixels; where the intrinsics are learned, what augmentation did to the
        pixels: the identity if it did nothing, with -1 in front where it mirrored.
    extras: further inputs by name, see `sfmlearner_tf.data.extras`.
    """

    target: tf.Tensor
    sources: tf.Tensor
    intrinsics: tf.Tensor
    extras: Mapping[str, tf.Tensor] = {}


def as_batch(*fields: Any, **named_fields: Any) -> Batch:
    """A Batch as it is, or one made from its fields."""
    if len(fields) == 1 and isinstance(fields[0], Batch) and not named_fields:
        return fields[0]
    return Batch(*fields, **named_fields)
