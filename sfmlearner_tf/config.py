"""Every option of training, with the 2017 release's name and default where it has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sfmlearner_tf.combinations import check_combinations
from sfmlearner_tf.model_options import NetworkOptions, ObjectiveOptions
from sfmlearner_tf.options import check_options
from sfmlearner_tf.presets import PRESETS
from sfmlearner_tf.run_options import OptimiserOptions, ReleaseOptions, RunOptions, ValidationOptions, WatchingOptions

# The groups of options, in the order in which --help shows them.
GROUPS = {
    "release": "Options of the 2017 release",
    "networks": "Networks",
    "objective": "Objective",
    "optimiser": "Optimiser",
    "validation": "Validation",
    "watching": "Watching for training that goes wrong",
    "run": "The run",
}


# The fields of the last come first.
@dataclass(frozen=True)
class TrainConfig(
    RunOptions,
    WatchingOptions,
    ValidationOptions,
    OptimiserOptions,
    ObjectiveOptions,
    NetworkOptions,
    ReleaseOptions,
):
    """What one training run is made from. The groups of its options are in each field's metadata.

    Raises:
        ValueError: an option of another type or out of its range; the text names it, what was expected and what was
            found.
    """

    def __post_init__(self) -> None:
        check_options(self)
        check_combinations(self)

    @classmethod
    def from_preset(cls, preset: str, **options: Any) -> TrainConfig:
        """The options of a preset, such as "recommended", with `options` in place of some of them.

        Raises:
            ValueError: no such preset, or an option out of its range.

        >>> config = TrainConfig.from_preset("recommended", batch_size=8)
        >>> config.batch_size, config.ssim_weight, TrainConfig().ssim_weight
        (8, 0.85, 0.0)
        """
        if preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
        return cls(**{**PRESETS[preset], **options})

    @property
    def num_sources(self) -> int:
        """Source frames per example."""
        return self.seq_length - 1

    @property
    def target_index(self) -> int:
        """Which frame of an example, from 0 on, is the target."""
        return self.num_sources if self.target_frame == "last" else self.num_sources // 2

    @property
    def learns_masks(self) -> bool:
        """Whether explainability masks are learned."""
        return self.explain_reg_weight > 0

    @property
    def needs_objects(self) -> bool:
        """Whether the masks of objects are read."""
        return self.object_masks or self.object_motion

    @property
    def needs_source_depth(self) -> bool:
        """Whether the depth of the sources is predicted, beside the target's."""
        compares = self.geometry_weight > 0 or self.consistency_mask != "none" or self.occlusion_aware
        return self.both_directions or compares

    @property
    def starts_from_encoder_weights(self) -> bool:
        """Whether the encoders' weights come from elsewhere; those of a run that continues are its own."""
        return self.encoder_weights != "none" and not self.continue_train

    @property
    def dtype_policy(self) -> str:
        """Keras's name of the precision of the networks."""
        return "float32" if self.precision in ("float32", "tensorfloat32") else f"mixed_{self.precision}"

    @property
    def lr_decay_step(self) -> int | None:
        """The first step with the lower learning rate; None where the rate never drops."""
        return int(self.lr_decay_after * self.max_steps) + 1 if self.lr_decay_after < 1 else None
