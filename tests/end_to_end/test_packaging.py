"""The wheel that setup.py builds works from another folder, without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel's files, unpacked as an installation lays them out, in a folder of their own."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in ("sfmlearner_tf", "tools", "kitti_eval"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "setup.py", "-q", "bdist_wheel"], cwd=source, check=True, capture_output=True)
    (wheel,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_commands_explain_themselves(installed, tmp_path):
    for module in ("sfmlearner_tf.train", "sfmlearner_tf.tools.prepare_train_data", "kitti_eval.eval_depth"):
        result = run(installed, "-m", module, "--help", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert "--" in result.stdout
        found = run(installed, "-c", f"import {module}; print({module}.__file__)", cwd=tmp_path)
        assert found.stdout.startswith(str(installed)), found.stderr


def test_tables_come_along(installed, tmp_path):
    code = "from sfmlearner_tf.data import splits; print(sum(map(len, splits.static_frames().values())))"
    assert run(installed, "-c", code, cwd=tmp_path).stdout.strip() == "8044"


def test_wheel_leaves_no_package_named_tools(installed):
    assert not (installed / "tools").exists()
    entry_points = next(installed.glob("*.dist-info")) / "entry_points.txt"
    assert "sfmlearner-train = sfmlearner_tf.train:cli" in entry_points.read_text()
