"""Fixtures that every test file shares."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the checkout; the test is skipped where it is absent."""
    folder = Path(os.environ.get("SFMLEARNER_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"the reference material is not there: {folder}")
    return folder
