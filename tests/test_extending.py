"""The worked examples of docs/extending.md: made in a copy of the package, they pass the tests that they show."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("sfmlearner_tf", "kitti_eval", "tools", "benchmarks", "tests")


def read_blocks():
    """The blocks of the document: a file, the line that it comes after or "", and the text."""
    text = (ROOT / "docs" / "extending.md").read_text()
    for title, block in re.findall(r"^```python title=[\"']([^\n]+)[\"']\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        path, _, anchor = title.partition(", after: ")
        yield path, anchor, block


def make(copy):
    """Makes the changes in a copy; returns the files that are new."""
    new = []
    for name, anchor, block in read_blocks():
        path = copy / name
        if not anchor:
            assert not path.exists(), name
            path.write_text(block)
            new.append(name)
            continue
        lines = path.read_text().splitlines(keepends=True)
        (number,) = (number for number, line in enumerate(lines) if line.strip() == anchor)
        if lines[number + 1].strip().startswith('"""'):  # after a class's docstring
            number += 1
        path.write_text("".join([*lines[: number + 1], block, *lines[number + 1 :]]))
    return new


def test_the_worked_examples_work(tmp_path):
    for folder in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", "golden", "parity", "end_to_end", "fuzz")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    new = make(tmp_path)
    shown = [name for name in new if name.startswith("tests/")]
    assert len(shown) == 3
    layers = "tests/test_architecture.py::test_every_module_of_the_package_has_its_layer"
    chosen = [*shown, layers, "tests/test_run_config.py::test_every_option_counts_as_what_it_is[gradient_weight]"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
