"""Formatted data to batches: decode, augment, batch, in an order that depends on the seed alone.

Every batch follows from (seed, step): the order is a stateless shuffle and augmentation draws from a stateless
generator. So neither the number of threads nor a stop and a fresh start at some step changes what comes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np
import tensorflow as tf

from sfmlearner_tf.batch import Batch
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.data.augmentation import ORDER, WHOLE, Share, augment, flip, random_stream
from sfmlearner_tf.data.cache import Cache, open_cache
from sfmlearner_tf.data.extras import needed_extras, split_strip
from sfmlearner_tf.data.formatted import FARTHEST_CENTRE, LARGEST_FOCAL_PX, Example, read_intrinsics
from sfmlearner_tf.data.mixture import find_root
from sfmlearner_tf.errors import UserError, first_line


def make_batches(
    config: TrainConfig,
    examples: Sequence[Example],
    first_step: int = 0,
    position: int | None = None,
    share: Share = WHOLE,
    cache: Cache | None = None,
) -> tf.data.Dataset:
    """An endless dataset of augmented batches, for the steps from `first_step` on.

    Args:
        position: examples that were seen before; None if every step before had this batch size too.
        share: the part of each batch; all parts together are the batches without it.
        cache: what keeps decoded examples; None for one of `make_cache`. It changes no batch.

    Returns:
        A `Batch` for each step. What is wrong with a file ends the iteration; `find_damage` then finds what.
    """
    root = find_root(config.dataset_dir)
    stems = tf.constant([example.stem(root) for example in examples])
    threads, size = config.num_threads or tf.data.AUTOTUNE, config.batch_size // share.count
    start = (first_step * config.batch_size if position is None else position) + share.index * size
    cache = cache or make_cache(config, examples)
    load = partial(load_example, config=config)
    load_once = cache.through(load) if cache else None
    numbers = tf.constant(cache.number(examples) if cache else [], tf.int64)

    @tf.autograph.experimental.do_not_convert
    def load_at(number: tf.Tensor) -> Batch:
        place = start + number // size * config.batch_size + number % size
        index = _shuffled_index(config.seed, place, len(examples))
        return load_once(stems[index], numbers[index], place) if load_once else load(stems[index])

    @tf.autograph.experimental.do_not_convert
    def finish(step: tf.Tensor, batch: Batch) -> Batch:
        if config.random_flip:
            batch = flip(batch, config.seed, step, share, config.learn_intrinsics)
        return augment(batch, config.seed, step)

    end = tf.int64.max // config.batch_size - start
    loaded = tf.data.Dataset.range(end).map(load_at, num_parallel_calls=threads, deterministic=True).batch(size, True)
    steps = tf.data.Dataset.range(first_step, end)
    batches = tf.data.Dataset.zip((steps, loaded)).map(finish, num_parallel_calls=threads, deterministic=True)
    options = tf.data.Options()
    if config.num_threads:
        options.threading.private_threadpool_size = config.num_threads
    return batches.prefetch(2).with_options(options)


def make_cache(config: TrainConfig, examples: Sequence[Example]) -> Cache | None:
    """An empty cache for the examples, as `config.cache` asks for; None where that is "none".

    Raises:
        UserError: there is too little room for all of them.
    """
    if config.cache == "none":
        return None
    return open_cache(config.cache, len(set(examples)), _count_bytes(config, examples[0]))


def _count_bytes(config: TrainConfig, example: Example) -> int:
    """How many bytes an example takes once it is decoded; without its extras where those are damaged."""
    size = 3 * config.img_height * config.img_width * config.seq_length + 9 * tf.float32.size
    with contextlib.suppress(tf.errors.OpError, ValueError):
        extras = _load_extras(example.stem(find_root(config.dataset_dir)), config)
        size += sum(extra.numpy().nbytes for extra in extras.values())
    return size


def load_example(stem: tf.Tensor | str, config: TrainConfig) -> Batch:
    """One example as it is on the disk: a `Batch` without the axis of examples.

    Args:
        stem: path of the example's files, without their endings.

    Raises:
        tf.errors.OpError: a file is missing, damaged or of another size.
    """
    target, sources = load_frames(stem + ".jpg", config)
    intrinsics = tf.eye(3) if config.learn_intrinsics else load_intrinsics(stem + "_cam.txt")
    return Batch(target, sources, intrinsics, _load_extras(stem, config))


def _load_extras(stem: tf.Tensor | str, config: TrainConfig) -> dict[str, tf.Tensor]:
    return {k: extra.decode(tf.io.read_file(stem + extra.suffix), config) for k, extra in needed_extras(config).items()}


def batch_examples(config: TrainConfig, examples: Sequence[Example], position: int) -> list[Example]:
    """The examples of the batch that begins at `position` of the endless order."""
    positions = range(position, position + config.batch_size)
    indices = [_shuffled_index(config.seed, tf.constant(p, tf.int64), len(examples)) for p in positions]
    return [examples[int(index)] for index in indices]


def find_damage(config: TrainConfig, examples: Sequence[Example], position: int) -> dict[Example, str]:
    """The examples of the batch at `position` that cannot be read, and why: the text names the file."""
    damage = {}
    for example in batch_examples(config, examples, position):
        try:
            read_example(config, example)
        except UserError as error:
            damage[example] = str(error)
    return damage


def read_example(config: TrainConfig, example: Example) -> Batch:
    """`load_example` of an example. Raises UserError that names what is wrong with a file."""
    try:
        return _compile_loading(config)(example.stem(find_root(config.dataset_dir)))
    except (tf.errors.OpError, ValueError) as error:
        _diagnose(config, example)
        path = example.image_path(find_root(config.dataset_dir))
        raise UserError(f"{path}: cannot be read; {first_line(error)}") from None


@lru_cache(maxsize=4)
def _compile_loading(config: TrainConfig) -> Callable[[str], Batch]:
    """`load_example` in a graph: outside of one, TensorFlow loses memory with every list of words."""
    load = partial(load_example, config=config)
    return tf.function(load, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def _diagnose(config: TrainConfig, example: Example) -> None:
    """Raises UserError that names what is wrong with a file of an example, where a reason is found."""
    root = find_root(config.dataset_dir)
    if not config.learn_intrinsics:
        read_intrinsics(example.camera_path(root))
    path = example.image_path(root)
    try:
        shape = tf.io.decode_jpeg(tf.io.read_file(path), channels=3).shape
    except tf.errors.NotFoundError:
        raise UserError(f"{path} not found, though a list of examples names it") from None
    except tf.errors.OpError as error:
        raise UserError(f"{path} is damaged: expected a whole JPEG image, found {first_line(error)}") from None
    expected = (config.img_height, config.img_width * config.seq_length)
    if tuple(shape[:2]) != expected:
        raise UserError(
            f"{path}: expected a strip of {config.seq_length} frames of {config.img_width}x{config.img_height}, "
            f"{expected[1]}x{expected[0]} pixels, found {shape[1]}x{shape[0]} "
            "(img_height, img_width and seq_length must be those that the data was prepared with)"
        )
    for name, extra in needed_extras(config).items():
        path = example.stem(root) + extra.suffix
        try:
            extra.decode(tf.io.read_file(path), config)
        except (tf.errors.OpError, ValueError) as error:
            hint = f" (prepare_train_data.py --{extra.made_by} writes them)" if extra.made_by else ""
            raise UserError(f"{path}: expected {name} of the example{hint}, found {first_line(error)}") from None


def stack_examples(examples: Sequence[Batch]) -> Batch:
    """One batch of what `load_example` gave."""
    return tf.nest.map_structure(lambda *values: tf.stack(values), *examples)


def stack_windows(windows: Sequence[Sequence[np.ndarray]], target: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets [B, H, W, 3], the frames at index `target`, and sources [B, H, W, 3*N] of windows of N + 1 images."""
    targets = np.stack([window[target] for window in windows])
    sources = np.stack([np.concatenate([*window[:target], *window[target + 1 :]], axis=-1) for window in windows])
    return targets, sources


def load_frames(path: tf.Tensor, config: TrainConfig) -> tuple[tf.Tensor, tf.Tensor]:
    """The frames of one strip: the target, uint8 [H, W, 3], and the others, [H, W, 3*N] in temporal order."""
    return split_strip(tf.io.decode_jpeg(tf.io.read_file(path), channels=3), 3, config)


def load_intrinsics(path: tf.Tensor) -> tf.Tensor:
    """The camera matrix float32 [3, 3] of one example, pixels; `read_intrinsics` as operations of TensorFlow.

    Raises:
        tf.errors.OpError: the file is missing, or holds no camera that `read_intrinsics` would take.
    """
    words = tf.strings.split(tf.strings.strip(tf.io.read_file(path)), ",")
    matrix = tf.reshape(tf.strings.to_number(words, tf.float64), [3, 3])
    focal, centre = tf.linalg.diag_part(matrix)[:2], matrix[:2, 2]
    camera = tf.stack([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]])
    is_near = tf.abs(centre) <= FARTHEST_CENTRE * focal
    is_camera = tf.reduce_all(matrix == camera) & tf.reduce_all((focal > 0) & (focal <= LARGEST_FOCAL_PX) & is_near)
    tf.debugging.Assert(is_camera, ["no camera without skew:", matrix])
    return tf.cast(matrix, tf.float32)


def _shuffled_index(seed: int, position: tf.Tensor, count: int) -> tf.Tensor:
    """Which example stands at `position` of the endless order: every pass over all is shuffled anew."""
    epoch, within = position // count, position % count
    stream = random_stream(seed, epoch, ORDER)
    return tf.random.experimental.index_shuffle(within, stream, tf.constant(count - 1, tf.int64))
