"""What keeps one run from writing over another, and a run that continues from becoming another one unseen."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence

import tensorflow as tf

from kitti_eval.locks import lock_folder
from sfmlearner_tf import checkpoint, run_config
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.data import mixture
from sfmlearner_tf.data.formatted import Example
from sfmlearner_tf.errors import UserError

# What a checkpoint says about the data: the seed of its order, how many examples were seen, and which there are.
SEED = "train_op/seed"
DATA_POSITION = "train_op/data_position"
DATA_CHECKSUM = "train_op/data_checksum"


def make_data_state(config: TrainConfig, examples: Sequence[Example], position: tf.Variable) -> dict[str, tf.Variable]:
    """The variables that say in a checkpoint what data the run sees; `position` counts the examples."""
    return {
        SEED: tf.Variable(config.seed, dtype=tf.int64, trainable=False),
        DATA_POSITION: position,
        DATA_CHECKSUM: tf.Variable(_checksum(examples, config.dataset_dir), dtype=tf.int64, trainable=False),
    }


def check_folder(config: TrainConfig) -> None:
    """Raises UserError where another run has the folder, or where a new run would write over an earlier one or delete
    what it starts from."""
    folder = config.checkpoint_dir
    if os.path.isdir(folder):
        with lock_folder(folder):  # to learn early whether it is to be had
            pass
    found = run_config.holds_run(folder)
    if found and not (config.continue_train or config.overwrite):
        raise UserError(
            f"checkpoint_dir={folder} holds an earlier run ({found}): expected another folder, or continue_train or "
            "overwrite"
        )
    path = config.init_checkpoint_file
    if found and config.continue_train and path and not _lies_in(path, folder):
        raise UserError(
            f"checkpoint_dir={folder} holds an earlier run ({found}), which init_checkpoint_file={path} is not of: "
            "expected another folder for what continues from there"
        )
    for name in ("init_checkpoint_file", "anchor_checkpoint_file"):
        path = getattr(config, name)
        if config.overwrite and path and _lies_in(path, folder):
            raise UserError(f"{name}={path} lies in checkpoint_dir, which overwrite empties: expected another folder")


def _lies_in(path: str, folder: str) -> bool:
    return os.path.realpath(os.path.dirname(path)) == os.path.realpath(folder)


def check_architecture(before: TrainConfig | None, config: TrainConfig) -> None:
    """Raises UserError where a run had another architecture; `before` are its options, None if they are unknown."""
    architecture = run_config.compare(before, config).architecture if before else []
    if architecture:
        raise UserError(f"cannot continue a run with another architecture: {'; '.join(architecture)}")


def list_changes(path: str, before: TrainConfig | None, config: TrainConfig, examples: Sequence[Example]) -> list[str]:
    """What is not as it was when a checkpoint was written, a line for each change.

    Args:
        path: the checkpoint.
        before: the options of its run; None if they are unknown.

    Raises:
        UserError: there are changes, and accept_changes is not set.
    """
    changes = run_config.compare(before, config).other if before else []
    seed = int(checkpoint.read_scalar(path, SEED, config.seed))
    if not before and seed != config.seed:
        changes.append(f"seed was {seed}, now {config.seed}")
    checksum = _checksum(examples, config.dataset_dir)
    if checkpoint.read_scalar(path, DATA_CHECKSUM, checksum) != checksum:
        changes.append(f"train.txt of {config.dataset_dir} lists other examples than before")
    if changes and not config.accept_changes:
        raise UserError(
            f"cannot continue from {path} as before: {'; '.join(changes)} (accept_changes continues with them)"
        )
    return changes


def _checksum(examples: Sequence[Example], dataset_dir: str) -> int:
    """Tells lists of examples apart, wherever they lie."""
    names = mixture.name_without_place(examples, dataset_dir)
    return zlib.crc32("\n".join(f"{example.folder} {example.frame}" for example in names).encode())
