"""Every command that a document shows does what it says, in the document's order, on recordings like those it names."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from documents import ROOT, read_commands
from forked import run_forked
from formatted_data import write_formatted_data
from sfmlearner_tf import TrainConfig, run_config
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.data.synthetic_kitti import SyntheticKitti, write_dataset
from sfmlearner_tf.learner import SfMLearner

# A page that never ends, and one that needs a server of weights; test_viewer.py and test_fetch_checkpoint.py run them.
SERVED = ("tools/viewer.py", "tools/fetch_checkpoint.py")
HEIGHT, WIDTH = 64, 96
SIZE = (f"--img_height={HEIGHT}", f"--img_width={WIDTH}")
TRAINING = (*SIZE, "--max_steps=3", "--val_freq=2", "--batch_size=2")
TEST_LIST = ("--split=data/kitti_raw/test_files.txt",)
# The recordings are few and small; else the commands are as the documents show them.
SMALLER = {
    "sfmlearner_tf.train": TRAINING,
    "sfmlearner_tf/train.py": TRAINING,
    "tools/prepare_train_data.py": SIZE,
    "tools/test_kitti_depth.py": TEST_LIST,
    "kitti_eval/eval_depth.py": TEST_LIST,
    "tools/reproduce.py": TEST_LIST,
}
GIVEN = (
    *(f"data/{name}" for name in ("kitti_raw", "kitti_odometry", "formatted")),
    *(f"checkpoints/{name}" for name in ("mine", "depth", "pose")),
    *(f"checkpoints/model-190532.{ending}" for ending in ("index", "data-00000-of-00001")),
    *("demo/checkpoints", "formatted", "drive.mp4", "photos"),
)
# Flags whose folders a command makes.
MADE = ("dump_root", "checkpoint_dir", "output_dir")
DOCUMENTS = {
    document: [words for _, *words in commands] for document, commands in groupby(read_commands(), lambda each: each[0])
}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """What documents name without making it: recordings, what was prepared of them, and weights."""
    folder = tmp_path_factory.mktemp("given")
    world = SyntheticKitti(
        num_train_scenes=2, num_test_scenes=2, frames_per_scene=8, img_height=HEIGHT, img_width=WIDTH, stereo=False
    )
    write_dataset(str(folder / "data"), world, 1)
    (folder / "photos").mkdir()
    for path in sorted((folder / "data/kitti_raw").rglob("image_02/data/*.png"))[:3]:
        Image.open(path).save(folder / "photos" / f"{path.stem}.jpg")
    write_film(folder / "drive.mp4")
    for name in ("formatted", "data/formatted"):
        write_formatted_data(folder / name, height=HEIGHT, width=WIDTH)
    runs = [("checkpoints/mine", 3), ("checkpoints/depth", 3), ("checkpoints/pose", 5), ("demo/checkpoints", 3)]
    for name, seq_length in runs:
        config = TrainConfig(img_height=HEIGHT, img_width=WIDTH, seq_length=seq_length, batch_size=1)
        run = folder / name
        CheckpointFolder(str(run), SfMLearner(config).state()).save_latest()
        run_config.write(config, str(run))
    for ending in ("index", "data-00000-of-00001"):  # the release's weights, which no config.json is beside
        path = folder / f"checkpoints/model-190532.{ending}"
        path.symlink_to(folder / f"checkpoints/mine/model.latest.{ending}")
    return folder


def write_film(path: Path) -> None:
    """Full HD, 12 frames of a wall that passes by, 20 pixels a frame."""
    wall = np.random.RandomState(0).randint(0, 256, (68, 140, 3)).astype(np.uint8)
    wide = np.asarray(Image.fromarray(wall).resize((2240, 1088), Image.Resampling.BICUBIC))
    with imageio.get_writer(path, fps=10, codec="libx264", macro_block_size=1) as film:
        for i in range(12):
            film.append_data(wide[:1080, 20 * i : 20 * i + 1920])


def read_flags(words: list[str]) -> dict[str, str]:
    return dict(word[2:].split("=", 1) for word in words if word.startswith("--") and "=" in word)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_of_a_document_run(document, given, tmp_path):
    commands = [[word.replace("=/data/", "=data/") for word in words] for words in DOCUMENTS[document]]
    made = {flags[name] for flags in map(read_flags, commands) for name in MADE if name in flags}
    for name in GIVEN:
        if name not in made:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).symlink_to(given / name)
    for words in commands:
        program = next(word for word in words if word != "-m")
        if program in SERVED:
            continue
        if words[0] != "-m":
            words = [str(ROOT / words[0]), *words[1:]]
        done = run_forked(*words, *SMALLER.get(program, ()), cwd=tmp_path)
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
        for name, folder in read_flags(words).items():
            if name in MADE and "--dry_run" not in words:
                assert any((tmp_path / folder).iterdir())
