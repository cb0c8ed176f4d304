"""Files of checkpoints that are not as they should be, or not there."""

from pathlib import Path

import pytest
import tensorflow as tf

from sfmlearner_tf import checkpoint
from sfmlearner_tf.checkpoint import list_shapes, read_scalar, restore, write
from sfmlearner_tf.errors import UserError


def small_variables():
    return {"net/a": tf.Variable([1.0, 2.0]), "net/b": tf.Variable([[1.0]])}


def test_the_path_of_a_file_suggests_the_checkpoint_s(tmp_path):
    write(str(tmp_path / "model-3"), small_variables())
    for name in ("model-3.index", "model-3.data-00000-of-00001"):
        with pytest.raises(UserError, match=r"did you mean [^ ]*/model-3\?$"):
            list_shapes(str(tmp_path / name))
    with pytest.raises(UserError, match=r"; the folder holds model-3$") as raised:
        list_shapes(str(tmp_path / "model-4.index"))
    assert "did you mean" not in str(raised.value)
    for number in range(12):
        (tmp_path / f"m{number:02}.index").write_bytes(b"")
    with pytest.raises(UserError, match=r"the folder holds m00, m01, .*, m09$"):
        list_shapes(str(tmp_path / "x"))
    for name in ("y", "y.index"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=r"found only [^ ]*/y$"):
        list_shapes(str(tmp_path / "y"))


@pytest.mark.parametrize("size", [1, 3])
def test_smaller_and_larger_variables_do_not_fit(tmp_path, size):
    write(str(tmp_path / "model"), small_variables())
    with pytest.raises(UserError, match=rf"net/a is \[2\], expected \[{size}\]"):
        restore(str(tmp_path / "model"), {"net/a": tf.Variable(tf.zeros([size]))})


def test_a_number_that_is_none_or_damaged_is_told(tmp_path):
    path = str(tmp_path / "model")
    write(path, {"empty": tf.Variable(tf.zeros([0])), "number": tf.Variable(5.0)})
    assert read_scalar(path, "number", 0) == 5
    with pytest.raises(UserError, match=r"expected empty to be one finite number, found \[\]"):
        read_scalar(path, "empty", 0)
    data = tmp_path / "model.data-00000-of-00001"
    data.write_bytes(bytes(byte ^ 1 for byte in data.read_bytes()))
    with pytest.raises(UserError, match="model is damaged"):
        read_scalar(path, "number", 0)


def test_what_is_written_is_read_back(tmp_path, monkeypatch):
    def damage(path):
        content = bytearray(Path(path).read_bytes())
        content[0] ^= ".data-" in path
        Path(path).write_bytes(content)

    monkeypatch.setattr(checkpoint, "force_to_disk", damage)
    with pytest.raises(OSError, match=r".+"):
        write(str(tmp_path / "model"), small_variables())
