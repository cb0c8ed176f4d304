"""All datasets, by name."""

from __future__ import annotations

from sfmlearner_tf.data import splits
from sfmlearner_tf.data.cityscapes import list_cityscapes
from sfmlearner_tf.data.kitti_odom import list_kitti_odom
from sfmlearner_tf.data.kitti_raw import list_kitti_raw
from sfmlearner_tf.data.own_recordings import Calibrate, list_images, list_videos
from sfmlearner_tf.data.sequences import Listing, Selection

DATASETS = ("kitti_raw_eigen", "kitti_raw_stereo", "kitti_raw", "kitti_odom", "cityscapes", "video", "images")
OWN_DATASETS = ("video", "images")
"""The user's own recordings, which come without calibration."""


def list_dataset(
    name: str,
    dataset_dir: str,
    selection: Selection,
    calibrate: Calibrate,
    frame_step: int = 1,
    calibrated: bool = True,
) -> Listing:
    """Lists the frames of a dataset.

    `calibrate` and `frame_step` apply to videos and images only; `calibrated` to KITTI raw, see `list_kitti_raw`.
    """
    if name == "kitti_odom":
        return list_kitti_odom(dataset_dir, selection)
    if name == "cityscapes":
        return list_cityscapes(dataset_dir, selection)
    if name == "video":
        return list_videos(dataset_dir, selection, calibrate, frame_step)
    if name == "images":
        return list_images(dataset_dir, selection, calibrate, frame_step)
    split = name[len("kitti_raw_") :]
    return list_kitti_raw(dataset_dir, selection, splits.held_out_scenes(split) if split else None, calibrated)
