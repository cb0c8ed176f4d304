"""The objective (paper equation 5): the list of its terms. A new loss is one function and one line here."""

from __future__ import annotations

from functools import partial

from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.losses.anchor import anchor_loss
from sfmlearner_tf.losses.constant_depth import constant_depth_loss
from sfmlearner_tf.losses.cycle import rotation_cycle_loss, translation_cycle_loss
from sfmlearner_tf.losses.explainability import explainability_loss
from sfmlearner_tf.losses.geometry_consistency import geometry_consistency_loss
from sfmlearner_tf.losses.motion_field import sparsity_loss, total_variation_loss
from sfmlearner_tf.losses.object_size import object_size_loss
from sfmlearner_tf.losses.photometric import photometric_loss
from sfmlearner_tf.losses.planarity import edge_loss, normal_smoothness_loss, planarity_loss
from sfmlearner_tf.losses.smoothness import smoothness_loss
from sfmlearner_tf.losses.speed import speed_loss
from sfmlearner_tf.losses.term import Term


def make_terms(config: TrainConfig) -> list[Term]:
    """The terms that a configuration asks for; the release's three are always among them, with weight 0 if unused."""
    photometric = partial(
        photometric_loss,
        ssim_weight=config.ssim_weight,
        mask_out_of_view=config.mask_out_of_view,
        consistency=config.consistency_mask,
        occlusion_aware=config.occlusion_aware,
    )
    smoothness = partial(
        smoothness_loss, edge_aware=config.smoothness == "edge_aware", normalized=config.smooth_normalized
    )
    explainability = partial(explainability_loss, focal=config.mask_loss == "focal")
    terms = [
        Term("pixel", 1.0, photometric),
        Term("smooth", config.smooth_weight, planarity_loss if config.smoothness == "planar" else smoothness),
        Term("explain", config.explain_reg_weight, explainability),
    ]
    geometry = partial(geometry_consistency_loss, occlusion_aware=config.occlusion_aware)
    further = [
        Term("anchor", config.anchor_weight, anchor_loss),
        Term("normal_smooth", config.normal_smooth_weight, normal_smoothness_loss),
        Term("edge", config.edge_weight, edge_loss),
        Term("geometry", config.geometry_weight, geometry),
        Term("constant_depth", config.constant_depth_weight, constant_depth_loss),
        Term("object_sparsity", config.object_sparsity_weight, sparsity_loss),
        Term("object_smooth", config.object_smooth_weight, total_variation_loss),
        Term("speed", config.speed_weight, speed_loss),
        Term("object_size", config.object_size_weight, object_size_loss),
        Term("rotation_cycle", config.rotation_cycle_weight, rotation_cycle_loss),
        Term("translation_cycle", config.translation_cycle_weight, translation_cycle_loss),
    ]
    return terms + [term for term in further if term.weight]
