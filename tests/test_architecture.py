"""What may import what, as a reader of the code can rely on it, and what loads TensorFlow."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each layer may import those before it, never those after it; a folder's name stands for all that is in it.
LAYERS = [
    {"errors", "geometry", "images", "batch", "watchdogs", "stop_signals", "options", "presets", "combinations"},
    {"distribution", "checksums", "normals"},
    {"adam", "loss_scale"},
    {"networks.registry", "networks.motion"},
    {"model_options", "run_options"},
    {"config", "sampler", "checkpoint"},
    {"data", "device", "learning_rate"},
    {"run_config", "curves", "checkpoint_folder"},
    {"networks.layers", "networks.randomized_norm"},
    {"networks.depth_network", "networks.pose_network", "networks.resnet", "networks.motion_field"},
    {"networks.disp_net", "networks.resnet_depth", "networks.pose_exp_net", "networks.pair_network"},
    {"networks.pair_net", "networks.resnet_pose", "networks.object_motion"},
    {"networks.building"},
    {"losses.view"},
    {"losses.moving_objects", "losses.depth_maps"},
    {"losses.term"},
    {
        "losses.anchor",
        "losses.explainability",
        "losses.smoothness",
        "losses.geometry_consistency",
        "losses.constant_depth",
        "losses.cycle",
    },
    {"losses.motion_field", "losses.object_size", "losses.speed"},
    {"losses.photometric", "losses.planarity"},
    {"losses.objective"},
    {"readings"},
    {"learner"},
    {"export", "prediction", "resuming", "summaries", "validation"},
    {"export_check", "export_onnx", "export_tflite", "records"},
    {"trainer"},
    {"train"},
]
LAYER_OF = {module: number for number, layer in enumerate(LAYERS) for module in layer}


def imported_modules(path: Path) -> set[str]:
    """The full names of what a file imports, anywhere in it but for types alone."""
    tree = ast.parse(path.read_text())
    for_types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    left_out = {id(inner) for node in for_types for inner in ast.walk(node)}
    names = set()
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files_of(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def layer_of(module: str) -> int | None:
    """That of a module of the package, given by its full name, or of the folder it is in; None for others."""
    package, _, name = module.partition(".")
    return LAYER_OF.get(name, LAYER_OF.get(name.split(".")[0])) if package == "sfmlearner_tf" else None


def core_modules() -> dict[str, Path]:
    """The modules of the package but for the commands."""
    package = ROOT / "sfmlearner_tf"
    paths = [path for path in package.rglob("*.py") if path.stem != "__init__" and "tools" not in path.parts]
    return {"sfmlearner_tf." + ".".join(path.relative_to(package).with_suffix("").parts): path for path in paths}


def test_every_module_of_the_package_has_its_layer():
    assert [module for module in core_modules() if layer_of(module) is None] == []
    names = [module.partition(".")[2] for module in core_modules()]
    assert [name for name in LAYER_OF if name != "data" and name not in names] == []


@pytest.mark.parametrize("module", sorted(core_modules()))
def test_modules_import_lower_layers_only(module):
    own = layer_of(module)
    for name in imported_modules(core_modules()[module]):
        layer = layer_of(name)
        is_own_folder = own == LAYER_OF["data"] and layer == own
        if layer is not None and name != module and not is_own_folder:
            assert layer < own, f"{module} imports {name}"


def test_neither_package_imports_what_is_built_on_it():
    for module, path in core_modules().items():
        for name in imported_modules(path):
            assert not name.startswith(("tools", "sfmlearner_tf.tools", "benchmarks", "tests")), f"{path}: {name}"
            # What both packages share is in kitti_eval, which works without TensorFlow, as are validation's metrics.
            if name.startswith("kitti_eval.") and module != "sfmlearner_tf.validation":
                assert name.split(".")[1] in ("errors", "files", "images", "locks", "workers", "command"), (
                    f"{module} imports {name}"
                )
    for path in files_of("kitti_eval"):
        assert not any(name.startswith(("sfmlearner_tf", "tensorflow", "keras")) for name in imported_modules(path)), (
            path
        )


def test_keras_is_imported_by_its_own_name():
    for path in files_of("sfmlearner_tf"):
        assert "tf.keras" not in path.read_text(), path


@pytest.mark.parametrize(
    "module",
    [
        "sfmlearner_tf",
        "sfmlearner_tf.train",
        "sfmlearner_tf.data.prepare",
        "sfmlearner_tf.tools.predict",
        "kitti_eval.eval_depth",
    ],
)
def test_importing_loads_no_tensorflow(module):
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_leaves_tensorflow_s_log_level_alone():
    """It is the business of the program that uses the library; a command sets it for itself."""
    code = (
        "import os, sfmlearner_tf.train, sfmlearner_tf.learner, sfmlearner_tf.prediction\n"
        "raise SystemExit('TF_CPP_MIN_LOG_LEVEL' in os.environ)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_no_function_is_longer_than_a_screen_and_no_file_has_two_subjects():
    for folder in ("sfmlearner_tf", "kitti_eval", "tools", "benchmarks", "tests"):
        for path in files_of(folder):
            text = path.read_text()
            assert len(text.splitlines()) <= 300, path
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef):
                    assert node.end_lineno - node.lineno < 50, f"{path}: {node.name}"
