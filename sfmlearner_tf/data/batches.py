"""Formatted data to batches: decode, augment, batch, in an order that depends on the seed alone.

Every batch follows from (seed, step): the order is a stateless shuffle and augmentation draws from a stateless
generator. So neither the number of threads nor a stop and a fresh start at some step changes what comes.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.data.formatted import Example, read_intrinsics
from sfmlearner_tf.errors import UserError

# Augmentation enlarges by up to this much before it crops.
MAX_SCALING = 1.15
# What the streams of random numbers of one run are told apart by.
_ORDER, _SCALING, _CROP, _FLIP = 0, 1, 2, 3


def make_batches(
    config: TrainConfig, examples: Sequence[Example], first_step: int = 0, position: int | None = None
) -> tf.data.Dataset:
    """An endless dataset of augmented batches, for the steps from `first_step` on.

    Args:
        position: examples that were seen before; None if every step before had this batch size too.

    Returns:
        (target uint8 [B, H, W, 3], sources uint8 [B, H, W, 3*N], intrinsics float32 [B, 3, 3]).
        What is wrong with a file ends the iteration; `diagnose` then tells what.
    """
    image_paths = tf.constant([example.image_path(config.dataset_dir) for example in examples])
    camera_paths = tf.constant([example.camera_path(config.dataset_dir) for example in examples])
    threads = config.num_threads or tf.data.AUTOTUNE

    def load(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        index = _shuffled_index(config.seed, position, len(examples))
        return load_frames(image_paths[index], config), load_intrinsics(camera_paths[index])

    def finish(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        if config.random_flip:
            batch = flip(*batch, seed=config.seed, step=step)
        frames, intrinsics = augment(*batch, seed=config.seed, step=step)
        return *split_frames(frames, config.seq_length), intrinsics

    end = tf.int64.max // config.batch_size
    positions = tf.data.Dataset.range(first_step * config.batch_size if position is None else position, end)
    loaded = positions.map(load, num_parallel_calls=threads, deterministic=True).batch(config.batch_size, True)
    steps = tf.data.Dataset.range(first_step, end)
    batches = tf.data.Dataset.zip((steps, loaded)).map(finish, num_parallel_calls=1).prefetch(2)
    options = tf.data.Options()
    if config.num_threads:
        options.threading.private_threadpool_size = config.num_threads
    return batches.with_options(options)


def make_plain_batches(config: TrainConfig, examples: Sequence[Example]) -> tf.data.Dataset:
    """The examples once, in their order, as they are; shapes as of `make_batches`, the last batch may be smaller."""
    paths = [(example.image_path(config.dataset_dir), example.camera_path(config.dataset_dir)) for example in examples]

    def load(path: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return *split_frames(load_frames(path[0], config), config.seq_length), load_intrinsics(path[1])

    return tf.data.Dataset.from_tensor_slices(paths).map(load, num_parallel_calls=2).batch(config.batch_size)


def batch_examples(config: TrainConfig, examples: Sequence[Example], position: int) -> list[Example]:
    """The examples of the batch that begins at `position` of the endless order."""
    positions = range(position, position + config.batch_size)
    indices = [_shuffled_index(config.seed, tf.constant(p, tf.int64), len(examples)) for p in positions]
    return [examples[int(index)] for index in indices]


def diagnose(config: TrainConfig, examples: Sequence[Example], position: int) -> None:
    """Raises UserError that names what is wrong with a file of the batch at `position`, if anything is."""
    for example in batch_examples(config, examples, position):
        read_intrinsics(example.camera_path(config.dataset_dir))
        path = example.image_path(config.dataset_dir)
        try:
            shape = tf.io.decode_jpeg(tf.io.read_file(path), channels=3).shape
        except tf.errors.NotFoundError:
            raise UserError(f"{path} not found, though train.txt lists it") from None
        except tf.errors.OpError as error:
            reason = error.message.splitlines()[0]
            raise UserError(f"{path} is damaged: expected a whole JPEG image, found {reason}") from None
        expected = (config.img_height, config.img_width * config.seq_length)
        if tuple(shape[:2]) != expected:
            raise UserError(
                f"{path}: expected a strip of {config.seq_length} frames of {config.img_width}x{config.img_height}, "
                f"{expected[1]}x{expected[0]} pixels, found {shape[1]}x{shape[0]} "
                "(--img_height, --img_width and --seq_length must be those that the data was prepared with)"
            )


def load_frames(path: tf.Tensor, config: TrainConfig) -> tf.Tensor:
    """The frames of one strip, in temporal order on the channels: uint8 [H, W, 3*seq_length]."""
    strip = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
    strip = tf.ensure_shape(strip, [config.img_height, config.img_width * config.seq_length, 3])
    return tf.concat(tf.split(strip, config.seq_length, axis=1), axis=-1)


def load_intrinsics(path: tf.Tensor) -> tf.Tensor:
    """The camera matrix float32 [3, 3] of one example, pixels."""
    words = tf.strings.split(tf.strings.strip(tf.io.read_file(path)), ",")
    matrix = tf.reshape(tf.strings.to_number(words), [3, 3])
    return tf.debugging.assert_all_finite(matrix, "intrinsics")


def split_frames(frames: tf.Tensor, seq_length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """From frames [..., 3*seq_length] the middle one, the target, and the others, the sources."""
    middle = 3 * (seq_length // 2)
    target = frames[..., middle : middle + 3]
    return target, tf.concat([frames[..., :middle], frames[..., middle + 3 :]], axis=-1)


def augment(frames: tf.Tensor, intrinsics: tf.Tensor, seed: int, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Random scaling and cropping, the same for the whole batch, as the release does (paper section 4).

    Args:
        frames: uint8 [B, H, W, C].
        intrinsics: float32 [B, 3, 3].
        seed, step: what the random numbers follow from.

    Returns:
        Frames of the same shape, cut out of an enlargement by 1 to 1.15 (each side on its own), and their intrinsics.
    """
    shape = tf.shape(frames)
    in_size = shape[1:3]
    scaling = tf.random.stateless_uniform([2], _stream(seed, step, _SCALING), 1.0, MAX_SCALING)  # y, x
    out_size = tf.cast(tf.cast(in_size, tf.float32) * scaling, tf.int32)
    room = tf.cast(out_size - in_size + 1, tf.float32)
    offset = tf.cast(tf.random.stateless_uniform([2], _stream(seed, step, _CROP)) * room, tf.int32)
    offset = tf.minimum(offset, out_size - in_size)
    return scale_and_crop(frames, intrinsics, scaling, out_size, offset)


def flip(frames: tf.Tensor, intrinsics: tf.Tensor, seed: int, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mirrors each of the frames uint8 [B, H, W, C] left to right with probability 1/2.

    The principal point of the intrinsics [B, 3, 3] follows: pixel centres have whole coordinates, so cx becomes
    W - 1 - cx.
    """
    count, width = tf.shape(frames)[0], tf.shape(frames)[2]
    mirrored = tf.random.stateless_uniform([count, 1, 1], _stream(seed, step, _FLIP)) < 0.5
    flipped_cx = tf.cast(width - 1, intrinsics.dtype) - intrinsics[:, :1, 2:]
    flipped = tf.concat([tf.concat([intrinsics[:, :1, :2], flipped_cx], axis=2), intrinsics[:, 1:]], axis=1)
    return (
        tf.where(mirrored[..., tf.newaxis], frames[:, :, ::-1], frames),
        tf.where(mirrored, flipped, intrinsics),
    )


def scale_and_crop(
    frames: tf.Tensor, intrinsics: tf.Tensor, scaling: tf.Tensor, out_size: tf.Tensor, offset: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes uint8 [B, H, W, C] to `out_size` and cuts its first size out at `offset`; all of them as (y, x).

    The intrinsics [B, 3, 3] are scaled by `scaling` and shifted by `offset`.
    """
    shape = tf.shape(frames)
    scaled = tf.raw_ops.ResizeArea(images=frames, size=out_size)
    cropped = tf.slice(scaled, [0, offset[0], offset[1], 0], shape)
    # Parity: cut off, not rounded, to uint8; and the intrinsics take the drawn scaling, not that of the whole pixels
    # (test_batches.py::test_augmentation_equals_numpy).
    frames = tf.ensure_shape(tf.cast(cropped, tf.uint8), frames.shape)
    factors = tf.stack([scaling[1], scaling[0], 1.0])[:, tf.newaxis]
    shift = tf.cast(tf.stack([offset[1], offset[0], 0]), tf.float32)[:, tf.newaxis]
    third_column = tf.constant([[0.0, 0.0, 1.0]])
    return frames, intrinsics * factors - shift * third_column


def _shuffled_index(seed: int, position: tf.Tensor, count: int) -> tf.Tensor:
    """Which example stands at `position` of the endless order: every pass over all is shuffled anew."""
    epoch, within = position // count, position % count
    return tf.random.experimental.index_shuffle(within, _stream(seed, epoch, _ORDER), tf.constant(count - 1, tf.int64))


def _stream(seed: int, step: tf.Tensor, purpose: int) -> tf.Tensor:
    """The seed [2] of one purpose at one step or epoch."""
    return tf.stack([tf.constant(seed * 4 + purpose, tf.int64), tf.cast(step, tf.int64)])
