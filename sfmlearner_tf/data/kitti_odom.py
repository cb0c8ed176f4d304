"""KITTI odometry: sequences/<two digits>/image_2/<six digits>.png and calib.txt.

As in the 2017 release, training uses the left colour camera of sequences 00 to 08, and output folders are named after
the sequence, e.g. 04/000012.jpg.
"""

from __future__ import annotations

import os

from sfmlearner_tf.data.calibration import read_kitti_projection
from sfmlearner_tf.data.kitti_raw import note_missing_frames, numbered_images
from sfmlearner_tf.data.sequences import Listing, Selection
from sfmlearner_tf.errors import UserError

TRAIN_SEQUENCES = tuple(f"{number:02d}" for number in range(9))
# How many frames each has.
LENGTHS = (4541, 1101, 4661, 801, 271, 2761, 1101, 1101, 4071)


def list_kitti_odom(dataset_dir: str, selection: Selection) -> Listing:
    """Lists the training sequences; missing data becomes a note."""
    listing = Listing()
    for name, length in zip(TRAIN_SEQUENCES, LENGTHS):
        folder = os.path.join(dataset_dir, "sequences", name)
        frames = numbered_images(os.path.join(folder, "image_2"))
        if not frames:
            listing.note("missing sequence", os.path.join(folder, "image_2"))
            continue
        path = os.path.join(folder, "calib.txt")
        if not os.path.exists(path):
            listing.note("missing calibration", path, lost=True)
            continue
        try:
            intrinsics = read_kitti_projection(path, "P2")
        except UserError as error:
            listing.note("damaged calibration", str(error), lost=True)
        else:
            listing.add(name, name, frames, intrinsics, selection, join_static=True)
            note_missing_frames(listing, folder, frames, range(length))
    return listing
