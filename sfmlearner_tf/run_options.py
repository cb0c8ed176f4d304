"""Options of training that say how a run goes; the 2017 release's among them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sfmlearner_tf.options import option
from sfmlearner_tf.watchdogs import WATCH_NAMES

# Beyond these no computer trains; a slip of the pen such as 12800000 ends in one line, not in gigabytes.
_MAX_SIDE, _MAX_FRAMES, _MAX_BATCH, _MAX_THREADS = 8192, 99, 8192, 1024
# What an int32 of a checkpoint of 2017 holds.
_MAX_INT = 2**31 - 1

_release, _optimiser, _validation, _watching, _run = (
    partial(option, name) for name in ("release", "optimiser", "validation", "watching", "run")
)


@dataclass(frozen=True)
class ReleaseOptions:
    """Options of the 2017 release, under its names."""

    dataset_dir: str = _release(
        "", "Folder of the formatted data: train.txt and what it lists. Several with commas are mixed; of folder:2 "
        "each example comes twice an epoch."
    )  # fmt: skip
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


@dataclass(frozen=True)
class OptimiserOptions:
    """How the optimiser goes on."""

    lr_decay_after: float = _optimiser(
        1.0, "Share of max_steps after which the learning rate is multiplied by lr_decay_factor; 1 never does. Once "
        "dropped, the rate stays down when training continues with a larger max_steps.", above=0, at_most=1,
    )  # fmt: skip
    lr_decay_factor: float = _optimiser(
        0.25, "Factor by which the learning rate drops after lr_decay_after.", above=0, at_most=1
    )


@dataclass(frozen=True)
class ValidationOptions:
    """What is measured on the way."""

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


@dataclass(frozen=True)
class WatchingOptions:
    """What is watched for training that goes wrong."""

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


@dataclass(frozen=True)
class RunOptions:
    """How the run goes."""

    on_bad_example: str = _run(
        "stop", "What to do when the files of an example are missing or damaged: save and stop, or skip it for good "
        "and list it in bad_examples.txt of checkpoint_dir.", choices=("stop", "skip"),
    )  # fmt: skip
    max_bad_fraction: float = _run(
        0.01, "With on_bad_example=skip, stop where more than this share of the examples is damaged.", at_least=0,
        below=1,
    )  # fmt: skip
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
        "float32", "Precision in which the networks compute; outputs, losses and weights stay float32. tensorfloat32 "
        "has 10 bits in convolutions on GPUs that know it, else is float32. float16 scales the loss.",
        choices=("float32", "tensorfloat32", "bfloat16", "float16"),
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
