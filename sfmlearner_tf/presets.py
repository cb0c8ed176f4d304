"""Sets of options that have a name."""

from __future__ import annotations

from typing import Any

# What each preset changes of the defaults, which are the release's. "recommended" learns sooner and better on the
# generated world (docs/learning.md).
PRESETS: dict[str, dict[str, Any]] = {
    "release": {},
    "recommended": {
        "learning_rate": 0.0003,
        "lr_decay_after": 0.75,
        "ssim_weight": 0.85,
        "mask_out_of_view": True,
        "smoothness": "edge_aware",
        "smooth_normalized": True,
        "smooth_weight": 0.02,
        "random_flip": True,
        "initial_disp": 1.0,
    },
}
# One scale for all frames of a video: depth that agrees from frame to frame (Bian et al., NeurIPS 2019).
PRESETS["scale_consistent"] = {
    **PRESETS["recommended"],
    "pose_network": "pairnet",
    "both_directions": True,
    "geometry_weight": 1.0,
    "consistency_mask": "learned",
}
# What moves by itself is given a motion of its own (Gordon et al., ICCV 2019; Li et al., CoRL 2020).
PRESETS["free_motion"] = {
    **PRESETS["scale_consistent"],
    "consistency_mask": "none",
    "motion_field": True,
    "occlusion_aware": True,
    "object_sparsity_weight": 0.2,
    "object_smooth_weight": 0.02,
    "rotation_cycle_weight": 0.001,
    "translation_cycle_weight": 0.01,
}
# Objects whose masks the data has are given motions of their own (Casser et al., AAAI 2019).
PRESETS["object_motion"] = {
    **PRESETS["recommended"],
    "object_motion": True,
    "object_size_weight": 0.01,
}
# Depth that agrees with its own normals and is flat between learned edges (Yang et al., CVPR 2018).
PRESETS["normals_and_edges"] = {
    **PRESETS["recommended"],
    "depth_normal": True,
    "edges": True,
    "edge_weight": 0.02,
    "smoothness": "planar",
    "smooth_normalized": False,
    "normal_smooth_weight": 0.005,
}
