"""Options of training that say what is learned: by which networks, and from which objective."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sfmlearner_tf.networks.registry import network_names
from sfmlearner_tf.options import option

# What the depth network's outputs can be.
PARAMETRIZATIONS = ("disparity", "depth", "softplus")

_networks, _objective = partial(option, "networks"), partial(option, "objective")


@dataclass(frozen=True)
class NetworkOptions:
    """What the networks are."""

    depth_network: str = _networks("dispnet", "Depth network.", choices=network_names("depth"))
    depth_norm: str = _networks(
        "none", "Normalisation after each convolution of dispnet: none, or by mean and variance of each image that are "
        "made noisy in training.", choices=("none", "randomized"),
    )  # fmt: skip
    pose_network: str = _networks(
        "posenet", "Pose network; all but the release's see two frames at a time and have no masks.",
        choices=network_names("pose"),
    )  # fmt: skip
    encoder_weights: str = _networks(
        "none", "What the encoders of resnet50 start from: none, imagenet, which keras.applications downloads, or a "
        "file of such weights without the top."
    )  # fmt: skip
    depth_parametrization: str = _networks(
        "disparity", "What the depth network's outputs are: disparity, 10 sigmoid + min_disp; or depth itself, 10 "
        "sigmoid + 0.1 (depth) or softplus + 0.1 (softplus).", choices=PARAMETRIZATIONS,
    )  # fmt: skip
    edges: bool = _networks(
        False, "Let the depth network learn where the edges of things are, too, which smoothness=planar and "
        "normal_smooth_weight then stop at."
    )  # fmt: skip
    min_disp: float = _networks(
        0.01, "Smallest disparity that the depth network predicts: 0.01 in the release's code, 0.1 in the paper.",
        above=0,
    )  # fmt: skip
    initial_disp: float = _networks(
        0.0, "Disparity that the untrained network predicts, roughly. 0 leaves the release's 5, the middle of the "
        "range; a small one leaves near things room.", at_least=0, below=10,
    )  # fmt: skip
    target_frame: str = _networks(
        "middle", "Which frame of an example is the target, whose depth is compared and whose motion to the others is "
        "predicted: the middle one, or the last, so that motion comes from the past alone.", choices=("middle", "last"),
    )  # fmt: skip
    learn_intrinsics: bool = _networks(
        False, "Let the pose network learn the camera's intrinsics, for recordings of an unknown camera; those of the "
        "data are not read."
    )  # fmt: skip
    focal_ratio: float = _networks(
        0.0, "With learn_intrinsics, fy over fx of the formatted frames where it is known, which prepare_train_data.py "
        "prints for square pixels; 0 learns both.", at_least=0,
    )  # fmt: skip
    centred: bool = _networks(
        False, "With learn_intrinsics, take the principal point to be the middle of the frame. A car that hardly "
        "pitches does not show it."
    )  # fmt: skip
    motion_field: bool = _networks(
        False, "Let the pose network learn how things move by themselves: a translation at each pixel."
    )
    object_motion: bool = _networks(
        False, "Let a second pose network learn how each object moves whose mask the data has; the first sees the "
        "frames without them."
    )  # fmt: skip
    max_objects: int = _networks(
        4, "With object_motion, objects of an example that can move, the largest first.", at_least=1, at_most=255
    )
    object_masks: bool = _networks(
        False, "With motion_field, let nothing move by itself but the objects whose masks the data has, which "
        "prepare_train_data.py writes with --masks_dir."
    )  # fmt: skip


@dataclass(frozen=True)
class ObjectiveOptions:
    """What is learned from."""

    num_scales: int = _objective(4, "Scales of the losses, from the finest on.", at_least=1, at_most=4)
    ssim_weight: float = _objective(
        0.0, "Share of 1 - SSIM in the photometric error; the rest is the absolute difference.", at_least=0, at_most=1
    )
    mask_out_of_view: bool = _objective(
        False, "Leave pixels that fall outside a source image out of the photometric error."
    )
    smoothness: str = _objective(
        "second_order", "Smoothness of disparity: absolute second-order differences, or edge-aware first-order ones; "
        "or of surfaces in 3-D, which may be planes at any angle (planar).",
        choices=("second_order", "edge_aware", "planar"),
    )  # fmt: skip
    smooth_normalized: bool = _objective(False, "Divide disparity by its mean before the smoothness loss.")
    depth_normal: bool = _objective(
        False, "Turn depth into normals and back before the warp, so that both agree: each pixel gets the depth of the "
        "planes around it."
    )  # fmt: skip
    normal_smooth_weight: float = _objective(0.0, "Weight of the second-order differences of normals.", at_least=0)
    edge_weight: float = _objective(
        0.0, "With edges, weight of the loss that keeps them from being everywhere.", at_least=0
    )
    mask_loss: str = _objective(
        "cross_entropy", "Loss that holds the explainability masks near 1.", choices=("cross_entropy", "focal")
    )
    anchor_weight: float = _objective(
        0.0, "Weight of the mean absolute difference of log disparity from that of anchor_checkpoint_file: keeps "
        "things that move along with the camera from becoming infinitely far.", at_least=0,
    )  # fmt: skip
    anchor_checkpoint_file: str = _objective(
        "", "Checkpoint whose depth anchor_weight holds to; its weights stay as they are."
    )
    both_directions: bool = _objective(
        False, "Warp the target into each source, too, so that the depth of every frame is learned."
    )
    geometry_weight: float = _objective(
        0.0, "Weight of the depth consistency loss, the share by which the depths of target and sources disagree: "
        "holds all frames to one scale.", at_least=0,
    )  # fmt: skip
    consistency_mask: str = _objective(
        "none", "Weight the photometric error by how well the depths of target and sources agree, which leaves out "
        "what moves or is hidden: learned through the weight, or not (detached).",
        choices=("none", "detached", "learned"),
    )  # fmt: skip
    constant_depth_weight: float = _objective(
        0.0, "Weight of one over the variance of depth over its mean, which keeps depth from becoming constant; 1e-6 "
        "is usual.", at_least=0,
    )  # fmt: skip
    occlusion_aware: bool = _objective(
        False, "Compare colours and depths only where no other frame sees anything before a point."
    )
    object_sparsity_weight: float = _objective(
        0.0, "With motion_field, weight of the loss that lets few things move by themselves.", at_least=0
    )
    object_smooth_weight: float = _objective(
        0.0, "With motion_field, weight of the loss that lets each moving object move as a whole.", at_least=0
    )
    object_size_weight: float = _objective(
        0.0, "With object_motion, weight of the loss that holds the depth of each object to that of one height, which "
        "is learned.", at_least=0,
    )  # fmt: skip
    speed_weight: float = _objective(
        0.0, "Weight of the difference, in metres, of the camera's motion from the distances that the data has, which "
        "prepare_train_data.py writes with --speeds: depth is then in metres. 1 with initial_disp=0.1 does that; much "
        "less is too weak.", at_least=0,
    )  # fmt: skip
    rotation_cycle_weight: float = _objective(
        0.0, "With both_directions, weight of the loss that holds the rotations there and back to be inverse.",
        at_least=0,
    )  # fmt: skip
    translation_cycle_weight: float = _objective(
        0.0, "With both_directions, weight of the loss that holds the translations there and back to be inverse.",
        at_least=0,
    )  # fmt: skip
    random_flip: bool = _objective(False, "Mirror each example left to right with probability 1/2.")
    sampler: str = _objective(
        "native", "Kernel of the bilinear sampler; addons is the compiled one of tensorflow-addons.",
        choices=("native", "addons"),
    )  # fmt: skip
