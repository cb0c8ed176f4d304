"""The batches of a run, without the examples whose files are damaged."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf
from tqdm import tqdm

from kitti_eval.files import read_lines, write_text
from sfmlearner_tf.batch import Batch
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.data import augmentation, batches
from sfmlearner_tf.data.cache import DiskCache
from sfmlearner_tf.data.formatted import Example
from sfmlearner_tf.errors import UserError, first_line

BAD_EXAMPLES_NAME = "bad_examples.txt"


class Feed:
    """The batches of a run, one after the other.

    An example that is left out is replaced by the next good one of the list wherever it would come. So the number of
    steps in an epoch stays, and every batch still follows from its step, its position and what is left out.

    Args:
        config: what to do about damaged examples, among others.
        examples: all that train.txt lists.
        left_out: the damaged ones that the run has met before, and why each is left out.
        share: the part of each batch that is read.

    Raises:
        UserError: more than max_bad_fraction of the examples are left out, or there is too little room for the cache.
    """

    def __init__(
        self,
        config: TrainConfig,
        examples: Sequence[Example],
        left_out: Mapping[Example, str],
        share: augmentation.Share = augmentation.WHOLE,
    ) -> None:
        self.config = config
        self.share = share
        self.examples = examples
        listed = set(examples)
        self.left_out = {example: reason for example, reason in left_out.items() if example in listed}
        self._data: Iterator[Batch] | None = None
        self._check_share()
        # Beside the iterator, which is made anew when an example is left out.
        self._cache = batches.make_cache(config, examples)
        if self._cache and share.index == 0:
            print(self._cache.summary)

    def next_batch(self, step: int, position: int) -> Batch:
        """The batch after `step` steps in which `position` examples were seen, to be called for one after the other.

        A damaged example is left out for good and listed in bad_examples.txt of checkpoint_dir, or ends the run.

        Raises:
            UserError: an example is damaged and on_bad_example is "stop", or too many are.
        """
        while True:
            if self._data is None:
                data = batches.make_batches(self.config, self._used(), step, position, self.share, self._cache)
                self._data = iter(data)
            try:
                return next(self._data)
            except tf.errors.OpError as error:
                is_disk_full = isinstance(self._cache, DiskCache) and self._cache.place in str(error)
                if isinstance(error, tf.errors.ResourceExhaustedError) and not is_disk_full:
                    raise
                self._data = None
                damage = batches.find_damage(self.config, self._used(), position)
                if not damage:
                    raise UserError(f"cannot read the batch of step {step + 1}: {first_line(error)}") from None
                self._leave_out(damage)

    def batch_examples(self, position: int) -> list[Example]:
        """The examples of the batch at `position`."""
        return batches.batch_examples(self.config, self._used(), position)

    def write_left_out(self) -> None:
        """Makes bad_examples.txt of checkpoint_dir list what is left out; there is none where that is nothing.

        Raises UserError where it cannot be written.
        """
        path = os.path.join(self.config.checkpoint_dir, BAD_EXAMPLES_NAME)
        lines = [f"{example.folder} {example.frame}: {reason}\n" for example, reason in self.left_out.items()]
        if lines:
            write_text(path, "".join(lines))
        elif os.path.lexists(path):
            try:
                os.remove(path)
            except OSError as error:
                raise UserError(f"{path}: expected a file that can be deleted; {error.strerror}") from None

    def _leave_out(self, damage: Mapping[Example, str]) -> None:
        if self.config.on_bad_example == "stop":
            raise UserError(f"{next(iter(damage.values()))} (on_bad_example=skip leaves it out)")
        self.left_out.update(damage)
        self.write_left_out()
        for reason in damage.values():
            tqdm.write(f"warning: left out: {reason}")
        self._check_share()

    def _check_share(self) -> None:
        # An example may be listed several times.
        bad = sum(example in self.left_out for example in self.examples)
        if bad > self.config.max_bad_fraction * len(self.examples):
            raise UserError(
                f"{bad} of {len(self.examples)} examples are damaged, more than max_bad_fraction="
                f"{self.config.max_bad_fraction:g}; {BAD_EXAMPLES_NAME} lists them, the last: "
                f"{list(self.left_out.values())[-1]}"
            )

    def _used(self) -> list[Example]:
        """The list with the next good example in place of each that is left out."""
        good = next(example for example in self.examples if example not in self.left_out)
        used = []
        for example in reversed(self.examples):
            good = good if example in self.left_out else example
            used.append(good)
        return used[::-1]


def read_left_out(folder: str) -> dict[Example, str]:
    """What bad_examples.txt in the folder of a run lists: examples, and why each is left out; empty without the file.

    Raises:
        UserError: it holds something else.
    """
    path = os.path.join(folder, BAD_EXAMPLES_NAME)
    left_out = {}
    for line in read_lines(path, "a list of examples") if os.path.exists(path) else []:
        words = line.split(maxsplit=2)
        if len(words) < 3 or not words[1].endswith(":"):
            raise UserError(f'{path}: expected "<folder> <frame>: <reason>" in each line, found {line[:80]!r}')
        left_out[Example(words[0], words[1][:-1])] = words[2]
    return left_out
