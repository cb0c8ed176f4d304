"""The notebooks of examples/, run from the first cell to the last, as after `make demo`."""

from __future__ import annotations

from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from sfmlearner_tf import SfMLearner, TrainConfig, run_config
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from tiny_saved_model import write_tiny_saved_model

EXAMPLES = Path(__file__).parents[2] / "examples"
DRIVE = "world/kitti_raw/2011_09_30/2011_09_30_drive_0016_sync/image_02/data"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the notebooks run: beside it what the demo leaves, but smaller."""
    root = tmp_path_factory.mktemp("checkout")
    frames = root / "demo" / DRIVE
    frames.mkdir(parents=True)
    coarse = Image.fromarray(np.random.RandomState(0).randint(0, 256, (8, 40, 3), np.uint8))
    wide = np.asarray(coarse.resize((300, 64), Image.Resampling.BICUBIC))
    for number in range(12):
        Image.fromarray(wide[:, 2 * number : 2 * number + 208]).save(frames / f"{number:010d}.png")
    config = TrainConfig(img_height=64, img_width=208, batch_size=1)
    checkpoints = str(root / "demo" / "checkpoints")
    run_config.write(config, checkpoints)
    CheckpointFolder(checkpoints, SfMLearner(config).state()).save_latest()
    write_tiny_saved_model(root / "demo" / "saved_model")
    (root / "examples").mkdir()
    return root / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs(folder, path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("STEPS = 20 ", "STEPS = 2 ")
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", ()) for output in outputs)
    printed = "".join(output.get("text", "") for output in outputs)
    assert "error: " not in printed, printed
    if path.stem == "train_on_your_video":
        assert "STEPS = 2 " in notebook.cells[1].source
        assert "10 examples in own_video/formatted" in printed
        assert "saved own_video/run/model.latest at step 2" in printed
        assert "12 of 12 frames" in printed


def test_all_notebooks_are_stored_with_their_pictures():
    paths = list(EXAMPLES.glob("*.ipynb"))
    assert len(paths) == 3
    for path in paths:
        cells = nbformat.read(path, as_version=4).cells
        assert sum("image/png" in output.get("data", ()) for cell in cells for output in cell.get("outputs", ())) > 0
