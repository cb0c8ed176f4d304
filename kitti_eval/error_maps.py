"""Pictures of a depth prediction and its errors."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from kitti_eval import files
from kitti_eval.depth_metrics import compute_valid_mask
from kitti_eval.images import open_image
from kitti_eval.resize import resize_bilinear

# The relative error at the end of the colour range.
WORST_ABS_REL = 0.5


def draw_error_map(
    gt_m: np.ndarray, pred_m: np.ndarray, min_depth_m: float = 1e-3, max_depth_m: float = 80.0, crop: str = "garg"
) -> np.ndarray:
    """RGB uint8 [2H, W, 3]: the prediction (near is bright) above |gt - pred| / gt from blue (0) to red (0.5).

    gt_m: [H, W], 0 where nothing was measured. pred_m: [h, w], metres. Each compared pixel is drawn as 3x3 pixels.
    """
    from matplotlib import colormaps
    from scipy import ndimage

    pred_m = np.clip(resize_bilinear(pred_m, *gt_m.shape), min_depth_m, max_depth_m)
    nearness = 1 / pred_m
    nearness /= np.percentile(nearness, 95)
    mask = compute_valid_mask(gt_m, min_depth_m, max_depth_m, crop)
    abs_rel = np.zeros_like(pred_m)
    abs_rel[mask] = np.abs(gt_m[mask] - pred_m[mask]) / gt_m[mask]
    drawn = ndimage.maximum_filter(mask, size=3)
    errors = colormaps["turbo"](ndimage.maximum_filter(abs_rel, size=3) / WORST_ABS_REL)[..., :3] * drawn[..., None]
    return (255 * np.concatenate([colormaps["magma"](nearness)[..., :3], errors])).astype(np.uint8)


def draw_example(image_file: Path, error_map: np.ndarray, max_width: int = 800) -> bytes:
    """PNG of an image, resized to W x H, above its error map [2H, W, 3]; at most `max_width` pixels wide."""
    from PIL import Image

    height, width = error_map.shape[0] // 2, error_map.shape[1]
    with open_image(image_file) as image:
        picture = np.asarray(image.convert("RGB").resize((width, height)))
    example = Image.fromarray(np.concatenate([picture, error_map]))
    example.thumbnail((max_width, 10 * max_width))
    buffer = io.BytesIO()
    example.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def name_error_map(image_file: str) -> str:
    """The file name of an image's error map: the image's path with slashes replaced by underscores."""
    return "_".join(Path(image_file).with_suffix(".png").parts)


def save_error_map(folder: Path, image_file: str, picture: np.ndarray) -> None:
    """Writes the picture as `name_error_map` to `folder`, which is created. Raises UserError if that fails."""
    import imageio.v3 as imageio

    files.write_bytes(folder / name_error_map(image_file), imageio.imwrite("<bytes>", picture, extension=".png"))
