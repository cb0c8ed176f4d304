"""cam.txt: the input pipeline's operations take and refuse what the plain reader does."""

import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf.data import batches
from sfmlearner_tf.data.formatted import read_intrinsics
from sfmlearner_tf.errors import UserError


@pytest.mark.parametrize(
    ("text", "is_camera"),
    [
        ("50.5,0.,30.25,0.,60.5,20.75,0.,0.,1.\n", True),
        (" 1e6, 0, -500.5, 0, 0.5, 5.0, 0, 0, 1", True),  # as large, as small and as far off the frame as is taken
        ("50,0,30,0,60,20,0,0,1,", False),
        ("50,0,30,0,60,20,0,0", False),
        ("", False),
        ("fx,0,30,0,60,20,0,0,1", False),
        ("nan,0,30,0,60,20,0,0,1", False),
        ("50,0,inf,0,60,20,0,0,1", False),
        ("50,0,1e400,0,60,20,0,0,1", False),
        ("-50,0,30,0,60,20,0,0,1", False),
        ("50,0,30,0,0,20,0,0,1", False),
        ("1e30,0,30,0,60,20,0,0,1", False),
        ("50,0,30,0,1000001,20,0,0,1", False),
        ("50,0.001,30,0,60,20,0,0,1", False),
        ("50,0,30,0.001,60,20,0,0,1", False),
        ("50,0,30,0,60,20,0,0.5,1", False),
        ("50,0,30,0,60,20,0,0,2", False),
        ("50,0,501,0,60,20,0,0,1", False),
        ("50,0,30,0,60,-601,0,0,1", False),
    ],
)
def test_cameras_are_read_as_the_preparation_reads_them(tmp_path, text, is_camera):
    path = tmp_path / "cam.txt"
    path.write_text(text)
    if is_camera:
        np.testing.assert_array_equal(batches.load_intrinsics(str(path)), read_intrinsics(str(path)))
        return
    with pytest.raises(UserError):
        read_intrinsics(str(path))
    with pytest.raises(tf.errors.InvalidArgumentError):
        batches.load_intrinsics(str(path))
