"""Which options of training exclude or need each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfmlearner_tf.config import TrainConfig

_SMALLEST_IN_HALF = 64
# What options say nothing without others.
_NEEDED = {
    "centred": "learn_intrinsics",
    "edge_weight": "edges",
    "focal_ratio": "learn_intrinsics",
    "object_masks": "motion_field",
    "object_size_weight": "object_motion",
    "object_sparsity_weight": "motion_field",
    "object_smooth_weight": "motion_field",
    "rotation_cycle_weight": "both_directions",
    "translation_cycle_weight": "both_directions",
}


def check_combinations(config: TrainConfig) -> None:
    """Raises ValueError where options do not go together; the text names them."""
    if config.sampler == "addons" and config.jit_compile:
        raise ValueError("sampler must be 'native' with jit_compile, got 'addons': XLA cannot compile it")
    # The last strided convolution then sees one pixel, and on a CPU oneDNN leaves its gradient in bfloat16 unwritten.
    if config.dtype_policy != "float32" and max(config.img_height, config.img_width) <= _SMALLEST_IN_HALF:
        size = f"{_SMALLEST_IN_HALF}x{_SMALLEST_IN_HALF}"
        raise ValueError(f"precision must be float32 for images of at most {size} pixels, got {config.precision!r}")
    if 0 < config.initial_disp <= config.min_disp:
        raise ValueError(f"initial_disp must be 0 or above min_disp={config.min_disp}, got {config.initial_disp}")
    if config.depth_parametrization == "depth" and 0 < config.initial_disp <= 0.1:
        raise ValueError(
            f"initial_disp must be 0 or above 0.1 with depth_parametrization=depth, got {config.initial_disp}"
        )
    if config.learns_masks and config.pose_network != "posenet":
        raise ValueError(
            f"explain_reg_weight must be 0 with pose_network={config.pose_network}, got {config.explain_reg_weight}"
        )
    if config.encoder_weights != "none" and "resnet50" not in (config.depth_network, config.pose_network):
        raise ValueError(f"encoder_weights must be none without a resnet50, got {config.encoder_weights!r}")
    if config.motion_field and config.pose_network == "posenet":
        raise ValueError("pose_network must be one of pairs with motion_field, such as pairnet, got 'posenet'")
    if config.object_motion and (config.motion_field or config.both_directions):
        name = "motion_field" if config.motion_field else "both_directions"
        raise ValueError(f"{name} must be false with object_motion, got true")
    if config.target_frame != "middle" and config.speed_weight:
        raise ValueError(f"speed_weight must be 0 with target_frame={config.target_frame}, got {config.speed_weight}")
    if config.depth_norm != "none" and config.depth_network != "dispnet":
        raise ValueError(f"depth_network must be dispnet with depth_norm, got {config.depth_network!r}")
    for name, needed in _NEEDED.items():
        if getattr(config, name) and not getattr(config, needed):
            off = "false" if getattr(config, name) is True else "0"
            raise ValueError(f"{name} must be {off} without {needed}, got {str(getattr(config, name)).lower()}")
    if (config.anchor_weight > 0) != bool(config.anchor_checkpoint_file):
        raise ValueError(
            "anchor_weight must be above 0 with anchor_checkpoint_file and 0 without, got "
            f"{config.anchor_weight} and {config.anchor_checkpoint_file!r}"
        )
    if config.best_metric in ("abs_rel", "translation_error") and not config.val_kitti_dir:
        raise ValueError(f"best_metric must be total or pixel without val_kitti_dir, got {config.best_metric!r}")
    if config.val_files and not config.val_kitti_dir:
        raise ValueError(f"val_files must be empty without val_kitti_dir, got {config.val_files!r}")
    if config.on_bad_example == "skip" and config.distribute == "multi_worker":
        raise ValueError(
            "on_bad_example must be 'stop' with distribute=multi_worker, got 'skip': the workers would leave out "
            "different examples (check_dataset finds the damaged ones in advance)"
        )
    if config.overwrite and config.continue_train:
        raise ValueError("overwrite must be false with continue_train, got true")
