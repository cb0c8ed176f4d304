"""The networks that `predict` runs, out of a checkpoint or a SavedModel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.run_config import find_image_size

if TYPE_CHECKING:
    from sfmlearner_tf.prediction import DepthPredictor, PosePredictor


def check_source(ckpt_file: str | None, saved_model: str | None) -> None:
    """Raises UserError unless one of the two flags says where the networks are."""
    if (ckpt_file is None) == (saved_model is None):
        found = "none" if ckpt_file is None else "both"
        raise UserError(f"expected one of --ckpt_file and --saved_model, found {found}")


def load_checkpoint(
    path: str, height: int | None, width: int | None, seq_length: int | None, *, depth: bool, pose: bool
) -> tuple[DepthPredictor | None, PosePredictor | None]:
    """The networks of a checkpoint that are asked for; None for the others.

    Args:
        height, width: of the images that they get; None takes those of the training.
        seq_length: frames that the pose network is expected to see; None takes what is there.

    Raises:
        UserError: a network is not there, or is another.
    """
    from sfmlearner_tf import prediction

    size = find_image_size(path, height, width)
    return (
        prediction.load_depth_predictor(path, *size) if depth else None,
        prediction.load_pose_predictor(path, *size, seq_length) if pose else None,
    )


def load_saved_model(
    path: str, height: int | None, width: int | None, seq_length: int | None, *, depth: bool, pose: bool
) -> tuple[DepthPredictor | None, PosePredictor | None]:
    """As `load_checkpoint`, of a SavedModel, which knows its sizes: others are an error."""
    from sfmlearner_tf import prediction

    saved = prediction.SavedModel(path)
    depth_network = saved.depth() if depth else None
    # The pose network's size is not in the file: where there is no depth network, it is the release's.
    release = TrainConfig()
    pose_network = saved.pose(height or release.img_height, width or release.img_width) if pose else None
    sizes = []
    if depth_network:
        sizes += [("img_height", height, depth_network.height), ("img_width", width, depth_network.width)]
    if pose_network:
        sizes.append(("seq_length", seq_length, pose_network.seq_length))
    for name, given, own in sizes:
        if given not in (None, own):
            raise UserError(f"--{name}={given}: expected {own}, as in {path}, or no such flag")
    return depth_network, pose_network
