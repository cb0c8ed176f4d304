"""What all pose networks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from sfmlearner_tf import checkpoint, run_config
from sfmlearner_tf.networks.layers import Network, image_sides

if TYPE_CHECKING:
    from typing_extensions import Self

    from sfmlearner_tf.config import TrainConfig

# A pose network's raw output is scaled, so that training starts from almost no motion.
POSE_SCALING = 0.01
# The output of an exported function that tells of a target that is the last frame, not the middle one.
TARGET_IS_LAST = "target_is_last"
_INTRINSICS_HEAD = "pose/intrinsics"


class PoseNetwork(Network):
    """Frames in, the camera's motion from the target to each source out.

    Args:
        num_sources: source frames beside the target, at least 1.
        seed: decides the initial weights.
        name: the variable scope.
        learn_intrinsics: whether to predict the camera's intrinsics, too.
        focal_ratio: fy over fx of what is predicted; 0 predicts both.
        centred: whether the principal point is the middle of the frame, in place of predicted.
        target_frame: which frame in time the target is: "middle" or "last".
        kwargs: Keras's own, such as `dtype="mixed_bfloat16"`.

    Raises:
        ValueError: num_sources below 1.
    """

    def __init__(
        self,
        num_sources: int,
        seed: int,
        name: str,
        learn_intrinsics: bool = False,
        focal_ratio: float = 0.0,
        centred: bool = False,
        target_frame: str = "middle",
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, name, **kwargs)
        if num_sources < 1:
            raise ValueError(f"num_sources must be at least 1, got {num_sources}")
        self.num_sources = num_sources
        self.learn_intrinsics = learn_intrinsics
        self.focal_ratio = focal_ratio
        self.centred = centred
        self.target_frame = target_frame

    @property
    def target_index(self) -> int:
        """Which frame in time, from 0 on, is the target."""
        return self.num_sources if self.target_frame == "last" else self.num_sources // 2

    def add_heads(self, in_channels: int, pose_outputs: int) -> None:
        """Adds what makes motion, and intrinsics if asked for, of the network's last features."""
        self.pose_head = self.head("pose/pred", in_channels, pose_outputs, 1)
        if self.learn_intrinsics:
            self.intrinsics_head = self.head(_INTRINSICS_HEAD, in_channels, 4, 1)

    def predict_intrinsics(self, features: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        """The intrinsics [B, 3, 3] from the last features [B, h, w, C], pixels of the images [B, H, W, ...] (Gordon et
        al., ICCV 2019)."""
        height, width = (tf.cast(side, tf.float32) for side in image_sides(images))
        raw = tf.reduce_mean(self.intrinsics_head(features), axis=[1, 2])
        focal_x, focal_y = tf.unstack(tf.nn.softplus(raw[:, :2]) * tf.stack([width, height]), axis=1)
        centre_x, centre_y = tf.unstack(raw[:, 2:] + 0.5, axis=1)
        if self.focal_ratio:
            focal_y = self.focal_ratio * focal_x
        if self.centred:
            centre_x = centre_y = tf.fill(tf.shape(focal_x), 0.5)
        zero, one = tf.zeros_like(focal_x), tf.ones_like(focal_x)
        entries = [focal_x, zero, width * centre_x, zero, focal_y, height * centre_y, zero, zero, one]
        return tf.reshape(tf.stack(entries, axis=1), [-1, 3, 3])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_sources": self.num_sources,
            "learn_intrinsics": self.learn_intrinsics,
            "focal_ratio": self.focal_ratio,
            "centred": self.centred,
            "target_frame": self.target_frame,
        }

    @classmethod
    def from_train_config(cls, config: TrainConfig) -> Self:
        return cls(
            num_sources=config.num_sources,
            seed=config.seed,
            learn_intrinsics=config.learn_intrinsics,
            focal_ratio=config.focal_ratio,
            centred=config.centred,
            target_frame=config.target_frame,
            dtype=config.dtype_policy,
            **cls.options_of_run(config),
        )

    @classmethod
    def options_of_run(cls, config: TrainConfig) -> dict[str, Any]:
        """The arguments of the constructor, beyond those of all pose networks, that a training run asks for."""
        return {}

    @classmethod
    def options_of_checkpoint(cls, path: str) -> dict[str, Any]:
        config = run_config.read_beside(path)
        return {
            "learn_intrinsics": f"pose_exp_net/{_INTRINSICS_HEAD}/weights" in checkpoint.list_shapes(path),
            "focal_ratio": config.focal_ratio if config else 0.0,
            "centred": config.centred if config else False,
            "target_frame": config.target_frame if config else "middle",
        }
