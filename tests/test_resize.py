import numpy as np
import pytest
from scipy import ndimage

from kitti_eval.resize import resize_bilinear


def test_by_hand():
    doubled = resize_bilinear(np.array([[0.0, 1.0]]), 2, 4)
    np.testing.assert_allclose(doubled, [[0, 0.25, 0.75, 1]] * 2)


def test_no_antialiasing_when_made_smaller():
    np.testing.assert_allclose(resize_bilinear(np.array([[0.0, 8, 0, 0, 0, 8]]), 1, 2), [[8, 0]])


@pytest.mark.parametrize("size", [(13, 17), (40, 90), (5, 7), (13, 60)])
def test_against_scipy(size):
    image = np.random.RandomState(0).rand(13, 17)
    centres = [(np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(size, image.shape)]
    expected = ndimage.map_coordinates(image, np.meshgrid(*centres, indexing="ij"), order=1, mode="nearest")
    np.testing.assert_allclose(resize_bilinear(image, *size), expected, atol=1e-12)


def test_the_type_stays():
    assert resize_bilinear(np.ones((2, 2), np.float32), 5, 5).dtype == np.float32
