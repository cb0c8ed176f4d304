"""What the networks are built from: a base class, the release's convolutions and its ways of matching sizes."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from sfmlearner_tf import checkpoint

if TYPE_CHECKING:
    from typing_extensions import Self

    from sfmlearner_tf.config import TrainConfig

# The smallest image side that leaves the networks something to look at.
MIN_IMAGE_SIDE = 32
# Keras's names of variables that the release calls otherwise.
_RELEASE_NAMES = {"kernel": "weights", "bias": "biases"}


class Network(keras.Model):
    """A network whose layers and variables carry the names of the 2017 release.

    A subclass adds its layers in the constructor, with their channels, so that `build` needs no images. Under a mixed
    dtype policy the layers compute in the low precision, all but the heads.

    Args:
        seed: decides the initial weights, together with each layer's name.
        name: the release's variable scope, such as "depth_net".
        kwargs: Keras's own, such as `dtype="mixed_bfloat16"`.
    """

    def __init__(self, seed: int, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.seed = seed
        self.named_layers: dict[str, keras.layers.Layer] = {}
        self._in_channels: dict[str, int] = {}

    def conv(
        self,
        name: str,
        in_channels: int,
        filters: int,
        size: int,
        stride: int = 1,
        activation: str | None = "relu",
    ) -> keras.layers.Layer:
        """A convolution, which the release calls `name`, such as "pose/cnv6"."""
        return self._add_conv(name, in_channels, filters, size, stride, activation, self.dtype_policy)

    def upconv(
        self, name: str, in_channels: int, filters: int, size: int, activation: str | None = "relu"
    ) -> keras.layers.Layer:
        """A transposed convolution that doubles the image's sides."""
        layer = keras.layers.Conv2DTranspose(
            filters, size, 2, "same", activation=activation, dtype=self.dtype_policy, **self.name_and_seed(name)
        )
        return self.add(name, layer, in_channels)

    def head(
        self, name: str, in_channels: int, filters: int, size: int, activation: str | None = None
    ) -> keras.layers.Layer:
        """A convolution that gives an output of the network, in full precision."""
        return self._add_conv(name, in_channels, filters, size, 1, activation, self.variable_dtype)

    def add(self, name: str, layer: keras.layers.Layer, in_channels: int) -> keras.layers.Layer:
        """Makes a layer of [B, H, W, in_channels] part of the network under `name`."""
        self.named_layers[name] = layer
        self._in_channels[name] = in_channels
        return layer

    def build(self, input_shape: Any = None) -> None:
        """Makes the variables; the shape of the images does not matter."""
        with tf.init_scope():
            for name, layer in self.named_layers.items():
                if not layer.built:
                    layer.build((None, None, None, self._in_channels[name]))
        self.built = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Keras's `save`, also for a network that has not seen an image."""
        self.build()
        super().save(*args, **kwargs)

    def release_variables(self) -> dict[str, tf.Variable]:
        """The network's tf.Variables under the release's names, such as "depth_net/cnv1/weights"."""
        self.build()
        return {
            f"{self.name}/{name}/{_release_name(variable)}": _tf_variable(variable)
            for name, layer in self.named_layers.items()
            for variable in layer.variables
        }

    @property
    def rounding(self) -> float:
        """How many times as far as the release's networks' its outputs may be apart from rounding alone."""
        return 1.0

    def follow(self, step: tf.Variable) -> None:
        """Lets layers that depend on the step of the training know it."""

    def for_inference(self) -> Network:
        """The network without the parts that only training needs; it may share weights or copy them."""
        return self

    def copy(self, **changes: Any) -> Self:
        """A network with other arguments of the constructor and these weights, as far as it has them."""
        copy = type(self).from_config({**self.get_config(), **changes})
        weights = self.release_variables()
        for name, variable in copy.release_variables().items():
            variable.assign(weights[name])
        return copy

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed, "name": self.name, "dtype": self.dtype_policy.name}

    def get_build_config(self) -> dict[str, Any]:
        return {"input_shape": None}

    def build_from_config(self, config: dict[str, Any]) -> None:
        self.build()

    @classmethod
    def from_train_config(cls, config: TrainConfig) -> Self:
        """The network of a training run, with its initial weights."""
        raise NotImplementedError

    @classmethod
    def options_of_checkpoint(cls, path: str) -> dict[str, Any]:
        """The arguments of the constructor that the weights in a checkpoint ask for."""
        return {}

    @classmethod
    def from_checkpoint(cls, path: str, **options: Any) -> Self:
        """The network with the weights of a checkpoint, the authors' released ones included.

        Args:
            path: such as folder/model-190532.
            options: arguments of the constructor.

        Raises:
            UserError: no such checkpoint, a damaged one, or one that lacks variables of this network.
        """
        network = cls(**{**cls.options_of_checkpoint(path), **options})
        checkpoint.restore(path, network.release_variables())
        return network

    def _add_conv(
        self, name: str, in_channels: int, filters: int, size: int, stride: int, activation: Any, dtype: Any
    ) -> keras.layers.Layer:
        layer = keras.layers.Conv2D(
            filters, size, stride, "same", activation=activation, dtype=dtype, **self.name_and_seed(name)
        )
        return self.add(name, layer, in_channels)

    def name_and_seed(self, name: str) -> dict[str, Any]:
        """The arguments by which a layer gets its name and its initial weights."""
        initializer = keras.initializers.GlorotUniform(zlib.crc32(name.encode()) + self.seed)
        return {"name": name.split("/")[-1], "kernel_initializer": initializer}


def _release_name(variable: Any) -> str:
    """The last part of a variable's name; Keras 2 adds the layer before it and ":0" behind."""
    name = variable.name.split("/")[-1].split(":")[0]
    return _RELEASE_NAMES.get(name, name)


def _tf_variable(variable: Any) -> tf.Variable:
    """The TensorFlow variable itself: Keras 3 wraps it, Keras 2 does not."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def image_sides(images: tf.Tensor) -> tuple[Any, Any]:
    """Height and width of [B, H, W, C]: numbers where they are known in advance, else scalar tensors."""
    shape = tf.shape(images)
    return tuple(shape[axis] if images.shape[axis] is None else images.shape[axis] for axis in (1, 2))


def crop_like(features: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Fits doubled features [B, 2h, 2w, C] to the sides of `reference`, 2h or 2h-1 and 2w or 2w-1."""
    # Parity: the release's nearest resizing from 2n to 2n-1 rows picks row i for every i, which is this cut
    # (test_networks.py::test_crop_like_is_legacy_nearest_resizing).
    height, width = image_sides(reference)
    # Where nothing is to be cut, the gradient of a cut would still be a pass over all features.
    fits = isinstance(height, int) and isinstance(width, int) and features.shape[1:3] == (height, width)
    return features if fits else features[:, :height, :width]


def resize_bilinear(images: tf.Tensor, height: int | tf.Tensor, width: int | tf.Tensor) -> tf.Tensor:
    """Resizes [B, h, w, C] to [B, height, width, C] of the same type."""
    # Parity: the legacy kind, without half-pixel centres (test_networks.py::test_resize_bilinear_by_hand).
    return tf.cast(tf.raw_ops.ResizeBilinear(images=images, size=[height, width]), images.dtype)


def check_images(name: str, images: tf.Tensor, channels: int) -> None:
    """Raises ValueError unless `images` is [B, H, W, channels] and its sides, where known, are at least 32 pixels."""
    shape = images.shape
    fits = len(shape) == 4 and shape[3] == channels
    if not fits or any(side is not None and side < MIN_IMAGE_SIDE for side in shape[1:3]):
        raise ValueError(f"{name} must be [B, H, W, {channels}] with H and W at least {MIN_IMAGE_SIDE}, got {shape}")
