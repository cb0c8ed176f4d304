"""The paper's 5-frame ATE of motions from frame to frame, for the benchmarks that measure it."""

from __future__ import annotations

import numpy as np

from kitti_eval.pose_metrics import compute_snippet_ate
from kitti_eval.snippets import cut_snippets
from kitti_eval.trajectory import chain_motions


def compute_ate_5(true_poses: np.ndarray, to_next: np.ndarray) -> float:
    """The mean ATE over all 5-frame snippets, metres.

    Args:
        true_poses: [n, 4, 4].
        to_next: [n - 1, 4, 4], the motion from each frame to the one after it, of arbitrary scale.
    """
    predicted = chain_motions(np.linalg.inv(to_next))
    snippets = zip(cut_snippets(true_poses, 5), cut_snippets(predicted, 5))
    return float(np.mean([compute_snippet_ate(gt[:, :3, 3], pred[:, :3, 3]) for gt, pred in snippets]))
