"""What may import what, as a reader of the code can rely on it, and what loads TensorFlow."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each layer may import those before it, never those after it.
LAYERS = [
    {"command", "config", "geometry", "layers", "adam", "watchdogs"},
    {"sampler", "disp_net", "pose_exp_net", "checkpoint", "curves"},
    {"losses"},
    {"learner"},
    {"summaries", "validation", "export", "prediction"},
    {"export_tflite", "export_onnx", "export_check"},
    {"trainer"},
    {"train"},
]
LAYER_OF = {module: number for number, layer in enumerate(LAYERS) for module in layer}


def imported_modules(path: Path) -> set[str]:
    """The full names of what a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files_of(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def test_every_module_of_the_package_has_its_layer():
    assert set(LAYER_OF) | {"__init__"} == {path.stem for path in (ROOT / "sfmlearner_tf").glob("*.py")}


@pytest.mark.parametrize("module", sorted(LAYER_OF))
def test_modules_import_lower_layers_only(module):
    for name in imported_modules(ROOT / "sfmlearner_tf" / f"{module}.py"):
        parts = name.split(".")
        if parts[0] == "sfmlearner_tf" and len(parts) > 1 and parts[1] in LAYER_OF and parts[1] != module:
            assert LAYER_OF[parts[1]] < LAYER_OF[module], f"{module} imports {name}"


def test_neither_package_imports_what_is_built_on_it():
    for path in [*files_of("sfmlearner_tf"), *files_of("kitti_eval")]:
        for name in imported_modules(path):
            assert not name.startswith(("tools", "sfmlearner_tf.tools", "benchmarks", "tests")), f"{path}: {name}"
    # Validation alone takes its metrics from the evaluation, so that they exist once.
    for path in files_of("sfmlearner_tf"):
        if path.name != "validation.py":
            assert not any(name.startswith("kitti_eval") for name in imported_modules(path)), path
    for path in files_of("kitti_eval"):
        assert not any(name.startswith(("sfmlearner_tf", "tensorflow", "keras")) for name in imported_modules(path)), (
            path
        )


def test_keras_is_imported_by_its_own_name():
    for path in [*files_of("sfmlearner_tf"), *files_of("tools")]:
        assert "tf.keras" not in path.read_text(), path


@pytest.mark.parametrize("module", ["sfmlearner_tf", "sfmlearner_tf.train", "sfmlearner_tf.data.prepare", "kitti_eval"])
def test_importing_loads_no_tensorflow(module):
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
