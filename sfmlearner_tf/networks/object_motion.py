"""The network that learns how objects move (Casser et al., AAAI 2019, "Depth Prediction Without the Sensors")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from sfmlearner_tf.networks.motion import Motion
from sfmlearner_tf.networks.pose_exp_net import PoseExpNet

if TYPE_CHECKING:
    from typing_extensions import Self

    from sfmlearner_tf.config import TrainConfig

# In the unit of depth.
_FIRST_HEIGHT = 0.1


class ObjectMotionNet(PoseExpNet):
    """A network of PoseExpNet's shape, which sees one object at a time, and the height that objects have.

    Args:
        num_sources, seed, name, kwargs: see `PoseExpNet`.
    """

    def __init__(self, num_sources: int = 2, seed: int = 8964, name: str = "object_motion_net", **kwargs: Any) -> None:
        super().__init__(num_sources, seed=seed, name=name, **kwargs)
        self.height_layer = self.add("height", _Height(name="height"), 1)

    @property
    def height(self) -> tf.Tensor:
        """The learned height of all objects, a scalar of at least 0, in the unit of depth."""
        return tf.maximum(tf.convert_to_tensor(self.height_layer.height), 0)

    def see_objects(self, target: tf.Tensor, sources: tf.Tensor, objects: tf.Tensor, count: int) -> tf.Tensor:
        """The motion of each object in the frame of the target's camera, from the target to each source.

        Args:
            target: [B, H, W, 3] in [-1, 1].
            sources: [N*B, H, W, 3], the examples of a source together, warped into the target as if nothing moved.
            objects: [(1 + N)*B, H, W, count], 1 where an object is, in the target and then in each warped source.
            count: objects of an example.

        Returns:
            [B, count, N, 6] as (tx, ty, tz, rx, ry, rz), in the unit of depth and radians.
        """
        frames = tf.split(tf.concat([target, sources], axis=0), self.num_sources + 1)
        masks = tf.split(objects, self.num_sources + 1)
        # All objects on the batch: [count*B, H, W, 3] of each frame.
        seen = [
            tf.concat([frame * mask[..., i : i + 1] for i in range(count)], axis=0)
            for frame, mask in zip(frames, masks)
        ]
        motion: Motion = self(seen[0], tf.concat(seen[1:], axis=-1))
        return tf.stack(tf.split(motion.poses, count), axis=1)

    @classmethod
    def from_train_config(cls, config: TrainConfig) -> Self:
        network = cls(config.num_sources, seed=config.seed, dtype=config.dtype_policy)
        network.build()
        return network


class _Height(keras.layers.Layer):
    """One number that is learned."""

    def build(self, input_shape: Any) -> None:
        self.height = self.add_weight(
            name="height", shape=(), initializer=keras.initializers.Constant(_FIRST_HEIGHT), trainable=True
        )
        self.built = True
