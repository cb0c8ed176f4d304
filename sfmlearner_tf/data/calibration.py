"""Camera intrinsics from calibration files, from numbers or from a field of view, and plausibility checks."""

from __future__ import annotations

import contextlib
import math
import reprlib

from kitti_eval.files import read_lines
from sfmlearner_tf.data.formatted import LARGEST_FOCAL_PX
from sfmlearner_tf.data.sequences import Intrinsics
from sfmlearner_tf.errors import UserError

# Indices of fx, fy, cx, cy among the parameters of COLMAP's camera models; the rest is distortion.
COLMAP_MODELS = {
    "SIMPLE_PINHOLE": (0, 0, 1, 2),
    "PINHOLE": (0, 1, 2, 3),
    "SIMPLE_RADIAL": (0, 0, 1, 2),
    "RADIAL": (0, 0, 1, 2),
    "OPENCV": (0, 1, 2, 3),
}
KITTI_KEYS = ("P_rect_02", "P2", "P_rect_00", "P0")
PLAUSIBLE_FOV_DEG = (15.0, 150.0)
PLAUSIBLE_ASPECT = (0.8, 1.25)
LARGEST_DISTORTION = 0.01
# In place of intrinsics, where training has to learn them.
UNKNOWN = "unknown"


def read_kitti_projection(path: str, key: str) -> Intrinsics:
    """Reads the intrinsics from the 3x4 projection matrix `key` ("P_rect_02", "P2") of a KITTI calibration file.

    Raises UserError if the file cannot be read or has no such matrix of a camera.
    """
    lines = dict(line.split(":", 1) for line in read_lines(path, "a calibration file of KITTI") if ":" in line)
    found = lines.get(key, "no such line").strip()
    numbers = _numbers(found.split())
    if len(numbers) != 12 or [numbers[place] for place in (1, 4, 8, 9, 10)] != [0, 0, 0, 0, 1]:
        expected = f"twelve numbers (a 3x4 projection without skew) after {key}:"
        raise UserError(f"{path}: expected {expected}, found {reprlib.repr(found)}")
    return check_camera(Intrinsics(fx=numbers[0], fy=numbers[5], cx=numbers[2], cy=numbers[6]), path)


def check_camera(intrinsics: Intrinsics, path: str) -> Intrinsics:
    """Returns the intrinsics, in pixels of a whole frame of unknown size, that were read from a file.

    Raises UserError if no camera has such.
    """
    focal, principal = intrinsics[:2], intrinsics[2:]
    if not all(0 < value <= LARGEST_FOCAL_PX for value in focal):
        raise UserError(f"{path}: expected focal lengths from 0 to {LARGEST_FOCAL_PX:g} pixels, found {focal}")
    if not all(0 <= value <= LARGEST_FOCAL_PX for value in principal):
        raise UserError(f"{path}: expected a principal point inside the frame, found {principal}")
    return intrinsics


def parse_intrinsics(text: str) -> Intrinsics:
    """Reads "fx,fy,cx,cy" in pixels. Raises UserError."""
    numbers = _numbers(text.split(","))
    if len(numbers) != 4:
        raise UserError(f"intrinsics: expected four numbers fx,fy,cx,cy in pixels, found {text!r}")
    return Intrinsics(*numbers)


def from_horizontal_fov(fov_deg: float, width: int, height: int) -> Intrinsics:
    """Square pixels, principal point at the centre. Raises UserError for an angle outside (0, 180)."""
    if not 0 < fov_deg < 180:
        raise UserError(f"horizontal_fov_deg: expected an angle between 0 and 180, found {fov_deg:g}")
    focal_px = width / 2 / math.tan(math.radians(fov_deg) / 2)
    return Intrinsics(focal_px, focal_px, width / 2, height / 2)


def stand_in(width: int, height: int) -> Intrinsics:
    """What is written where the intrinsics are unknown: the width as focal length, the centre as principal point."""
    return Intrinsics(float(width), float(width), width / 2, height / 2)


def stand_in_size(intrinsics: Intrinsics) -> tuple[int, int]:
    """The (width, height) that `stand_in` was given."""
    return int(2 * intrinsics.cx), int(2 * intrinsics.cy)


def read_calibration_file(path: str, width: int, height: int) -> Intrinsics:
    """Reads the intrinsics from a KITTI calibration file (left colour camera), COLMAP's cameras.txt, or DeepV2D's
    intrinsics.txt, one line "fx fy cx cy".

    Raises UserError for any other file, and for a COLMAP camera whose size is not width x height, whose model is not a
    pinhole, or whose distortion is too large to ignore.
    """
    lines = read_lines(path, "a calibration file of KITTI or COLMAP")
    for key in KITTI_KEYS:
        with contextlib.suppress(UserError):
            return read_kitti_projection(path, key)
    cameras = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    if len(cameras) == 1 and len(cameras[0]) == 4 and len(numbers := _numbers(cameras[0])) == 4:
        return Intrinsics(*numbers)
    if len(cameras) != 1 or len(cameras[0]) < 5:
        raise UserError(
            f"{path}: expected a line P2: or P_rect_02:, or one COLMAP camera, found {len(cameras)} other lines"
        )
    _, model, camera_width, camera_height, *words = cameras[0]
    numbers = _numbers(words)
    places = COLMAP_MODELS.get(model)
    if places is None or len(numbers) <= max(places):
        raise UserError(
            f"{path}: expected a COLMAP camera of {', '.join(COLMAP_MODELS)}, found {' '.join(cameras[0])!r}"
        )
    if (camera_width, camera_height) != (str(width), str(height)):
        found = f"{camera_width}x{camera_height}"
        raise UserError(f"{path}: expected a camera of the frames' size, {width}x{height}, found {found}")
    distortion = numbers[max(places) + 1 :]
    if any(abs(number) > LARGEST_DISTORTION for number in distortion):
        raise UserError(f"{path}: expected undistorted frames, found distortion {distortion}")
    return Intrinsics(*(numbers[place] for place in places))


def check_intrinsics(intrinsics: Intrinsics, width: int, height: int) -> Intrinsics:
    """Returns the intrinsics if they are plausible for frames of this size, else raises UserError with the reason."""
    fx, fy, cx, cy = intrinsics
    size = f"the frames' {width}x{height} pixels"
    if fx <= 0 or fy <= 0:
        raise UserError(f"intrinsics: expected positive focal lengths, found fx={fx:g} and fy={fy:g}")
    if not (0 <= cx < width and 0 <= cy < height):
        raise UserError(
            f"intrinsics: expected the principal point inside {size}, found ({cx:g}, {cy:g}): "
            "are they in the order fx,fy,cx,cy, and for frames of this size?"
        )
    fov_deg = math.degrees(math.atan(cx / fx) + math.atan((width - cx) / fx))
    low, high = PLAUSIBLE_FOV_DEG
    if not low <= fov_deg <= high:
        raise UserError(
            f"intrinsics: expected a horizontal field of view of {low:g} to {high:g} degrees, found {fov_deg:.1f} "
            f"from fx={fx:g} and {size}: is fx in pixels, not millimetres, and for frames of this size?"
        )
    if not PLAUSIBLE_ASPECT[0] <= fy / fx <= PLAUSIBLE_ASPECT[1]:
        raise UserError(
            f"intrinsics: expected nearly square pixels, found fx={fx:g} and fy={fy:g}: "
            "are they in the order fx,fy,cx,cy, and for frames before resizing?"
        )
    return intrinsics


def _numbers(words: list[str]) -> list[float]:
    """The words as numbers; an empty list if any of them is not a finite number."""
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []
