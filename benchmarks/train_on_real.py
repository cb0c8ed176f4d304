"""Trains on generated streets, then on real video with these mixed in, and measures on frames kept out.

    python benchmarks/train_on_real.py --data_dir=data --output_dir=real --variants=recommended --seeds=1,2,3

A variant is a preset, or one with options changed, such as recommended+ssim_weight=0; what stands after +then+, as in
recommended+then+ssim_weight=0, is changed where real video is seen, not in the first stage. Batch 4, images of
--img_height x --img_width. --stages: generated is the first stage alone, of the generated world of
benchmarks/learning.py; both goes on from its last weights; real begins from random weights on the real video alone,
with the steps of the second stage.
Left out of training: frames 38 on of the odometry pieces, frames 1,800 on of Malaga, drive 0052.

With --traffic the generated streets have masks of their vehicles, and the real video has empty ones.

--data_dir is that of benchmarks/real_video.py, which measures every run at each epoch and at its end, into a CSV of
--results_dir; checkpoints of epochs are deleted once they are measured. What counts are the last weights: nothing is
chosen by the test. A run that has its CSV is not made again, and a training that was stopped goes on. At the end come
the table and the curves of all CSVs, into docs where they lie there; --variants= (none) does only that.

At 64x208 a step of recommended takes a third of a second on one core, at 128x416 half a second on two.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import real_report
import real_video
from absl import flags
from levelling import Camera, level
from PIL import Image
from real_report import STAGES
from real_truth import SEEN, check_data, load_truth
from whole_numbers import read_whole_numbers

from kitti_eval import command
from kitti_eval.files import write_aside
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.presets import PRESETS
from sfmlearner_tf.run_config import holds_run
from sfmlearner_tf.tools import demo_world


class Recording(NamedTuple):
    """A folder of real_video."""

    camera: Camera
    frames: int  # for training
    times: int  # how often an example comes in an epoch
    pitch_deg: float = 0.0  # how far the camera looks up


class Training(NamedTuple):
    name: str
    dataset_dir: str
    steps: int
    options: list[str]
    start: list[str]  # the flag that names what it begins with


RECORDINGS = {
    "malaga_07": Recording((323.015826, 323.217837, 210.083952, 20.323845), 1800, 1, 6.8),
    "kitti_0015_03": Recording((241.674463, 246.284868, 204.168010, 59.000832), 303, 2),
    "kitti_odometry_01_0": Recording((240.970263, 244.716936, 203.539246, 63.052153), len(SEEN), 3),
    "kitti_odometry_01_1": Recording((240.970263, 244.716936, 203.539246, 63.052153), len(SEEN), 3),
    "kitti_odometry_06_0": Recording((239.926541, 244.615334, 204.229296, 63.346301), len(SEEN), 3),
    "kitti_odometry_06_1": Recording((239.926541, 244.615334, 204.229296, 63.346301), len(SEEN), 3),
}
# As far as KITTI's picture moves from frame to frame.
LEAST_FLOW_PX = 3

FLAGS = flags.FLAGS  # those of real_video, too
_RESULTS_DIR = flags.DEFINE_string("results_dir", str(real_report.RESULTS), "Folder of the CSVs, one a run.")
_VARIANTS = flags.DEFINE_list("variants", ["recommended"], "What to train, see above.")
_STAGES = flags.DEFINE_list("stages", ["generated", "both"], f"Of each variant: {', '.join(STAGES)}.")
_STEPS = flags.DEFINE_list("steps", ["4000", "2500"], "Training steps of the two stages.")
_SEEDS = flags.DEFINE_list("seeds", ["1"], "Seeds of each training.")
_TRAFFIC = flags.DEFINE_float("traffic", 0.0, "Traffic of the generated streets, see make_synthetic_kitti.", 0, 1)


def main() -> None:
    if not set(_STAGES.value) <= set(STAGES):
        raise UserError(f"--stages: expected any of {', '.join(STAGES)}, found {','.join(_STAGES.value)}")
    if not {split_variant(variant)[0] for variant in _VARIANTS.value} <= set(PRESETS):
        raise UserError(f"--variants: expected presets ({', '.join(PRESETS)}), found {','.join(_VARIANTS.value)}")
    steps, seeds = read_whole_numbers(_STEPS, 1), read_whole_numbers(_SEEDS)
    if len(steps) != 2:
        raise UserError(f"--steps: expected two numbers, such as 4000,2500, found {','.join(_STEPS.value)}")
    data, folder, results = Path(FLAGS.data_dir), Path(FLAGS.output_dir), Path(_RESULTS_DIR.value)
    if _VARIANTS.value:
        check_data(data)
        truth = load_truth(data, folder / "truth.npz")
        real_report.write_rows(results / f"{real_report.TRIVIAL}.csv", real_video.evaluate_trivial_predictors(truth))
        streets, video = make_streets(folder), ",".join(prepare_video(data, folder))
        for variant, seed in itertools.product(_VARIANTS.value, seeds):
            for training in plan(folder, variant, seed, steps, streets, video):
                path, checkpoint_dir = results / f"{training.name}.csv", folder / "runs" / training.name
                if not path.exists():
                    train(training, seed, checkpoint_dir)
                    measure(truth, checkpoint_dir, training.steps, path)
    real_report.write_report(results)


def split_variant(variant: str) -> list[str]:
    """The preset, and each option that is changed."""
    return variant.replace(real_report.THEN, "+").split("+")


def plan(folder: Path, variant: str, seed: int, steps: list[int], streets: str, video: str) -> Iterator[Training]:
    """The trainings of --stages."""
    first, second = steps
    begun = variant.partition(real_report.THEN)[0]
    generated = f"{begun}-generated-{first}-{seed}"
    start = f"--init_checkpoint_file={folder / 'runs' / generated / 'model.latest'}"
    stages = {
        "generated": Training(generated, streets, first, make_options(begun), []),
        "both": Training(
            f"{variant}-both-{second}-{seed}", f"{video},{streets}", second, make_options(variant), [start]
        ),
        "real": Training(f"{variant}-real-{second}-{seed}", video, second, make_options(variant), []),
    }
    for stage in _STAGES.value:
        yield stages[stage]


def make_streets(folder: Path) -> str:
    """The folder of the formatted generated streets."""
    world = folder / f"streets_{_TRAFFIC.value:g}"
    demo_world.make_world(world, height=FLAGS.img_height, width=FLAGS.img_width, traffic=_TRAFFIC.value)
    return str(world / "formatted")


def prepare_video(data: Path, folder: Path) -> list[str]:
    """The folders of the formatted real video, with how often each counts."""
    formatted = []
    for name, recording in RECORDINGS.items():
        frames, masks = folder / "frames" / name, folder / "masks" / name
        paths = sorted((data / "real_video" / name).glob("*.jpg"))[: recording.frames]
        camera = level(paths, recording.camera, recording.pitch_deg, frames)
        dump_root, mask_flags = folder / "formatted" / name, []
        if _TRAFFIC.value:
            write_empty_masks(paths, masks)
            dump_root, mask_flags = folder / "formatted_with_masks" / name, [f"--masks_dir={masks}", "--tracked_masks"]
        demo_world.call(
            "sfmlearner_tf.tools.prepare_train_data", f"--dataset_dir={frames}", "--dataset_name=images",
            f"--dump_root={dump_root}", "--seq_length=3", f"--intrinsics={','.join(map(str, camera))}",
            f"--min_flow_px={LEAST_FLOW_PX}", "--jpeg_quality=90", *size_flags(), *mask_flags,
        )  # fmt: skip
        formatted.append(f"{dump_root}:{recording.times}")
    return formatted


def write_empty_masks(paths: list[Path], folder: Path) -> None:
    """What is in `folder` already is not written again."""
    for path in paths:
        target = folder / f"{path.stem}.png"
        if not target.exists():
            with Image.open(path) as image, write_aside(target) as file:
                Image.new("L", image.size).save(file, "PNG")


def size_flags() -> tuple[str, str]:
    return f"--img_height={FLAGS.img_height}", f"--img_width={FLAGS.img_width}"


def make_options(variant: str) -> list[str]:
    """The flags of a variant."""
    preset, *changes = split_variant(variant)
    return [f"--preset={preset}", *(f"--{change}" for change in changes)]


def train(training: Training, seed: int, checkpoint_dir: Path) -> None:
    """Trains, and keeps the checkpoint of every epoch."""
    start = ["--continue_train"] if holds_run(str(checkpoint_dir)) else training.start
    demo_world.call(
        "sfmlearner_tf.train", *training.options, *start, f"--seed={seed}", f"--dataset_dir={training.dataset_dir}",
        f"--checkpoint_dir={checkpoint_dir}", f"--max_steps={training.steps + 1}", *size_flags(),
        "--val_freq=0", "--max_to_keep=1000",
    )  # fmt: skip


def measure(truth: dict[str, np.ndarray], checkpoint_dir: Path, steps: int, path: Path) -> None:
    """Writes the errors after each epoch and at the end; then deletes the checkpoints of epochs."""
    epochs = {int(each.stem.rpartition("-")[2]): each.with_suffix("") for each in checkpoint_dir.glob("model-*.index")}
    checkpoints = {**dict(sorted(epochs.items())), steps: checkpoint_dir / "model.latest"}
    real_report.write_rows(
        path, {step: real_video.evaluate_checkpoint(truth, str(ckpt_file)) for step, ckpt_file in checkpoints.items()}
    )
    for ckpt_file in epochs.values():
        for each in checkpoint_dir.glob(f"{ckpt_file.name}.*"):
            each.unlink()


if __name__ == "__main__":
    command.run(main)
