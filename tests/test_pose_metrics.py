"""Trajectory errors: by hand, and against closed forms in the complex plane (z real, x imaginary)."""

import math

import numpy as np
import pytest

from kitti_eval import pose_metrics
from kitti_eval.odometry_evaluation import evaluate_trajectory
from kitti_eval.trajectory import chain_motions, pose_vectors_to_matrices

# Divides no segment length, so that none ends exactly on a frame.
STEP_M = 0.77
FRAMES = 1500


def drive(yaw_rad: float, growth: float = 1.0) -> np.ndarray:
    """Poses [FRAMES, 4, 4]: each step leads forward, `growth` times as far as the one before, then turns."""
    vectors = np.zeros((FRAMES - 1, 6))
    vectors[:, 2] = STEP_M * growth ** np.arange(FRAMES - 1)
    vectors[:, 4] = yaw_rad
    return chain_motions(pose_vectors_to_matrices(vectors))


def position(frames, yaw_rad: float, growth: float = 1.0):
    """Where `drive` is after so many frames: a geometric series."""
    ratio = growth * np.exp(1j * yaw_rad)
    return STEP_M * (1 - ratio**frames) / (1 - ratio)


def test_snippet_ate_by_hand():
    gt = np.array([[1.0, 0, 0], [2, 0, 0], [3, 0, 0]])
    pred = np.array([[0.0, 0, 0], [1, 1, 0], [2, 0, 0]])
    # Moved to the start (1, 0, 0), the best scale is 14 / 15.
    errors = np.array([1 - 14 / 15, 2 - 28 / 15, 14 / 15, 3 - 42 / 15])
    assert pose_metrics.compute_snippet_ate(gt, pred) == pytest.approx(math.sqrt(np.sum(errors**2)) / 3)


def test_snippet_ate_is_no_root_mean_square():
    gt, pred = np.zeros((5, 3)), np.zeros((5, 3))
    gt[1:] = 1
    assert pose_metrics.compute_snippet_ate(gt, pred) == pytest.approx(math.sqrt(12) / 5)
    assert pose_metrics.compute_ate_rmse(gt, pred) == pytest.approx(math.sqrt(12 / 5))


def test_snippet_ate_forgives_scale_and_start():
    gt = np.random.RandomState(0).normal(size=(5, 3))
    gt -= gt[0]
    assert pose_metrics.compute_snippet_ate(gt, 0.03 * gt + 7) == pytest.approx(0, abs=1e-12)


def test_angles_of_known_rotations():
    angles = np.array([0, 1e-9, 0.5, 3.0])
    vectors = np.zeros((4, 6))
    vectors[:, 4] = angles
    np.testing.assert_allclose(pose_metrics.compute_angles(pose_vectors_to_matrices(vectors)), angles, rtol=1e-9)


def test_straight_line_with_yaw_drift():
    yaw_rad = 2e-4
    errors = evaluate_trajectory(drive(0), drive(yaw_rad))["none"]
    assert list(errors.by_length) == list(pose_metrics.SEGMENT_LENGTHS_M)
    for length, row in errors.by_length.items():
        frames = length // STEP_M + 1
        missed_m = abs(STEP_M * frames - position(frames, yaw_rad))
        assert row.t_err_percent == pytest.approx(100 * missed_m / length, rel=1e-6)
        assert row.r_err_deg_per_100m == pytest.approx(100 * math.degrees(yaw_rad * frames) / length, rel=1e-6)
        assert row.segments == len(range(0, FRAMES - int(frames), 10))
    missed_m = np.abs(STEP_M * np.arange(FRAMES) - position(np.arange(FRAMES), yaw_rad))
    assert errors.ate_rmse_m == pytest.approx(math.sqrt(np.mean(missed_m**2)), rel=1e-9)
    assert errors.rpe.translation_rmse_m == pytest.approx(0, abs=1e-9)
    assert errors.rpe.rotation_rmse_deg == pytest.approx(math.degrees(yaw_rad), rel=1e-6)


def test_circle_with_scale_drift():
    yaw_rad, growth = 2 * math.pi / 600, 1.0005
    errors = evaluate_trajectory(drive(yaw_rad), drive(yaw_rad, growth))
    for length, row in errors["none"].by_length.items():
        frames = length // STEP_M + 1
        starts = np.arange(0, FRAMES - int(frames), 10)
        missed_m = np.abs(position(frames, yaw_rad) - growth**starts * position(frames, yaw_rad, growth))
        assert row.segments == len(starts)
        assert row.t_err_percent == pytest.approx(100 * np.mean(missed_m) / length, rel=1e-6)
        assert row.r_err_deg_per_100m == pytest.approx(0, abs=1e-6)
    steps_missed_m = STEP_M * np.abs(1 - growth ** np.arange(FRAMES - 1))
    assert errors["none"].rpe.translation_rmse_m == pytest.approx(math.sqrt(np.mean(steps_missed_m**2)), rel=1e-9)


def test_ate_of_the_circle_by_every_alignment():
    yaw_rad, growth = 2 * math.pi / 600, 1.0005
    frames = np.arange(FRAMES)
    gt, pred = position(frames, yaw_rad), position(frames, yaw_rad, growth)

    def rmse(residual):
        return math.sqrt(np.mean(np.abs(residual) ** 2))

    centred_gt, centred_pred = gt - gt.mean(), pred - pred.mean()
    correlation, energy = np.vdot(centred_pred, centred_gt), np.vdot(centred_pred, centred_pred).real
    expected = {
        "none": rmse(gt - pred),
        "scale": rmse(gt - pred * np.vdot(pred, gt).real / np.vdot(pred, pred).real),
        "scale_umeyama": rmse(gt - pred * abs(correlation) / energy),
        "6dof": rmse(centred_gt - centred_pred * correlation / abs(correlation)),
        "7dof": rmse(centred_gt - centred_pred * correlation / energy),
    }
    errors = evaluate_trajectory(drive(yaw_rad), drive(yaw_rad, growth))
    assert {kind: row.ate_rmse_m for kind, row in errors.items()} == pytest.approx(expected, rel=1e-8)


def test_the_mean_weighs_every_segment():
    errors = {100: pose_metrics.SegmentErrors(1, 2, 3), 200: pose_metrics.SegmentErrors(5, 6, 1)}
    assert pose_metrics.average_segment_errors(errors) == (2, 3, 4)


def test_a_short_path_has_no_segment():
    path = drive(0)[:100]
    assert evaluate_trajectory(path, path)["7dof"].segments is None


def test_a_perfect_prediction_of_another_scale():
    gt, pred = drive(0), drive(0)
    pred[:, :3, 3] *= 0.03
    errors = evaluate_trajectory(gt, pred)
    # A segment ends up to one step after its length.
    assert errors["none"].by_length[800].t_err_percent == pytest.approx(97, rel=STEP_M / 800)
    for kind in ("scale", "7dof"):
        assert errors[kind].ate_rmse_m == pytest.approx(0, abs=1e-6)
        assert errors[kind].segments.t_err_percent == pytest.approx(0, abs=1e-6)


def test_translation_error_by_hand():
    gt = np.array([[0.0, 0, 2], [0, 0, -2]])
    assert pose_metrics.compute_translation_error(gt, 0.1 * gt) == pytest.approx(0)
    assert pose_metrics.compute_translation_error(gt, np.zeros((2, 3))) == 1
    # The best scale is 8/10: what is left is 0.8 to the side and 0.4 along the way, twice.
    pred = np.array([[1.0, 0, 2], [1, 0, -2]])
    error = np.sqrt(2 * (0.8**2 + 0.4**2)) / np.sqrt(8)
    assert pose_metrics.compute_translation_error(gt, pred) == pytest.approx(error)


def test_segments_have_the_lengths_of_the_benchmark():
    """Of 811 frames a metre apart; a segment ends at the first frame beyond its length, so it is one metre longer."""
    path = chain_motions(pose_vectors_to_matrices(np.tile([0, 0, 1.0, 0, 0, 0], (810, 1))))
    swerved = path.copy()
    swerved[:, 0, 3] = np.arange(811) ** 2 * 1e-3
    errors = pose_metrics.compute_segment_errors(path, swerved)
    assert list(errors) == [100, 200, 300, 400, 500, 600, 700, 800]
    for length, row in errors.items():
        starts = np.arange(0, 810 - length, 10)
        offsets = ((starts + length + 1) ** 2 - starts**2) * 1e-3
        assert row.segments == len(starts)
        assert row.t_err_percent == pytest.approx(100 * np.mean(offsets) / length)


def test_angles_about_every_axis():
    vectors = np.zeros((9, 6))
    vectors[:, 3:] = np.repeat(np.eye(3), 3, axis=0) * np.tile([0.1, -0.7, 2.0], 3)[:, np.newaxis]
    angles = pose_metrics.compute_angles(pose_vectors_to_matrices(vectors))
    np.testing.assert_allclose(angles, np.tile([0.1, 0.7, 2.0], 3), rtol=1e-9)
