import math

import numpy as np
import pytest

from kitti_eval.depth_metrics import (
    DepthErrors,
    compute_d1_all,
    compute_depth_errors,
    compute_median_scale,
    compute_valid_mask,
    mean_errors,
    scale_and_clip,
)


def test_errors_by_hand():
    errors = compute_depth_errors(np.array([10.0, 20.0]), np.array([12.0, 10.0]))
    assert errors.abs_rel == pytest.approx((0.2 + 0.5) / 2)
    assert errors.sq_rel == pytest.approx((0.4 + 5) / 2)
    assert errors.rms == pytest.approx(math.sqrt((4 + 100) / 2))
    assert errors.log_rms == pytest.approx(math.sqrt((math.log(1.2) ** 2 + math.log(2) ** 2) / 2))
    assert errors[4:] == (0.5, 0.5, 0.5)  # the ratios are 1.2 and 2; 1.25 ** 3 is 1.953


def test_errors_against_a_loop():
    random = np.random.RandomState(0)
    gt, pred = random.uniform(1, 80, 200), random.uniform(1, 80, 200)
    rows = [
        [abs(g - p) / g, (g - p) ** 2 / g, (g - p) ** 2, (math.log(g) - math.log(p)) ** 2]
        + [float(max(g / p, p / g) < 1.25**power) for power in (1, 2, 3)]
        for g, p in zip(gt.tolist(), pred.tolist())
    ]
    expected = [sum(column) / len(rows) for column in zip(*rows)]
    expected[2], expected[3] = math.sqrt(expected[2]), math.sqrt(expected[3])
    np.testing.assert_allclose(compute_depth_errors(gt, pred), expected, rtol=1e-12)


def test_a_perfect_prediction_has_no_error():
    depths = np.linspace(1, 80, 50)
    assert compute_depth_errors(depths, depths) == (0, 0, 0, 0, 1, 1, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_unusable_depths_are_refused(bad):
    good = np.array([1.0, 2.0])
    with pytest.raises(ValueError, match="prediction holds depths that are not finite and positive"):
        compute_depth_errors(good, np.array([1.0, bad]))
    with pytest.raises(ValueError, match="ground truth"):
        compute_depth_errors(np.array([1.0, bad]), good)


def test_no_pixel_and_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match="P > 0"):
        compute_depth_errors(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        compute_depth_errors(np.ones(2), np.ones(3))


def test_ratios_at_the_thresholds_do_not_count():
    errors = compute_depth_errors(np.array([4.0, 25.0, 64.0]), np.array([5.0, 16.0, 125.0]))
    assert (errors.a1, errors.a2, errors.a3) == pytest.approx((0, 1 / 3, 2 / 3))


def test_the_limits_are_those_of_the_paper():
    np.testing.assert_array_equal(scale_and_clip(np.ones(2), np.array([1e-9, 500.0]), scale=1), [1e-3, 80])


def test_the_limits_act_after_the_scale():
    gt, pred = np.array([10.0, 40.0, 79.0]), np.array([0.1, 0.4, 2.0])
    assert compute_median_scale(gt, pred) == pytest.approx(100)
    np.testing.assert_allclose(scale_and_clip(gt, pred, 1e-3, 80), [10, 40, 80])
    np.testing.assert_allclose(scale_and_clip(gt, pred, 0.3, 80, scale=1.0), [0.3, 0.4, 2.0])


def test_a_prediction_without_a_usable_median_is_refused():
    gt = np.array([10.0, 20.0])
    for pred in (np.full(2, np.nan), np.zeros(2), np.full(2, -3.0)):
        with pytest.raises(ValueError, match=r"not finite|above 0"):
            scale_and_clip(gt, pred)


@pytest.mark.parametrize(
    ("crop", "top", "bottom", "left", "right"),
    [("garg", 153, 371, 44, 1197), ("eigen", 124, 342, 44, 1197), ("none", 0, 375, 0, 1242)],
)
def test_crops_of_a_kitti_image(crop, top, bottom, left, right):
    mask = compute_valid_mask(np.full((375, 1242), 5.0), 1e-3, 80, crop)
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (top, bottom, left, right)
    assert mask.sum() == (bottom - top) * (right - left)


def test_depths_at_the_limits_do_not_count():
    assert compute_valid_mask(np.array([[0, 1, 2, 80, 81]]), 1, 80, "none").tolist() == [
        [False, False, True, *[False] * 2]
    ]


def test_d1_all_needs_three_pixels_and_five_percent():
    gt = np.array([10.0, 100.0, 100.0, 10.0, 10.0])
    assert compute_d1_all(gt, gt + np.array([2.9, 4.9, 5.0, 3.0, -9.0])) == pytest.approx(60)


def test_means_count_images_equally():
    one, two = DepthErrors(*range(7)), DepthErrors(*range(2, 9))
    assert mean_errors([one, two]) == tuple(range(1, 8))
    with pytest.raises(ValueError, match="no image"):
        mean_errors([])
