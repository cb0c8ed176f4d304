"""The point clouds of `predict`: of each image, and of a whole clip along its trajectory, as PLY files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kitti_eval.files import write_whole
from sfmlearner_tf import run_config
from sfmlearner_tf.data.calibration import check_intrinsics, parse_intrinsics
from sfmlearner_tf.data.frames import Crop
from sfmlearner_tf.data.sequences import Intrinsics
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.predict_input import Picture

# A pixel is on an edge where a neighbour's depth is larger or smaller by more than this factor: networks draw edges as
# slopes, whose points hang in the air.
EDGE_FACTOR = 1.1
# Without a limit of its own a cloud ends at this many times the image's median depth.
FARTHEST_OF_MEDIAN = 4.0
# Points of the cloud of a clip, about.
CLIP_POINTS = 2_000_000

POINT = np.dtype([("position", "<f4", 3), ("colour", "u1", 3)])


Camera = Callable[[int, int], Intrinsics]
"""From the width and height of an image, cropped if that is asked for, to its intrinsics, pixels. Raises UserError if
those are implausible."""


def find_camera(needed_by: str, given: str | None, ckpt_file: str | None, crop: Crop | None = None) -> Camera:
    """The camera with the intrinsics "fx,fy,cx,cy" that are given, else with those that the checkpoint's run learned.

    What is given is of the images before the crop, what was learned is of what training saw.

    Raises:
        UserError: there are neither, though something needs them.
    """
    if given is not None:
        intrinsics = parse_intrinsics(given)
        if crop:
            cropped = _crop_intrinsics(intrinsics, crop)
            return lambda width, height: cropped
        return lambda width, height: check_intrinsics(intrinsics, width, height)
    config = run_config.read_beside(ckpt_file) if ckpt_file else None
    learned = run_config.read_intrinsics(os.path.dirname(ckpt_file)) if ckpt_file else None
    if not config or not learned:
        expected = "--intrinsics=fx,fy,cx,cy, or a checkpoint whose run learned them"
        raise UserError(f"{needed_by}: expected {expected}, found neither")
    size = np.array([config.img_width, config.img_height] * 2)
    shares = np.array([learned[name] for name in Intrinsics._fields]) / size
    return lambda width, height: Intrinsics(*(shares * np.tile([width, height], 2)))


def _crop_intrinsics(intrinsics: Intrinsics, crop: Crop) -> Intrinsics:
    left, top, width, height = crop
    _, _, cx, cy = intrinsics
    # The whole image is as large as the crop needs, or larger: its principal point may be beyond the crop.
    check_intrinsics(intrinsics, max(left + width, int(cx) + 1), max(top + height, int(cy) + 1))
    return intrinsics._replace(cx=cx - left, cy=cy - top)


def find_intrinsics(camera: Camera, size: tuple[int, int], shape: tuple[int, ...]) -> Intrinsics:
    """The intrinsics of a picture of a `size`, (width, height), resized to `shape`, [height, width, ...].

    Raises UserError as the camera does.
    """
    # Parity: as in training, the principal point is scaled without half a pixel.
    factors = np.array([shape[1] / size[0], shape[0] / size[1]] * 2)
    return Intrinsics(*(factors * camera(*size)))


class CloudWriter:
    """Writes <image>_cloud.ply for images, and in the end one cloud of them all.

    Points are in the frame of the camera, x right, y down, z forward, one a pixel of the network.

    Args:
        folder: of the files.
        camera: the intrinsics of an image of a width and height, see `find_camera`.
        scale: factor for depths.
        max_depth: the farthest point, after scaling; None for FARTHEST_OF_MEDIAN.
        points_per_image: what is kept of each image for the cloud of the clip; 0 keeps nothing.
    """

    def __init__(
        self, folder: Path, camera: Camera, scale: float, max_depth: float | None, points_per_image: int
    ) -> None:
        self.folder, self.camera, self.scale, self.max_depth = folder, camera, scale, max_depth
        self.points_per_image = points_per_image
        self._kept: dict[int, np.ndarray] = {}

    def write(self, picture: Picture, depth: np.ndarray) -> None:
        """Writes the cloud of an image whose depth [h, w] was predicted; several threads may.

        Raises UserError if the intrinsics cannot be those of the image, or the file cannot be written.
        """
        intrinsics = find_intrinsics(self.camera, picture.image.size, depth.shape)
        points = lift(self.scale * depth, picture.resized["depth"], intrinsics, self.max_depth)
        write_ply(self.folder / f"{picture.frame.name}_cloud.ply", points)
        if self.points_per_image:
            chosen = np.linspace(0, len(points) - 1, min(len(points), self.points_per_image)).astype(int)
            self._kept[picture.number] = points[chosen]

    def write_clip(self, path: Path, world_T_cam: np.ndarray) -> int:
        """Writes the clouds of all images as one, in the frame of the first camera; returns the number of points.

        Args:
            world_T_cam: the camera's poses [n, 4, 4] at the images in order.
        """
        clouds = []
        for number, pose in zip(sorted(self._kept), world_T_cam):
            cloud = self._kept[number].copy()
            cloud["position"] = cloud["position"] @ pose[:3, :3].T + pose[:3, 3]
            clouds.append(cloud)
        points = np.concatenate(clouds)
        write_ply(path, points)
        return len(points)


def lift(depth: np.ndarray, image: np.ndarray, intrinsics: Intrinsics, max_depth: float | None = None) -> np.ndarray:
    """The points of an image, a POINT array in the order of its pixels, without what is on edges or far.

    Args:
        depth: [H, W], camera z.
        image: RGB uint8 [H, W, 3].
        intrinsics: at this size, pixels.
        max_depth: the farthest point; None for FARTHEST_OF_MEDIAN.
    """
    columns, rows = np.meshgrid(np.arange(depth.shape[1]), np.arange(depth.shape[0]))
    x, y = (columns - intrinsics.cx) / intrinsics.fx, (rows - intrinsics.cy) / intrinsics.fy
    points = np.empty(depth.shape, POINT)
    points["position"] = np.stack([x * depth, y * depth, depth], axis=-1)
    points["colour"] = image
    limit = FARTHEST_OF_MEDIAN * np.median(depth) if max_depth is None else max_depth
    return points[~find_edges(depth) & (depth <= limit)]


def find_edges(depth: np.ndarray) -> np.ndarray:
    """Where a neighbour above, below, left or right differs by more than EDGE_FACTOR, bool [H, W]."""
    edges = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        jumps = np.abs(np.diff(np.log(depth), axis=axis)) > np.log(EDGE_FACTOR)
        before, after = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
        before[axis], after[axis] = (0, 1), (1, 0)
        edges |= np.pad(jumps, before) | np.pad(jumps, after)
    return edges


def write_ply(path: Path, points: np.ndarray) -> None:
    """Writes a POINT array as a binary PLY file, which every viewer of clouds and meshes reads.

    Raises UserError if it cannot be written.
    """
    fields = [*(f"property float {axis}" for axis in "xyz"), *(f"property uchar {c}" for c in ("red", "green", "blue"))]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}", *fields, "end_header", ""]
    try:
        write_whole(str(path), "\n".join(header).encode() + points.tobytes())
    except OSError as error:
        raise UserError(f"{path}: cannot write the point cloud; {error.strerror}") from error
