"""What depth networks share: the decoder of the release's DispNet and the range of its disparity (paper section 3.5,
figure 4a)."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from sfmlearner_tf import checkpoint, run_config
from sfmlearner_tf.networks.layers import Network, crop_like, image_sides, resize_bilinear
from sfmlearner_tf.networks.randomized_norm import RandomizedNorm

if TYPE_CHECKING:
    from typing_extensions import Self

    from sfmlearner_tf.config import TrainConfig

# Parity: the code of the release; the paper prints a smallest disparity of 0.1.
DISP_SCALING = 10.0
MIN_DISP = 0.01
# Where depth itself is predicted, the nearest, as near as the largest disparity of the paper.
_NEAREST = 0.1
_NUM_SCALES = 4


class DepthNetwork(Network):
    """One image in, its disparity at four scales out.

    A subclass adds its encoder, then `add_decoder`; its `call` gives what `decode` returns.

    Args:
        seed: decides the initial weights.
        min_disp: the smallest disparity, so 1/min_disp is the largest depth.
        name: the variable scope.
        norm: what follows each convolution but the heads: "none", or "randomized", see `RandomizedNorm`.
        parametrization: what the heads give: "disparity", 10 sigmoid + min_disp; "depth", its inverse, 10 sigmoid +
            0.1; or "softplus", its inverse, softplus + 0.1.
        kwargs: Keras's own, such as `dtype="mixed_bfloat16"`.
    """

    def __init__(
        self,
        seed: int = 8964,
        min_disp: float = MIN_DISP,
        name: str = "depth_net",
        norm: str = "none",
        parametrization: str = "disparity",
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, name, **kwargs)
        self.min_disp = min_disp
        self.norm = norm
        self.parametrization = parametrization

    @property
    def rounding(self) -> float:
        # Of few pixels that are almost alike the deviation is small, and is divided by.
        return 1.0 if self.norm == "none" else 10.0

    def follow(self, step: tf.Variable) -> None:
        """Lets what depends on the training step know it."""
        for layer in self.named_layers.values():
            if isinstance(layer, RandomizedNorm):
                layer.follow(step)

    def apply(self, name: str, features: tf.Tensor, training: bool | None) -> tf.Tensor:
        """What the layer called `name` makes of the features, normalised where the network does so."""
        layer = self.named_layers[name]
        if self.norm == "none":
            return layer(features)
        return tf.nn.relu(self.named_layers[f"{name}/norm"](layer(features), training=training))

    def conv(self, name: str, *args: Any, **kwargs: Any) -> keras.layers.Layer:
        return self._normalized(name, super().conv, *args, **kwargs)

    def upconv(self, name: str, *args: Any, **kwargs: Any) -> keras.layers.Layer:
        return self._normalized(name, super().upconv, *args, **kwargs)

    def _normalized(
        self, name: str, make: Callable[..., keras.layers.Layer], in_channels: int, filters: int, *args: Any
    ) -> keras.layers.Layer:
        """The layer that `make` makes; with what normalises it, the ReLU comes after that, in `apply`."""
        if self.norm == "none":
            return make(name, in_channels, filters, *args)
        layer = make(name, in_channels, filters, *args, activation=None)
        seed = zlib.crc32(f"{name}/norm".encode()) ^ self.seed
        self.add(f"{name}/norm", RandomizedNorm(seed, name="norm"), filters)
        return layer

    def add_decoder(self, encoder_channels: Sequence[int], channels: Sequence[int]) -> None:
        """Adds the decoder, which doubles the sides of the features once a stage.

        Args:
            encoder_channels: of the encoder's features at 1/2, 1/4 and so on of the image's sides.
            channels: of the decoder's at 1/1, 1/2 and so on; as many.
        """
        self.num_stages = len(channels)
        in_channels = encoder_channels[-1]
        for i, filters in reversed(list(enumerate(channels, start=1))):
            self.upconv(f"upcnv{i}", in_channels, filters, 3)
            skip_channels = encoder_channels[i - 2] if i > 1 else 0
            has_disparity = i < _NUM_SCALES  # that of the next coarser scale
            self.conv(f"icnv{i}", filters + skip_channels + has_disparity, filters, 3)
            in_channels = filters
        activation = "softplus" if self.parametrization == "softplus" else "sigmoid"
        self.disparity_heads = [
            self.head(f"disp{i}", channels[i - 1], 1, 3, activation) for i in range(1, _NUM_SCALES + 1)
        ]

    def decode(self, skips: Sequence[tf.Tensor], training: bool | None) -> tuple[tf.Tensor, ...]:
        """Disparity from the image and the encoder's features.

        Args:
            skips: the images [B, H, W, 3], then the features at 1/2, 1/4 and so on of their sides, rounded up.
            training: for layers that differ in training.

        Returns:
            4 of [B, ceil(H/2^s), ceil(W/2^s), 1] for s = 0..3, in [min_disp, 10 + min_disp], or in (0, 10] where depth
            is what the heads give; depth is 1/disparity.
        """
        features = skips[-1]
        disparities: list[tf.Tensor] = []
        for scale in reversed(range(self.num_stages)):
            skip = skips[scale]
            parts = [crop_like(self.apply(f"upcnv{scale + 1}", features, training), skip)]
            if scale > 0:
                parts.append(skip)
            if disparities:
                parts.append(tf.cast(resize_bilinear(disparities[-1], *image_sides(skip)), skip.dtype))
            features = self.apply(f"icnv{scale + 1}", tf.concat(parts, axis=-1), training)
            if scale < _NUM_SCALES:
                disparities.append(self._disparity(self.disparity_heads[scale](features)))
        return tuple(reversed(disparities))

    def _disparity(self, activation: tf.Tensor) -> tf.Tensor:
        """Of what a head gives."""
        if self.parametrization == "disparity":
            return DISP_SCALING * activation + self.min_disp
        return 1 / ((activation if self.parametrization == "softplus" else DISP_SCALING * activation) + _NEAREST)

    def start_from(self, disparity: float) -> None:
        """Makes the untrained network predict about this `disparity`, within (min_disp, 10 + min_disp), everywhere."""
        self.build()
        if self.parametrization == "softplus":
            bias = math.log(math.expm1(1 / disparity - _NEAREST))
        else:
            value = disparity - self.min_disp if self.parametrization == "disparity" else 1 / disparity - _NEAREST
            bias = math.log(value / (DISP_SCALING - value))
        for head in self.disparity_heads:
            head.bias.assign([bias])

    def get_config(self) -> dict[str, Any]:
        options = {"min_disp": self.min_disp, "norm": self.norm, "parametrization": self.parametrization}
        return {**super().get_config(), **options}

    @classmethod
    def from_train_config(cls, config: TrainConfig) -> Self:
        network = cls(
            config.seed,
            config.min_disp,
            norm=config.depth_norm,
            parametrization=config.depth_parametrization,
            dtype=config.dtype_policy,
        )
        if config.initial_disp:
            network.start_from(config.initial_disp)
        return network

    @classmethod
    def options_of_checkpoint(cls, path: str) -> dict[str, Any]:
        is_normalized = "depth_net/cnv1/norm/gamma" in checkpoint.list_shapes(path)
        config = run_config.read_beside(path)
        return {
            "parametrization": config.depth_parametrization if config else "disparity",
            "min_disp": checkpoint.read_min_disp(path, MIN_DISP),
            "norm": "randomized" if is_normalized else "none",
        }
