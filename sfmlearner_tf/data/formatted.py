"""The release's on-disk training format.

<dataset_dir>/train.txt, val.txt            one example a line: "<folder> <frame>"
<dataset_dir>/<folder>/<frame>.jpg          seq_length frames from left to right in temporal order, the target in the middle
<dataset_dir>/<folder>/<frame>_cam.txt      fx,0.,cx,0.,fy,cy,0.,0.,1.   in pixels of one frame
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from sfmlearner_tf.command import UserError


class Example(NamedTuple):
    """One training example, as a line of train.txt or val.txt names it."""

    folder: str
    frame: str

    def image_path(self, dataset_dir: str) -> str:
        return os.path.join(dataset_dir, self.folder, f"{self.frame}.jpg")

    def camera_path(self, dataset_dir: str) -> str:
        return os.path.join(dataset_dir, self.folder, f"{self.frame}_cam.txt")


def read_split(dataset_dir: str, name: str) -> list[Example]:
    """The examples that `<dataset_dir>/<name>.txt` lists, in its order; `name` is "train" or "val".

    Raises UserError for a missing or empty list and for a line that is not two words.
    """
    path = os.path.join(dataset_dir, f"{name}.txt")
    examples = []
    for number, line in enumerate(_read_text(path, "a list of examples").splitlines(), start=1):
        words = line.split()
        if len(words) != 2:
            raise UserError(f'{path} line {number}: expected "<folder> <frame>", found {line!r}')
        examples.append(Example(*words))
    if not examples:
        raise UserError(f'{path}: expected a line "<folder> <frame>" for every example, found an empty file')
    return examples


def read_intrinsics(path: str) -> np.ndarray:
    """The camera matrix [3, 3] float32 in a `_cam.txt` file, in pixels of one frame of the strip.

    Raises UserError unless the file holds nine finite comma-separated numbers with positive focal lengths.
    """
    text = _read_text(path, "nine comma-separated numbers").strip()
    try:
        matrix = np.array([float(word) for word in text.split(",")], np.float32)
    except ValueError:
        matrix = np.empty(0, np.float32)
    if matrix.size != 9:
        raise UserError(f"{path}: expected nine comma-separated numbers, found {text[:80]!r}")
    if not np.isfinite(matrix).all():
        raise UserError(f"{path}: expected finite numbers, found {text[:80]!r}")
    if matrix[0] <= 0 or matrix[4] <= 0:
        raise UserError(f"{path}: expected positive focal lengths, found fx={matrix[0]:g} and fy={matrix[4]:g}")
    return matrix.reshape(3, 3)


def _read_text(path: str, expected: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "bytes that are not text"
        raise UserError(f"{path}: expected {expected}, found: {reason}") from None
