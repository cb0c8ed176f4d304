import math

import imageio.v3 as imageio
import pytest

from sfmlearner_tf.curves import CSV_NAME, PNG_NAME, Curves
from sfmlearner_tf.errors import UserError


def test_rows_come_back_and_later_ones_are_dropped(tmp_path):
    curves = Curves(str(tmp_path), last_step=0)
    assert curves.best("total") == math.inf
    curves.add(10, {"total": 2.0})
    curves.add(20, {"total": 1.5, "abs_rel": 0.25})
    curves.add(30, {"total": 1.75, "abs_rel": 0.125})
    assert (tmp_path / CSV_NAME).read_text() == "step,total,abs_rel\n10,2.0,\n20,1.5,0.25\n30,1.75,0.125\n"
    resumed = Curves(str(tmp_path), last_step=20)
    assert (resumed.best("total"), resumed.best("abs_rel")) == (1.5, 0.25)
    resumed.add(30, {"total": 1.0, "abs_rel": 0.5})
    assert (tmp_path / CSV_NAME).read_text().endswith("20,1.5,0.25\n30,1.0,0.5\n")
    picture = imageio.imread(tmp_path / PNG_NAME)
    assert picture.shape[1] > picture.shape[0] > 100  # two plots side by side
    assert len({tuple(pixel) for pixel in picture.reshape(-1, picture.shape[-1])}) > 10


def test_a_file_that_is_no_csv_of_numbers_is_named(tmp_path):
    (tmp_path / CSV_NAME).write_text("step,total\n10,many\n")
    with pytest.raises(UserError, match=r"validation\.csv: expected a CSV of numbers"):
        Curves(str(tmp_path), last_step=20)
