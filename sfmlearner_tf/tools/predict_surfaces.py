"""The surfaces that `predict` finds: pictures of normals and of edges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kitti_eval.resize import resize_bilinear
from sfmlearner_tf import run_config
from sfmlearner_tf.data.sequences import Intrinsics
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.predict_cloud import Camera, find_intrinsics
from sfmlearner_tf.tools.predict_input import Picture
from sfmlearner_tf.tools.predict_output import write_array, write_png


class SurfaceWriter(NamedTuple):
    """Writes what is asked for of an image, as PNG and, if so, as .npy; several threads may.

    camera: the intrinsics of an image of a width and height; None writes no normals. predict_edges: images uint8
    [B, h, w, 3] of the network's size -> edges [B, h, w]; None writes none.
    """

    folder: Path
    camera: Camera | None
    predict_edges: Callable | None
    writes_npy: bool

    def write(self, picture: Picture, depth: np.ndarray) -> None:
        """Writes <image>_normals and <image>_edges, at the size of the image, of an image of a predicted depth [h, w].

        Raises UserError if the intrinsics cannot be those of the image, or a file cannot be written.
        """
        width, height = picture.image.size
        if self.camera:
            intrinsics = find_intrinsics(self.camera, picture.image.size, depth.shape)
            normals = find_normals(depth, picture.resized["depth"], intrinsics)
            normals = np.stack([resize_bilinear(values, height, width) for values in np.moveaxis(normals, -1, 0)], -1)
            normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
            self._write(f"{picture.frame.name}_normals", normals, colour_normals(normals))
        if self.predict_edges:
            edges = np.asarray(self.predict_edges(picture.resized["depth"][np.newaxis]))[0]
            edges = resize_bilinear(edges, height, width)
            self._write(f"{picture.frame.name}_edges", edges, np.round(255 * edges).astype(np.uint8))

    def _write(self, name: str, values: np.ndarray, pixels: np.ndarray) -> None:
        write_png(self.folder / f"{name}.png", pixels)
        if self.writes_npy:
            write_array(self.folder / f"{name}.npy", values.astype(np.float32))


def find_normals(depth: np.ndarray, image: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    """The normals [h, w, 3] of a depth [h, w], of length 1, towards the camera; x right, y down, z forward.

    Args:
        image: RGB uint8 [h, w, 3]; neighbours count less where its colour changes.
        intrinsics: at this size, pixels.
    """
    from sfmlearner_tf.images import preprocess
    from sfmlearner_tf.normals import depth_to_normals

    matrix = np.array(
        [[intrinsics.fx, 0, intrinsics.cx], [0, intrinsics.fy, intrinsics.cy], [0, 0, 1]], dtype=np.float32
    )
    return depth_to_normals(depth[np.newaxis], matrix[np.newaxis], preprocess(image[np.newaxis])).numpy()[0]


def colour_normals(normals: np.ndarray) -> np.ndarray:
    """Normals [H, W, 3] as RGB uint8, as usual: red to the right, green up, blue towards the camera."""
    return np.round(127.5 * (normals * (1, -1, -1) + 1)).astype(np.uint8)


def check_edges(ckpt_file: str | None) -> None:
    """Raises UserError unless the depth network of a checkpoint learned edges."""
    config = run_config.read_beside(ckpt_file) if ckpt_file else None
    if config is None or not config.edges:
        found = f"none in {ckpt_file}" if ckpt_file else "--saved_model"
        raise UserError(f"--output=edges: expected a checkpoint that was trained with --edges, found {found}")
