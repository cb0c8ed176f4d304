import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from sfmlearner_tf import SfMLearner, TrainConfig
from sfmlearner_tf.command import UserError
from sfmlearner_tf.export import export_saved_model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    learner = SfMLearner(TrainConfig(img_height=32, img_width=64, seq_length=5))
    path = tmp_path_factory.mktemp("export") / "saved_model"
    export_saved_model(learner, str(path))
    return learner, path


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported[1])).signatures


def images(batch_size, height, width, channels):
    random = np.random.RandomState(0)
    return tf.constant(random.randint(0, 256, (batch_size, height, width, channels), np.uint8))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_equals_the_learner(exported, signatures, batch_size):
    learner, _ = exported
    target, sources = images(batch_size, 32, 64, 3), images(batch_size, 32, 64, 12)
    depth = signatures["serving_default"](images=target)
    np.testing.assert_allclose(depth["depth"], learner.predict_depth(target), rtol=1e-5)
    np.testing.assert_allclose(depth["disparity"], 1 / learner.predict_depth(target), rtol=1e-5)
    motion = signatures["pose"](target=target, sources=sources)
    np.testing.assert_allclose(motion["poses"], learner.predict_pose(target, sources), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(motion["src_T_tgt"][:, :, :3, 3], motion["poses"][:, :, :3])


def test_any_image_size(signatures):
    depth = signatures["depth"](images=images(2, 75, 101, 3))
    assert depth["depth"].shape == (2, 32, 64, 1)
    assert depth["depth_at_input_size"].shape == (2, 75, 101, 1)
    motion = signatures["pose"](target=images(2, 75, 101, 3), sources=images(2, 75, 101, 12))
    assert motion["src_T_tgt"].shape == (2, 4, 4, 4)


def test_loads_without_this_package(exported):
    code = (
        "import sys, tensorflow as tf; sys.modules['sfmlearner_tf'] = None; "
        f"depth = tf.saved_model.load({str(exported[1])!r}).signatures['depth']; "
        "print(depth(images=tf.zeros([1, 40, 80, 3], tf.uint8))['depth'].shape)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "(1, 32, 64, 1)", result.stderr


def test_only_an_earlier_export_is_replaced(exported, tmp_path):
    learner, path = exported
    export_saved_model(learner, str(path))
    assert (path / "saved_model.pb").exists()
    (tmp_path / "precious.txt").write_text("")
    with pytest.raises(UserError, match="exists and is no SavedModel"):
        export_saved_model(learner, str(tmp_path))
    assert (tmp_path / "precious.txt").exists()
