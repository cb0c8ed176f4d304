import io

import imageio.v3 as imageio
import numpy as np
from matplotlib import colormaps

from kitti_eval.error_maps import WORST_ABS_REL, draw_error_map, draw_example, name_error_map


def colour(name, value):
    return (255 * np.array(colormaps[name](value)[:3])).astype(np.uint8).tolist()


def test_errors_are_coloured_where_something_was_compared():
    gt = np.zeros((20, 30))
    gt[4, 5], gt[4, 15], gt[15, 5], gt[15, 15] = 10, 10, 10, 90
    pred = np.full((20, 30), 10.0)
    pred[4, 15], pred[15, 5] = 12.5, 40
    picture = draw_error_map(gt, pred, crop="none")
    assert picture.shape == (40, 30, 3)
    errors = picture[20:]
    assert errors[4, 5].tolist() == errors[5, 6].tolist() == colour("turbo", 0.0)
    assert errors[4, 15].tolist() == colour("turbo", 0.25 / WORST_ABS_REL)
    assert errors[15, 5].tolist() == colour("turbo", 1.0)
    assert not errors[15, 15].any()  # beyond the largest depth
    assert np.count_nonzero(errors.any(axis=-1)) == 3 * 9


def test_near_is_bright():
    pred = np.tile(np.linspace(2, 70, 30), (20, 1))
    brightness = draw_error_map(np.zeros((20, 30)), pred)[:20].sum(axis=-1)
    assert (np.diff(brightness.astype(int), axis=1) <= 0).all()
    assert brightness[0, 0] > brightness[0, -1]


def test_an_example_shows_the_image_above_its_errors(tmp_path):
    imageio.imwrite(tmp_path / "image.png", np.full((40, 60, 3), 77, np.uint8))
    png = draw_example(tmp_path / "image.png", np.zeros((40, 30, 3), np.uint8))
    picture = imageio.imread(io.BytesIO(png))
    assert picture.shape == (60, 30, 3)
    assert (picture[:20] == 77).all()
    assert not picture[20:].any()
    assert imageio.imread(io.BytesIO(draw_example(tmp_path / "image.png", picture, max_width=15))).shape[1] == 15


def test_names():
    assert name_error_map("training/image_2/000003_10.jpg") == "training_image_2_000003_10.png"
