"""The warp at one scale, computed once and shared by all terms of the objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import tensorflow as tf

from sfmlearner_tf import images as im
from sfmlearner_tf import sampler
from sfmlearner_tf.batch import Batch
from sfmlearner_tf.data.extras import EXTRAS
from sfmlearner_tf.geometry import Rigid3, project_pixels, scale_intrinsics
from sfmlearner_tf.networks.motion import Motion


@dataclass(frozen=True)
class View:
    """One scale of the target, and where its pixels fall in the sources.

    All N sources go through one warp, stacked on the batch, the examples of a source together: [N*B, ...]. Fewer and
    larger operations are faster.

    scale: 0 is the finest.
    num_sources: N.
    target: [B, h, w, 3] in [-1, 1].
    sources: [N*B, h, w, 3] in [-1, 1].
    disparity: [B, h, w, 1].
    x, y: [N*B, h, w], pixels of the source.
    z: [N*B, h, w, 1], depth in the source camera.
    in_view: [N*B, h, w, 1], 1 where the pixel falls inside the source, else 0.
    warped: [N*B, h, w, 3], the sources sampled there; 0, mid-grey, where not in view.
    mask_logits: [B, h, w, 2*N], None without masks.
    anchor: [B, h, w, 1], the disparity to hold to, None without an anchor.
    extras: the batch's, at this scale.
    kernel: of the sampler.
    """

    scale: int
    num_sources: int
    target: tf.Tensor
    sources: tf.Tensor
    disparity: tf.Tensor
    x: tf.Tensor
    y: tf.Tensor
    z: tf.Tensor
    in_view: tf.Tensor
    warped: tf.Tensor
    mask_logits: tf.Tensor | None = None
    anchor: tf.Tensor | None = None
    extras: Mapping[str, tf.Tensor] = field(default_factory=dict)
    kernel: str = "native"

    def sample(self, images: tf.Tensor) -> tf.Tensor:
        """Samples any images of the sources [N*B, h, w, C] where the target's pixels fall."""
        return sampler.sample(images, self.x, self.y, self.kernel).values

    def for_each_source(self, values: tf.Tensor) -> tf.Tensor:
        """Repeats something of the target [B, ...] for every source: [N*B, ...]."""
        return tf.tile(values, [self.num_sources] + [1] * (values.shape.rank - 1))

    @property
    def projected(self) -> tf.Tensor:
        """The warped sources beside each other on the channels, [B, h, w, 3*N]."""
        return im.unstack_sources(self.warped, self.num_sources)


def make_views(
    batch: Batch,
    disparities: Sequence[tf.Tensor],
    motion: Motion,
    anchors: Sequence[tf.Tensor] = (),
    kernel: str = "native",
) -> list[View]:
    """The views of a batch, from the finest scale on.

    Args:
        batch: with images in [-1, 1] in place of uint8.
        disparities: S of [B, h, w, 1]; there are as many views.
        motion: poses [B, N, 6], and mask logits at S scales or at more, or none.
        anchors: S of [B, h, w, 1], or none.
        kernel: of the sampler.
    """
    num_sources = motion.poses.shape[1]
    sources = im.stack_sources(batch.sources, num_sources)
    src_T_tgt = Rigid3.from_vector(tf.concat(tf.unstack(motion.poses, axis=1), axis=0))
    views = []
    for scale, disparity in enumerate(disparities):
        height, width = disparity.shape[1:3]
        scaled_sources = im.resize_area(sources, height, width)
        x, y, z = _project(batch, disparity, src_T_tgt, num_sources)
        warped, in_view = sampler.sample(scaled_sources, x, y, kernel)
        views.append(
            View(
                scale=scale,
                num_sources=num_sources,
                target=im.resize_area(batch.target, height, width),
                sources=scaled_sources,
                disparity=disparity,
                x=x,
                y=y,
                z=z,
                in_view=in_view,
                warped=warped,
                mask_logits=motion.mask_logits[scale] if motion.mask_logits else None,
                anchor=anchors[scale] if anchors else None,
                extras=_resize_extras(batch.extras, height, width),
                kernel=kernel,
            )
        )
    return views


def _project(
    batch: Batch, disparity: tf.Tensor, src_T_tgt: Rigid3, num_sources: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """x and y [N*B, h, w] and z [N*B, h, w, 1] of the target's pixels in every source."""
    full_height, full_width = batch.target.shape[1:3]
    height, width = disparity.shape[1:3]
    intrinsics = scale_intrinsics(batch.intrinsics, width / full_width, height / full_height)
    depth = tf.tile(1 / disparity[..., 0], [num_sources, 1, 1])
    coords, z = project_pixels(depth, src_T_tgt, tf.tile(intrinsics, [num_sources, 1, 1]))
    x, y = (tf.reshape(row, tf.shape(depth)) for row in tf.unstack(coords, axis=1))
    return x, y, tf.reshape(z, tf.concat([tf.shape(depth), [1]], axis=0))


def _resize_extras(extras: Mapping[str, tf.Tensor], height: int, width: int) -> dict[str, tf.Tensor]:
    return {name: im.resize(values, height, width, EXTRAS[name].resize) for name, values in extras.items()}
