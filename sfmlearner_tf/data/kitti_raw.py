"""KITTI raw: <date>/<date>_drive_<number>_sync/image_0{2,3}/data/<10 digits>.png, <date>/calib_cam_to_cam.txt.

As in the 2017 release, the frames before and after static ones are neighbours. Those before and after a missing file
are not: the release counts the files, takes them to be numbered without a gap, and stops at the first missing one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from sfmlearner_tf.data.calibration import read_kitti_projection
from sfmlearner_tf.data.sequences import Frame, Intrinsics, Listing, Selection
from sfmlearner_tf.errors import UserError

DATES = ("2011_09_26", "2011_09_28", "2011_09_29", "2011_09_30", "2011_10_03")
# The drives of each date, and its recording of calibration boards, which not every copy has.
DRIVES = {"2011_09_26": 45, "2011_09_28": 92, "2011_09_29": 3, "2011_09_30": 7, "2011_10_03": 4}
CALIBRATION_DRIVES = ("0119", "0225", "0108", "0072", "0058")
CAMERAS = ("02", "03")


def list_kitti_raw(
    dataset_dir: str, selection: Selection, held_out: Collection[str] | None = None, calibrated: bool = True
) -> Listing:
    """Lists both colour cameras of every drive.

    held_out: scenes to leave out of the five published dates; None takes every date and drive that is there.
    calibrated: whether intrinsics are needed; without them those of the sequences mean nothing.
    Missing data (date, drive, calibration, camera, frame) becomes a note.
    """
    listing = Listing()
    for date in _dates(dataset_dir) if held_out is None else DATES:
        if not os.path.isdir(os.path.join(dataset_dir, date)):
            listing.note("missing date", date)
            continue
        drives = _list_drives(dataset_dir, date, listing)
        if held_out is not None:
            _note_missing_drives(listing, date, drives)
        cameras = dict.fromkeys(CAMERAS, Intrinsics(1, 1, 0, 0))
        if calibrated:
            cameras = _read_cameras(dataset_dir, date, listing) if drives else {}
        for drive in drives:
            if drive[: -len("_sync")] in (held_out or ()):
                listing.note("scene held out", drive)
                continue
            for camera, intrinsics in cameras.items():
                _add_camera(listing, dataset_dir, drive, camera, intrinsics, selection)
    return listing


def _dates(dataset_dir: str) -> list[str]:
    return sorted(name for name in os.listdir(dataset_dir) if re.fullmatch(r"\d{4}_\d\d_\d\d", name))


def _list_drives(dataset_dir: str, date: str, listing: Listing) -> list[str]:
    """The synchronised drives of a date; notes the others."""
    names = sorted(os.listdir(os.path.join(dataset_dir, date)))
    for name in names:
        if re.fullmatch(date + r"_drive_\d{4}_extract", name):
            listing.note("_extract drive, but the _sync ones are needed", name)
    return [name for name in names if re.fullmatch(date + r"_drive_\d{4}_sync", name)]


def _note_missing_drives(listing: Listing, date: str, drives: list[str]) -> None:
    found = sum(drive.split("_")[4] != CALIBRATION_DRIVES[DATES.index(date)] for drive in drives)
    if found < DRIVES[date]:
        listing.note("missing drives", f"{date}, of its {DRIVES[date]}", number=DRIVES[date] - found)


def _read_cameras(dataset_dir: str, date: str, listing: Listing) -> dict[str, Intrinsics]:
    cameras = {}
    path = os.path.join(dataset_dir, date, "calib_cam_to_cam.txt")
    if not os.path.exists(path):
        listing.note("missing calibration", path, lost=True)
        return {}
    for camera in CAMERAS:
        try:
            cameras[camera] = read_kitti_projection(path, f"P_rect_{camera}")
        except UserError as error:
            listing.note("damaged calibration", str(error), lost=True)
    return cameras


def _add_camera(
    listing: Listing, dataset_dir: str, drive: str, camera: str, intrinsics: Intrinsics, selection: Selection
) -> None:
    data = os.path.join(dataset_dir, drive[:10], drive, f"image_{camera}", "data")
    frames = numbered_images(data)
    if frames:
        listing.add(f"{drive}_{camera}", drive, frames, intrinsics, selection, join_static=True)
        note_missing_frames(listing, data, frames, range(min(frames), max(frames) + 1))
    else:
        listing.note("missing camera", data)


def numbered_images(folder: str) -> dict[int, Frame]:
    """The images of a folder whose names are numbers, by number; empty if there is no such folder.

    Of two files with one number the .png is taken.
    """
    if not os.path.isdir(folder):
        return {}
    stems = ((*os.path.splitext(name), name) for name in sorted(os.listdir(folder)))
    return {
        int(stem): Frame(stem, os.path.join(folder, name))
        for stem, extension, name in stems
        if stem.isdecimal() and extension in (".png", ".jpg")
    }


def note_missing_frames(listing: Listing, folder: str, frames: Collection[int], expected: range) -> None:
    """Notes how many of the expected numbers have no frame."""
    missing = len(expected) - len(frames)
    if missing > 0:
        first = next(number for number in expected if number not in frames)
        listing.note("missing frames", f"{folder}, the first is {first}", number=missing)
