"""An export that is killed or out of disk leaves the earlier one, and the same command again gives the same files."""

from __future__ import annotations

import resource
import signal
from functools import partial
from pathlib import Path

import pytest

from forked import ForkedCommand
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.networks.pose_exp_net import PoseExpNet
from waiting import wait_for_file

MODULE = ("-m", "sfmlearner_tf.tools.export_saved_model")
EARLIER = {"saved_model.pb": b"graph", "variables/variables.index": b"names"}
# The command, which dies when the earlier export has been moved away and the new one not yet there.
DIES_BETWEEN = """
import os, signal
rename = os.rename

def rename_or_die(source, target):
    if target.endswith("/out"):
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)

os.rename = rename_or_die
from sfmlearner_tf.tools.export_saved_model import cli
cli()
"""


@pytest.fixture(scope="module")
def ckpt_file(tmp_path_factory):
    variables = PoseExpNet(num_sources=2).release_variables()
    return CheckpointFolder(str(tmp_path_factory.mktemp("checkpoints")), variables).save_step(7)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def out(tmp_path):
    """The folder of an earlier export, with nothing beside it."""
    folder = tmp_path / "export" / "out"
    (folder / "variables").mkdir(parents=True)
    for name, content in EARLIER.items():
        (folder / name).write_bytes(content)
    return folder


def start(ckpt_file: str, output_dir: Path, how: tuple[str, str] = MODULE, before=None) -> ForkedCommand:
    flags = [f"--ckpt_file={ckpt_file}", "--img_height=32", "--img_width=64", "--format=saved_model,tflite"]
    return ForkedCommand(*how, *flags, f"--output_dir={output_dir}", before=before)


def end(process: ForkedCommand, status: int) -> str:
    errors = process.communicate()[1]
    assert process.returncode == status, errors
    return errors


def test_a_killed_export_leaves_the_earlier_one_and_is_finished_by_the_next(ckpt_file, out, tmp_path):
    end(start(ckpt_file, tmp_path / "undisturbed"), 0)
    process = start(ckpt_file, out)
    wait_for_file(process, out.parent, "*saved_model.pb", 2)  # the earlier and the new, half written
    process.kill()
    end(process, -signal.SIGKILL)
    assert contents(out) == EARLIER

    end(start(ckpt_file, out, ("-c", DIES_BETWEEN)), -signal.SIGKILL)
    assert not out.exists()
    full = start(ckpt_file, out, before=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)))
    assert end(full, 1).splitlines()[-1].startswith(f"error: cannot write {out}: ")
    assert contents(out) == EARLIER

    end(start(ckpt_file, out), 0)
    assert contents(out) == contents(tmp_path / "undisturbed")
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_export_that_is_asked_to_stop_cleans_up(ckpt_file, out):
    process = start(ckpt_file, out)
    wait_for_file(process, out.parent, "*saved_model.pb", 2)  # the earlier and the new, half written
    process.terminate()
    errors = process.communicate()[1]
    # Python passes over a signal that meets a destructor, of which TensorFlow has many; then the export is finished.
    assert (process.returncode, contents(out) == EARLIER) in ((143, True), (0, False)), errors
    assert [path.name for path in out.parent.iterdir()] == ["out"]
