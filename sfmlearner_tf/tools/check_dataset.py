"""Reads training data whole, and reports every example that is damaged or teaches nothing.

    python tools/check_dataset.py --dataset_dir=formatted --output_list=bad.txt
    grep -vxFf bad.txt formatted/train.txt > good.txt

An example of train.txt or val.txt is bad if its files are missing or damaged, its strip is of another size, its
intrinsics are no camera's, a frame is of one colour, its frames are all the same, it is listed twice, or its pictures
are those of an example before it; also without masks of objects, where the data was prepared with them. The size is the
one that the data was prepared with, or the flags'. Each kind is counted and its first examples are named; the exit
status is 1 if there are any.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from absl import flags
from tqdm import tqdm

from kitti_eval import command
from kitti_eval.files import write_text
from sfmlearner_tf.data.checking import Layout, check_examples
from sfmlearner_tf.data.cityscapes import KEPT_SHARE
from sfmlearner_tf.data.formatted import Example, read_split
from sfmlearner_tf.data.prepare import OPTIONS_FILE, read_options
from sfmlearner_tf.data.sequences import Note
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.notes import print_notes, summarise_notes

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset_dir", None, "Folder that prepare_train_data.py wrote.", required=True)
flags.DEFINE_integer("seq_length", None, f"Frames of an example; by default as in {OPTIONS_FILE}.", lower_bound=1)
flags.DEFINE_integer("img_height", None, f"Height of a frame; by default as in {OPTIONS_FILE}.", lower_bound=1)
flags.DEFINE_integer("img_width", None, f"Width of a frame; by default as in {OPTIONS_FILE}.", lower_bound=1)
flags.DEFINE_integer("num_threads", 4, "Worker processes.", lower_bound=1)
flags.DEFINE_string("output_list", None, "File to list the bad examples in, as train.txt does.")


def main() -> None:
    layout = _layout()
    examples = _list_examples()
    bad: list[Example] = []
    notes: list[Note] = []
    results = check_examples(examples, layout, FLAGS.num_threads)
    progress = tqdm(total=len(examples), unit=" examples", disable=None)
    with contextlib.closing(results), progress:
        for example, note in results:
            progress.update()
            if note:
                bad.append(example)
                notes.append(note)
    print_notes(notes)
    if FLAGS.output_list:
        write_text(FLAGS.output_list, "".join(f"{example.folder} {example.frame}\n" for example in bad))
    if bad:
        raise UserError(f"{len(bad)} of {len(examples)} examples are bad ({', '.join(summarise_notes(notes))})")
    print(f"{len(examples)} examples are sound")


def _list_examples() -> list[Example]:
    """Those of train.txt, then those of val.txt, which may be missing or empty."""
    validation = os.path.join(FLAGS.dataset_dir, "val.txt")
    has_validation = os.path.exists(validation) and os.path.getsize(validation) > 0
    return read_split(FLAGS.dataset_dir, "train") + (read_split(FLAGS.dataset_dir, "val") if has_validation else [])


def _layout() -> Layout:
    names = ("seq_length", "img_height", "img_width")
    given = [getattr(FLAGS, name) for name in names]
    options: dict[str, Any] = {}
    if os.path.exists(os.path.join(FLAGS.dataset_dir, OPTIONS_FILE)):
        options = read_options(FLAGS.dataset_dir)
        if options.get("dataset_name") == "cityscapes" and isinstance(options.get("img_height"), int):
            options["img_height"] = int(options["img_height"] * KEPT_SHARE)
        given = [options.get(name) if value is None else value for name, value in zip(names, given)]
    for name, value in zip(names, given):
        if not isinstance(value, int) or value < 1:
            raise UserError(f"--{name}: expected a number, as {OPTIONS_FILE} of {FLAGS.dataset_dir} gives none")
    further = {"with_objects": bool(options.get("masks")), "with_distances": bool(options.get("speeds"))}
    return Layout(FLAGS.dataset_dir, *given, **further)


def cli() -> None:
    command.run(main)


if __name__ == "__main__":
    cli()
