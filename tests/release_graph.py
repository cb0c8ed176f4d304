"""The networks of 2017 as a TensorFlow 1 graph of plain operations, under the release's names: what its code would load
and write, to check our checkpoints against."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

v1 = tf.compat.v1


class ReleaseGraph:
    """Both networks with masks, an optimiser and a Saver, in a graph and session of their own.

    Args:
        height, width: of the images, multiples of 32.
        num_sources: source frames beside the target.
    """

    def __init__(self, height: int, width: int, num_sources: int) -> None:
        self.graph = tf.Graph()
        with self.graph.as_default(), v1.variable_scope("", use_resource=False):
            self.target = v1.placeholder(tf.float32, [1, height, width, 3])
            self.sources = v1.placeholder(tf.float32, [1, height, width, 3 * num_sources])
            self.disparities = _depth_net(self.target)
            self.poses, self.masks = _pose_exp_net(self.target, self.sources, num_sources)
            self.loss = _loss(self.disparities, self.poses, self.masks)
            with v1.name_scope("train_op"):
                self.global_step = v1.Variable(0, trainable=False, name="global_step")
                self.train = v1.train.AdamOptimizer(2e-4, 0.9).minimize(self.loss, self.global_step)
            # What the release saves; and beside it all that the optimiser has.
            self._saver = v1.train.Saver([*v1.trainable_variables(), self.global_step])
            self._whole_saver = v1.train.Saver()
            self.session = v1.Session(graph=self.graph)
            self.session.run(v1.global_variables_initializer())

    def run(self, fetches: Any, target: Any, sources: Any) -> Any:
        """Evaluates tensors for images in [-1, 1]."""
        return self.session.run(fetches, {self.target: target, self.sources: sources})

    def restore(self, path: str) -> None:
        """Reads the networks and the step, as the release does."""
        with self.graph.as_default():
            self._saver.restore(self.session, path)

    def save(self, path: str) -> None:
        """Writes every variable, the optimiser's among them."""
        with self.graph.as_default():
            self._whole_saver.save(self.session, path)

    def variables(self) -> dict[str, Any]:
        """The values of all variables by name, the optimiser's among them."""
        with self.graph.as_default():
            return self.session.run({variable.op.name: variable for variable in v1.global_variables()})


def _loss(disparities: list[Any], poses: Any, masks: list[Any]) -> Any:
    """Something to learn that every variable has a share in."""
    return tf.add_n([tf.reduce_mean(tf.square(output - 0.3)) for output in (*disparities, poses * 100, *masks)])


def _conv(inputs: Any, name: str, filters: int, size: int, stride: int = 1, activation: Any = tf.nn.relu) -> Any:
    with v1.variable_scope(name):
        weights = v1.get_variable("weights", [size, size, inputs.shape[3], filters])
        biases = v1.get_variable("biases", [filters], initializer=tf.zeros_initializer())
    return activation(tf.nn.conv2d(inputs, weights, stride, "SAME") + biases)


def _upconv(inputs: Any, name: str, filters: int, size: int) -> Any:
    batch, height, width, channels = inputs.shape
    with v1.variable_scope(name):
        weights = v1.get_variable("weights", [size, size, filters, channels])
        biases = v1.get_variable("biases", [filters], initializer=tf.zeros_initializer())
    doubled = tf.nn.conv2d_transpose(inputs, weights, [batch, 2 * height, 2 * width, filters], 2, "SAME")
    return tf.nn.relu(doubled + biases)


def _depth_net(images: Any) -> list[Any]:
    """Disparity at four scales, from the finest on."""
    with v1.variable_scope("depth_net"):
        skips = [images]
        for i, (filters, size) in enumerate(zip((32, 64, 128, 256, 512, 512, 512), (7, 5, 3, 3, 3, 3, 3)), 1):
            skips.append(_conv(_conv(skips[-1], f"cnv{i}", filters, size, 2), f"cnv{i}b", filters, size))
        features, disparities = skips[7], []
        for i, filters in zip((7, 6, 5, 4, 3, 2, 1), (512, 512, 256, 128, 64, 32, 16)):
            skip, sides = skips[i - 1], skips[i - 1].shape[1:3]
            # The legacy kinds of resizing: neither half-pixel centres nor aligned corners.
            parts = [v1.image.resize_nearest_neighbor(_upconv(features, f"upcnv{i}", filters, 3), sides)]
            if i > 1:
                parts.append(skip)
            if disparities:
                parts.append(v1.image.resize_bilinear(disparities[-1], sides))
            features = _conv(tf.concat(parts, 3), f"icnv{i}", filters, 3)
            if i <= 4:
                disparities.append(10 * _conv(features, f"disp{i}", 1, 3, activation=tf.sigmoid) + 0.01)
        return disparities[::-1]


def _pose_exp_net(target: Any, sources: Any, num_sources: int) -> tuple[Any, list[Any]]:
    """Poses [1, N, 6], and at four scales from the finest on how explainable each pixel of each source is."""
    with v1.variable_scope("pose_exp_net"):
        features = tf.concat([target, sources], 3)
        for i, (filters, size) in enumerate(zip((16, 32, 64, 128, 256), (7, 5, 3, 3, 3)), 1):
            features = _conv(features, f"cnv{i}", filters, size, 2)
        motion = _conv(_conv(features, "pose/cnv6", 256, 3, 2), "pose/cnv7", 256, 3, 2)
        motion = _conv(motion, "pose/pred", 6 * num_sources, 1, activation=tf.identity)
        poses = 0.01 * tf.reshape(tf.reduce_mean(motion, [1, 2]), [-1, num_sources, 6])
        masks = []
        for i, filters, size in zip((5, 4, 3, 2, 1), (256, 128, 64, 32, 16), (3, 3, 3, 5, 7)):
            features = _upconv(features, f"exp/upcnv{i}", filters, size)
            if i <= 4:
                logits = _conv(features, f"exp/mask{i}", 2 * num_sources, size, activation=tf.identity)
                pairs = tf.reshape(logits, [*logits.shape[:3], num_sources, 2])
                masks.append(tf.nn.softmax(pairs)[..., 1])
        return poses, masks[::-1]
