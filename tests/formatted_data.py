"""Small formatted data for tests: smooth pictures that drift to the left from frame to frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sfmlearner_tf.data.formatted import Example, write_example


def write_formatted_data(folder: Path, count: int = 6, height: int = 32, width: int = 64, seq_length: int = 3) -> None:
    """`count` examples with a train.txt that lists them all; val.txt lists the first."""
    random = np.random.RandomState(0)
    lines = []
    for number in range(count):
        coarse = Image.fromarray(random.randint(0, 256, (4, 8, 3), np.uint8))
        wide = np.asarray(coarse.resize((width + 2 * seq_length, height), Image.Resampling.BICUBIC))
        frames = [Image.fromarray(wide[:, 2 * i : 2 * i + width]) for i in range(seq_length)]
        example = Example("drive", f"{number:010d}")
        write_example(str(folder), example, frames, (0.6 * width, 0.6 * width, width / 2, height / 2))
        lines.append(f"{example.folder} {example.frame}\n")
    (folder / "train.txt").write_text("".join(lines))
    (folder / "val.txt").write_text(lines[0])
