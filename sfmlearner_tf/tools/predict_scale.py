"""The scale factor that makes predictions metric, from a few measured depths or from the camera's height."""

from __future__ import annotations

import csv
import math
import os
from collections import defaultdict
from typing import NamedTuple

import numpy as np

from kitti_eval.resize import resize_bilinear
from sfmlearner_tf.data.frames import Crop
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.predict_cloud import Camera, find_intrinsics
from sfmlearner_tf.tools.predict_ground import find_camera_height
from sfmlearner_tf.tools.predict_input import Picture, Recording, spread

_COLUMNS = ("u", "v", "depth_m")
# No camera sees farther; beyond are slips, which would make the scale infinite.
_MAX_DEPTH_M = 1e6
# In which the road is looked for.
_MOST_FRAMES = 16


class Point(NamedTuple):
    """A measured depth at a pixel, (0, 0) the centre of the top left one; `source` names the file and line."""

    u: float
    v: float
    depth_m: float
    source: str

    def is_inside(self, width: int, height: int) -> bool:
        """Whether it is in an image of that size."""
        return -0.5 <= self.u < width - 0.5 and -0.5 <= self.v < height - 0.5


class SparseDepths:
    """Measured depths, the rows of a CSV file; see `read_points`, which may raise UserError."""

    what = "points"

    def __init__(self, path: str, recording: Recording) -> None:
        self.flag = f"--scale_from_sparse={path}"
        self._points = read_points(path, recording)
        if recording.crop:
            self._points = {number: crop_points(each, recording.crop) for number, each in self._points.items()}
        self.numbers = set(self._points)

    def ratios(self, picture: Picture, depth: np.ndarray) -> list[float]:
        """Metres over units of the depth [h, w] that was predicted of a picture, one for each thing measured."""
        return compute_ratios(self._points.get(picture.number, []), picture, depth)


class CameraHeight:
    """The height of the camera above the road, metres, which is seen in frames spread over the recording."""

    what = "images"

    def __init__(self, height_m: float, camera: Camera, recording: Recording) -> None:
        self.flag = f"--camera_height_m={height_m:g}"
        self._height_m, self._camera = height_m, camera
        self.numbers = set(spread(len(recording.frames), _MOST_FRAMES))

    def ratios(self, picture: Picture, depth: np.ndarray) -> list[float]:
        """As `SparseDepths.ratios`; none where no road is found."""
        if picture.number not in self.numbers:
            return []
        found = find_camera_height(depth, find_intrinsics(self._camera, picture.image.size, depth.shape))
        return [] if found is None else [self._height_m / found]


def read_points(path: str, recording: Recording) -> dict[int, list[Point]]:
    """The measured depths in a CSV file by frame number.

    Columns u, v, depth_m and, if there are several frames, image: the name of an image or the number of a video frame,
    from 0. Rows whose depth is not positive are ignored.

    Raises:
        UserError: the file is missing or malformed, names an unknown frame, or has no positive depth.
    """
    numbers = _number_frames(recording)
    points = defaultdict(list)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            _check_columns(path, [name.strip() for name in reader.fieldnames or []], recording)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            for row in reader:
                source = f"{path}, line {reader.line_num}"
                point = _parse(row, source)
                image = (row.get("image") or "").strip()
                if "image" in row and image not in numbers:
                    raise UserError(f"{source}: expected a frame of --input in column image, found {image!r}")
                if point.depth_m > 0:
                    points[numbers[image] if "image" in row else 0].append(point)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--scale_from_sparse={path}: expected a CSV file; {reason}") from error
    if not points:
        raise UserError(f"{path}: expected measured depths, found no positive one")
    return dict(points)


def crop_points(points: list[Point], crop: Crop) -> list[Point]:
    """Those of the points that are inside the crop, at their pixels there."""
    left, top, width, height = crop
    moved = [point._replace(u=point.u - left, v=point.v - top) for point in points]
    return [point for point in moved if point.is_inside(width, height)]


def compute_ratios(points: list[Point], picture: Picture, depth: np.ndarray) -> list[float]:
    """Measured over predicted depth at each point; `depth` [h, w] is predicted for the whole image.

    Raises UserError for a point outside the image.
    """
    width, height = picture.image.size
    outside = [point for point in points if not point.is_inside(width, height)]
    if outside:
        point = outside[0]
        raise UserError(
            f"{point.source}: expected a pixel of {picture.frame.path}, {width}x{height}, found"
            f" u={point.u:g}, v={point.v:g}"
        )
    disparity = resize_bilinear(1 / depth, height, width)
    return [point.depth_m * float(disparity[math.floor(point.v + 0.5), math.floor(point.u + 0.5)]) for point in points]


def _number_frames(recording: Recording) -> dict[str, int]:
    """Frame numbers by every name that the table may use for a frame."""
    if recording.is_video:
        return {str(index): index for index in range(len(recording.frames))}
    names = {}
    for index, frame in enumerate(recording.frames):
        names.update({frame.name: index, os.path.basename(frame.path): index, frame.path: index})
    return names


def _check_columns(path: str, found: list[str], recording: Recording) -> None:
    expected = [*_COLUMNS, *(["image"] if len(recording.frames) > 1 else [])]
    missing = [name for name in expected if name not in found]
    if missing:
        names = " ".join(", ".join(found).split())[:80] or "none"
        raise UserError(
            f"{path}: expected the columns {', '.join(expected)}, found {names}: {', '.join(missing)} missing"
        )


def _parse(row: dict[str, str | None], source: str) -> Point:
    values = []
    for name in _COLUMNS:
        try:
            values.append(float(row[name] or ""))
        except ValueError:
            raise UserError(f"{source}: expected a number in column {name}, found {row[name] or ''!r}") from None
    if not np.isfinite(values).all():
        raise UserError(f"{source}: expected finite numbers, found {', '.join(map(str, values))}")
    u, v, depth_m = values
    if depth_m > _MAX_DEPTH_M:
        raise UserError(f"{source}: expected a depth of up to {_MAX_DEPTH_M:g} m, found {depth_m:g}")
    return Point(u, v, depth_m, source)
