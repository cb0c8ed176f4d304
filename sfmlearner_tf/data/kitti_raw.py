"""KITTI raw: <date>/<date>_drive_<number>_sync/image_0{2,3}/data/<10 digits>.png, <date>/calib_cam_to_cam.txt."""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from sfmlearner_tf.data.calibration import read_kitti_projection
from sfmlearner_tf.data.sequences import Frame, Intrinsics, Listing, Selection

DATES = ("2011_09_26", "2011_09_28", "2011_09_29", "2011_09_30", "2011_10_03")
CAMERAS = ("02", "03")


def list_kitti_raw(dataset_dir: str, selection: Selection, held_out: Collection[str] | None = None) -> Listing:
    """Lists both colour cameras of every drive.

    held_out: scenes to leave out of the five published dates; None takes every date and drive that is there.
    Missing data (date, calibration, camera, frame) becomes a note.
    """
    listing = Listing()
    for date in _dates(dataset_dir) if held_out is None else DATES:
        if not os.path.isdir(os.path.join(dataset_dir, date)):
            listing.note("missing date", date)
            continue
        cameras = _read_cameras(dataset_dir, date, listing)
        for drive in sorted(os.listdir(os.path.join(dataset_dir, date))):
            if not re.fullmatch(date + r"_drive_\d{4}_sync", drive):
                continue
            if drive[: -len("_sync")] in (held_out or ()):
                listing.note("scene held out", drive)
                continue
            for camera, intrinsics in cameras.items():
                _add_camera(listing, dataset_dir, drive, camera, intrinsics, selection)
    return listing


def _dates(dataset_dir: str) -> list[str]:
    return sorted(name for name in os.listdir(dataset_dir) if re.fullmatch(r"\d{4}_\d\d_\d\d", name))


def _read_cameras(dataset_dir: str, date: str, listing: Listing) -> dict[str, Intrinsics]:
    cameras = {}
    path = os.path.join(dataset_dir, date, "calib_cam_to_cam.txt")
    for camera in CAMERAS:
        try:
            cameras[camera] = read_kitti_projection(path, f"P_rect_{camera}")
        except FileNotFoundError:
            listing.note("missing calibration", path)
            break
        except (OSError, ValueError) as error:
            listing.note("damaged calibration", f"{path}: {error}", lost=True)
    return cameras


def _add_camera(
    listing: Listing, dataset_dir: str, drive: str, camera: str, intrinsics: Intrinsics, selection: Selection
) -> None:
    data = os.path.join(dataset_dir, drive[:10], drive, f"image_{camera}", "data")
    frames = numbered_images(data)
    if frames:
        listing.add(f"{drive}_{camera}", drive, frames, intrinsics, selection)
        note_missing_frames(listing, data, frames)
    else:
        listing.note("missing camera", data)


def numbered_images(folder: str) -> dict[int, Frame]:
    """The images of a folder whose names are numbers, by number; empty if there is no such folder."""
    if not os.path.isdir(folder):
        return {}
    stems = ((*os.path.splitext(name), name) for name in sorted(os.listdir(folder)))
    return {
        int(stem): Frame(stem, os.path.join(folder, name))
        for stem, extension, name in stems
        if stem.isdecimal() and extension in (".png", ".jpg")
    }


def note_missing_frames(listing: Listing, folder: str, frames: Collection[int]) -> None:
    """Notes how many numbers are missing between the first and the last frame."""
    missing = max(frames) - min(frames) + 1 - len(frames)
    if missing:
        first = next(number for number in range(min(frames), max(frames)) if number not in frames)
        listing.note("missing frames", f"{folder}, the first is {first}", number=missing)
