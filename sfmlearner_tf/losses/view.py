"""The warp at one scale, computed once and shared by all terms of the objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import tensorflow as tf

from sfmlearner_tf import images as im
from sfmlearner_tf import sampler
from sfmlearner_tf.batch import Batch
from sfmlearner_tf.data.extras import EXTRAS
from sfmlearner_tf.geometry import Rigid3, pixel2cam, project_pixels, scale_intrinsics
from sfmlearner_tf.networks.motion import ExtendedMotion, Motion, ObjectMotion

# In the unit of depth; what is nearer counts as this near.
_LEAST_DEPTH = 1e-3


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
    intrinsics: [B, 3, 3] at this scale, pixels.
    x, y: [N*B, h, w], pixels of the source.
    z: [N*B, h, w, 1], depth in the source camera.
    in_view: [N*B, h, w, 1], 1 where the pixel falls inside the source, else 0.
    warped: [N*B, h, w, 3], the sources sampled there; 0, mid-grey, where not in view.
    objects: the motions of whole objects, None without any.
    mask_logits: [B, h, w, 2*N], None without masks.
    anchor: [B, h, w, 1], the disparity to hold to, None without an anchor.
    source_disparity: [N*B, h, w, 1], None where only the target's is predicted.
    edges: [B, h, w, 1] in [0, 1], where the depth network sees edges of things; None where it does not look.
    source_edges: [N*B, h, w, 1], None where `source_disparity` or `edges` is.
    src_T_tgt: of each pair, [N*B]; the camera's motion.
    object_motion: [N*B, h, w, 3], how points move beside it, None where nothing does.
    num_targets: frames of one example that are the target in turn, the examples of a frame together: B is then that
        many times the batch.
    extras: the batch's, at this scale.
    kernel: of the sampler.
    """

    scale: int
    num_sources: int
    target: tf.Tensor
    sources: tf.Tensor
    disparity: tf.Tensor
    intrinsics: tf.Tensor
    x: tf.Tensor
    y: tf.Tensor
    z: tf.Tensor
    in_view: tf.Tensor
    warped: tf.Tensor
    src_T_tgt: Rigid3
    object_motion: tf.Tensor | None = None
    objects: ObjectMotion | None = None
    mask_logits: tf.Tensor | None = None
    anchor: tf.Tensor | None = None
    source_disparity: tf.Tensor | None = None
    edges: tf.Tensor | None = None
    source_edges: tf.Tensor | None = None
    num_targets: int = 1
    extras: Mapping[str, tf.Tensor] = field(default_factory=dict)
    kernel: str = "native"

    def sample(self, images: tf.Tensor) -> tf.Tensor:
        """Samples any images of the sources [N*B, h, w, C] where the target's pixels fall."""
        return sampler.sample(images, self.x, self.y, self.kernel).values

    def for_each_source(self, values: tf.Tensor) -> tf.Tensor:
        """Repeats something of the target [B, ...] for every source: [N*B, ...]."""
        return tf.tile(values, [self.num_sources] + [1] * (values.shape.rank - 1))

    @property
    def num_pairs(self) -> int:
        """Pairs of a target and a source in one example."""
        return self.num_targets * self.num_sources

    @cached_property
    def sampled_depth(self) -> tf.Tensor:
        """The sources' own depth where the target's pixels fall, [N*B, h, w, 1]; 0 where not in view.

        Raises:
            ValueError: there is no `source_disparity`.
        """
        if self.source_disparity is None:
            raise ValueError("the depth of the sources is needed: expected source_disparity, found none")
        return self.sample(1 / self.source_disparity)

    @cached_property
    def depth_mismatch(self) -> tf.Tensor:
        """How far the depths of two frames are apart, [N*B, h, w, 1] in [0, 1]: |z - D| / (z + D) of a point's depth z
        in the source camera and the source's own depth D there (Bian et al., NeurIPS 2019, equation 3).

        Raises:
            ValueError: there is no `source_disparity`.
        """
        # Behind the camera z is below 0, and z + D might be 0.
        z = tf.maximum(self.z, _LEAST_DEPTH)
        return tf.abs(z - self.sampled_depth) / (z + self.sampled_depth)

    @cached_property
    def visible(self) -> tf.Tensor:
        """1 where a point is in view and nothing that the source sees is before it, else 0: [N*B, h, w, 1] (Gordon et
        al., ICCV 2019).

        Raises:
            ValueError: there is no `source_disparity`.
        """
        is_first = (self.z > 0) & (self.z < self.sampled_depth)
        return tf.stop_gradient(self.in_view * tf.cast(is_first, self.in_view.dtype))

    @property
    def projected(self) -> tf.Tensor:
        """The warped sources beside each other on the channels, [B, h, w, 3*N]."""
        return im.unstack_sources(self.warped, self.num_sources)


def make_views(
    batch: Batch,
    disparities: Sequence[tf.Tensor],
    motion: Motion | ExtendedMotion,
    anchors: Sequence[tf.Tensor] = (),
    kernel: str = "native",
    source_disparities: Sequence[tf.Tensor] = (),
    edges: Sequence[tf.Tensor] = (),
    source_edges: Sequence[tf.Tensor] = (),
) -> list[View]:
    """The views of a batch, from the finest scale on.

    Args:
        batch: with images in [-1, 1] in place of uint8.
        disparities: S of [B, h, w, 1]; there are as many views.
        motion: poses [B, N, 6], and mask logits at S scales or at more, or none.
        anchors: S of [B, h, w, 1], or none.
        kernel: of the sampler.
        source_disparities: S of [N*B, h, w, 1], or none.
        edges: S of [B, h, w, 1], or none.
        source_edges: S of [N*B, h, w, 1], or none.
    """
    num_sources = motion.poses.shape[1]
    sources = im.stack_sources(batch.sources, num_sources)
    src_T_tgt = Rigid3.from_vector(stack_poses(motion.poses))
    fields, objects = (motion.fields, motion.objects) if isinstance(motion, ExtendedMotion) else ((), ())
    full_height, full_width = batch.target.shape[1:3]
    of_scales = {"mask_logits": motion.mask_logits, "anchor": anchors, "source_disparity": source_disparities}
    of_scales |= {"edges": edges, "source_edges": source_edges}
    views = []
    for scale, disparity in enumerate(disparities):
        height, width = disparity.shape[1:3]
        intrinsics = scale_intrinsics(batch.intrinsics, width / full_width, height / full_height)
        object_motion = im.resize_area(fields[0], height, width) if fields else None
        if objects:
            object_motion = move_objects(objects[0], 1 / disparity[..., 0], intrinsics, src_T_tgt)
        views.append(
            _make_view(
                scale=scale, num_sources=num_sources, disparity=disparity, intrinsics=intrinsics, kernel=kernel,
                target=im.resize_area(batch.target, height, width),
                sources=im.resize_area(sources, height, width),
                src_T_tgt=src_T_tgt, object_motion=object_motion, objects=objects[0] if objects else None,
                extras=_resize_extras(batch.extras, height, width),
                **{name: maps[scale] for name, maps in of_scales.items() if maps},
            )
        )  # fmt: skip
    return views


def turn_around(view: View, motion: Motion | ExtendedMotion) -> View:
    """The view in which each source is the target in turn, and the target its only source.

    Args:
        view: with `source_disparity`.
        motion: its reverse poses move a source's points; without any, its poses are inverted.
    """
    if isinstance(motion, ExtendedMotion) and motion.reverse_poses:
        tgt_T_src = Rigid3.from_vector(stack_poses(motion.reverse_poses[0]))
    else:
        tgt_T_src = Rigid3.from_vector(stack_poses(motion.poses)).inverse()
    fields = motion.fields[1:] if isinstance(motion, ExtendedMotion) else ()
    return _make_view(
        src_T_tgt=tgt_T_src,
        object_motion=im.resize_area(fields[0], *view.disparity.shape[1:3]) if fields else None,
        scale=view.scale,
        num_sources=1,
        target=view.sources,
        sources=view.for_each_source(view.target),
        disparity=view.source_disparity,
        intrinsics=view.for_each_source(view.intrinsics),
        source_disparity=view.for_each_source(view.disparity),
        edges=view.source_edges,
        num_targets=view.num_sources,
        kernel=view.kernel,
    )


def move_objects(objects: ObjectMotion, depth: tf.Tensor, intrinsics: tf.Tensor, src_T_tgt: Rigid3) -> tf.Tensor:
    """By how much the motions of whole objects move points beside the camera's motion: [N*B, h, w, 3], in the frames of
    the source cameras, in the unit of depth.

    Args:
        depth: [B, h, w] of the target.
        intrinsics: [B, 3, 3] at that size, pixels.
        src_T_tgt: of each pair, [N*B].
    """
    height, width = depth.shape[1:]
    num_sources = objects.poses.shape[2]
    numbers = tf.reshape(im.resize_nearest(objects.numbers[..., :1], height, width), [-1, 1, height * width])
    points = tf.tile(pixel2cam(depth, intrinsics), [num_sources, 1, 1])
    shift = tf.zeros_like(points)
    for number, poses in enumerate(tf.unstack(objects.poses, axis=1), start=1):
        moved = Rigid3.from_vector(stack_poses(poses)).transform(points)
        is_object = tf.tile(tf.cast(numbers == number, points.dtype), [num_sources, 1, 1])
        shift += is_object * (moved - points)
    shift = tf.linalg.matrix_transpose(src_T_tgt.rotation @ shift)
    return tf.reshape(shift, [-1, height, width, 3])


def stack_poses(poses: tf.Tensor) -> tf.Tensor:
    """Poses [B, N, 6] in the order of stacked sources: [N*B, 6]."""
    return tf.concat(tf.unstack(poses, axis=1), axis=0)


def _make_view(**known: Any) -> View:
    """The view of which all is `known` but the warp."""
    disparity, num_sources = known["disparity"], known["num_sources"]
    depth = tf.tile(1 / disparity[..., 0], [num_sources, 1, 1])
    intrinsics = tf.tile(known["intrinsics"], [num_sources, 1, 1])
    coords, z = project_pixels(depth, known["src_T_tgt"], intrinsics, known["object_motion"])
    x, y = (tf.reshape(row, tf.shape(depth)) for row in tf.unstack(coords, axis=1))
    warped, in_view = sampler.sample(known["sources"], x, y, known["kernel"])
    z = tf.reshape(z, tf.concat([tf.shape(depth), [1]], axis=0))
    return View(x=x, y=y, z=z, in_view=in_view, warped=warped, **known)


def _resize_extras(extras: Mapping[str, tf.Tensor], height: int, width: int) -> dict[str, tf.Tensor]:
    return {name: im.resize(values, height, width, EXTRAS[name].resize) for name, values in extras.items()}
