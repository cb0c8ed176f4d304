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


def test_a_row_of_plots_that_is_not_full_stays_white_to_its_end(tmp_path):
    Curves(str(tmp_path), last_step=0).add(10, {"total": 2.0, "pixel": 1.0, "smooth": 0.5, "explain": 0.25})
    picture = imageio.imread(tmp_path / PNG_NAME)[..., :3]
    height, width = picture.shape[:2]
    below = picture[height // 2 :]
    assert below[:, : width // 3].min() < 200
    assert below[:, width * 35 // 100 :].min() == 255


@pytest.mark.parametrize(
    "content",
    [
        b"step,total\n10,many\n",
        b"total\n1.0\n",
        b"step,total\n1,2,3\n",
        b"step,total\n\x00,1\n",
        b"\xff",
        b"step,t\n,1\n",
    ],
    ids=["text", "no step", "too long a row", "null", "no text", "an empty step"],
)
def test_a_file_that_is_no_csv_of_numbers_is_named(tmp_path, content):
    (tmp_path / CSV_NAME).write_bytes(content)
    with pytest.raises(UserError, match=r"validation\.csv: expected a CSV of numbers"):
        Curves(str(tmp_path), last_step=20)


@pytest.mark.filterwarnings("ignore:overflow")
def test_numbers_beyond_measure_do_no_harm(tmp_path):
    (tmp_path / CSV_NAME).write_text("step,total,$\\frac$\n1,nan,1\n2,inf,1\n-inf,1,1\nnan,1,1\n1e999,1,1\n3,2.5,1\n")
    curves = Curves(str(tmp_path), last_step=20)
    assert [row["step"] for row in curves.rows] == [1, 2, 3]
    assert curves.best("total") == 2.5
    curves.add(4, {"total": 1.5})
    assert (tmp_path / PNG_NAME).exists()
    curves.add(5, {"total": math.nan})
    assert Curves(str(tmp_path), last_step=5).best("total") == 1.5
    # What cannot be drawn is in the table all the same.
    (tmp_path / CSV_NAME).write_text("step,total\n1,1e308\n2,-1e308\n")
    with pytest.raises(UserError, match=r"cannot write .*validation\.csv or its picture"):
        Curves(str(tmp_path), last_step=5).add(6, {"total": 0.5})
    assert (tmp_path / CSV_NAME).read_text().endswith("6,0.5\n")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / PNG_NAME).mkdir()
    with pytest.raises(UserError, match=r"cannot write .*: .*Is a directory"):
        Curves(str(tmp_path), last_step=5).add(6, {"total": 0.5})
