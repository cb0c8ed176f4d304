"""Formatted data for the benchmarks."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.data.formatted import Example, write_example

EXAMPLES = 16


def write_examples(config: TrainConfig) -> list[Example]:
    """Formatted examples of smooth random pictures that drift from frame to frame."""
    random = np.random.RandomState(0)
    examples = []
    for number in range(EXAMPLES):
        coarse = Image.fromarray(random.randint(0, 256, (16, 52, 3), np.uint8))
        size = (config.img_width + 8 * config.seq_length, config.img_height)
        wide = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC))
        frames = [Image.fromarray(wide[:, 4 * i : 4 * i + config.img_width]) for i in range(config.seq_length)]
        example = Example("pictures", f"{number:010d}")
        write_example(config.dataset_dir, example, frames, (241.7, 246.3, 204.2, 59.0))
        examples.append(example)
    return examples
