"""The wheel that is built from the source archive works from another folder, without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("sfmlearner_tf", "kitti_eval")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The files of the wheel that the source archive gives, as an installation lays them out in a folder."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in (*PACKAGES, "tools"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build(source, "sdist")
    (archive,) = (source / "dist").glob("*.tar.gz")
    shutil.unpack_archive(archive, source / "unpacked")
    (unpacked,) = (source / "unpacked").iterdir()
    build(unpacked, "bdist_wheel")
    (wheel,) = (unpacked / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def build(source: Path, command: str) -> None:
    subprocess.run([sys.executable, "setup.py", "-q", command], cwd=source, check=True, capture_output=True)


def run(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def list_sources(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for package in PACKAGES for path in (folder / package).rglob("*.py")}


def list_commands() -> list[str]:
    """The modules of the checkout that are commands, such as kitti_eval.eval_depth."""
    return sorted(
        source.removesuffix(".py").replace("/", ".")
        for source in list_sources(ROOT)
        if "\ndef cli(" in (ROOT / source).read_text()
    )


def test_every_command_is_a_console_script(installed):
    (folder,) = installed.glob("*.dist-info")
    scripts = {entry.name: entry.value for entry in PathDistribution(folder).entry_points}
    names = {module: "sfmlearner-" + module.split(".")[-1].replace("_", "-") for module in list_commands()}
    assert scripts == {name: f"{module}:cli" for module, name in names.items()}
    for module, name in (
        ("sfmlearner_tf.train", "sfmlearner-train"),
        ("sfmlearner_tf.tools.predict", "sfmlearner-predict"),
        ("kitti_eval.eval_depth", "sfmlearner-eval-depth"),
    ):
        assert names[module] == name


@pytest.mark.parametrize("module", list_commands())
def test_commands_explain_themselves(installed, tmp_path, module):
    """As a console script calls them."""
    code = f"import sys, {module} as module; print(module.__file__); sys.exit(module.cli())"
    result = run(installed, "-c", code, "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    path, text = result.stdout.split("\n", 1)
    assert path.startswith(str(installed))
    # All have flags but the one that prints those of the others.
    assert ("\n  --" in text) == (module != "sfmlearner_tf.tools.completion"), text


def test_the_wheel_holds_all_modules_and_types(installed):
    assert list_sources(installed) == list_sources(ROOT)
    assert (installed / "sfmlearner_tf" / "py.typed").exists()


def test_tables_come_along(installed, tmp_path):
    code = "from sfmlearner_tf.data import splits; print(sum(map(len, splits.static_frames().values())))"
    assert run(installed, "-c", code, cwd=tmp_path).stdout.strip() == "8044"


def test_wheel_leaves_no_package_named_tools(installed):
    assert not (installed / "tools").exists()
