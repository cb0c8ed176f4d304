"""Both networks as functions that other programs can call without this package; SavedModel is the first format."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef

from kitti_eval.locks import lock_folder
from sfmlearner_tf import checkpoint
from sfmlearner_tf.checksums import write_checksums
from sfmlearner_tf.errors import UserError, first_line
from sfmlearner_tf.geometry import pose_vec2mat
from sfmlearner_tf.images import preprocess
from sfmlearner_tf.learner import SfMLearner
from sfmlearner_tf.networks.building import load_network, load_pose_network
from sfmlearner_tf.networks.layers import Network
from sfmlearner_tf.networks.pose_network import TARGET_IS_LAST

# Largest relative difference from the release's networks that is rounding; of others see `Network.rounding`.
SAVED_MODEL_BOUND = 1e-5
# All that an export may hold, the latter beside a saved_model.pb: a folder with anything else is never replaced.
_FILES = re.compile(r"SHA256SUMS|saved_model\.pb|(depth|pose)(_(float32|float16|int8)\.tflite|\.onnx)")
_SAVED_MODEL_COMPANIONS = {"variables", "assets", "fingerprint.pb"}

# Examples of what each function is given, uint8 in batches of 1.
Inputs = Mapping[str, Sequence[Mapping[str, np.ndarray]]]


class Exportable(NamedTuple):
    """What is exported: the image size, and the networks by their function, "depth" or "pose"; one may be missing."""

    height: int
    width: int
    networks: Mapping[str, Network]

    def predict(self, function: str, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What the exported function makes of uint8 images of the networks' size.

        depth: images [B, H, W, 3] -> depth and disparity [B, H, W, 1], arbitrary scale.
        pose: target [B, H, W, 3], sources [B, H, W, 3*N] -> poses [B, N, 6], target to source, as (tx, ty, tz,
            rx, ry, rz), and the same as matrices src_T_tgt [B, N, 4, 4]; of a network that learns them also the
            intrinsics [B, 3, 3], pixels of the networks' size; of one whose target is the last frame, not the middle
            one, ones [B] as target_is_last.
        """
        network = self.networks[function]
        if function == "depth":
            disparity = network(preprocess(inputs["images"]))[0]
            return {"depth": 1 / disparity, "disparity": disparity}
        motion = network(preprocess(inputs["target"]), preprocess(inputs["sources"]))
        found = {"poses": motion.poses, "src_T_tgt": pose_vec2mat(motion.poses)}
        if network.learn_intrinsics:
            found["intrinsics"] = motion.intrinsics[0]
        if network.target_frame == "last":
            found[TARGET_IS_LAST] = tf.ones_like(motion.poses[:, 0, 0])
        return found

    def input_channels(self, function: str) -> dict[str, int]:
        """The channels of each input of the function."""
        if function == "depth":
            return {"images": 3}
        return {"target": 3, "sources": 3 * self.networks["pose"].num_sources}


class ExportedFunction(NamedTuple):
    """A function in a file."""

    file: str  # name within the export
    function: str
    bound: float  # largest relative difference from the networks that is no mistake
    load: Callable[[], Callable[..., Mapping[str, Any]]]
    bounds_median: bool = False  # the bound is that of the median, not of the largest difference


def load_exportable(ckpt_file: str, height: int, width: int, seq_length: int | None = None) -> Exportable:
    """Reads the networks of a checkpoint, those of 2017 included.

    Args:
        height, width: of the images that the networks get, pixels.
        seq_length: frames that the pose network is expected to see; None takes what is there.

    Raises:
        UserError: no such checkpoint, a damaged one, one with neither network or a part of one, or another seq_length.
    """
    shapes = checkpoint.list_shapes(ckpt_file)
    networks: dict[str, Network] = {}
    if any(name.startswith("depth_net/") for name in shapes):
        networks["depth"] = load_network(ckpt_file, "depth")
    if any(name.startswith("pose_exp_net/") for name in shapes):
        networks["pose"] = load_pose_network(ckpt_file, seq_length)
    if not networks:
        raise UserError(f"{ckpt_file}: expected variables of depth_net/ or pose_exp_net/, found neither")
    return Exportable(height, width, networks)


def export_saved_model(learner: SfMLearner, output_dir: str) -> None:
    """Writes the learner's networks as `write_saved_model` does, in place of an earlier export.

    Raises:
        UserError: `output_dir` holds something else, or cannot be written.
    """
    networks = {"depth": learner.disp_net.for_inference(), "pose": learner.pose_exp_net.for_inference()}
    with replace_export(output_dir) as folder:
        write_saved_model(Exportable(learner.config.img_height, learner.config.img_width, networks), folder)


def write_saved_model(networks: Exportable, folder: str) -> list[ExportedFunction]:
    """Writes a SavedModel whose images may be of any size: they are resized to that of the networks inside.

    Signatures, batch size free, each only where its network is there; serving_default is the first of them:
        depth: images uint8 [B, H, W, 3] -> depth and disparity [B, h, w, 1] at the networks' size,
            depth_at_input_size and disparity_at_input_size [B, H, W, 1]; arbitrary scale.
        pose: target uint8 [B, H, W, 3], sources uint8 [B, H, W, 3*N] -> poses [B, N, 6], target to source, as
            (tx, ty, tz, rx, ry, rz), and the same as matrices src_T_tgt [B, N, 4, 4]; of a network that learns them
            also the intrinsics [B, 3, 3], pixels of the networks' size; of one whose target is the last frame also
            target_is_last, ones [B].
    """
    functions = {
        name: make_function(networks, name, any_size=True).get_concrete_function() for name in networks.networks
    }
    default = next(iter(functions.values()))
    tf.saved_model.save(track(networks), folder, {"serving_default": default, **functions})
    _forget_uuid(os.path.join(folder, "fingerprint.pb"))

    def load(name: str) -> Callable[..., Mapping[str, Any]]:
        return tf.saved_model.load(folder).signatures[name]

    bounds = {name: SAVED_MODEL_BOUND * network.rounding for name, network in networks.networks.items()}
    return [ExportedFunction("saved_model.pb", name, bounds[name], partial(load, name)) for name in functions]


def _forget_uuid(path: str) -> None:
    """Takes the random number out of a fingerprint: the same weights give the same files."""
    with open(path, "rb") as file:
        fingerprint = FingerprintDef.FromString(file.read())
    # TensorFlow 2.15 has none.
    with suppress(ValueError):
        fingerprint.ClearField("uuid")
    with open(path, "wb") as file:
        file.write(fingerprint.SerializeToString(deterministic=True))


def make_function(
    networks: Exportable, name: str, any_size: bool, batch_size: int | None = None
) -> tf.types.experimental.PolymorphicFunction:
    """The tf.function of Exportable.predict, with the inputs in their order.

    Args:
        any_size: resize images of any size inside, and give depth at their size too; else the networks' size alone.
        batch_size: None for any.
    """
    size = (networks.height, networks.width)
    channels = networks.input_channels(name)

    def predict(*images: tf.Tensor) -> dict[str, tf.Tensor]:
        if not any_size:
            return networks.predict(name, dict(zip(channels, images)))
        # Parity: for depth the release resizes its test images with Lanczos, for motion bilinearly.
        method = tf.image.ResizeMethod.LANCZOS3 if name == "depth" else tf.image.ResizeMethod.BILINEAR
        resized = [resize_as_pillow(image, size, method) for image in images]
        outputs = networks.predict(name, dict(zip(channels, resized)))
        if name == "depth":
            disparity = tf.image.resize(outputs["disparity"], tf.shape(images[0])[1:3])
            outputs.update(disparity_at_input_size=disparity, depth_at_input_size=1 / disparity)
        return outputs

    sides = (None, None) if any_size else size
    specs = [tf.TensorSpec([batch_size, *sides, count], tf.uint8, key) for key, count in channels.items()]
    return tf.function(predict, input_signature=specs, autograph=False)


def track(networks: Exportable) -> tf.Module:
    """What holds the weights of functions that are to be saved; Keras' own objects stay out of the file."""
    module = tf.Module()
    module.variables_by_name = _weights(networks.networks)
    return module


def resize_as_pillow(images_u8: tf.Tensor, size: tuple[int, int], method: str) -> tf.Tensor:
    """Resizes uint8 images [B, H, W, C], antialiased, to what Pillow makes of them.

    Of a photograph's values one in thousands differs, by 1. A side that fits is left as it is. Pillow 13 goes the other
    way round where the height shrinks and the width grows; this does not, and edges differ by up to 20 there.
    """
    # As Pillow does, the width comes first and is rounded and clipped before the height: what Lanczos overshoots at
    # edges is lost there. In one go, pixels would differ by up to 28.
    for axis in (1, 0):
        images_u8 = _resize_side(images_u8, axis, size[axis], method)
    return tf.ensure_shape(images_u8, [None, *size, images_u8.shape[3]])


def _resize_side(images_u8: tf.Tensor, axis: int, side: int, method: str) -> tf.Tensor:
    sides = tf.unstack(tf.shape(images_u8)[1:3])
    fits = sides[axis] == side
    sides[axis] = side

    def resize() -> tf.Tensor:
        # Half a level is rounded up, not to even.
        return tf.saturate_cast(tf.floor(tf.image.resize(images_u8, sides, method, antialias=True) + 0.5), tf.uint8)

    return tf.cond(fits, lambda: images_u8, resize)


@contextmanager
def replace_export(output_dir: str) -> Iterator[str]:
    """A folder to export to, which takes the place of `output_dir` when the block ends well.

    It gets the sums of its files, see `checksums`. Where this process is killed between moving the earlier export away
    and the new one there, the next call puts the earlier one back.

    Raises:
        UserError: `output_dir` holds something that is no export, or cannot be written, or another process exports
            there.
    """
    path = os.path.realpath(output_dir)
    _check_name(path, output_dir)
    parent, name = os.path.split(path)
    work = os.path.join(parent, f".{name}.writing")
    new, earlier = os.path.join(work, "new"), os.path.join(work, "earlier")
    try:
        os.makedirs(work, exist_ok=True)
        with lock_folder(work):
            try:
                _put_back(earlier, path)
                _check_replaceable(path, output_dir)
                shutil.rmtree(new, ignore_errors=True)
                os.mkdir(new)
                yield new
                write_checksums(new)
                if os.path.exists(path):
                    os.rename(path, earlier)
                os.rename(new, path)
            finally:
                _put_back(earlier, path)
                shutil.rmtree(new, ignore_errors=True)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"cannot write {output_dir}: {first_line(error)}") from None
    finally:
        with suppress(OSError):
            os.rmdir(work)


def _put_back(earlier: str, path: str) -> None:
    """Moves an earlier export back to `path` where nothing took its place, else deletes it."""
    if os.path.isdir(earlier) and not os.path.lexists(path):
        os.rename(earlier, path)
    shutil.rmtree(earlier, ignore_errors=True)


def _check_name(path: str, output_dir: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UserError(f"{output_dir}: expected a name in UTF-8, as TensorFlow needs it, found other bytes") from None


def _check_replaceable(path: str, output_dir: str) -> None:
    if os.path.exists(path) and not os.path.isdir(path):
        raise UserError(f"{output_dir} is a file, expected a folder")
    entries = sorted(os.listdir(path)) if os.path.isdir(path) else []
    companions = _SAVED_MODEL_COMPANIONS if "saved_model.pb" in entries else set()
    others = [entry for entry in entries if not _FILES.fullmatch(entry) and entry not in companions]
    if others:
        raise UserError(
            f"{output_dir} exists and holds {others[0]}: expected a new folder, an empty one or an earlier export"
        )


def _weights(networks: Mapping[str, Network]) -> dict[str, tf.Variable]:
    return {name: weight for network in networks.values() for name, weight in network.release_variables().items()}
