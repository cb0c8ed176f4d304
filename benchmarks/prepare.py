"""Measures data preparation: against the plain way, on two processes, on a big tree, and after kill -9.

The plain way decodes and resizes seq_length frames for every example, with the same libraries. Frames are made for the
purpose, of KITTI's size (1242x375) and much like it to decode; --dataset_dir takes real ones (KITTI raw).

    python benchmarks/prepare.py
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Callable

import numpy as np
from absl import flags
from PIL import Image

from kitti_eval import command
from sfmlearner_tf.data import prepare
from sfmlearner_tf.data.formatted import JPEG_END, write_example, write_splits
from sfmlearner_tf.data.frames import Geometry, load_frames
from sfmlearner_tf.data.kitti_raw import list_kitti_raw
from sfmlearner_tf.data.prepare import Recipe, make_examples, unfinished
from sfmlearner_tf.data.sequences import FrameSequence, Selection

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset_dir", None, "KITTI raw to measure on, in place of frames made for the purpose.")
flags.DEFINE_integer("frames", 320, "How many frames to make.")
flags.DEFINE_integer("rounds", 3, "Each time is the best of so many.")
flags.DEFINE_integer("tree_frames", 90_000, "Frames of the tree of empty files, or 0.")
flags.DEFINE_integer("kills", 20, "How many runs to kill, or 0.")

GEOMETRY = Geometry(width=416, height=128, kept_height=128)
DISTINCT_FRAMES = 16
DRIVE = "2011_09_26_drive_0001_sync"
MODULE = "sfmlearner_tf.tools.prepare_train_data"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        dataset = Path(FLAGS.dataset_dir) if FLAGS.dataset_dir else write_drive(work / "kitti_raw", FLAGS.frames)
        sequences = list_kitti_raw(str(dataset), Selection()).sequences
        measure_speed(sequences, work)
        if FLAGS.kills:
            measure_kills(dataset, work)
        if FLAGS.tree_frames:
            measure_tree(work)


def measure_speed(sequences: list[FrameSequence], work: Path) -> None:
    frames = sum(len(sequence.frames) for sequence in sequences)
    for seq_length in (3, 5):
        plain = best(functools.partial(make_plainly, sequences, seq_length), work)
        with counted_decoding() as decoded:
            one = best(functools.partial(make_in_one_pass, sequences, seq_length, 1), work)
        ratio = decoded[0] / FLAGS.rounds / frames
        two = best(functools.partial(make_in_one_pass, sequences, seq_length, 2), work)
        print(
            f"seq_length {seq_length}: {frames / one:.1f} frames/s on one process, {plain / one:.2f}x the plain way; "
            f"{frames / two:.1f} frames/s on two, {one / two:.2f}x one; frames decoded / frames {ratio:.3f}"
        )


def best(make: Callable[[str], None], work: Path) -> float:
    """The shortest time in seconds of several runs into new folders."""
    times = []
    for _ in range(FLAGS.rounds):
        with tempfile.TemporaryDirectory(dir=work) as out:
            start = time.perf_counter()
            make(out)
            times.append(time.perf_counter() - start)
    return min(times)


def make_in_one_pass(sequences: list[FrameSequence], seq_length: int, num_threads: int, out: str) -> None:
    notes = list(make_examples(sequences, Recipe(out, seq_length, GEOMETRY), num_threads))
    assert not notes, notes


def make_plainly(sequences: list[FrameSequence], seq_length: int, out: str) -> None:
    for sequence in sequences:
        for first, example in enumerate(sequence.examples(seq_length)):
            images = []
            for frame in sequence.frames[first : first + seq_length]:
                with Image.open(frame.path) as image:
                    images.append(GEOMETRY.apply(image))
                    camera = GEOMETRY.scale(sequence.intrinsics, image.size)
            write_example(out, example, images, camera)


@contextlib.contextmanager
def counted_decoding() -> Iterator[list[int]]:
    count = [0]

    def counting(*arguments):
        for frame in load_frames(*arguments):
            count[0] += 1
            yield frame

    prepare.load_frames = counting
    yield count
    prepare.load_frames = load_frames


def measure_kills(dataset: Path, work: Path) -> None:
    """Kills runs at random moments, finishes each by a second run, and compares with an undisturbed one."""
    start = time.perf_counter()
    subprocess.run(prepare_command(dataset, work / "undisturbed"), check=True, stdout=subprocess.DEVNULL)
    length_s = time.perf_counter() - start
    expected = contents(work / "undisturbed")
    moments = random.Random(0)
    halfway = equal = 0
    for number in range(FLAGS.kills):
        out = work / f"killed{number}"
        process = subprocess.Popen(prepare_command(dataset, out), stdout=subprocess.DEVNULL)
        time.sleep(moments.uniform(0, length_s))
        process.kill()
        process.wait()
        halfway += not (out / "val.txt").exists()
        subprocess.run(prepare_command(dataset, out), check=True, stdout=subprocess.DEVNULL)
        equal += contents(out) == expected
    print(f"killed {FLAGS.kills} runs, {halfway} before their end: {equal} equal an undisturbed run after a second one")


def prepare_command(dataset: Path, out: Path) -> list[str]:
    options = ["--dataset_name=kitti_raw", "--seq_length=3", "--num_threads=2", "--keep_static_frames"]
    return [sys.executable, "-m", MODULE, f"--dataset_dir={dataset}", f"--dump_root={out}", *options]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def measure_tree(work: Path) -> None:
    """Lists, checks and splits a tree of empty frames for which every example is there already, of empty pictures."""
    dataset, out = work / "tree", work / "tree_out"
    per_camera = min(FLAGS.tree_frames // 2, 1000)
    for drive in range(FLAGS.tree_frames // 2 // per_camera):
        name = f"2011_09_26_drive_{drive:04d}_sync"
        for camera in ("02", "03"):
            touch_images(dataset / "2011_09_26" / name / f"image_{camera}" / "data", per_camera)
            write_empty_examples(out / f"{name}_{camera}", per_camera)
    write_calibration(dataset)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        frames, seconds, megabytes = executor.submit(plan_tree, str(dataset), str(out)).result()
    print(f"tree of {frames} frames listed, checked and split in {seconds:.1f} s, {megabytes:.0f} MB at the peak")


def plan_tree(dataset: str, out: str) -> tuple[int, float, float]:
    start = time.perf_counter()
    sequences = list_kitti_raw(dataset, Selection()).sequences
    assert unfinished(sequences, Recipe(out, 3, GEOMETRY)) == []
    written = write_splits(out, [example for sequence in sequences for example in sequence.examples(3)])
    assert not written.missing
    seconds = time.perf_counter() - start
    frames = sum(len(sequence.frames) for sequence in sequences)
    return frames, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def touch_images(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:010d}.png").touch()


def write_empty_examples(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(1, count - 1):
        (folder / f"{number:010d}.jpg").write_bytes(JPEG_END)
        (folder / f"{number:010d}_cam.txt").write_text("240,0.,200,0.,240,60,0.,0.,1.")


def write_drive(dataset: Path, count: int) -> Path:
    """One drive of smooth pictures with some noise, a few over and over, whose PNG files have about KITTI's size."""
    folder = dataset / "2011_09_26" / DRIVE / "image_02" / "data"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(DISTINCT_FRAMES):
        coarse = Image.fromarray(rng.integers(0, 255, (24, 80, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((1242, 375), Image.Resampling.BICUBIC)).astype(int)
        noisy = smooth + rng.integers(-8, 9, smooth.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:010d}.png")
    for number in range(DISTINCT_FRAMES, count):
        os.link(folder / f"{number % DISTINCT_FRAMES:010d}.png", folder / f"{number:010d}.png")
    write_calibration(dataset)
    return dataset


def write_calibration(dataset: Path) -> None:
    projection = "721.5 0 609.6 44.9 0 721.5 172.9 0.2 0 0 1 0.003"
    text = "".join(f"P_rect_{camera}: {projection}\n" for camera in ("02", "03"))
    (dataset / "2011_09_26" / "calib_cam_to_cam.txt").write_text(text)


if __name__ == "__main__":
    command.run(main)
