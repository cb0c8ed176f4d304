"""Damaged files: each reader takes what makes sense and refuses the rest with its own error, never with another."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from damage import damage
from kitti_eval.errors import UserError
from readers import READERS, check_sane, write_files

# FUZZ_INPUTS=100000 tries more.
_INPUTS = int(os.environ.get("FUZZ_INPUTS", "150"))


@pytest.mark.parametrize("name", READERS)
def test_a_good_file_is_read(name, tmp_path):
    write_files(READERS[name], tmp_path)
    check_sane(READERS[name].read(tmp_path))


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused(name):
    reader = READERS[name]
    inputs = max(1, _INPUTS // reader.cost)

    @settings(max_examples=inputs, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(draw=st.randoms(use_true_random=False))
    def check(draw):
        with tempfile.TemporaryDirectory() as folder:
            write_files(reader, Path(folder))
            Path(folder, reader.damaged).write_bytes(damage(reader.files[reader.damaged], draw))
            try:
                read = reader.read(Path(folder))
            except UserError as error:
                lines = str(error).splitlines()
            else:
                check_sane(read)
                lines = []
            assert len(lines) <= 1

    check()
