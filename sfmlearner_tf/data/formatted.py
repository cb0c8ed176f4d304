"""The release's on-disk training format.

<dataset_dir>/train.txt, val.txt         one example per line: "<folder> <frame>"
<dataset_dir>/<folder>/<frame>.jpg       seq_length frames, left to right in temporal order, the target in the middle
<dataset_dir>/<folder>/<frame>_cam.txt   fx,0.,cx,0.,fy,cy,0.,0.,1.   in pixels of one frame
<dataset_dir>/<folder>/<frame>-fseg.png  beyond the release, if asked for: the number of the object at each pixel of the
                                         strip, uint8, 0 for none; one number is one object in all frames
<dataset_dir>/<folder>/<frame>_motion.txt  likewise: the distances of the sources from the target, metres, with commas
"""

from __future__ import annotations

import io
import os
import reprlib
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from kitti_eval.files import check_inside, read_lines, read_text, write_whole
from sfmlearner_tf.errors import UserError

# Larger focal lengths are mistakes: at this one, a frame of 1242 pixels would see 0.07 degrees.
LARGEST_FOCAL_PX = 1e6
# How many focal lengths the principal point may be from the frame's corner. A crop may leave it outside the frame, but
# farther away than this a frame would see the world at more than 84 degrees from the camera's axis.
FARTHEST_CENTRE = 10
# The quality of scipy.misc.imsave, which the release used.
JPEG_QUALITY = 75
JPEG_END = b"\xff\xd9"
OBJECTS, DISTANCES = "objects", "distances"
# What an example may have beyond the release: by name the suffix of its file, and how that ends.
FURTHER_FILES = {OBJECTS: ("-fseg.png", b"IEND\xaeB`\x82"), DISTANCES: ("_motion.txt", b"\n")}
SPLIT_SEED = 8964
VALIDATION_SHARE = 0.1


class Example(NamedTuple):
    """One training example: a line of train.txt or val.txt."""

    folder: str
    frame: str

    def stem(self, dataset_dir: str) -> str:
        """The path of the example's files, without their endings."""
        return os.path.join(dataset_dir, self.folder, self.frame)

    def image_path(self, dataset_dir: str) -> str:
        """Of the strip of frames."""
        return f"{self.stem(dataset_dir)}.jpg"

    def camera_path(self, dataset_dir: str) -> str:
        """Of the intrinsics."""
        return f"{self.stem(dataset_dir)}_cam.txt"

    def further_path(self, dataset_dir: str, name: str) -> str:
        """Of a file of FURTHER_FILES."""
        return self.stem(dataset_dir) + FURTHER_FILES[name][0]


def read_split(dataset_dir: str, name: str) -> list[Example]:
    """The examples listed in `<dataset_dir>/<name>.txt`, in order; `name` is "train" or "val".

    Empty lines are passed over. Raises UserError for a missing or empty list, for a line that is not two words, and for
    one that leads out of `dataset_dir`.
    """
    path = os.path.join(dataset_dir, f"{name}.txt")
    examples = []
    known: dict[str, str] = {}  # lists of millions repeat few names: each is checked and kept once
    for number, line in enumerate(read_lines(path, "a list of examples"), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise UserError(f'{path} line {number}: expected "<folder> <frame>", found {reprlib.repr(line)}')
        for word in words:
            if word not in known:
                known[word] = check_inside(word, f"{path} line {number}")
        examples.append(Example(known[words[0]], known[words[1]]))
    if not examples:
        raise UserError(f'{path}: expected a line "<folder> <frame>" for every example, found an empty file')
    return examples


def read_intrinsics(path: str) -> np.ndarray:
    """The camera matrix [3, 3] float32 in a `_cam.txt` file, in pixels of one frame of the strip.

    The principal point may be outside the frame, as that of a crop.

    Raises UserError unless the file holds nine comma-separated numbers that make a camera without skew.
    """
    text = read_text(path, "nine comma-separated numbers").strip()
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 9:
        raise UserError(f"{path}: expected nine comma-separated numbers, found {text[:80]!r}")
    if not np.isfinite(numbers).all():
        raise UserError(f"{path}: expected finite numbers, found {text[:80]!r}")
    fx, skew, cx, zero_x, fy, cy, *last_row = numbers
    if [skew, zero_x, *last_row] != [0, 0, 0, 0, 1]:
        raise UserError(f"{path}: expected fx,0,cx,0,fy,cy,0,0,1, found {text[:80]!r}")
    if not (0 < fx <= LARGEST_FOCAL_PX and 0 < fy <= LARGEST_FOCAL_PX):
        expected = f"positive focal lengths of at most {LARGEST_FOCAL_PX:g} pixels"
        raise UserError(f"{path}: expected {expected}, found fx={fx:g} and fy={fy:g}")
    if abs(cx) > FARTHEST_CENTRE * fx or abs(cy) > FARTHEST_CENTRE * fy:
        raise UserError(f"{path}: expected a principal point in or near the frame, found ({cx:g}, {cy:g})")
    return np.array(numbers, np.float32).reshape(3, 3)


def read_distances(path: str, count: int) -> np.ndarray:
    """The distances [count] of an example's sources from its target in a `_motion.txt` file, metres.

    Raises UserError unless the file holds that many comma-separated numbers that are distances.
    """
    text = read_text(path, "comma-separated distances").strip()
    try:
        distances = np.array([float(word) for word in text.split(",")])
    except ValueError:
        distances = np.array([])
    if len(distances) != count or not (np.isfinite(distances) & (distances >= 0)).all():
        raise UserError(f"{path}: expected {count} comma-separated distances, found {text[:80]!r}")
    return distances


def write_example(
    dump_root: str,
    example: Example,
    images: Sequence[Image.Image],
    camera: tuple[float, ...],
    jpeg_quality: int = JPEG_QUALITY,
    objects: Sequence[np.ndarray] = (),
    distances_m: Sequence[float] = (),
) -> None:
    """Writes one example: `images` of equal size in temporal order, `camera` (fx, fy, cx, cy) in their pixels.

    Args:
        objects: uint8 [H, W] for each image, the number of the object at each pixel, or none at all.
        distances_m: of each image but the one in the middle from that, or none at all.

    Raises OSError if a file cannot be written.
    """
    fx, fy, cx, cy = camera
    write_whole(example.camera_path(dump_root), b"%f,0.,%f,0.,%f,%f,0.,0.,1." % (fx, cx, fy, cy))
    width, height = images[0].size
    strip = Image.new("RGB", (width * len(images), height))
    for position, image in enumerate(images):
        strip.paste(image, (width * position, 0))
    encoded = io.BytesIO()
    if objects:
        Image.fromarray(np.concatenate(objects, axis=1)).save(encoded, "PNG")
        write_whole(example.further_path(dump_root, OBJECTS), encoded.getvalue())
        encoded = io.BytesIO()
    if distances_m:
        text = ",".join(f"{distance:.6f}" for distance in distances_m) + "\n"
        write_whole(example.further_path(dump_root, DISTANCES), text.encode())
    strip.save(encoded, "JPEG", quality=jpeg_quality)
    write_whole(example.image_path(dump_root), encoded.getvalue())


def is_complete(dump_root: str, example: Example, further: Collection[str] = ()) -> bool:
    """Whether the files of the example exist and are complete; `further`: names of FURTHER_FILES that it has, too."""
    try:
        read_intrinsics(example.camera_path(dump_root))
        files = [(example.further_path(dump_root, name), FURTHER_FILES[name][1]) for name in further]
        return all(_ends_with(path, end) for path, end in [*files, (example.image_path(dump_root), JPEG_END)])
    except (OSError, UserError):
        return False


def _ends_with(path: str, end: bytes) -> bool:
    with open(path, "rb") as file:
        file.seek(-len(end), os.SEEK_END)
        return file.read() == end


class Written(NamedTuple):
    """The examples in the two lists, and those left out because their files are missing or incomplete."""

    train: list[Example]
    val: list[Example]
    missing: list[Example]


def write_splits(dump_root: str, examples: Iterable[Example], further: Collection[str] = ()) -> Written:
    """Splits the complete examples into train.txt and, about a tenth of them, val.txt. Raises OSError.

    Complete or not, every example takes one random draw, in sorted order, so that repairing one moves no other.
    """
    random = np.random.RandomState(SPLIT_SEED)
    written = Written([], [], [])
    for example in sorted(examples):
        chosen = written.val if random.random_sample() < VALIDATION_SHARE else written.train
        (chosen if is_complete(dump_root, example, further) else written.missing).append(example)
    for name, listed in (("train", written.train), ("val", written.val)):
        lines = "".join(f"{example.folder} {example.frame}\n" for example in listed)
        write_whole(os.path.join(dump_root, f"{name}.txt"), lines.encode())
    return written
