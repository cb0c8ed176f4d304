"""What the objective asks of the depth network: the maps of the target and, where they are needed, of the sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from sfmlearner_tf.batch import Batch
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.images import resize_area, stack_sources
from sfmlearner_tf.networks.depth_network import DepthNetwork
from sfmlearner_tf.normals import find_plane_depth


class DepthMaps(NamedTuple):
    """Of frames on the batch, at S scales from the finest on.

    disparities: S of [B, h, w, 1]. edges: S of [B, h, w, 1] in [0, 1], or none.
    """

    disparities: Sequence[tf.Tensor] = ()
    edges: Sequence[tf.Tensor] = ()

    def split(self, count: tf.Tensor) -> tuple[DepthMaps, DepthMaps]:
        """Those of the first `count` frames, and those of the others."""
        first = [[values[:count] for values in maps] for maps in self]
        others = [[values[count:] for values in maps] for maps in self]
        return DepthMaps(*first), DepthMaps(*others)

    def along_planes(self, images: tf.Tensor) -> DepthMaps:
        """With disparity made consistent with its own normals, see `find_plane_depth`; `images`: [B, H, W, 3] in
        [-1, 1]."""
        found = [find_plane_depth(each, resize_area(images, *each.shape[1:3])) for each in self.disparities]
        return self._replace(disparities=found)


def predict_maps(
    network: DepthNetwork, images: Batch, config: TrainConfig, training: bool
) -> tuple[DepthMaps, DepthMaps]:
    """The maps of the target, and those of the sources, the examples of a source together; none where not needed.

    Args:
        images: in [-1, 1].
        training: whether the network learns from them.
    """
    frames = images.target
    if config.needs_source_depth:
        # In one go, so that networks that normalise over the batch see them alike.
        frames = tf.concat([frames, stack_sources(images.sources, config.num_sources)], axis=0)
    given = network(frames, training=training)
    count = len(given) // 2 if config.edges else len(given)
    maps = DepthMaps(given[:count][: config.num_scales], given[count:][: config.num_scales])
    if config.depth_normal:
        maps = maps.along_planes(frames)
    return maps.split(tf.shape(images.target)[0]) if config.needs_source_depth else (maps, DepthMaps())
