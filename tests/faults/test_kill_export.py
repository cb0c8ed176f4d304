"""An export that is killed or out of disk leaves the earlier one, and the same command again gives the same files."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.networks.pose_exp_net import PoseExpNet

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


def test_a_killed_export_leaves_the_earlier_one_and_is_finished_by_the_next(ckpt_file, tmp_path):
    out = tmp_path / "export" / "out"
    flags = [f"--ckpt_file={ckpt_file}", "--img_height=32", "--img_width=64", "--format=saved_model,tflite"]
    module = ["-m", "sfmlearner_tf.tools.export_saved_model"]

    def start(how: list[str], output_dir: Path = out, **options) -> subprocess.Popen:
        command = [sys.executable, *how, *flags, f"--output_dir={output_dir}"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def end(process: subprocess.Popen, status: int) -> str:
        errors = process.communicate()[1]
        assert process.returncode == status, errors
        return errors

    end(start(module, tmp_path / "undisturbed"), 0)
    (out / "variables").mkdir(parents=True)
    earlier = {"saved_model.pb": b"graph", "variables/variables.index": b"names"}
    for name, content in earlier.items():
        (out / name).write_bytes(content)

    for number, status in ((signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)):
        process = start(module)
        while len(list(out.parent.rglob("saved_model.pb"))) < 2:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.001)
        process.send_signal(number)
        end(process, status)
        assert contents(out) == earlier
        assert len(list(out.parent.iterdir())) == (1 if number == signal.SIGTERM else 2)

    end(start(["-c", DIES_BETWEEN]), -signal.SIGKILL)
    assert not out.exists()
    limit = 1_000_000
    errors = end(start(module, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))), 1)
    assert errors.splitlines()[-1].startswith(f"error: cannot write {out}: ")
    assert contents(out) == earlier

    end(start(module), 0)
    assert contents(out) == contents(tmp_path / "undisturbed")
    assert [path.name for path in out.parent.iterdir()] == ["out"]
