"""What all pose networks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sfmlearner_tf.networks.layers import Network

if TYPE_CHECKING:
    from typing_extensions import Self

# A pose network's raw output is scaled, so that training starts from almost no motion.
POSE_SCALING = 0.01


class PoseNetwork(Network):
    """Frames in, the camera's motion from the target to each source out.

    Args:
        num_sources: source frames beside the target, at least 1.
        seed: decides the initial weights.
        name: the variable scope.
        kwargs: Keras's own, such as `dtype="mixed_bfloat16"`.

    Raises:
        ValueError: num_sources below 1.
    """

    def __init__(self, num_sources: int, seed: int, name: str, **kwargs: Any) -> None:
        super().__init__(seed, name, **kwargs)
        if num_sources < 1:
            raise ValueError(f"num_sources must be at least 1, got {num_sources}")
        self.num_sources = num_sources

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_sources": self.num_sources}

    def _copy(self, **changes: Any) -> Self:
        """A network with other arguments and these weights, as far as it has them."""
        copy = type(self).from_config({**self.get_config(), **changes})
        weights = self.release_variables()
        for name, variable in copy.release_variables().items():
            variable.assign(weights[name])
        return copy
