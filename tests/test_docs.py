"""What the documents name is there."""

import re
from dataclasses import fields

import pytest

from documents import DOCUMENTS, ROOT, read_commands
from forked import run_forked
from sfmlearner_tf import TrainConfig

# Of TensorBoard, saved_model_cli, sha256sum and Slurm.
OTHERS_FLAGS = {"logdir", "dir", "tag_set", "signature_def", "nodes", "ntasks", "gpus", "requeue", "signal", "check"}


@pytest.mark.parametrize("command", read_commands(), ids=" ".join)
def test_commands_in_documents_are_accepted(command):
    """The flags exist and their values are of the right kind; nothing is run."""
    result = run_forked(*command[1:], "--only_check_args", cwd=ROOT)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_site_has_every_page():
    listed = re.findall(r"^ +- .+: ([a-z_]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_there_are_commands():
    assert len(read_commands()) > 20


def test_flags_that_documents_name_exist():
    folders = ("sfmlearner_tf", "kitti_eval", "benchmarks", "tests")
    sources = [path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py")]
    ours = {name for text in sources for name in re.findall(r"(?:DEFINE_\w+|add_argument)\(\s*\"(?:--)?(\w+)\"", text)}
    ours |= {field.name for field in fields(TrainConfig)} | {"help", "helpfull", "flagfile", "preset"}
    pattern = r"(?<![\w-])--([a-z_0-9]{3,})"
    named = {(path.name, flag) for path in DOCUMENTS for flag in re.findall(pattern, path.read_text())}
    assert len(named) > 100
    unknown = {(name, flag) for name, flag in named if not {flag, flag.removeprefix("no")} & (ours | OTHERS_FLAGS)}
    assert not unknown, sorted(unknown)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document):
    for target in re.findall(r"\[[^\]\"]+\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_every_difference_from_the_release_has_its_test():
    rows = [line for line in (ROOT / "docs/differences.md").read_text().splitlines() if line.startswith("| ")]
    proofs = [row.split(" | ")[-1] for row in rows if not row.startswith(("| what |", "| ---"))]
    assert len(proofs) > 20
    for proof in proofs:
        for file, _, name in re.findall(r"`([\w/]+\.py)(::(\w+))?`", proof):
            path = ROOT / "tests" / file
            found = path if path.exists() else ROOT / "tests/end_to_end" / file
            assert f"def {name}" in found.read_text(), f"{file}: {name}"
