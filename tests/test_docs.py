"""What the documents name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


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
