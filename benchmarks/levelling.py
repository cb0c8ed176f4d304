"""Pictures of a camera that looks up, as though it looked ahead.

Pose networks are not told the camera. One that looks up sees the point that it drives to lower than its principal
point, and where recordings are mixed, what is learned of it tilts the motion of the others.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from kitti_eval.files import write_aside

# fx, fy, cx, cy, pixels.
Camera = tuple[float, float, float, float]
# So much longer the focal length becomes, which cuts off the borders: up to 7 degrees nothing empty is left.
ZOOM = 1.04


def level(paths: list[Path], camera: Camera, pitch_deg: float, folder: Path) -> Camera:
    """Writes the pictures of a camera that looks up by `pitch_deg` as though it looked ahead; returns its camera then.

    Links them where there is nothing to turn. What is in `folder` already is not written again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not pitch_deg:
        for path in paths:
            if not (folder / path.name).exists():
                os.symlink(path.resolve(), folder / path.name)
        return camera
    fx, fy, cx, cy = camera
    levelled = (fx * ZOOM, fy * ZOOM, cx, cy + fy * float(np.tan(np.radians(pitch_deg))))
    turn = Rotation.from_euler("x", -pitch_deg, degrees=True).as_matrix()
    warp = make_matrix(camera) @ turn @ np.linalg.inv(make_matrix(levelled))
    for path in paths:
        target = folder / f"{path.stem}.png"
        if not target.exists():
            with Image.open(path) as image:
                coefficients = (warp / warp[2, 2]).ravel()[:8]
                turned = image.transform(
                    image.size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC
                )
            with write_aside(target) as file:
                turned.save(file, "PNG")
    return levelled


def make_matrix(camera: Camera) -> np.ndarray:
    """From a ray to where Pillow counts from the corner of a pixel, half a pixel before its centre."""
    fx, fy, cx, cy = camera
    return np.array([[fx, 0, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1]])
