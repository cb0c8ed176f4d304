"""Trains on generated streets with traffic, then on real video with these mixed in, and measures on frames kept out.

    python benchmarks/train_on_real.py --data_dir=data --output_dir=real --steps=850,900 --seeds=1,2,3

`recommended`, batch 4; images of --img_height x --img_width. --stages: generated is the first stage alone, both goes on
from it, real begins from random weights on the real video, with the steps of both. --data_dir is that of
benchmarks/real_video.py, which measures the last weights of every run; no other checkpoint is looked at, so nothing is
chosen by the test. Left out of training: frames 38 on of the odometry pieces, frames 1,800 on of Malaga, drive 0052.
What is done is not done again, and a training that was stopped goes on.

At 128x416 a step takes about half a second on two cores, 23 ms on an H100.
"""

from __future__ import annotations

import os
from pathlib import Path

import real_video
from absl import flags

from kitti_eval import command
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.run_config import holds_run
from sfmlearner_tf.tools import demo_world

STAGES = ("generated", "both", "real")
# Seeds of the generated streets, four scenes each, which render side by side.
STREETS = (11, 12, 13, 14, 15, 16)
# Of each recording under real_video: the camera, fx,fy,cx,cy in pixels; how many frames are for training; how often an
# example comes in an epoch.
RECORDINGS = {
    "malaga_07": ("323.015826,323.217837,210.083952,20.323845", 1800, 1),
    "kitti_0015_03": ("241.674463,246.284868,204.168010,59.000832", 303, 2),
    "kitti_odometry_01_0": ("240.970263,244.716936,203.539246,63.052153", len(real_video.SEEN), 3),
    "kitti_odometry_01_1": ("240.970263,244.716936,203.539246,63.052153", len(real_video.SEEN), 3),
    "kitti_odometry_06_0": ("239.926541,244.615334,204.229296,63.346301", len(real_video.SEEN), 3),
    "kitti_odometry_06_1": ("239.926541,244.615334,204.229296,63.346301", len(real_video.SEEN), 3),
}
# As far as KITTI's picture moves from frame to frame.
LEAST_FLOW_PX = 3

FLAGS = flags.FLAGS  # those of real_video, too
_STEPS = flags.DEFINE_list("steps", ["850", "900"], "Training steps of the two stages.")
_SEEDS = flags.DEFINE_list("seeds", ["1"], "Seeds of each training.")
_STAGES = flags.DEFINE_list("stages", ["generated", "both"], f"What to train: {', '.join(STAGES)}.")


def main() -> None:
    if not set(_STAGES.value) <= set(STAGES):
        raise UserError(f"--stages: expected any of {', '.join(STAGES)}, found {','.join(_STAGES.value)}")
    if len(_STEPS.value) != 2 or not all(steps.isdigit() and int(steps) > 0 for steps in _STEPS.value):
        raise UserError(f"--steps: expected two numbers, such as 850,900, found {','.join(_STEPS.value)}")
    real_video.check_data(Path(FLAGS.data_dir))
    folder = Path(FLAGS.output_dir)
    first, second = map(int, _STEPS.value)
    streets, video = ",".join(make_streets(folder)), ",".join(prepare_video(Path(FLAGS.data_dir), folder))
    for seed in _SEEDS.value:
        stages = {
            "generated": (streets, first, ()),
            "both": (f"{video},{streets}", second, (f"--init_checkpoint_file={name_run(folder, 'generated', seed)}",)),
            "real": (video, first + second, ()),
        }
        for stage in _STAGES.value:
            dataset_dir, steps, further = stages[stage]
            train(name_run(folder, stage, seed).parent, dataset_dir, steps, seed, *further)
    runs = [str(name_run(folder, stage, seed)) for stage in _STAGES.value for seed in _SEEDS.value]
    real_video.measure(Path(FLAGS.data_dir), folder, runs)


def name_run(folder: Path, stage: str, seed: str) -> Path:
    """The checkpoint that a training ends with."""
    return folder / "runs" / f"{stage}-{seed}" / "model.latest"


def make_streets(folder: Path) -> list[str]:
    """The folders of the formatted generated streets."""
    formatted = []
    for seed in STREETS:
        world = folder / "generated" / f"streets_{seed}"
        demo_world.call(
            "sfmlearner_tf.tools.make_synthetic_kitti", f"--output_dir={world}", "--num_train_scenes=4",
            "--num_test_scenes=1", *size_flags(), "--traffic=0.3", f"--seed={seed}", "--layouts=raw", "--stereo=false",
        )  # fmt: skip
        formatted.append(str(folder / "formatted" / world.name))
        demo_world.call(
            "sfmlearner_tf.tools.prepare_train_data", f"--dataset_dir={world / 'kitti_raw'}",
            "--dataset_name=kitti_raw_eigen", f"--dump_root={formatted[-1]}", "--seq_length=3", *size_flags(),
            "--jpeg_quality=90",
        )  # fmt: skip
    return formatted


def prepare_video(data: Path, folder: Path) -> list[str]:
    """The folders of the formatted real video, with how often each counts."""
    formatted = []
    for name, (camera, count, times) in RECORDINGS.items():
        frames, dump_root = folder / "frames" / name, folder / "formatted" / name
        frames.mkdir(parents=True, exist_ok=True)
        for path in sorted((data / "real_video" / name).glob("*.jpg"))[:count]:
            if not (frames / path.name).exists():
                os.symlink(path.resolve(), frames / path.name)
        demo_world.call(
            "sfmlearner_tf.tools.prepare_train_data", f"--dataset_dir={frames}", "--dataset_name=images",
            f"--dump_root={dump_root}", "--seq_length=3", f"--intrinsics={camera}", f"--min_flow_px={LEAST_FLOW_PX}",
            "--jpeg_quality=90", *size_flags(),
        )  # fmt: skip
        formatted.append(f"{dump_root}:{times}")
    return formatted


def size_flags() -> tuple[str, str]:
    return f"--img_height={FLAGS.img_height}", f"--img_width={FLAGS.img_width}"


def train(checkpoint_dir: Path, dataset_dir: str, steps: int, seed: str, *further: str) -> None:
    begun = holds_run(str(checkpoint_dir))
    demo_world.call(
        "sfmlearner_tf.train", "--preset=recommended", f"--dataset_dir={dataset_dir}", f"--seed={seed}",
        f"--checkpoint_dir={checkpoint_dir}", f"--max_steps={steps + 1}", "--val_freq=0", "--max_to_keep=1",
        *size_flags(), *(["--continue_train"] if begun else further),
    )  # fmt: skip


if __name__ == "__main__":
    command.run(main)
