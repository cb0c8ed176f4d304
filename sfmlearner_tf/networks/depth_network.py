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
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.model_options import PARAMETRIZATIONS
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
# What the names of the layers that decode edges begin with.
_EDGE = "edge_"


def read_parametrization(path: str) -> str:
    """The parametrization of the depth network in a checkpoint.

    Raises:
        UserError: no such checkpoint, a damaged one, or a number that stands for none.
    """
    config = run_config.read_beside(path)  # earlier versions say it there alone
    default = PARAMETRIZATIONS.index(config.depth_parametrization) if config else 0
    number = checkpoint.read_scalar(path, checkpoint.PARAMETRIZATION, default)
    if number not in range(len(PARAMETRIZATIONS)):
        most = len(PARAMETRIZATIONS) - 1
        raise UserError(f"checkpoint {path}: expected {checkpoint.PARAMETRIZATION} from 0 to {most}, found {number:g}")
    return PARAMETRIZATIONS[int(number)]


def check_depth(path: str, config: TrainConfig) -> None:
    """Raises UserError if the depth network in a checkpoint means something else by its outputs than a run's."""
    checkpoint.check_min_disp(path, MIN_DISP, config.min_disp)
    found, expected = read_parametrization(path), config.depth_parametrization
    if found != expected:
        raise UserError(f"checkpoint {path} was trained with depth_parametrization={found}, expected {expected}")


class DepthNetwork(Network):
    """One image in, its disparity at four scales out, and where edges are, if it learns them.

    A subclass adds its encoder, then `add_decoder`; its `call` gives what `decode` returns.

    Args:
        seed: decides the initial weights.
        min_disp: the smallest disparity, so 1/min_disp is the largest depth.
        name: the variable scope.
        norm: what follows each convolution but the heads: "none", or "randomized", see `RandomizedNorm`.
        parametrization: what the heads give: "disparity", 10 sigmoid + min_disp; "depth", its inverse, 10 sigmoid +
            0.1; or "softplus", its inverse, softplus + 0.1.
        edges: whether a second decoder of the same features gives the edges of things, too.
        kwargs: Keras's own, such as `dtype="mixed_bfloat16"`.
    """

    def __init__(
        self,
        seed: int = 8964,
        min_disp: float = MIN_DISP,
        name: str = "depth_net",
        norm: str = "none",
        parametrization: str = "disparity",
        edges: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, name, **kwargs)
        self.min_disp = min_disp
        self.norm = norm
        self.parametrization = parametrization
        self.edges = edges

    @property
    def rounding(self) -> float:
        """By how much more than usual an export may differ by rounding alone."""
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
        """Adds the decoder, which doubles the sides of the features once a stage; one more for edges, if asked for.

        Args:
            encoder_channels: of the encoder's features at 1/2, 1/4 and so on of the image's sides.
            channels: of the decoder's at 1/1, 1/2 and so on; as many.
        """
        self.num_stages = len(channels)
        for prefix in ("", _EDGE) if self.edges else ("",):
            in_channels = encoder_channels[-1]
            for i, filters in reversed(list(enumerate(channels, start=1))):
                self.upconv(f"{prefix}upcnv{i}", in_channels, filters, 3)
                skip_channels = encoder_channels[i - 2] if i > 1 else 0
                has_coarser = i < _NUM_SCALES  # what the next coarser scale gives
                self.conv(f"{prefix}icnv{i}", filters + skip_channels + has_coarser, filters, 3)
                in_channels = filters
        activation = "softplus" if self.parametrization == "softplus" else "sigmoid"
        scales = range(1, _NUM_SCALES + 1)
        self.disparity_heads = [self.head(f"disp{i}", channels[i - 1], 1, 3, activation) for i in scales]
        self.edge_heads = [self.head(f"edge{i}", channels[i - 1], 1, 3, "sigmoid") for i in scales if self.edges]

    def decode(self, skips: Sequence[tf.Tensor], training: bool | None) -> tuple[tf.Tensor, ...]:
        """Disparity, and edges if they are learned, from the image and the encoder's features.

        Args:
            skips: the images [B, H, W, 3], then the features at 1/2, 1/4 and so on of their sides, rounded up.
            training: for layers that differ in training.

        Returns:
            4 of [B, ceil(H/2^s), ceil(W/2^s), 1] for s = 0..3, in [min_disp, 10 + min_disp], or in (0, 10] where depth
            is what the heads give; depth is 1/disparity. Then, where edges are learned, 4 of these sizes in [0, 1].
        """
        found = self._decode("", skips, training, self.disparity_heads, self._disparity)
        return found + self._decode(_EDGE, skips, training, self.edge_heads) if self.edges else found

    def _decode(
        self,
        prefix: str,
        skips: Sequence[tf.Tensor],
        training: bool | None,
        heads: Sequence[keras.layers.Layer],
        finish: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    ) -> tuple[tf.Tensor, ...]:
        """What the heads of one decoder give, from the finest scale on."""
        features = skips[-1]
        given: list[tf.Tensor] = []
        for scale in reversed(range(self.num_stages)):
            skip = skips[scale]
            parts = [crop_like(self.apply(f"{prefix}upcnv{scale + 1}", features, training), skip)]
            if scale > 0:
                parts.append(skip)
            if given:
                parts.append(tf.cast(resize_bilinear(given[-1], *image_sides(skip)), skip.dtype))
            features = self.apply(f"{prefix}icnv{scale + 1}", tf.concat(parts, axis=-1), training)
            if scale < _NUM_SCALES:
                given.append(finish(heads[scale](features)))
        return tuple(reversed(given))

    def _disparity(self, activation: tf.Tensor) -> tf.Tensor:
        """Of what a head gives."""
        if self.parametrization == "disparity":
            return DISP_SCALING * activation + self.min_disp
        return 1 / ((activation if self.parametrization == "softplus" else DISP_SCALING * activation) + _NEAREST)

    def start_from(self, disparity: float) -> None:
        """Makes the untrained network predict about this `disparity`, within (min_disp, 10 + min_disp), everywhere."""
        self.build()
        if self.parametrization == "softplus":
            value = 1 / disparity - _NEAREST
            bias = value + math.log(-math.expm1(-value))  # log(exp(value) - 1), which overflows
        else:
            value = disparity - self.min_disp if self.parametrization == "disparity" else 1 / disparity - _NEAREST
            bias = math.log(value / (DISP_SCALING - value))
        for head in self.disparity_heads:
            head.bias.assign([bias])

    def for_inference(self) -> Self:
        """The network without the decoder of edges."""
        return self.copy(edges=False) if self.edges else self

    def get_config(self) -> dict[str, Any]:
        names = ("min_disp", "norm", "parametrization", "edges")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_train_config(cls, config: TrainConfig) -> Self:
        network = cls(
            config.seed,
            config.min_disp,
            norm=config.depth_norm,
            parametrization=config.depth_parametrization,
            edges=config.edges,
            dtype=config.dtype_policy,
        )
        if config.initial_disp:
            network.start_from(config.initial_disp)
        return network

    @classmethod
    def options_of_checkpoint(cls, path: str) -> dict[str, Any]:
        is_normalized = "depth_net/cnv1/norm/gamma" in checkpoint.list_shapes(path)
        return {
            "parametrization": read_parametrization(path),
            "min_disp": checkpoint.read_min_disp(path, MIN_DISP),
            "norm": "randomized" if is_normalized else "none",
        }
