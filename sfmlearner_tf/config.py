"""Every option of training, with the 2017 release's name and default where it has one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from sfmlearner_tf.combinations import check_combinations
from sfmlearner_tf.networks.registry import network_names
from sfmlearner_tf.options import check_options, option
from sfmlearner_tf.presets import PRESETS
from sfmlearner_tf.watchdogs import WATCH_NAMES

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


# Beyond these no computer trains; a slip of the pen such as 12800000 ends in one line, not in gigabytes.
_MAX_SIDE, _MAX_FRAMES, _MAX_BATCH, _MAX_THREADS = 8192, 99, 8192, 1024
# What an int32 of a checkpoint of 2017 holds.
_MAX_INT = 2**31 - 1

_release, _networks, _objective, _optimiser, _validation, _watching, _run = (partial(option, name) for name in GROUPS)


@dataclass(frozen=True)
class TrainConfig:
    """What one training run is made from. The groups of its options are in each field's metadata.

    Raises:
        ValueError: an option of another type or out of its range; the text names it, what was expected and what was
            found.
    """

    dataset_dir: str = _release("", "Folder of the formatted data: train.txt and what it lists.")
    checkpoint_dir: str = _release("./checkpoints/", "Folder for checkpoints and TensorBoard summaries.")
    init_checkpoint_file: str = _release(
        "", "Checkpoint to start from, such as folder/model-190532: its weights, from step 0 on; with continue_train "
        "its step and Adam's moments too."
    )  # fmt: skip
    learning_rate: float = _release(0.0002, "Learning rate of Adam.", above=0)
    beta1: float = _release(0.9, "Momentum term of Adam.", at_least=0, below=1)
    smooth_weight: float = _release(0.5, "Weight of the smoothness loss, divided by 2**s at scale s.", at_least=0)
    explain_reg_weight: float = _release(
        0.0, "Weight of the loss that holds the explainability masks near 1; with 0 no masks are learned.", at_least=0
    )
    batch_size: int = _release(4, "Examples per step.", at_least=1, at_most=_MAX_BATCH)
    img_height: int = _release(128, "Height of the formatted frames, pixels.", at_least=32, at_most=_MAX_SIDE)
    img_width: int = _release(416, "Width of the formatted frames, pixels.", at_least=32, at_most=_MAX_SIDE)
    seq_length: int = _release(
        3, "Frames per example: the target in the middle and its sources.", at_least=3, at_most=_MAX_FRAMES, odd=True
    )
    max_steps: int = _release(
        200000, "Training runs steps 1 to max_steps - 1, counted from the very first run.", at_least=1,
        at_most=_MAX_INT,
    )  # fmt: skip
    summary_freq: int = _release(100, "Steps between two summaries.", at_least=1)
    save_latest_freq: int = _release(5000, "Steps between two saves of model.latest.", at_least=1)
    continue_train: bool = _release(
        False, "Continue from the newest checkpoint of checkpoint_dir, or from init_checkpoint_file."
    )

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
    min_disp: float = _networks(
        0.01, "Smallest disparity that the depth network predicts: 0.01 in the release's code, 0.1 in the paper.",
        above=0,
    )  # fmt: skip
    initial_disp: float = _networks(
        0.0, "Disparity that the untrained network predicts, roughly. 0 leaves the release's 5, the middle of the "
        "range; a small one leaves near things room.", at_least=0, below=10,
    )  # fmt: skip
    learn_intrinsics: bool = _networks(
        False, "Let the pose network learn the camera's intrinsics, for recordings of an unknown camera; those of the "
        "data are not read."
    )  # fmt: skip
    motion_field: bool = _networks(
        False, "Let the pose network learn how things move by themselves: a translation at each pixel."
    )

    object_masks: bool = _networks(
        False, "With motion_field, let nothing move by itself but the objects whose masks the data has, which "
        "prepare_train_data.py writes with --masks_dir."
    )  # fmt: skip

    num_scales: int = _objective(4, "Scales of the losses, from the finest on.", at_least=1, at_most=4)
    ssim_weight: float = _objective(
        0.0, "Share of 1 - SSIM in the photometric error; the rest is the absolute difference.", at_least=0, at_most=1
    )
    mask_out_of_view: bool = _objective(
        False, "Leave pixels that fall outside a source image out of the photometric error."
    )
    smoothness: str = _objective(
        "second_order", "Smoothness of disparity: absolute second-order differences, or edge-aware first-order ones.",
        choices=("second_order", "edge_aware"),
    )  # fmt: skip
    smooth_normalized: bool = _objective(False, "Divide disparity by its mean before the smoothness loss.")
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
        0.0, "Weight of the share by which the depths of target and sources disagree: holds all frames to one scale.",
        at_least=0,
    )  # fmt: skip
    consistency_mask: str = _objective(
        "none", "Weight the photometric error by how well those depths agree, which leaves out what moves or is "
        "hidden: learned through the weight, or not (detached).", choices=("none", "detached", "learned"),
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
        0.0, "With motion_field, weight of the loss that lets each of them move as a whole.", at_least=0
    )
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

    lr_decay_after: float = _optimiser(
        1.0, "Share of max_steps after which the learning rate is multiplied by lr_decay_factor; 1 never does. Once "
        "dropped, the rate stays down when training continues with a larger max_steps.", above=0, at_most=1,
    )  # fmt: skip
    lr_decay_factor: float = _optimiser(0.25, "Factor of that drop.", above=0, at_most=1)

    val_freq: int = _validation(
        5000, "Steps between two validations on val.txt of dataset_dir, with one more after the last step; 0: none.",
        at_least=0,
    )  # fmt: skip
    val_examples: int = _validation(200, "Largest number of examples of a validation, evenly spread.", at_least=1)
    val_kitti_dir: str = _validation(
        "", "Folder of KITTI raw with velodyne_points or proj_depth, and oxts: validation then also measures Abs Rel "
        "and the translation error there."
    )  # fmt: skip
    val_files: str = _validation(
        "", "List of image files relative to val_kitti_dir, one a line; without it the frames of val.txt."
    )
    best_metric: str = _validation(
        "total", "Metric of validation whose smallest value is kept as model.best.",
        choices=("total", "pixel", "abs_rel", "translation_error"),
    )  # fmt: skip

    on_collapse: str = _watching(
        "warn", "What to do when training goes wrong, for example when depth becomes constant.",
        choices=("warn", "stop"),
    )  # fmt: skip
    watches_off: str = _watching(
        "", f"Watches to switch off, with commas: {', '.join(WATCH_NAMES)}.", listed=WATCH_NAMES
    )
    watch_freq: int = _watching(10, "Steps between two looks at training.", at_least=1)
    watch_after: int = _watching(
        500, "First step at which constant depth, no motion and the like count as going wrong.", at_least=0
    )

    on_bad_example: str = _run(
        "stop", "What to do when the files of an example are missing or damaged: save and stop, or skip it for good "
        "and list it in bad_examples.txt of checkpoint_dir.", choices=("stop", "skip"),
    )  # fmt: skip
    max_bad_fraction: float = _run(0.01, "Share of the examples above which skip stops, too.", at_least=0, below=1)
    overwrite: bool = _run(False, "Delete the earlier run in checkpoint_dir when training starts.")
    accept_changes: bool = _run(
        False, "Continue although other options or other data than before change what is learned."
    )
    distribute: str = _run(
        "none", "Devices that share each batch: all GPUs of this machine (mirrored), or those of the workers that "
        "TF_CONFIG lists, on one machine or several (multi_worker); docs/distributed.md.",
        choices=("none", "mirrored", "multi_worker"),
    )  # fmt: skip
    precision: str = _run(
        "float32", "Precision in which the networks compute; outputs, losses and weights stay float32. float16 scales "
        "the loss.", choices=("float32", "bfloat16", "float16"),
    )  # fmt: skip
    seed: int = _run(8964, "Decides initial weights, order of the data and augmentation.", at_least=0, at_most=_MAX_INT)
    max_to_keep: int = _run(10, "Number of model-<step> that are kept; the oldest is deleted first.", at_least=1)
    jit_compile: bool = _run(False, "Compile the training step with XLA.")
    deterministic: bool = _run(
        False, "Make every operation give the same bits each time. Changes nothing on a CPU; slows a GPU down."
    )
    cache: str = _run(
        "none", "Where decoded examples are kept, so that from the second pass on none is decoded again: in memory, or "
        "in files of the temporary folder (TMPDIR), which are removed however training ends.",
        choices=("none", "memory", "disk"),
    )  # fmt: skip
    num_threads: int = _run(
        0, "Threads that decode images; 0 lets TensorFlow choose.", at_least=0, at_most=_MAX_THREADS
    )

    def __post_init__(self) -> None:
        check_options(self)
        check_combinations(self)

    @classmethod
    def from_preset(cls, preset: str, **options: Any) -> TrainConfig:
        """The options of a preset, such as "recommended", with `options` in place of some of them.

        Raises:
            ValueError: no such preset, or an option out of its range.
        """
        if preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
        return cls(**{**PRESETS[preset], **options})

    @property
    def num_sources(self) -> int:
        """Source frames per example."""
        return self.seq_length - 1

    @property
    def learns_masks(self) -> bool:
        """Whether explainability masks are learned."""
        return self.explain_reg_weight > 0

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
        return "float32" if self.precision == "float32" else f"mixed_{self.precision}"

    @property
    def lr_decay_step(self) -> int | None:
        """The first step with the lower learning rate; None where the rate never drops."""
        return int(self.lr_decay_after * self.max_steps) + 1 if self.lr_decay_after < 1 else None
