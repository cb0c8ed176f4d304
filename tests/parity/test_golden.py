"""Every number recorded from the 2017 release's own graph, against ours."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from golden_numbers import FOLDER, golden_learner
from sfmlearner_tf import Batch

# The size that is small enough to be part of the repository runs everywhere.
RECORDED = ("parity_64x192_seq5", "parity_128x416_seq3")
EXPLAIN_REG_WEIGHTS = {"e0": 0.0, "e1": 0.2}


@pytest.fixture(scope="module", params=[(name, run) for name in RECORDED for run in EXPLAIN_REG_WEIGHTS], ids="-".join)
def recorded(request):
    """The recorded numbers of one run, and a learner in its initial state."""
    name, run = request.param
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        path = request.getfixturevalue("shared") / "golden" / f"{name}.npz"
    golden = dict(np.load(path))
    batch = (golden["tgt"], golden["src"], golden["intrinsics"])
    return golden, run, golden_learner(golden, EXPLAIN_REG_WEIGHTS[run]), batch


@pytest.fixture(scope="module")
def outputs(recorded):
    _, _, learner, batch = recorded
    return learner.forward(*batch)


def test_depth(recorded, outputs):
    for scale, depth in enumerate(outputs["depth"], start=1):
        np.testing.assert_allclose(depth, recorded[0][f"depth{scale}"], rtol=5e-6)


def test_poses(recorded, outputs):
    golden, run, _, _ = recorded
    np.testing.assert_allclose(outputs["poses"], golden[f"{run}_poses"], rtol=0, atol=1e-8)


def test_masks(recorded, outputs):
    golden, run, _, _ = recorded
    assert len(outputs["masks"]) == (4 if run == "e1" else 0)
    for scale, mask in enumerate(outputs["masks"], start=1):
        np.testing.assert_allclose(mask, golden[f"mask{scale}"], rtol=5e-6)


def test_projected_images(recorded, outputs):
    for scale, projected in enumerate(outputs["projected"], start=1):
        golden = recorded[0][f"proj{scale}"]
        # The finest scale was recorded in half precision.
        tolerance = 5e-4 if golden.dtype == np.float16 else 5e-5
        np.testing.assert_allclose(projected, golden.astype(np.float32), rtol=0, atol=tolerance)


def test_losses(recorded, outputs):
    golden, run, _, _ = recorded
    losses = outputs["losses"]
    for ours, theirs in (("total", "total"), ("pixel", "pixel"), ("smooth", "smooth")):
        np.testing.assert_allclose(losses[ours], golden[f"{run}_{theirs}"], rtol=2e-6)
    np.testing.assert_allclose(losses["explain"], golden["e1_exp"] if run == "e1" else 0, rtol=2e-6)


def test_gradient_norms(recorded):
    golden, run, learner, batch = recorded
    names = list(learner.release_variables())
    assert set(names) == set(golden[f"{run}_grad_names"])
    gradients = learner.compute_gradients(Batch(*map(tf.constant, batch))).gradients
    norms = {name: np.linalg.norm(gradient) for name, gradient in zip(names, gradients)}
    recorded_norms = dict(zip(golden[f"{run}_grad_names"], golden[f"{run}_grad_norms"]))
    ours, theirs = np.array([norms[n] for n in names]), np.array([recorded_norms[n] for n in names])
    # A ReLU at 0 may go either way with the rounding of a CPU, which deep layers with few pixels feel most.
    np.testing.assert_allclose(ours, theirs, rtol=3e-4)
    assert np.median(np.abs(ours / theirs - 1)) < 1e-5


def test_ten_training_steps(recorded):
    golden, run, learner, batch = recorded
    losses = [float(learner.train_step(*batch)["total"]) for _ in range(10)]
    np.testing.assert_allclose(losses, golden[f"{run}_train_losses"], rtol=1e-3)
    np.testing.assert_allclose(learner.forward(*batch)["losses"]["total"], golden[f"{run}_final_loss"], rtol=1e-3)
    weights = learner.release_variables()
    norms = [np.linalg.norm(weights[name].numpy()) for name in golden[f"{run}_grad_names"]]
    np.testing.assert_allclose(norms, golden[f"{run}_final_weight_norms"], rtol=1e-3)
    assert int(learner.global_step) == 10
