"""Reads formatted training data whole, and finds the examples that teach nothing or end a training."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Generator, Iterable
from typing import NamedTuple

import numpy as np

from kitti_eval import images
from kitti_eval.workers import ordered_map
from sfmlearner_tf.data.formatted import DISTANCES, OBJECTS, Example, read_distances, read_intrinsics
from sfmlearner_tf.data.frames import open_image
from sfmlearner_tf.data.sequences import Note
from sfmlearner_tf.errors import UserError

# Grey levels that JPEG may add to a frame of one colour, and on average between equal frames that whole blocks cover.
_CONTRAST, _CHANGE = 2, 0.5
# Columns at which JPEG mixes a frame with its neighbour in the strip.
_MARGIN = 16


class Layout(NamedTuple):
    """Where the examples are, and what each must be; sizes are those of one frame in pixels.

    with_objects: whether each has masks of objects. with_distances: whether each has those of its sources.
    """

    dataset_dir: str
    seq_length: int
    img_height: int
    img_width: int
    with_objects: bool = False
    with_distances: bool = False


def check_examples(
    examples: Iterable[Example], layout: Layout, num_threads: int = 1
) -> Generator[tuple[Example, Note | None], None, None]:
    """Yields each example with what is wrong with it, in order, from `num_threads` worker processes.

    Of examples of the same name or the same pixels all but the first are wrong.
    """
    names: set[Example] = set()
    pictures: dict[bytes, Example] = {}
    results = ordered_map(functools.partial(_check, layout=layout), examples, num_threads)
    with contextlib.closing(results):
        for example, (note, digest) in results:
            if example in names:
                note = Note("example listed twice", _name(example))
            elif not note and pictures.setdefault(digest, example) != example:
                note = Note("same pictures under two names", f"{_name(example)}: as {_name(pictures[digest])}")
            names.add(example)
            yield example, note


def _check(example: Example, layout: Layout) -> tuple[Note | None, bytes]:
    """What is wrong with one example, and a digest of its pixels."""
    try:
        read_intrinsics(example.camera_path(layout.dataset_dir))
        if layout.with_distances:
            read_distances(example.further_path(layout.dataset_dir, DISTANCES), layout.seq_length - 1)
        pixels = np.asarray(open_image(example.image_path(layout.dataset_dir)))
    except UserError as error:
        return Note("damaged example", str(error)), b""
    height, width, _ = pixels.shape
    expected = f"{layout.seq_length * layout.img_width}x{layout.img_height}"
    if f"{width}x{height}" != expected:
        return Note("example of another size", f"{_name(example)}: expected {expected}, found {width}x{height}"), b""
    if layout.with_objects and (complaint := _check_objects(example, layout, (width, height))):
        return Note("damaged masks of objects", complaint), b""
    return _check_pixels(example, pixels, layout), hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()


def _check_objects(example: Example, layout: Layout, size: tuple[int, int]) -> str:
    path = example.further_path(layout.dataset_dir, OBJECTS)
    try:
        with images.open_image(path, "masks of objects") as image:
            image.load()
            found, bits = image.size, image.mode
    except UserError as error:
        return str(error)
    if found != size or bits not in ("L", "RGB"):
        return f"{path}: expected 8 bits and {size[0]}x{size[1]}, found {bits} and {found[0]}x{found[1]}"
    return ""


def _check_pixels(example: Example, pixels: np.ndarray, layout: Layout) -> Note | None:
    margin = min(_MARGIN, layout.img_width // 4)
    frames = np.stack(np.split(pixels, layout.seq_length, axis=1))[:, :, margin:-margin].astype(np.float32)
    contrast = np.ptp(frames, axis=(1, 2)).max(axis=-1)
    if contrast.min() <= _CONTRAST:
        return Note("frame of one colour", f"{_name(example)}: number {contrast.argmin() + 1} of its strip")
    if layout.seq_length > 1 and np.abs(frames[1:] - frames[:-1]).mean(axis=(1, 2, 3)).max() < _CHANGE:
        return Note("frames all the same", _name(example))
    return None


def _name(example: Example) -> str:
    return f"{example.folder} {example.frame}"
